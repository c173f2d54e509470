//! Top-k attention: a softmax over each row's strongest keys.
//!
//! Gupta et al., "Memory-efficient Transformers via Top-k Attention", 2021, arXiv:2106.06899.

use super::{Limits, Normalizer, Rows, Scan, Softmax, above};
use crate::scores::Scores;
use crate::shape::{KEY_BLOCK, QUERY_BLOCK, Shape};
use crate::simd::multiversion;
use crate::{Error, Result};

/// A softmax over each row's k greatest scores; of equal ones the earlier keys count. All other weights are 0.
///
/// What is kept is the log-sum-exp of those k. They are found by a pass over all keys that comes first, and again in the
/// backward pass and wherever weights are observed: one more product of queries and keys each time, unless there are no
/// more than k keys. A pass holds up to 2k scores for each query of a block, 2 KiB · k a thread. The gradient is that of the
/// softmax; which keys were chosen is taken as given.
#[derive(Clone, Debug, PartialEq)]
pub struct TopK {
    k: usize,
    softmax: Softmax,
}

impl TopK {
    /// Looks at `k` keys.
    ///
    /// # Errors
    /// If `k` is 0.
    pub fn new(k: usize) -> Result<Self> {
        if k == 0 {
            return Err(Error::new("k of the strongest keys", k, "at least 1"));
        }
        Ok(Self { k, softmax: Softmax::default() })
    }
}

impl Normalizer for TopK {
    fn scan(&self, shape: &Shape, _: bool) -> Option<Box<dyn Scan>> {
        (self.k < shape.keys).then(|| Box::new(Best::new(self.k)) as Box<dyn Scan>)
    }

    fn select(&self, limits: &Limits, scores: &mut Scores) {
        // Where a tile's counting keys end, from none of them to all.
        let first = scores.keys().start;
        let ends = limits.keys.map(|last| last.saturating_add(1).saturating_sub(first).min(KEY_BLOCK) as i32);
        let lanes = scores.lanes();
        select(scores.values_mut(), lanes, &limits.scores, &ends);
    }

    fn absorb(&self, scores: &mut Scores, rows: &mut Rows) {
        self.softmax.absorb(scores, rows);
    }

    fn merge(&self, rows: &mut Rows, other: &mut Rows) {
        self.softmax.merge(rows, other);
    }

    fn finish(&self, head: usize, rows: &mut Rows) {
        self.softmax.finish(head, rows);
    }

    fn weights(&self, lse: &[f32; QUERY_BLOCK], scores: &mut Scores) {
        self.softmax.weights(lse, scores);
    }

    fn backward(&self, weights: &Scores, inner: &[f32; QUERY_BLOCK], grad: &mut Scores) {
        self.softmax.backward(weights, inner, grad);
    }
}

/// The strongest keys so far, and others: they are sorted out when there is no room for more.
struct Best {
    k: usize,
    room: usize,
    /// What a score must exceed to be among the strongest.
    limits: [f32; QUERY_BLOCK],
    rows: Vec<Vec<Strength>>,
}

/// A score and its key as one number, which is the smaller the stronger the key is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Strength(u128);

impl Strength {
    fn new(score: f32, key: usize) -> Self {
        // Numbers as bits: positive ones are in order, negative ones in the opposite order. There is one zero.
        let bits = (score + 0.0).to_bits();
        let falling = if bits >> 31 == 0 { !bits & (u32::MAX >> 1) } else { bits };
        Self(u128::from(falling) << 64 | key as u128)
    }

    fn score(self) -> f32 {
        let falling = (self.0 >> 64) as u32;
        f32::from_bits(if falling >> 31 == 0 { !falling & (u32::MAX >> 1) } else { falling })
    }

    fn key(self) -> usize {
        self.0 as usize
    }
}

impl Best {
    fn new(k: usize) -> Self {
        // With less room, small k would be sorted out all the time.
        let room = k.saturating_mul(2).max(32);
        Self { k, room, limits: [f32::NEG_INFINITY; QUERY_BLOCK], rows: Vec::new() }
    }

    /// Leaves a row's k strongest, of which it returns the weakest, if it has that many.
    fn sort_out(&mut self, query: usize) -> Option<Strength> {
        let row = &mut self.rows[query];
        let weakest = (row.len() >= self.k).then(|| *row.select_nth_unstable(self.k - 1).1)?;
        row.truncate(self.k);
        self.limits[query] = weakest.score();
        Some(weakest)
    }
}

impl Scan for Best {
    fn tile(&mut self, scores: &Scores) {
        self.rows.resize_with(scores.queries().len(), Vec::new);
        for (key, mut word) in scores.keys().zip(above(scores, &self.limits)) {
            let row = scores.row(key);
            while word != 0 {
                let query = word.trailing_zeros() as usize;
                word &= word - 1;
                // The limit may have risen since the tile was compared with it.
                if row[query] > self.limits[query] {
                    self.rows[query].push(Strength::new(row[query], key));
                    if self.rows[query].len() == self.room {
                        self.sort_out(query);
                    }
                }
            }
        }
    }

    fn again(&mut self) -> bool {
        false
    }

    fn limits(&mut self) -> Limits {
        let mut limits = Limits::none();
        for query in 0..self.rows.len() {
            if let Some(weakest) = self.sort_out(query) {
                (limits.scores[query], limits.keys[query]) = (weakest.score(), weakest.key());
            }
        }
        limits
    }
}

multiversion! {
    fn select<I>(scores: &mut [f32], lanes: usize, limits: &[f32; QUERY_BLOCK], ends: &[i32; QUERY_BLOCK]) {
        for (key, row) in scores.chunks_exact_mut(lanes.max(1)).enumerate() {
            for ((score, &limit), &end) in row.iter_mut().zip(limits).zip(ends) {
                // A NaN is neither: it stays, to be seen.
                let beyond = (*score < limit) | ((*score == limit) & (key as i32 >= end));
                *score = if beyond { f32::NEG_INFINITY } else { *score };
            }
        }
    }
}
