//! Masks given pair by pair, or key by key.

use super::{Coverage, Mask, Visible, check_pairs, low_bits};
use crate::shape::{Shape, Tile};
use crate::{Error, Result};

/// A boolean for each pair, `[batch or 1, head or 1, query, key]`, true where the query sees the key. Kept as bits, 64
/// queries in a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenseMask {
    shape: [usize; 4],
    /// `[batch, head, key, ⌈queries / 64⌉]`
    words: Vec<u64>,
}

impl DenseMask {
    /// A mask of the shape `[batch or 1, head or 1, query, key]`.
    ///
    /// # Errors
    /// If `visible` does not hold exactly as many booleans as `shape` says.
    pub fn new(visible: &[bool], shape: [usize; 4]) -> Result<Self> {
        if shape.iter().try_fold(1usize, |size, &n| size.checked_mul(n)) != Some(visible.len()) {
            let given = format!("{} booleans", visible.len());
            return Err(Error::new("dense mask", given, format!("the product of {shape:?}")));
        }
        let [_, _, queries, keys] = shape;
        let per_key = queries.div_ceil(64);
        let mut words = Vec::new();
        if !visible.is_empty() {
            for map in visible.chunks_exact(queries * keys) {
                let start = words.len();
                words.resize(start + keys * per_key, 0);
                for (query, row) in map.chunks_exact(keys).enumerate() {
                    for (key, &seen) in row.iter().enumerate() {
                        words[start + key * per_key + query / 64] |= u64::from(seen) << (query % 64);
                    }
                }
            }
        }
        Ok(Self { shape, words })
    }
}

impl Mask for DenseMask {
    fn check(&self, shape: &Shape) -> Result<()> {
        check_pairs("dense mask", self.shape, shape)
    }

    fn fill(&self, tile: &Tile, visible: &mut Visible) {
        let [batches, heads, queries, keys] = self.shape;
        let map = if batches == 1 { 0 } else { tile.batch } * heads + if heads == 1 { 0 } else { tile.head };
        let per_key = queries.div_ceil(64);
        let (first, shift) = (tile.queries.start / 64, tile.queries.start % 64);
        for (word, key) in visible.words_mut().iter_mut().zip(tile.keys.clone()) {
            let row = &self.words[(map * keys + key) * per_key..][..per_key];
            *word = row[first] >> shift;
            if shift > 0 {
                *word |= row.get(first + 1).copied().unwrap_or(0) << (64 - shift);
            }
        }
    }
}

/// A boolean for each key, `[batch or 1, key]`, true where anyone may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyMask {
    visible: Vec<bool>,
    keys: usize,
}

impl KeyMask {
    /// A mask over `keys` keys; `visible` holds them for every batch, or once for all.
    ///
    /// # Errors
    /// If `visible` is not a whole number of batches.
    pub fn new(visible: impl Into<Vec<bool>>, keys: usize) -> Result<Self> {
        let visible = visible.into();
        if keys == 0 && !visible.is_empty() || keys != 0 && !visible.len().is_multiple_of(keys) {
            let given = format!("{} booleans", visible.len());
            return Err(Error::new("key mask", given, format!("a multiple of {keys} keys")));
        }
        Ok(Self { visible, keys })
    }

    fn keys(&self, tile: &Tile) -> &[bool] {
        let start = if self.visible.len() == self.keys { 0 } else { tile.batch * self.keys };
        &self.visible[start..][tile.keys.clone()]
    }
}

impl Mask for KeyMask {
    fn check(&self, shape: &Shape) -> Result<()> {
        let batches = self.visible.len().checked_div(self.keys).unwrap_or(1);
        if self.keys == shape.keys && (batches == 1 || batches == shape.batch) {
            return Ok(());
        }
        let given = format!("[{batches}, {}]", self.keys);
        Err(Error::new("key mask", given, format!("[{} or 1, {}]", shape.batch, shape.keys)))
    }

    fn coverage(&self, tile: &Tile) -> Coverage {
        let keys = self.keys(tile);
        match keys.iter().filter(|&&seen| seen).count() {
            0 => Coverage::Empty,
            n if n == keys.len() => Coverage::Full,
            _ => Coverage::Mixed,
        }
    }

    fn fill(&self, tile: &Tile, visible: &mut Visible) {
        let all = low_bits(tile.queries.len());
        for (word, &seen) in visible.words_mut().iter_mut().zip(self.keys(tile)) {
            *word = if seen { all } else { 0 };
        }
    }
}
