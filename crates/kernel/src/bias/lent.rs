//! A bias given number by number, in memory that somebody else keeps.

use std::fmt::Debug;

use super::{Bias, dense};
use crate::scores::Scores;
use crate::shape::{Shape, Tile};
use crate::view::View;
use crate::{Error, Result};

/// Who keeps an array for as long as they live.
pub trait Lender: Debug + Send + Sync {
    /// The array, the same each time.
    fn view(&self) -> View<'_>;
}

/// A number for each pair, `[batch or 1, head or 1, query or 1, key or 1]`, read where it lies: of any element, with any
/// strides. −∞ hides a pair.
///
/// Nothing is copied, and nothing is learned: a [`DenseBias`](super::DenseBias) has a gradient.
#[derive(Clone, Debug)]
pub struct LentBias<L>(pub L);

impl<L: Lender> Bias for LentBias<L> {
    fn check(&self, shape: &Shape) -> Result<()> {
        let (given, full) = (self.0.view().shape(), [shape.batch, shape.heads, shape.queries, shape.keys]);
        if given.iter().zip(full).all(|(&n, full)| n == full || n == 1) {
            return Ok(());
        }
        Err(Error::new("dense bias", format!("{given:?}"), format!("{full:?}, or 1 instead of any")))
    }

    fn add(&self, tile: &Tile, scores: &mut Scores) {
        let Shape { batch, heads, queries, keys, .. } = *tile.shape;
        let full = [batch, heads, queries, keys].into_iter().enumerate();
        let view = full.fold(self.0.view(), |view, (axis, length)| view.broadcast(axis, length));
        let rows = view.matrix(tile.batch, tile.head).slice(tile.queries.clone());
        rows.columns(tile.keys.clone()).with(|values| dense::add(values, tile, scores));
    }
}
