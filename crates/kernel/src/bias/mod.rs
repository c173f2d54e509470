//! Biases: what is added to scores, or reshapes them, before they are normalised.

mod alibi;
mod buckets;
mod dense;
mod lent;
mod soft_cap;

use std::fmt::Debug;
use std::sync::Arc;

use crate::Result;
use crate::scores::Scores;
use crate::shape::{Shape, Tile};

pub use alibi::Alibi;
pub use buckets::RelativeBuckets;
pub use dense::DenseBias;
pub use lent::{Lender, LentBias};
pub use soft_cap::SoftCap;

/// What is added to scores, or reshapes them, before they are normalised.
pub trait Bias: Debug + Send + Sync {
    /// Refuses a problem whose sizes do not fit.
    ///
    /// # Errors
    /// If the bias was made for other sizes.
    fn check(&self, shape: &Shape) -> Result<()> {
        let _ = shape;
        Ok(())
    }

    /// Changes the scores of a tile.
    fn add(&self, tile: &Tile, scores: &mut Scores);

    /// Replaces the gradient of what [`add`](Bias::add) wrote by that of what it was given, and adds the gradient of the
    /// parameters. `scores` is what it wrote, with 0 for hidden pairs; their gradient is 0, too. A bias that only adds
    /// and learns nothing need not do anything.
    fn backward(&self, tile: &Tile, scores: &Scores, grad: &mut Scores, parameters: &mut [f32]) {
        let _ = (tile, scores, grad, parameters);
    }

    /// The learned numbers, flat.
    fn parameters(&self) -> &[f32] {
        &[]
    }

    /// `[batch or 1, head or 1]` if there is a parameter for every pair of a query and a key, added as it is:
    /// `[batch or 1, head or 1, query, key]`. The gradient of such a bias is gathered in place, by no more than the
    /// gradient's own memory, and [`backward`](Bias::backward) is given no parameters.
    fn pairwise(&self) -> Option<[usize; 2]> {
        None
    }
}

impl<B: Bias + ?Sized> Bias for Arc<B> {
    fn check(&self, shape: &Shape) -> Result<()> {
        (**self).check(shape)
    }

    fn add(&self, tile: &Tile, scores: &mut Scores) {
        (**self).add(tile, scores);
    }

    fn backward(&self, tile: &Tile, scores: &Scores, grad: &mut Scores, parameters: &mut [f32]) {
        (**self).backward(tile, scores, grad, parameters);
    }

    fn parameters(&self) -> &[f32] {
        (**self).parameters()
    }

    fn pairwise(&self) -> Option<[usize; 2]> {
        (**self).pairwise()
    }
}
