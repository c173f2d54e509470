//! Multi-dimensional damped exponential moving average: each feature runs through several averages of its own pace.
//!
//! `u_t = x_t · β`, `h_t = α ∘ u_t + (1 - α ∘ δ) ∘ h_{t-1}`, `y_t = η · h_t`, a feature of `x` at a time, with `α`, `δ` in
//! (0, 1). Ma et al., "Mega: Moving Average Equipped Gated Attention", ICLR 2023, arXiv:2209.10655, section 3.1.
//!
//! Time O(L·d·h), memory O(L·d·h) to learn and O(d·h) to run. A position follows the other.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};

use super::{expect, expect_width, positive};
use crate::error::Result;
use crate::ops;

/// Configuration of [`DampedEma`].
#[derive(Config, Debug)]
pub struct DampedEmaConfig {
    /// Features of a position.
    pub width: usize,
    /// Averages a feature, `h`; 16 as in the paper.
    #[config(default = 16)]
    pub averages: usize,
}

/// A learned moving average; every parameter is `[width, averages]`.
#[derive(Module, Debug)]
pub struct DampedEma {
    /// `α` before its sigmoid: how much of the new comes in.
    pub weight: Param<Tensor<2>>,
    /// `δ` before its sigmoid: how much of that the old loses.
    pub damping: Param<Tensor<2>>,
    /// `β`, from a feature to its averages.
    pub expansion: Param<Tensor<2>>,
    /// `η`, from the averages back to the feature.
    pub projection: Param<Tensor<2>>,
}

impl DampedEmaConfig {
    /// Random parameters: gates near a half, and a sum over averages of unit variance.
    ///
    /// # Errors
    /// When there is no average.
    pub fn init(&self, device: &Device) -> Result<DampedEma> {
        positive("averages", self.averages)?;
        let normal = |std| Initializer::Normal { mean: 0.0, std }.init([self.width, self.averages], device);
        let spread = (self.averages as f64).powf(-0.5);
        Ok(DampedEma { weight: normal(0.2), damping: normal(0.2), expansion: normal(1.0), projection: normal(spread) })
    }
}

impl DampedEma {
    /// `input [batch, position, width]` and the averages before it, `[batch, width, averages]` (zeros if not given) → the
    /// averaged input and the averages after it.
    ///
    /// # Errors
    /// When the shapes do not fit each other or the layer.
    pub fn forward(&self, input: Tensor<3>, state: Option<Tensor<3>>) -> Result<(Tensor<3>, Tensor<3>)> {
        let ([batch, length, _], [width, averages]) = (input.dims(), self.weight.dims());
        expect_width("input", input.dims(), width)?;
        let shape = [batch, width, averages];
        let mut state = state.unwrap_or_else(|| Tensor::zeros(shape, &ops::constants(&input.device())));
        expect("state", state.dims(), shape)?;
        if length == 0 {
            return Ok((input, state));
        }
        let [weight, damping] = [&self.weight, &self.damping].map(|gate| sigmoid(gate.val()));
        let keep: Tensor<3> = (-(weight.clone() * damping) + 1.0).unsqueeze();
        let gain: Tensor<3> = (weight * self.expansion.val()).unsqueeze();
        let projection: Tensor<3> = self.projection.val().unsqueeze();
        let mut outputs = Vec::with_capacity(length);
        for position in 0..length {
            let new: Tensor<3> = input.clone().narrow(1, position, 1).swap_dims(1, 2);
            state = new * gain.clone() + state * keep.clone();
            outputs.push((state.clone() * projection.clone()).sum_dim(2).squeeze_dim::<2>(2));
        }
        Ok((Tensor::stack(outputs, 1), state))
    }
}
