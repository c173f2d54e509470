//! Scores kept within bounds.

use super::Bias;
use crate::scores::Scores;
use crate::shape::Tile;
use crate::simd::{LANES, TANH_NEAR, multiversion, tanh, tanh_near};
use crate::{Error, Result};

/// `cap · tanh(score / cap)`: reshapes what came before it, so that no score leaves (−cap, cap). Gemma 2 (2024).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoftCap {
    cap: f32,
}

impl SoftCap {
    /// Scores stay within `cap`.
    ///
    /// # Errors
    /// If `cap` is not a positive, finite number.
    pub fn new(cap: f32) -> Result<Self> {
        if cap > 0.0 && cap.is_finite() {
            Ok(Self { cap })
        } else {
            Err(Error::new("soft cap", cap, "a positive, finite number"))
        }
    }
}

impl Bias for SoftCap {
    fn add(&self, _: &Tile, scores: &mut Scores) {
        bend(scores.values_mut(), self.cap);
    }

    fn backward(&self, _: &Tile, scores: &Scores, grad: &mut Scores, _: &mut [f32]) {
        let inverse = 1.0 / self.cap;
        grad.zip(scores, |grad, score| {
            let tanh = score * inverse;
            grad * (1.0 - tanh * tanh)
        });
    }
}

multiversion! {
    fn bend<I>(scores: &mut [f32], cap: f32) {
        let inverse = 1.0 / cap;
        for scores in scores.chunks_mut(4 * LANES) {
            let greatest = scores.iter().fold(0, |greatest, score| greatest.max((score * inverse).abs().to_bits()));
            // Most scores are far from the cap, where the hyperbolic tangent is a short polynomial.
            if greatest < TANH_NEAR.to_bits() {
                scores.iter_mut().for_each(|score| *score = cap * tanh_near::<I>(*score * inverse));
            } else {
                scores.iter_mut().for_each(|score| *score = cap * tanh::<I>(*score * inverse));
            }
        }
    }
}
