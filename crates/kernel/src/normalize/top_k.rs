//! Top-k attention: a softmax over each row's strongest keys.
//!
//! Gupta et al., "Memory-efficient Transformers via Top-k Attention", 2021, arXiv:2106.06899.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::{Limits, Normalizer, Rows, Scan, Softmax, above};
use crate::scores::Scores;
use crate::shape::{KEY_BLOCK, QUERY_BLOCK, Shape};
use crate::simd::multiversion;
use crate::{Error, Result};

/// A softmax over each row's k greatest scores; of equal ones the earlier keys count. All other weights are 0.
///
/// What is kept is the log-sum-exp of those k. They are found by a pass over all keys that comes first, and again in the
/// backward pass and wherever weights are observed: one more product of queries and keys each time, unless there are no
/// more than k keys. A pass holds k scores for each query of a block, 1 KiB · k a thread. The gradient is that of the
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
        let best = || Best { k: self.k, limits: [f32::NEG_INFINITY; QUERY_BLOCK], rows: Default::default() };
        (self.k < shape.keys).then(|| Box::new(best()) as Box<dyn Scan>)
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

/// The strongest keys so far.
struct Best {
    k: usize,
    /// What a score must exceed to be among them.
    limits: [f32; QUERY_BLOCK],
    /// The weakest of each row on top.
    rows: Vec<BinaryHeap<Strength>>,
}

/// A key and its score, in the order from the strongest to the weakest.
#[derive(Clone, Copy, PartialEq)]
struct Strength {
    score: f32,
    key: usize,
}

impl Eq for Strength {}

impl Ord for Strength {
    fn cmp(&self, other: &Self) -> Ordering {
        // No NaN gets this far.
        other.score.partial_cmp(&self.score).unwrap_or(Ordering::Equal).then(self.key.cmp(&other.key))
    }
}

impl PartialOrd for Strength {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Scan for Best {
    fn tile(&mut self, scores: &Scores) {
        let count = scores.queries().len();
        self.rows.resize_with(count, BinaryHeap::new);
        for (key, mut word) in scores.keys().zip(above(scores, &self.limits)) {
            let row = scores.row(key);
            while word != 0 {
                let query = word.trailing_zeros() as usize;
                word &= word - 1;
                let new = Strength { score: row[query], key };
                let best = &mut self.rows[query];
                if best.len() < self.k {
                    best.push(new);
                } else if let Some(mut weakest) = best.peek_mut().filter(|weakest| new < **weakest) {
                    *weakest = new;
                }
                if let Some(weakest) = best.peek().filter(|_| best.len() == self.k) {
                    self.limits[query] = weakest.score;
                }
            }
        }
    }

    fn again(&mut self) -> bool {
        false
    }

    fn limits(&self) -> Limits {
        let mut limits = Limits::none();
        for (query, best) in self.rows.iter().enumerate().filter(|(_, best)| best.len() == self.k) {
            if let Some(weakest) = best.peek() {
                (limits.scores[query], limits.keys[query]) = (weakest.score, weakest.key);
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
