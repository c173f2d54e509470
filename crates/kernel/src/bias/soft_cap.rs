//! Scores kept within bounds.

use super::Bias;
use crate::scores::Scores;
use crate::shape::Tile;
use crate::simd::{multiversion, tanh};
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
        for score in scores.iter_mut() {
            *score = cap * tanh::<I>(*score * inverse);
        }
    }
}
