//! An attention distribution smoothed over time: each step looks once, compares with a running average of where it has
//! looked, and looks again.
//!
//! `a_t = softmax(e_t)`, `r_t = β·r_{t-1} + (1-β)·a_t`, `ã_t = softmax(e_t + λ·log r_t)`,
//! `α_t = γ·ã_t + (1-γ)·r_{t-1}`. Before the first step the reference `r` is that step's own `a`, so nothing is assumed.
//!
//! An exponential moving average over distributions instead of over states. Time O(L·S), memory O(L·S): it holds the
//! weights, since a row needs the rows before it. Composed. Reach for it when attention should move slowly (alignments,
//! tracking, what a reader has dwelt on); not when each step has a question of its own.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Bool, Device, Tensor};

use super::{distribution, expect};
use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "EmaDistribution",
    family: Family::Memory,
    sentence: "Where to look is compared with a running average of where one has looked, step by step.",
    equation: "r_t = β·r_{t-1} + (1-β)·a_t; α_t = γ·softmax(e_t + λ·log r_t) + (1-γ)·r_{t-1}",
    paper: "an exponential moving average over attention distributions",
    cost: "time and memory O(L·S); composed, a step after the other",
    when: "Attention that should move slowly. Not when each step asks something new.",
};

/// Below this a reference counts as this: log 0 would rule a key out for ever.
const SMALLEST: f32 = 1e-30;

/// Configuration of [`EmaDistribution`]: where learning starts.
#[derive(Config, Debug)]
pub struct EmaDistributionConfig {
    /// `β`, how much of the reference is kept a step, in (0, 1).
    #[config(default = 0.9)]
    pub decay: f64,
    /// `λ`, how strongly the reference draws the second look.
    #[config(default = 1.0)]
    pub strength: f64,
    /// `γ`, the share of the second look in what comes out, in (0, 1).
    #[config(default = 0.5)]
    pub share: f64,
}

/// Learned smoothing of distributions over time.
#[derive(Module, Debug)]
pub struct EmaDistribution {
    /// `β` before its sigmoid, `[1]`
    pub decay: Param<Tensor<1>>,
    /// `λ`, `[1]`
    pub strength: Param<Tensor<1>>,
    /// `γ` before its sigmoid, `[1]`
    pub share: Param<Tensor<1>>,
}

impl EmaDistributionConfig {
    /// The three numbers as they begin; they are learned.
    ///
    /// # Errors
    /// When `decay` or `share` is not in (0, 1), or `strength` is not finite.
    pub fn init(&self, device: &Device) -> Result<EmaDistribution> {
        let number = |value: f64| Param::from_tensor(Tensor::from_data([value as f32], device));
        let logit = |argument, value: f64| {
            let inside = value > 0.0 && value < 1.0;
            if inside {
                Ok(number((value / (1.0 - value)).ln()))
            } else {
                Err(Error::value(argument, value, "in (0, 1)"))
            }
        };
        if !self.strength.is_finite() {
            return Err(Error::value("strength", self.strength, "a finite number"));
        }
        Ok(EmaDistribution {
            decay: logit("decay", self.decay)?,
            strength: number(self.strength),
            share: logit("share", self.share)?,
        })
    }
}

impl EmaDistribution {
    /// One step: `scores [batch, key]`, the reference so far `[batch, key]` (none at the first step), and which keys are
    /// real → the weights and the next reference, both `[batch, key]`.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn step(
        &self,
        scores: Tensor<2>,
        reference: Option<Tensor<2>>,
        visible: Option<&Tensor<2, Bool>>,
    ) -> Result<(Tensor<2>, Tensor<2>)> {
        let shape = scores.dims();
        if let Some(visible) = visible {
            expect("visible", visible.dims(), shape)?;
        }
        let first = distribution(scores.clone(), visible);
        let before = reference.unwrap_or_else(|| first.clone());
        expect("reference", before.dims(), shape)?;
        let [decay, share] = [&self.decay, &self.share].map(|logit| sigmoid(logit.val()).unsqueeze::<2>());
        let after = before.clone() * decay.clone() + first * (-decay + 1.0);
        let drawn = scores + after.clone().clamp_min(SMALLEST).log() * self.strength.val().unsqueeze();
        let second = distribution(drawn, visible);
        Ok((second * share.clone() + before * (-share + 1.0), after))
    }

    /// All steps: `scores [batch, step, key]` → weights `[batch, step, key]`.
    ///
    /// # Errors
    /// When `visible` is not `[batch, key]`.
    pub fn forward(&self, scores: Tensor<3>, visible: Option<&Tensor<2, Bool>>) -> Result<Tensor<3>> {
        let steps = scores.dims()[1];
        if steps == 0 {
            return Ok(scores);
        }
        let (mut reference, mut rows) = (None, Vec::with_capacity(steps));
        for step in 0..steps {
            let row = scores.clone().narrow(1, step, 1).squeeze_dim(1);
            let (weights, next) = self.step(row, reference, visible)?;
            rows.push(weights);
            reference = Some(next);
        }
        Ok(Tensor::stack(rows, 1))
    }
}
