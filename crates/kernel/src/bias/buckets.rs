//! The relative position buckets of T5.
//!
//! Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", JMLR 2020,
//! arXiv:1910.10683.

use super::Bias;
use crate::scores::Scores;
use crate::shape::{Shape, Tile};
use crate::{Error, Result};

/// A learned number for each head and bucket of distances: near distances have a bucket each, farther ones share buckets
/// that widen logarithmically up to `max_distance`, and everything beyond falls into the last.
///
/// Positions are aligned bottom-right.
#[derive(Clone, Debug, PartialEq)]
pub struct RelativeBuckets {
    table: Vec<f32>,
    heads: usize,
    buckets: usize,
    bidirectional: bool,
    max_distance: usize,
}

impl RelativeBuckets {
    /// `table` is `[bucket][head]`. With `bidirectional`, half of the buckets are for keys after the query; without, those
    /// all count as distance 0.
    ///
    /// # Errors
    /// If the table is no whole number of buckets, if there are fewer than 2 buckets (4, and an even number, with
    /// `bidirectional`), or if `max_distance` is not beyond the distances that have a bucket of their own.
    pub fn new(table: impl Into<Vec<f32>>, heads: usize, bidirectional: bool, max_distance: usize) -> Result<Self> {
        let table = table.into();
        let argument = "relative buckets";
        if heads == 0 || !table.len().is_multiple_of(heads) {
            let given = format!("a table of {} numbers", table.len());
            return Err(Error::new(argument, given, format!("a multiple of {heads} heads")));
        }
        let buckets = table.len() / heads;
        let (least, step) = if bidirectional { (4, 2) } else { (2, 1) };
        if buckets < least || !buckets.is_multiple_of(step) {
            let expected = if bidirectional { "an even number, at least 4" } else { "at least 2" };
            return Err(Error::new(argument, format!("{buckets} buckets"), expected));
        }
        let exact = buckets / step / 2;
        if max_distance <= exact {
            return Err(Error::new(
                argument,
                format!("a greatest distance of {max_distance}"),
                format!("more than {exact}"),
            ));
        }
        Ok(Self { table, heads, buckets, bidirectional, max_distance })
    }

    /// The bucket of a key `distance` positions after its query (negative: before it).
    pub fn bucket(&self, distance: isize) -> usize {
        let (first, buckets, distance) = if self.bidirectional {
            let half = self.buckets / 2;
            (if distance > 0 { half } else { 0 }, half, distance.unsigned_abs())
        } else {
            (0, self.buckets, distance.min(0).unsigned_abs())
        };
        let exact = buckets / 2;
        if distance < exact {
            return first + distance;
        }
        // In single precision, step by step as the published code, so that borders fall where they do there.
        let ratio = (distance as f32 / exact as f32).ln() / (self.max_distance as f64 / exact as f64).ln() as f32;
        first + (exact + (ratio * (buckets - exact) as f32) as usize).min(buckets - 1)
    }

    /// The bucket of each diagonal of a tile, from the first query and last key to the last query and first key.
    fn diagonals(&self, tile: &Tile) -> impl Iterator<Item = usize> {
        let first = tile.keys.end as isize - 1 - (tile.queries.start as isize + tile.shape.offset());
        (0..DIAGONALS.min(tile.queries.len() + tile.keys.len() - 1)).map(move |i| self.bucket(first - i as isize))
    }
}

/// The most diagonals that a tile has.
const DIAGONALS: usize = crate::QUERY_BLOCK + crate::KEY_BLOCK - 1;

impl Bias for RelativeBuckets {
    fn check(&self, shape: &Shape) -> Result<()> {
        if self.heads == shape.heads {
            return Ok(());
        }
        Err(Error::new("relative buckets", format!("{} heads", self.heads), format!("{} heads", shape.heads)))
    }

    fn add(&self, tile: &Tile, scores: &mut Scores) {
        let mut values = [0.0; DIAGONALS];
        for (value, bucket) in values.iter_mut().zip(self.diagonals(tile)) {
            *value = self.table[bucket * self.heads + tile.head];
        }
        for key in tile.keys.clone() {
            // Along a key's row, one query is one diagonal on.
            let values = &values[tile.keys.end - 1 - key..];
            scores.row_mut(key).iter_mut().zip(values).for_each(|(score, value)| *score += value);
        }
    }

    fn backward(&self, tile: &Tile, _: &Scores, grad: &mut Scores, parameters: &mut [f32]) {
        let mut sums = [0.0; DIAGONALS];
        for key in tile.keys.clone() {
            let sums = &mut sums[tile.keys.end - 1 - key..];
            sums.iter_mut().zip(grad.row(key)).for_each(|(sum, grad)| *sum += grad);
        }
        for (sum, bucket) in sums.iter().zip(self.diagonals(tile)) {
            parameters[bucket * self.heads + tile.head] += sum;
        }
    }

    fn parameters(&self) -> &[f32] {
        &self.table
    }
}
