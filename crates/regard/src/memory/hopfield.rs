//! Modern Hopfield network: a state is pulled towards the stored pattern it resembles, again and again.
//!
//! `ξ ← X softmax(β Xᵀ ξ)`, which never raises the energy `E(ξ) = -lse(β, Xᵀ ξ) + ξᵀξ / 2 + const`, with
//! `lse(β, z) = β⁻¹ log Σ exp(β z_i)`. Ramsauer et al., "Hopfield Networks is All You Need", ICLR 2021, arXiv:2008.02217.
//!
//! One step is attention; with a large β few steps retrieve a pattern exactly, with a small one the result is a mean of
//! similar patterns. Time O(steps·L·S·d), memory O(L + S) a step; fused. Reach for it to complete patterns (association)
//! or to summarise a set by learned states (pooling). More than one step rarely changes what a trained layer does.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};
use regard_kernel::{Attention, Mask, ScaledDot};

use super::{expect_width, positive};
use crate::attention::Look;
use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};
use crate::ops;
use crate::projection::{Linear, LinearConfig};

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "Hopfield",
    family: Family::Memory,
    sentence: "A state is pulled towards the stored pattern it resembles, a number of times; its energy never rises.",
    equation: "ξ ← X softmax(β Xᵀ ξ)",
    paper: "Ramsauer et al. 2021, arXiv:2008.02217",
    cost: "time O(steps·L·S·d), memory O(L + S) a step; fused",
    when: "Completing patterns, pooling sets. One step is ordinary attention.",
};

/// `steps` updates of `states [batch, state, feature]` by the patterns `stored [batch, pattern, feature]` that `mask` lets
/// them see → the states after them, and a [`Look`] at the last step. Gradients flow through all steps.
///
/// # Errors
/// When the shapes do not fit, `steps` is 0 or `beta` is not positive.
pub fn retrieve(
    states: Tensor<3>,
    stored: Tensor<3>,
    beta: f32,
    steps: usize,
    mask: impl Mask + 'static,
) -> Result<(Tensor<3>, Look)> {
    positive("steps", steps)?;
    let attention = attention(beta)?.mask(mask);
    let patterns: Tensor<4> = stored.unsqueeze_dim(1);
    let mut states: Tensor<4> = states.unsqueeze_dim(1);
    let mut step = 1;
    loop {
        let attended = ops::attend(states.clone(), patterns.clone(), patterns.clone(), &attention)?;
        if step == steps {
            let look = Look { queries: states, keys: patterns, lse: attended.lse, attention };
            return Ok((attended.context.squeeze_dim(1), look));
        }
        states = attended.context;
        step += 1;
    }
}

/// The energy of each of `states [batch, state, feature]`, `[batch, state]`, less what does not depend on the state
/// (`β⁻¹ log N + M²/2` for N patterns no longer than M). Carries no gradient.
///
/// # Errors
/// As [`retrieve`].
pub fn energy(states: Tensor<3>, stored: Tensor<3>, beta: f32, mask: impl Mask + 'static) -> Result<Tensor<2>> {
    let (states, stored) = (states.detach(), stored.detach());
    let patterns: Tensor<4> = stored.unsqueeze_dim(1);
    let attention = attention(beta)?.mask(mask);
    let lse = ops::attend(states.clone().unsqueeze_dim(1), patterns.clone(), patterns, &attention)?.lse;
    let length: Tensor<2> = states.square().sum_dim(2).squeeze_dim(2);
    Ok(length / 2.0 - lse.squeeze_dim(1) / beta)
}

fn attention(beta: f32) -> Result<Attention> {
    if !(beta > 0.0 && beta.is_finite()) {
        return Err(Error::value("beta", beta, "a positive number"));
    }
    Ok(Attention::new(ScaledDot { scale: Some(beta) }))
}

/// Configuration of [`Hopfield`].
#[derive(Config, Debug)]
pub struct HopfieldConfig {
    /// Features of a state.
    pub state_width: usize,
    /// Features of a stored pattern.
    pub stored_width: usize,
    /// Features of the space in which they are associated.
    pub width: usize,
    /// Features of the result.
    pub output_width: usize,
    /// `β`; 1/√width unless given, as in attention.
    pub beta: Option<f32>,
    /// Updates.
    #[config(default = 1)]
    pub steps: usize,
}

/// Association of states with stored patterns, in a learned space: `softmax(β R W_Q W_Kᵀ Yᵀ) Y W_K W_V` when there is one
/// step.
#[derive(Module, Debug)]
pub struct Hopfield {
    /// `W_Q`, `[state width, width]`
    pub query: Linear,
    /// `W_K`, `[stored width, width]`
    pub key: Linear,
    /// `W_V`, `[width, output width]`
    pub value: Linear,
    #[module(skip)]
    beta: f32,
    #[module(skip)]
    steps: usize,
}

impl HopfieldConfig {
    /// Random projections (Xavier), without biases.
    ///
    /// # Errors
    /// When `width` or `steps` is 0, or `beta` is not positive.
    pub fn init(&self, device: &Device) -> Result<Hopfield> {
        positive("steps", self.steps)?;
        Ok(Hopfield {
            query: linear(self.state_width, self.width, device),
            key: linear(self.stored_width, self.width, device),
            value: linear(self.width, self.output_width, device),
            beta: beta(self.beta, self.width)?,
            steps: self.steps,
        })
    }
}

impl Hopfield {
    /// `states [batch, state, state width]` find what they resemble in `stored [batch, pattern, stored width]` →
    /// `[batch, state, output width]`.
    ///
    /// # Errors
    /// When the shapes do not fit each other, the layer or the mask.
    pub fn forward(
        &self,
        states: Tensor<3>,
        stored: Tensor<3>,
        mask: impl Mask + 'static,
    ) -> Result<(Tensor<3>, Look)> {
        expect_width("states", states.dims(), self.query.weight.dims()[0])?;
        expect_width("stored", stored.dims(), self.key.weight.dims()[0])?;
        let stored = self.key.forward(stored);
        let (states, look) = retrieve(self.query.forward(states), stored, self.beta, self.steps, mask)?;
        Ok((self.value.forward(states), look))
    }
}

/// Configuration of [`HopfieldPooling`].
#[derive(Config, Debug)]
pub struct HopfieldPoolingConfig {
    /// Features of a stored pattern.
    pub stored_width: usize,
    /// Features of the space in which states and patterns are compared, and of the result.
    pub width: usize,
    /// Learned states, and rows of the result.
    #[config(default = 1)]
    pub states: usize,
    /// `β`; 1/√width unless given.
    pub beta: Option<f32>,
    /// Updates.
    #[config(default = 1)]
    pub steps: usize,
}

/// Learned states summarise a set of patterns of any size.
#[derive(Module, Debug)]
pub struct HopfieldPooling {
    /// `[state, width]`
    pub states: Param<Tensor<2>>,
    /// `W_K`, `[stored width, width]`
    pub key: Linear,
    #[module(skip)]
    beta: f32,
    #[module(skip)]
    steps: usize,
}

impl HopfieldPoolingConfig {
    /// Small random states.
    ///
    /// # Errors
    /// When `width`, `states` or `steps` is 0, or `beta` is not positive.
    pub fn init(&self, device: &Device) -> Result<HopfieldPooling> {
        positive("states", self.states)?;
        positive("steps", self.steps)?;
        Ok(HopfieldPooling {
            states: Initializer::Normal { mean: 0.0, std: 0.02 }.init([self.states, self.width], device),
            key: linear(self.stored_width, self.width, device),
            beta: beta(self.beta, self.width)?,
            steps: self.steps,
        })
    }
}

impl HopfieldPooling {
    /// `stored [batch, pattern, stored width]` → `[batch, state, width]`.
    ///
    /// # Errors
    /// When the shapes do not fit the layer or the mask.
    pub fn forward(&self, stored: Tensor<3>, mask: impl Mask + 'static) -> Result<(Tensor<3>, Look)> {
        expect_width("stored", stored.dims(), self.key.weight.dims()[0])?;
        let states: Tensor<3> = self.states.val().unsqueeze_dim(0);
        let states = states.repeat_dim(0, stored.dims()[0]);
        retrieve(states, self.key.forward(stored), self.beta, self.steps, mask)
    }
}

/// A random projection without bias.
fn linear(from: usize, to: usize, device: &Device) -> Linear {
    let initializer = Initializer::XavierUniform { gain: 1.0 };
    LinearConfig::new(from, to).with_bias(false).with_initializer(Some(initializer)).init(device)
}

/// What was asked for, or attention's scale.
fn beta(given: Option<f32>, width: usize) -> Result<f32> {
    positive("width", width)?;
    let beta = given.unwrap_or((1.0 / (width as f64).sqrt()) as f32);
    attention(beta).map(|_| beta)
}
