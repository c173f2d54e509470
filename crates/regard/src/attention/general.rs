//! General (bilinear) attention: a learned matrix says which feature of a query answers which feature of a key.
//!
//! `e_ij = q_iᵀ W k_j`. Luong, Pham & Manning, "Effective Approaches to Attention-based Neural Machine Translation",
//! EMNLP 2015, arXiv:1508.04025.
//!
//! Time O(L·S·d), memory O(L + S). `W k` is computed once a memory, after which it is a dot product. For the same score
//! on raw queries and keys, with the matrix inside the kernel, see [`regard_kernel::Bilinear`].

use burn::config::Config;
use burn::module::Module;
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};
use regard_kernel::{Attention, Dot, Mask};

use super::Look;
use crate::catalogue::{Card, Family};
use crate::error::Result;
use crate::ops;
use crate::projection::{Linear, LinearConfig};

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "Bilinear",
    family: Family::Scores,
    sentence: "A learned matrix says which feature of a query answers which feature of a key.",
    equation: "e_ij = q_iᵀ W k_j",
    paper: "Luong, Pham & Manning 2015 (\"general\"), arXiv:1508.04025",
    cost: "time O(L·S·d), memory O(L + S); fused",
    when: "Queries and keys from different spaces, with no projections of their own.",
};

/// Configuration of [`GeneralAttention`].
#[derive(Config, Debug)]
pub struct GeneralAttentionConfig {
    /// Features of a query.
    pub query_width: usize,
    /// Features of a memory position.
    pub memory_width: usize,
}

/// Bilinear attention over a memory.
#[derive(Module, Debug)]
pub struct GeneralAttention {
    /// `Wᵀ`, `[memory width, query width]`
    pub key: Linear,
}

impl GeneralAttentionConfig {
    /// A random matrix (Xavier).
    pub fn init(&self, device: &Device) -> GeneralAttention {
        let config = LinearConfig::new(self.memory_width, self.query_width).with_bias(false);
        GeneralAttention { key: config.with_initializer(Some(Initializer::XavierUniform { gain: 1.0 })).init(device) }
    }
}

impl GeneralAttention {
    /// `W k` of every memory position, `[batch, key, query width]`: computed once a sentence.
    ///
    /// # Panics
    /// When `memory` is not as wide as the layer was made for.
    pub fn project(&self, memory: Tensor<3>) -> Tensor<3> {
        self.key.forward(memory)
    }

    /// The memory's mean, weighted by how well each position answers the query: `queries [batch, query, query width]`,
    /// `projected` from [`Self::project`], `memory [batch, key, memory width]` → context `[batch, query, memory width]`.
    ///
    /// # Errors
    /// When the shapes do not fit each other or the mask.
    pub fn forward(
        &self,
        queries: Tensor<3>,
        projected: Tensor<3>,
        memory: Tensor<3>,
        mask: impl Mask + 'static,
    ) -> Result<(Tensor<3>, Look)> {
        let attention = Attention::new(Dot).mask(mask);
        let queries: Tensor<4> = queries.unsqueeze_dim(1);
        let keys: Tensor<4> = projected.unsqueeze_dim(1);
        let attended = ops::attend(queries.clone(), keys.clone(), memory.unsqueeze_dim(1), &attention)?;
        let look = Look { queries, keys, lse: attended.lse, attention };
        Ok((attended.context.squeeze_dim(1), look))
    }
}
