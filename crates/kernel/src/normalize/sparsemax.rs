//! Sparsemax: the softmax that can say 0.
//!
//! Martins and Astudillo, "From Softmax to Sparsemax", ICML 2016, arXiv:1602.02068.

use super::threshold::{self, Power, Search, positive};
use super::{Normalizer, Rows, Scan};
use crate::scores::Scores;
use crate::shape::{QUERY_BLOCK, Shape};

/// `a_ij = max(0, e_ij − τ_i)` with τ_i such that the row sums to 1: the point of the simplex nearest to the scores.
///
/// What is kept is τ_i, which a pass over all keys finds beforehand: one more product of queries and keys. Rows in which
/// more than about 400 keys have weight take some passes more. Backward there is one pass more than for a softmax.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sparsemax;

impl Normalizer for Sparsemax {
    fn scan(&self, _: &Shape, kept: bool) -> Option<Box<dyn Scan>> {
        (!kept).then(|| Box::new(Search::new(Power::One, 1.0)) as Box<dyn Scan>)
    }

    fn absorb(&self, scores: &mut Scores, rows: &mut Rows) {
        let lanes = scores.lanes();
        threshold::absorb(scores.values_mut(), lanes, 1.0, rows, positive);
    }

    fn finish(&self, _: usize, rows: &mut Rows) {
        threshold::finish(rows);
    }

    fn weights(&self, lse: &[f32; QUERY_BLOCK], scores: &mut Scores) {
        let lanes = scores.lanes();
        threshold::weights(scores.values_mut(), lanes, 1.0, lse, positive);
    }

    fn gathers(&self) -> bool {
        true
    }

    fn gather(&self, weights: &Scores, grad: &Scores, sums: &mut [[f32; QUERY_BLOCK]; 2]) {
        threshold::gather(weights.values(), grad.values(), grad.lanes(), sums, |_| 1.0);
    }

    fn backward(&self, weights: &Scores, inner: &[f32; QUERY_BLOCK], grad: &mut Scores) {
        let lanes = grad.lanes();
        threshold::backward(weights.values(), grad.values_mut(), lanes, inner, |_| 1.0);
    }
}
