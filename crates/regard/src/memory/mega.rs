//! Mega: a moving average brings order and locality, then one gated attention head does the rest.
//!
//! `X' = EMA(X)`, `Z = silu(X' W_z + b)`, `Q = κ_q ∘ Z + μ_q`, `K = κ_k ∘ Z + μ_k`, `V = silu(X W_v + b)`,
//! `O = softmax(Q Kᵀ / √z) V`, `γ = silu(X' W_γ + b)`, `φ = σ(X' W_φ + b)`, `H = silu(X' W_h + (γ ∘ O) U_h + b)`,
//! `Y = φ ∘ H + (1 - φ) ∘ X`. Ma et al., "Mega: Moving Average Equipped Gated Attention", ICLR 2023, arXiv:2209.10655.
//!
//! Time O(L·S·(z + v) + L·d·h), memory O(L·d·h); the attention is fused. Reach for it where neighbours matter (audio,
//! pixels, bytes); the average walks through positions one after the other, which on short texts costs more than it gives.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::activation::{sigmoid, silu};
use burn::tensor::{Device, Tensor};
use regard_kernel::Attention;

use super::{DampedEma, DampedEmaConfig, positive};
use crate::attention::Look;
use crate::catalogue::{Card, Family};
use crate::error::Result;
use crate::ops;
use crate::projection::{Linear, LinearConfig};

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "MegaEma",
    family: Family::Memory,
    sentence: "A damped moving average of several paces, then one gated attention head.",
    equation: "h_t = α∘β x_t + (1 - α∘δ)∘h_{t-1}; y = φ∘silu(X' W_h + (γ∘O) U_h) + (1 - φ)∘x",
    paper: "Ma et al. 2023 (Mega), arXiv:2209.10655",
    cost: "time O(L·S·(z + v) + L·d·h), memory O(L·d·h); attention fused, the average in turn",
    when: "Sequences whose neighbours matter (audio, pixels, bytes). Not for short texts.",
};

/// Configuration of [`MegaEma`].
#[derive(Config, Debug)]
pub struct MegaEmaConfig {
    /// Features of a position.
    pub width: usize,
    /// Features of queries and keys, `z`.
    #[config(default = 128)]
    pub shared_width: usize,
    /// Features of values, `v`; twice `width` unless given.
    pub value_width: Option<usize>,
    /// Averages a feature.
    #[config(default = 16)]
    pub averages: usize,
}

/// A moving average before single-head gated attention.
#[derive(Module, Debug)]
pub struct MegaEma {
    /// The average.
    pub ema: DampedEma,
    /// `W_z`, `[width, z]`
    pub shared: Linear,
    /// `κ`, of queries and of keys, `[2, z]`
    pub scale: Param<Tensor<2>>,
    /// `μ`, of queries and of keys, `[2, z]`
    pub shift: Param<Tensor<2>>,
    /// `W_v`, `[width, v]`
    pub value: Linear,
    /// `W_γ`, `[width, v]`: what of the attended is let through.
    pub reset: Linear,
    /// `W_φ`, `[width, width]`: how much the position changes.
    pub update: Linear,
    /// `W_h` and its bias, `[width, width]`
    pub candidate: Linear,
    /// `U_h`, `[v, width]`
    pub attended: Linear,
}

impl MegaEmaConfig {
    /// Random weights (Xavier); queries and keys start as two scalings of the same.
    ///
    /// # Errors
    /// When a width or `averages` is 0.
    pub fn init(&self, device: &Device) -> Result<MegaEma> {
        let values = self.value_width.unwrap_or(2 * self.width);
        for (argument, given) in [("width", self.width), ("shared_width", self.shared_width), ("value_width", values)] {
            positive(argument, given)?;
        }
        let linear = |from, to, bias| {
            let initializer = Initializer::XavierUniform { gain: 1.0 };
            LinearConfig::new(from, to).with_bias(bias).with_initializer(Some(initializer)).init(device)
        };
        Ok(MegaEma {
            ema: DampedEmaConfig::new(self.width).with_averages(self.averages).init(device)?,
            shared: linear(self.width, self.shared_width, true),
            scale: Initializer::Normal { mean: 1.0, std: 0.02 }.init([2, self.shared_width], device),
            shift: Initializer::Zeros.init([2, self.shared_width], device),
            value: linear(self.width, values, true),
            reset: linear(self.width, values, true),
            update: linear(self.width, self.width, true),
            candidate: linear(self.width, self.width, true),
            attended: linear(values, self.width, false),
        })
    }
}

impl MegaEma {
    /// `input [batch, position, width]` → the same shape. `attention` says who sees whom and how scores become weights;
    /// the average only ever looks back.
    ///
    /// # Errors
    /// When the shapes do not fit the layer or the attention's modifiers.
    pub fn forward(&self, input: Tensor<3>, attention: &Attention) -> Result<(Tensor<3>, Look)> {
        let (averaged, _) = self.ema.forward(input.clone(), None)?;
        let shared = silu(self.shared.forward(averaged.clone()));
        let [queries, keys] = [0, 1].map(|which| -> Tensor<4> {
            let [scale, shift] =
                [&self.scale, &self.shift].map(|learned| learned.val().narrow(0, which, 1).unsqueeze::<3>());
            (shared.clone() * scale + shift).unsqueeze_dim(1)
        });
        let values: Tensor<4> = silu(self.value.forward(input.clone())).unsqueeze_dim(1);
        let attended = ops::attend(queries.clone(), keys.clone(), values, attention)?;
        let reset = silu(self.reset.forward(averaged.clone()));
        let update = sigmoid(self.update.forward(averaged.clone()));
        let context = self.attended.forward(reset * attended.context.squeeze_dim::<3>(1));
        let candidate = silu(self.candidate.forward(averaged) + context);
        let look = Look { queries, keys, lse: attended.lse, attention: attention.clone() };
        Ok((input.clone() + update * (candidate - input), look))
    }
}
