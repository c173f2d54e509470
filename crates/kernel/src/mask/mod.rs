//! Masks: who may see whom.
//!
//! A mask answers a tile at a time. It may say that the tile is [`Coverage::Empty`] (it is skipped: no product is
//! computed) or [`Coverage::Full`] (nothing is hidden in it); otherwise it fills [`Visible`], one bit a pair, on which
//! `&`, `|` and `!` are one machine instruction for 64 queries.

mod bigbird;
mod blocks;
mod causal;
mod dense;
mod dilated;
mod documents;
mod global;
mod operators;
mod padding;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::sync::Arc;

use crate::scores::Scores;
use crate::shape::{KEY_BLOCK, QUERY_BLOCK, Shape, Tile};
use crate::simd::{LANES, Lanes, multiversion};
use crate::{Error, Result};

pub use bigbird::BigBird;
pub use blocks::Blocks;
pub use causal::{Causal, Corner, Window};
pub use dense::{DenseMask, KeyMask};
pub use dilated::Dilated;
pub use documents::Documents;
pub use global::Global;
pub use operators::{And, Not, Or, SharedMask};
pub use padding::{Padding, Prefix};

/// What a mask leaves of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// No query sees any key.
    Empty,
    /// Every query sees every key.
    Full,
    /// It depends on the pair.
    Mixed,
}

/// Who may see whom.
pub trait Mask: Debug + Send + Sync {
    /// Refuses a problem whose sizes do not fit the mask.
    ///
    /// # Errors
    /// If the mask was made for other sizes.
    fn check(&self, shape: &Shape) -> Result<()> {
        let _ = shape;
        Ok(())
    }

    /// What is left of a tile. `Mixed` is always right; the others save work and must be exact.
    fn coverage(&self, tile: &Tile) -> Coverage {
        let _ = tile;
        Coverage::Mixed
    }

    /// Says for every pair of a tile whether the query sees the key. `visible` comes with nothing visible.
    fn fill(&self, tile: &Tile, visible: &mut Visible);
}

macro_rules! forward_mask {
    ($($pointer:ty),*) => {$(
        impl<M: Mask + ?Sized> Mask for $pointer {
            fn check(&self, shape: &Shape) -> Result<()> {
                (**self).check(shape)
            }
            fn coverage(&self, tile: &Tile) -> Coverage {
                (**self).coverage(tile)
            }
            fn fill(&self, tile: &Tile, visible: &mut Visible) {
                (**self).fill(tile, visible);
            }
        }
    )*};
}
forward_mask!(Box<M>, Arc<M>);

/// Which keys each query of a tile sees: for each key a word with one bit a query, the first query lowest.
#[derive(Clone, Debug)]
pub struct Visible {
    words: [u64; KEY_BLOCK],
    keys: usize,
    needed: Needed,
}

/// For each vector of a tile's queries the range of the tile's keys that one of them sees, counted within the tile.
pub(crate) type Needed = [(u8, u8); QUERY_BLOCK / LANES];

impl Visible {
    /// Nothing visible.
    pub(crate) fn none(tile: &Tile) -> Self {
        Self { words: [0; KEY_BLOCK], keys: tile.keys.len(), needed: [(0, 0); QUERY_BLOCK / LANES] }
    }

    /// One word a key: bit i is the tile's i-th query. Bits past the queries mean nothing.
    pub fn words(&self) -> &[u64] {
        &self.words[..self.keys]
    }

    /// As [`words`](Visible::words), to be changed.
    pub fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words[..self.keys]
    }

    /// Sets every pair to what `f(query, key)` says, both as positions in the sequence.
    pub fn each(&mut self, tile: &Tile, f: impl Fn(usize, usize) -> bool) {
        for (word, key) in self.words.iter_mut().zip(tile.keys.clone()) {
            *word = tile.queries.clone().enumerate().fold(0, |word, (i, query)| word | (u64::from(f(query, key)) << i));
        }
    }

    /// Whether the tile's `query`-th query sees its `key`-th key.
    pub fn get(&self, query: usize, key: usize) -> bool {
        self.words[key] >> query & 1 == 1
    }

    /// Finds what is [`needed`](Visible::needed), once all words are set.
    pub(crate) fn close(mut self) -> Self {
        // Two vectors at a time: products of one are not worth the keys they save.
        for (part, needed) in self.needed.chunks_exact_mut(2).enumerate() {
            let seen = |word: &u64| word >> (part * 2 * LANES) & low_bits(2 * LANES) != 0;
            let words = &self.words[..self.keys];
            let start = words.iter().position(seen).unwrap_or(0);
            let end = words.iter().rposition(seen).map_or(0, |last| last + 1);
            needed.fill((start as u8, end as u8));
        }
        self
    }

    /// Outside of these ranges, nothing needs to be computed.
    pub(crate) fn needed(&self) -> Needed {
        self.needed
    }

    /// Puts `value` in place of every hidden number.
    pub(crate) fn hide(&self, scores: &mut Scores, value: f32) {
        let lanes = scores.lanes();
        hide(self.words(), scores.values_mut(), lanes, value);
    }
}

multiversion! {
    fn hide<I>(words: &[u64], values: &mut [f32], lanes: usize, value: f32) {
        let hidden = Lanes::splat(value);
        for (row, &word) in values.chunks_exact_mut(lanes.max(1)).zip(words) {
            for (part, vector) in row.as_chunks_mut().0.iter_mut().enumerate() {
                *vector = I::select((word >> (part * LANES)) as u16, Lanes(*vector), hidden).0;
            }
        }
    }
}

/// Refuses a problem of other sizes than a mask's `[batch or 1, head or 1, query, key]`.
fn check_pairs(argument: &str, given: [usize; 4], shape: &Shape) -> Result<()> {
    let [batch, head, queries, keys] = given;
    let fits = |n: usize, full: usize| n == full || n == 1;
    if fits(batch, shape.batch) && fits(head, shape.heads) && [queries, keys] == [shape.queries, shape.keys] {
        return Ok(());
    }
    let expected = format!("[{} or 1, {} or 1, {}, {}]", shape.batch, shape.heads, shape.queries, shape.keys);
    Err(Error::new(argument, format!("{given:?}"), expected))
}

/// The lowest `n` bits, for n from 0 to 64 and beyond.
#[inline(always)]
pub(crate) fn low_bits(n: usize) -> u64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}
