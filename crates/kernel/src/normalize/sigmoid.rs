//! Sigmoid attention: each weight is decided on its own, and a row need not sum to 1.
//!
//! Ramapuram et al., "Theory, Analysis, and Best Practices for Sigmoid Self-Attention", ICLR 2025, arXiv:2409.04431.

use super::{Normalizer, Rows};
use crate::scores::Scores;
use crate::shape::{QUERY_BLOCK, Shape};
use crate::simd::{Isa, LANES, Lanes, multiversion};
use crate::{Error, Result};

/// `a_ij = σ(e_ij + b)`, with b = −ln S unless given, so that a row of small scores sums to about 1.
///
/// S counts all keys, hidden ones too. Where it changes between training and use (padding, generation), give b. A learned
/// b is a [`DenseBias`](crate::DenseBias) of the shape `[1, heads, 1, 1]`. What is kept of a row is −b, or −∞ where every
/// weight is below 2⁻¹⁰⁰, which counts as 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sigmoid {
    bias: Option<f32>,
}

impl Sigmoid {
    /// Adds `bias` to every score; `Sigmoid::default()` adds −ln S.
    ///
    /// # Errors
    /// If the bias is not a finite number.
    pub fn new(bias: f32) -> Result<Self> {
        if bias.is_finite() {
            Ok(Self { bias: Some(bias) })
        } else {
            Err(Error::new("sigmoid bias", bias, "a finite number"))
        }
    }
}

impl Normalizer for Sigmoid {
    fn begin(&self, shape: &Shape, rows: &mut Rows) {
        rows.reference = [self.bias.map_or((shape.keys as f64).ln() as f32, |bias| -bias); QUERY_BLOCK];
    }

    fn absorb(&self, scores: &mut Scores, rows: &mut Rows) {
        let lanes = scores.lanes();
        absorb(scores.values_mut(), lanes, rows);
    }

    fn finish(&self, _: usize, rows: &mut Rows) {
        rows.scale = [1.0; QUERY_BLOCK];
        for i in 0..rows.count {
            rows.lse[i] = if rows.total[i] == 0.0 { f32::NEG_INFINITY } else { rows.reference[i] };
        }
    }

    fn weights(&self, lse: &[f32; QUERY_BLOCK], scores: &mut Scores) {
        let lanes = scores.lanes();
        weights(scores.values_mut(), lanes, lse);
    }

    fn backward(&self, weights: &Scores, _: &[f32; QUERY_BLOCK], grad: &mut Scores) {
        grad.zip(weights, |grad, weight| grad * weight * (1.0 - weight));
    }
}

/// `1 / (1 + e⁻ˣ)` of each number, from an exponential that cannot overflow.
#[inline(always)]
fn sigmoid<I: Isa>(x: Lanes) -> Lanes {
    let e = x.map(|x| -x.abs()).exp::<I>();
    x.zip(e, |x, e| (if x < 0.0 { e } else { 1.0 }) / (1.0 + e))
}

multiversion! {
    fn absorb<I>(scores: &mut [f32], lanes: usize, rows: &mut Rows) {
        for first in (0..lanes).step_by(LANES) {
            let bias = Lanes::load(&rows.reference[first..]).map(|x| -x);
            let mut sum = Lanes::load(&rows.total[first..]);
            for row in scores.chunks_exact_mut(lanes) {
                let weight = sigmoid::<I>(Lanes::load(&row[first..]).add(bias));
                weight.store(&mut row[first..]);
                sum = sum.add(weight);
            }
            sum.store(&mut rows.total[first..]);
            Lanes::splat(1.0).store(&mut rows.rescale[first..]);
        }
    }

    fn weights<I>(scores: &mut [f32], lanes: usize, lse: &[f32; QUERY_BLOCK]) {
        for first in (0..lanes).step_by(LANES) {
            // A row in which nothing has weight keeps −∞, and weighs 0 again.
            let bias = Lanes::load(&lse[first..]).map(|x| if x == f32::NEG_INFINITY { x } else { -x });
            for row in scores.chunks_exact_mut(lanes) {
                sigmoid::<I>(Lanes::load(&row[first..]).add(bias)).store(&mut row[first..]);
            }
        }
    }
}
