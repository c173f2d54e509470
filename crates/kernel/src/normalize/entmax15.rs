//! 1.5-entmax: half way between softmax and sparsemax.
//!
//! Peters, Niculae and Martins, "Sparse Sequence-to-Sequence Models", ACL 2019, arXiv:1905.05702.

use super::threshold::{self, Power, Search, positive};
use super::{Normalizer, Rows, Scan};
use crate::scores::Scores;
use crate::shape::{QUERY_BLOCK, Shape};

/// `a_ij = max(0, e_ij / 2 − τ_i)²` with τ_i such that the row sums to 1: smooth as the softmax, and 0 where scores are
/// low.
///
/// What is kept is τ_i; it is found, and costs, as that of [`Sparsemax`](super::Sparsemax).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entmax15;

/// What scores are multiplied with.
const FACTOR: f32 = 0.5;

#[inline(always)]
fn weight(excess: f32) -> f32 {
    let root = positive(excess);
    root * root
}

impl Normalizer for Entmax15 {
    fn scan(&self, _: &Shape, kept: bool) -> Option<Box<dyn Scan>> {
        (!kept).then(|| Box::new(Search::new(Power::Two, FACTOR)) as Box<dyn Scan>)
    }

    fn absorb(&self, scores: &mut Scores, rows: &mut Rows) {
        let lanes = scores.lanes();
        threshold::absorb(scores.values_mut(), lanes, FACTOR, rows, weight);
    }

    fn finish(&self, _: usize, rows: &mut Rows) {
        threshold::finish(rows);
    }

    fn weights(&self, lse: &[f32; QUERY_BLOCK], scores: &mut Scores) {
        let lanes = scores.lanes();
        threshold::weights(scores.values_mut(), lanes, FACTOR, lse, weight);
    }

    fn gathers(&self) -> bool {
        true
    }

    fn gather(&self, weights: &Scores, grad: &Scores, sums: &mut [[f32; QUERY_BLOCK]; 2]) {
        threshold::gather(weights.values(), grad.values(), grad.lanes(), sums, f32::sqrt);
    }

    fn backward(&self, weights: &Scores, inner: &[f32; QUERY_BLOCK], grad: &mut Scores) {
        let lanes = grad.lanes();
        threshold::backward(weights.values(), grad.values_mut(), lanes, inner, f32::sqrt);
    }
}
