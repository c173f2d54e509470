//! Linear attention: without the exponential, keys and values can be summed before the query comes.
//!
//! `c_i = φ(q_i)ᵀ (Σ_j φ(k_j) v_jᵀ) / (φ(q_i)ᵀ Σ_j φ(k_j))`, `φ(x) = elu(x) + 1`, which is positive.
//! Katharopoulos, Vyas, Pappas & Fleuret, "Transformers are RNNs", ICML 2020, arXiv:2006.16236.
//!
//! Time O(L·d·d_v), memory O(L·d). Causal, the sums run along the positions, in the kernel's linear engine; with gates and
//! the delta rule, without features or a mean, that is [`ops::linear_attention`](crate::ops::linear_attention).
//! Reach for it when texts are very long, or when each generated token must cost the same; its weights are flat, so it
//! finds a single needle badly. Not an approximation of softmax attention: a model has to be trained with it.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use super::average;
use crate::catalogue::{Card, Family};
use crate::error::Result;
use crate::mechanism::{Mechanism, fits};
use crate::noise::Mode;

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "Linear",
    family: Family::Efficient,
    sentence: "Keys and values are summed into one matrix before the query comes, which then reads from it.",
    equation: "c_i = φ(q_i)ᵀ (Σ_j φ(k_j) v_jᵀ) / (φ(q_i)ᵀ Σ_j φ(k_j)), φ = elu + 1",
    paper: "Katharopoulos et al. 2020, arXiv:2006.16236",
    cost: "time O(L·d·d_v), memory O(L·d); causal, the scan is fused",
    when: "Very long inputs, or generation at a constant cost a token, in a model trained with it. It finds single needles badly.",
};

/// Linear attention with features `elu + 1`; nothing to learn.
#[derive(Debug, Clone, Copy, Default)]
pub struct Linear {
    causal: bool,
}

impl Linear {
    /// Of every position to every other.
    pub fn new() -> Self {
        Linear { causal: false }
    }

    /// Of every position to itself and those before it.
    pub fn causal() -> Self {
        Linear { causal: true }
    }
}

/// `elu(x) + 1`: `e^x` below 0, `x + 1` above.
fn positive(x: Tensor<4>) -> Tensor<4> {
    x.clone().clamp_max(0.0).exp() + relu(x)
}

impl Mechanism for Linear {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn mix(&self, queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>, _: Mode) -> Result<Tensor<4>> {
        fits(&queries, &keys, &values)?;
        average(positive(queries), positive(keys), values, self.causal)
    }
}
