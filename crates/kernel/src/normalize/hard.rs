//! Hard attention: each query looks at one key.
//!
//! The choice is that of Xu et al. 2015 (arXiv:1502.03044) without chance; its gradient is the straight-through estimator,
//! Bengio et al. 2013 (arXiv:1308.3432).

use super::choice::{self, Argmax};
use super::{Limits, Normalizer, Rows, Scan, Softmax, threshold};
use crate::scores::Scores;
use crate::shape::{QUERY_BLOCK, Shape};

/// `a_ij = 1` for the key with the greatest score, of equal ones the first; 0 for all others.
///
/// A choice has no slope. In the backward pass scores get the gradient that a softmax in its place would give them, and
/// values get that of the choice: the estimator is biased, and training that begins with [`Softmax`] or
/// [`Gumbel`](super::Gumbel) often goes better. What is kept is the log-sum-exp. Forward is one pass; backward, the chosen
/// keys are found again and the softmax' gradient is gathered, in a pass each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hard;

impl Normalizer for Hard {
    fn scan(&self, _: &Shape, kept: bool) -> Option<Box<dyn Scan>> {
        kept.then(|| Box::new(Argmax::new(None)) as Box<dyn Scan>)
    }

    fn select(&self, limits: &Limits, scores: &mut Scores) {
        choice::select(limits, scores);
    }

    fn absorb(&self, scores: &mut Scores, rows: &mut Rows) {
        choice::absorb(scores, None, 1.0, rows);
    }

    // Of equal keys the first counts, and parts do not know theirs.
    fn joins(&self) -> bool {
        false
    }

    fn finish(&self, _: usize, rows: &mut Rows) {
        choice::finish(1.0, rows);
    }

    fn weights(&self, lse: &[f32; QUERY_BLOCK], scores: &mut Scores) {
        choice::weights(lse, scores);
    }

    fn straight_through(&self) -> bool {
        true
    }

    fn surrogate(&self, lse: &[f32; QUERY_BLOCK], _: &Scores, scores: &mut Scores) {
        Softmax::default().weights(lse, scores);
    }

    fn gathers(&self) -> bool {
        true
    }

    fn gather(&self, weights: &Scores, grad: &Scores, sums: &mut [[f32; QUERY_BLOCK]; 2]) {
        threshold::gather(weights.values(), grad.values(), grad.lanes(), sums, |weight| weight);
    }

    fn backward(&self, weights: &Scores, inner: &[f32; QUERY_BLOCK], grad: &mut Scores) {
        Softmax::default().backward(weights, inner, grad);
    }
}
