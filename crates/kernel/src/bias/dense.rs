//! A bias given number by number.

use super::Bias;
use crate::scores::Scores;
use crate::shape::{Shape, Tile};
use crate::view::Matrix;
use crate::{Error, Result, pack, scratch};

/// A learned number for each pair, `[batch or 1, head or 1, query or 1, key or 1]`; an axis of 1 is shared.
///
/// The numbers are kept here; a [`LentBias`](super::LentBias) that learns nothing reads those of somebody else.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseBias {
    values: Vec<f32>,
    shape: [usize; 4],
}

impl DenseBias {
    /// A contiguous bias of the shape `[batch or 1, head or 1, query or 1, key or 1]`.
    ///
    /// # Errors
    /// If `values` does not hold exactly as many numbers as `shape` says.
    pub fn new(values: impl Into<Vec<f32>>, shape: [usize; 4]) -> Result<Self> {
        let values = values.into();
        if shape.iter().try_fold(1usize, |size, &n| size.checked_mul(n)) != Some(values.len()) {
            let given = format!("{} numbers", values.len());
            return Err(Error::new("dense bias", given, format!("the product of {shape:?}")));
        }
        Ok(Self { values, shape })
    }

    /// Numbers from one batch, head, query and key to the next; 0 along a shared axis.
    fn strides(&self) -> [usize; 4] {
        let [batch, heads, queries, keys] = self.shape;
        let unless_shared = |n: usize, stride: usize| if n == 1 { 0 } else { stride };
        [
            unless_shared(batch, heads * queries * keys),
            unless_shared(heads, queries * keys),
            unless_shared(queries, keys),
            unless_shared(keys, 1),
        ]
    }
}

/// Adds `[query][key]` numbers to the scores of a tile.
pub(super) fn add(values: Matrix, tile: &Tile, scores: &mut Scores) {
    scratch::with([Scores::size(tile)], |[turned]| {
        pack::transpose(values, turned);
        scores.zip(&Scores::new(tile, turned), |score, value| score + value);
    });
}

impl Bias for DenseBias {
    fn check(&self, shape: &Shape) -> Result<()> {
        let full = [shape.batch, shape.heads, shape.queries, shape.keys];
        if self.shape.iter().zip(full).all(|(&n, full)| n == full || n == 1) {
            return Ok(());
        }
        Err(Error::new("dense bias", format!("{:?}", self.shape), format!("{full:?}, or 1 instead of any")))
    }

    fn add(&self, tile: &Tile, scores: &mut Scores) {
        let [batch, head, query, key] = self.strides();
        let first = tile.batch * batch + tile.head * head + tile.queries.start * query + tile.keys.start * key;
        let values = Matrix {
            data: &self.values[first..],
            rows: tile.queries.len(),
            columns: tile.keys.len(),
            row_stride: query,
            column_stride: key,
        };
        add(values, tile, scores);
    }

    fn backward(&self, tile: &Tile, _: &Scores, grad: &mut Scores, parameters: &mut [f32]) {
        if parameters.is_empty() {
            return;
        }
        let [batch, head, query, key] = self.strides();
        let parameters = &mut parameters[tile.batch * batch + tile.head * head..];
        for position in tile.keys.clone() {
            for (&grad, q) in grad.row(position).iter().zip(tile.queries.clone()) {
                parameters[q * query + position * key] += grad;
            }
        }
    }

    fn parameters(&self) -> &[f32] {
        &self.values
    }

    fn pairwise(&self) -> Option<[usize; 2]> {
        let [batch, heads, queries, keys] = self.shape;
        (queries > 1 && keys > 1).then_some([batch, heads])
    }
}
