//! Block-sparse masks: any pattern, looked at once.
//!
//! The pairs are cut into blocks of 64 queries and 64 keys, which are the tiles of the engine. A block that is hidden or
//! visible altogether is only noted as such; of the others the bits are kept. While attention runs, hidden blocks are
//! skipped, visible ones are not masked, and the bits of a mixed one are copied: the pattern itself is never asked again.
//!
//! Memory: 8 bytes a block, and 512 more if it is mixed, which is a bit a pair.

use std::ops::Range;

use super::{Coverage, Mask, Visible, check_pairs, low_bits};
use crate::shape::{Shape, Tile, blocks};
use crate::{Error, Result};

/// Queries, and keys, of a block.
const SIDE: usize = 64;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Empty,
    Full,
    /// The n-th of the blocks whose bits are kept.
    Mixed(u32),
}

/// Who sees whom, by any rule or by a coarse matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocks {
    shape: [usize; 4],
    /// `[batch, head, query block, key block]`
    kinds: Vec<Kind>,
    /// Of each mixed block a word for each key, with a bit for each query.
    bits: Vec<[u64; SIDE]>,
}

impl Blocks {
    /// Asks `sees(batch, head, query, key)` once for every pair of the shape `[batch or 1, head or 1, query, key]`; an axis
    /// of 1 is asked for index 0 and holds for all.
    ///
    /// # Errors
    /// If the shape is larger than memory.
    pub fn new(shape: [usize; 4], sees: impl Fn(usize, usize, usize, usize) -> bool) -> Result<Self> {
        Self::build(shape, |[batch, head], queries, keys, words| {
            for (word, key) in words.iter_mut().zip(keys) {
                let seen = queries.clone().enumerate();
                *word = seen.fold(0, |word, (i, query)| word | u64::from(sees(batch, head, query, key)) << i);
            }
        })
    }

    /// As [`new`](Blocks::new), for a pattern that is at hand as memory: asks `row(batch, head, query, keys)` once for every
    /// query and up to 64 consecutive keys, for a word with a bit a key, the first key lowest. Bits past the keys mean
    /// nothing.
    ///
    /// # Errors
    /// If the shape is larger than memory.
    pub fn from_rows(shape: [usize; 4], row: impl Fn(usize, usize, usize, Range<usize>) -> u64) -> Result<Self> {
        Self::build(shape, |[batch, head], queries, keys, words| {
            let all = low_bits(keys.len());
            for (word, query) in words.iter_mut().zip(queries) {
                *word = row(batch, head, query, keys.clone()) & all;
            }
            transpose(words);
        })
    }

    /// Cuts the pairs of the shape `[batch or 1, head or 1, query, key]` into squares of `side` queries and `side` keys, those
    /// at the ends perhaps smaller; `layout`, `[batch, head, ⌈query / side⌉, ⌈key / side⌉]`, says which of them are visible.
    ///
    /// A side that is a multiple of 64 leaves no block mixed.
    ///
    /// # Errors
    /// If `side` is 0, if `layout` does not hold exactly as many booleans as that, or if the shape is larger than memory.
    pub fn from_layout(layout: &[bool], shape: [usize; 4], side: usize) -> Result<Self> {
        if side == 0 {
            return Err(Error::new("side of a block", side, "at least 1"));
        }
        let [batch, heads, queries, keys] = shape;
        let sizes = [batch, heads, queries.div_ceil(side), keys.div_ceil(side)];
        if sizes.iter().try_fold(1usize, |size, &n| size.checked_mul(n)) != Some(layout.len()) {
            let given = format!("{} booleans", layout.len());
            return Err(Error::new("layout of blocks", given, format!("the product of {sizes:?}")));
        }
        let [_, _, rows, columns] = sizes;
        Self::build(shape, |[batch, head], queries, keys, words| {
            let map = &layout[(batch * heads + head) * rows * columns..];
            for (word, key) in words.iter_mut().zip(keys) {
                let cells = queries.start / side..=(queries.end - 1) / side;
                *word = cells.filter(|row| map[row * columns + key / side]).fold(0, |word, row| {
                    let start = (row * side).max(queries.start) - queries.start;
                    word | (low_bits((row + 1).saturating_mul(side) - queries.start) & !low_bits(start))
                });
            }
        })
    }

    /// `fill([batch, head], queries, keys, words)` says in a word for each key which of the queries see it; words come as 0.
    fn build(
        shape: [usize; 4],
        fill: impl Fn([usize; 2], Range<usize>, Range<usize>, &mut [u64; SIDE]),
    ) -> Result<Self> {
        let [batch, heads, queries, keys] = shape;
        let sizes = [batch, heads, queries.div_ceil(SIDE), keys.div_ceil(SIDE)];
        let too_large = || Error::new("blocks", format!("{shape:?}"), "so few that they fit into memory");
        let count = sizes.iter().try_fold(1usize, |size, &n| size.checked_mul(n)).ok_or_else(too_large)?;
        let (mut kinds, mut bits) = (Vec::new(), Vec::new());
        kinds.try_reserve_exact(count).map_err(|_| too_large())?;
        for map in 0..if count == 0 { 0 } else { batch * heads } {
            for queries in blocks(0..queries, SIDE) {
                let all = low_bits(queries.len());
                for keys in blocks(0..keys, SIDE) {
                    let mut words = [0; SIDE];
                    fill([map / heads, map % heads], queries.clone(), keys.clone(), &mut words);
                    words.iter_mut().for_each(|word| *word &= all);
                    let words_of_keys = &words[..keys.len()];
                    kinds.push(if words_of_keys.iter().all(|&word| word == 0) {
                        Kind::Empty
                    } else if words_of_keys.iter().all(|&word| word == all) {
                        Kind::Full
                    } else {
                        bits.push(words);
                        Kind::Mixed(u32::try_from(bits.len() - 1).map_err(|_| too_large())?)
                    });
                }
            }
        }
        Ok(Self { shape, kinds, bits })
    }

    /// The share of blocks that are not skipped: roughly the time that attention takes, compared with no mask.
    pub fn density(&self) -> f64 {
        let computed = self.kinds.iter().filter(|&&kind| kind != Kind::Empty).count();
        computed as f64 / self.kinds.len().max(1) as f64
    }

    /// The block that has the given query and key.
    fn kind(&self, tile: &Tile, query: usize, key: usize) -> Kind {
        let [batches, heads, queries, keys] = self.shape;
        let map = if batches == 1 { 0 } else { tile.batch } * heads + if heads == 1 { 0 } else { tile.head };
        self.kinds[(map * queries.div_ceil(SIDE) + query / SIDE) * keys.div_ceil(SIDE) + key / SIDE]
    }
}

impl Mask for Blocks {
    fn check(&self, shape: &Shape) -> Result<()> {
        check_pairs("blocks", self.shape, shape)
    }

    fn coverage(&self, tile: &Tile) -> Coverage {
        // One block, unless the tile lies across their borders.
        let mut kinds = borders(&tile.queries)
            .flat_map(|query| borders(&tile.keys).map(move |key| (query, key)))
            .map(|(query, key)| self.kind(tile, query, key));
        let Some(first) = kinds.next() else { return Coverage::Empty };
        match first {
            _ if kinds.any(|kind| kind != first) => Coverage::Mixed,
            Kind::Empty => Coverage::Empty,
            Kind::Full => Coverage::Full,
            Kind::Mixed(_) => Coverage::Mixed,
        }
    }

    fn fill(&self, tile: &Tile, visible: &mut Visible) {
        for query in borders(&tile.queries) {
            for first in borders(&tile.keys) {
                let kind = self.kind(tile, query, first);
                let end = (first - first % SIDE + SIDE).min(tile.keys.end);
                let words = &mut visible.words_mut()[first - tile.keys.start..end - tile.keys.start];
                for (word, key) in words.iter_mut().zip(first % SIDE..) {
                    let bits = match kind {
                        Kind::Empty => 0,
                        Kind::Full => u64::MAX,
                        Kind::Mixed(block) => self.bits[block as usize][key],
                    };
                    // The block's bit of `query` becomes the tile's.
                    *word |= (bits >> (query % SIDE)) << (query - tile.queries.start);
                }
            }
        }
    }
}

/// The first position of a range, and those at which it enters another block.
fn borders(range: &Range<usize>) -> impl Iterator<Item = usize> + Clone + use<> {
    let next = range.start - range.start % SIDE + SIDE;
    std::iter::once(range.start).chain((next..range.end).step_by(SIDE))
}

/// Exchanges the rows and columns of a square of bits: halves, then quarters, down to single bits (Warren, "Hacker's
/// Delight", 7-3).
fn transpose(words: &mut [u64; SIDE]) {
    // Most squares of most patterns are of one kind, and stay what they are.
    if words.iter().all(|&word| word == 0) || words.iter().all(|&word| word == u64::MAX) {
        return;
    }
    let mut size = SIDE / 2;
    let mut low = u64::MAX >> size;
    while size > 0 {
        for pair in words.chunks_exact_mut(2 * size) {
            let (upper, lower) = pair.split_at_mut(size);
            for (upper, lower) in upper.iter_mut().zip(lower) {
                let exchanged = (*upper >> size ^ *lower) & low;
                *upper ^= exchanged << size;
                *lower ^= exchanged;
            }
        }
        size /= 2;
        low ^= low << size;
    }
}
