//! α-entmax: from softmax (α → 1) by way of 1.5-entmax to sparsemax (α = 2) and beyond.
//!
//! Peters, Niculae and Martins, "Sparse Sequence-to-Sequence Models", ACL 2019, arXiv:1905.05702.

use super::threshold::{self, Power, Search};
use super::{Normalizer, Rows, Scan};
use crate::scores::Scores;
use crate::shape::{QUERY_BLOCK, Shape};
use crate::{Error, Result};

/// `a_ij = max(0, (α − 1) · e_ij − τ_i)^(1 / (α − 1))` with τ_i such that the row sums to 1.
///
/// The greater α, the fewer keys have weight. What is kept is τ_i; it is found as that of [`Sparsemax`](super::Sparsemax),
/// whose cost this has, and a power for each weight. [`Sparsemax`](super::Sparsemax) (α = 2) and
/// [`Entmax15`](super::Entmax15) are faster where they will do.
///
/// Two ends are less exact than single precision is elsewhere. As α nears 1, weights are high powers of numbers near 1, and
/// their relative error is about 1e-7 / (α − 1). Beyond 2, weights end steeply: one that is nearly 0 may be off by 1e-7 to
/// the power of 1 / (α − 1), and its gradient by as much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entmax {
    alpha: f32,
}

/// No slope is steeper: that of the smallest weights, for α > 2, overflows.
const STEEPEST: f32 = 1e15;

impl Entmax {
    /// Entmax of the given α.
    ///
    /// # Errors
    /// Unless α is a finite number greater than 1; for α = 1, take [`Softmax`](super::Softmax).
    pub fn new(alpha: f32) -> Result<Self> {
        if alpha > 1.0 && alpha.is_finite() {
            return Ok(Self { alpha });
        }
        Err(Error::new("entmax alpha", alpha, "a finite number greater than 1"))
    }

    /// What scores are multiplied with.
    fn factor(&self) -> f32 {
        self.alpha - 1.0
    }

    /// The weight of a number so far above the threshold.
    fn weight(self) -> impl Fn(f32) -> f32 {
        let power = 1.0 / self.factor();
        move |excess| if excess <= 0.0 { 0.0 } else { excess.powf(power) }
    }

    /// How fast a weight that is not 0 grows with its score.
    fn slope(self) -> impl Fn(f32) -> f32 {
        move |weight: f32| weight.powf(2.0 - self.alpha).min(STEEPEST)
    }
}

impl Normalizer for Entmax {
    fn scan(&self, _: &Shape, kept: bool) -> Option<Box<dyn Scan>> {
        let power = Power::Any(1.0 / self.factor());
        (!kept).then(|| Box::new(Search::new(power, self.factor())) as Box<dyn Scan>)
    }

    fn absorb(&self, scores: &mut Scores, rows: &mut Rows) {
        let lanes = scores.lanes();
        threshold::absorb(scores.values_mut(), lanes, self.factor(), rows, self.weight());
    }

    fn finish(&self, _: usize, rows: &mut Rows) {
        threshold::finish(rows);
    }

    fn weights(&self, lse: &[f32; QUERY_BLOCK], scores: &mut Scores) {
        let lanes = scores.lanes();
        threshold::weights(scores.values_mut(), lanes, self.factor(), lse, self.weight());
    }

    fn gathers(&self) -> bool {
        true
    }

    fn gather(&self, weights: &Scores, grad: &Scores, sums: &mut [[f32; QUERY_BLOCK]; 2]) {
        threshold::gather(weights.values(), grad.values(), grad.lanes(), sums, self.slope());
    }

    fn backward(&self, weights: &Scores, inner: &[f32; QUERY_BLOCK], grad: &mut Scores) {
        let lanes = grad.lanes();
        threshold::backward(weights.values(), grad.values_mut(), lanes, inner, self.slope());
    }
}
