//! Linear attention: without the exponential, keys and values can be summed before the query comes.
//!
//! `c_i = φ(q_i)ᵀ (Σ_j φ(k_j) v_jᵀ) / (φ(q_i)ᵀ Σ_j φ(k_j))`, `φ(x) = elu(x) + 1`, which is positive.
//! Katharopoulos, Vyas, Pappas & Fleuret, "Transformers are RNNs", ICML 2020, arXiv:2006.16236.
//!
//! Time O(L·d·d_v), memory O(L·d), fused: [`ops::attend_features`]. With gates and the delta rule, without features or a mean,
//! it is [`ops::linear_attention`].
//! Reach for it when texts are very long, or when each generated token must cost the same; its weights are flat, so it
//! finds a single needle badly. Not an approximation of softmax attention: a model has to be trained with it.

use burn::tensor::Tensor;
use regard_kernel::{FeatureAttention, FeatureMap};

use crate::catalogue::{Card, Family};
use crate::error::Result;
use crate::mechanism::Mechanism;
use crate::noise::Mode;
use crate::ops;

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "Linear",
    family: Family::Efficient,
    sentence: "Keys and values are summed into one matrix before the query comes, which then reads from it.",
    equation: "c_i = φ(q_i)ᵀ (Σ_j φ(k_j) v_jᵀ) / (φ(q_i)ᵀ Σ_j φ(k_j)), φ = elu + 1",
    paper: "Katharopoulos et al. 2020, arXiv:2006.16236",
    cost: "time O(L·d·d_v), memory O(L·d); fused",
    when: "Very long inputs, or generation at a constant cost a token, in a model trained with it. It finds single needles badly.",
};

/// Linear attention with features `elu + 1`; nothing to learn.
#[derive(Debug, Clone)]
pub struct Linear {
    attention: FeatureAttention,
}

impl Linear {
    /// Of every position to every other.
    pub fn new() -> Self {
        Linear { attention: FeatureAttention::new(FeatureMap::Elu) }
    }

    /// Of every position to itself and those before it.
    pub fn causal() -> Self {
        Linear { attention: FeatureAttention::causal(FeatureMap::Elu) }
    }
}

impl Default for Linear {
    fn default() -> Self {
        Linear::new()
    }
}

impl Mechanism for Linear {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn mix(&self, queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>, _: Mode) -> Result<Tensor<4>> {
        ops::attend_features(queries, keys, values, &self.attention)
    }
}
