//! Query-key normalisation: each head's queries and keys are normalised before they are compared, so that no score can
//! run away.
//!
//! `e_ij = norm(q_i) · norm(k_j) / √d`, where `norm` runs over the features of a head and has a learned scale that all heads
//! share. Dehghani et al., "Scaling Vision Transformers to 22 Billion Parameters", ICML 2023, arXiv:2302.05442, with layer
//! norms; today's language models (Gemma 3, arXiv:2503.19786; Qwen 3, arXiv:2505.09388) take root-mean-square norms. The idea
//! is Henry et al., "Query-Key Normalization for Transformers", Findings of EMNLP 2020, arXiv:2010.04245: theirs, by
//! Euclidean length with a learned scale for the product, is the score [`Cosine`](regard_kernel::Cosine).
//!
//! Time and memory O((L + S)·d), before the fused attention, and keys are cached as normalised. Reach for it when training
//! diverges with scores that grow, as it does in wide models at high learning rates. Not where lengths carry meaning.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::catalogue::{Card, Family};
use crate::norm::{LayerNorm, LayerNormConfig, RmsNorm, RmsNormConfig};

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "QueryKeyNorm",
    family: Family::Heads,
    sentence: "Each head's queries and keys are normalised before they are compared, so that no score runs away.",
    equation: "e_ij = norm(q_i) · norm(k_j) / √d, norm over a head's features: LayerNorm or RMSNorm",
    paper: "Henry et al. 2020, arXiv:2010.04245; Dehghani et al. 2023 (ViT-22B), arXiv:2302.05442",
    cost: "time and memory O((L + S)·d) beside a fused attention",
    when: "Training that diverges from growing scores: wide models, high learning rates. Cosine is the same by length.",
};

/// How queries and keys are normalised: see the module's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum QueryKeyNorm {
    /// To mean 0 and variance 1: [`LayerNorm`].
    Layer,
    /// To a mean square of 1: [`RmsNorm`].
    Rms,
}

/// A norm over the features of a head, the same for all heads.
#[derive(Module, Debug)]
pub enum HeadNorm {
    /// To mean 0 and variance 1.
    Layer(LayerNorm),
    /// To a mean square of 1.
    Rms(RmsNorm),
}

impl QueryKeyNorm {
    /// For heads of `width` features; scale 1.
    pub(super) fn init(self, width: usize, device: &Device) -> HeadNorm {
        match self {
            QueryKeyNorm::Layer => HeadNorm::Layer(LayerNormConfig::new(width).init(device)),
            QueryKeyNorm::Rms => HeadNorm::Rms(RmsNormConfig::new(width).init(device)),
        }
    }
}

impl HeadNorm {
    /// `heads [batch, head, position, feature]` → the same shape.
    ///
    /// # Panics
    /// When heads are not as wide as the norm was made for.
    pub fn forward(&self, heads: Tensor<4>) -> Tensor<4> {
        match self {
            HeadNorm::Layer(norm) => norm.forward(heads),
            HeadNorm::Rms(norm) => norm.forward(heads),
        }
    }
}
