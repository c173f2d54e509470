//! Additive attention: a small network with one hidden layer judges how well a query and a key fit.
//!
//! `e_ij = v · tanh(W q_i + U k_j)`. Bahdanau, Cho & Bengio, "Neural Machine Translation by Jointly Learning to Align and
//! Translate", ICLR 2015, arXiv:1409.0473.
//!
//! Time O(L·S·a) with a tanh an element, memory O(L + S): the L×S×a tensor of hidden layers is never held.
//! Reach for it with recurrent decoders and short sequences; a scaled dot product is many times cheaper.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};
use regard_kernel::{Additive, Attention, Mask};

use super::{Look, check_width};
use crate::catalogue::{Card, Family};
use crate::error::Result;
use crate::ops;
use crate::projection::{Linear, LinearConfig};

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "Additive",
    family: Family::Scores,
    sentence: "A small network with one hidden layer judges how well a query and a key fit.",
    equation: "e_ij = v · tanh(W q_i + U k_j)",
    paper: "Bahdanau, Cho & Bengio 2015, arXiv:1409.0473",
    cost: "time O(L·S·a), one tanh an element; memory O(L + S), streamed",
    when: "Recurrent decoders and short sequences. Dot products are many times cheaper.",
};

/// Configuration of [`AdditiveAttention`].
#[derive(Config, Debug)]
pub struct AdditiveAttentionConfig {
    /// Features of a query.
    pub query_width: usize,
    /// Features of a memory position.
    pub memory_width: usize,
    /// Features of the hidden layer, `a`.
    pub width: usize,
}

/// Additive attention over a memory; no biases, as in the paper.
#[derive(Module, Debug)]
pub struct AdditiveAttention {
    /// `W`, `[query width, a]`
    pub query: Linear,
    /// `U`, `[memory width, a]`
    pub key: Linear,
    /// `v`, `[a]`
    pub vector: Param<Tensor<1>>,
}

impl AdditiveAttentionConfig {
    /// Random weights (Xavier).
    pub fn init(&self, device: &Device) -> AdditiveAttention {
        let initializer = Initializer::XavierUniform { gain: 1.0 };
        let linear = |from| {
            LinearConfig::new(from, self.width)
                .with_bias(false)
                .with_initializer(Some(initializer.clone()))
                .init(device)
        };
        AdditiveAttention {
            query: linear(self.query_width),
            key: linear(self.memory_width),
            vector: initializer.init_with([self.width], Some(self.width), Some(1), device),
        }
    }
}

impl AdditiveAttention {
    /// `U k` of every memory position, `[batch, key, a]`: computed once a sentence.
    ///
    /// # Panics
    /// When `memory` is not as wide as the layer was made for.
    pub fn project(&self, memory: Tensor<3>) -> Tensor<3> {
        self.key.forward(memory)
    }

    /// The memory's mean, weighted by how well each position fits the query: `queries [batch, query, query width]`,
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
        check_width("queries", &queries, &self.query)?;
        let queries: Tensor<4> = self.query.forward(queries).unsqueeze_dim(1);
        let keys: Tensor<4> = projected.unsqueeze_dim(1);
        let (width, mut used) = (self.vector.dims()[0], None);
        let attended =
            ops::attend_learned(queries.clone(), keys.clone(), memory.unsqueeze_dim(1), self.vector.val(), |vector| {
                let attention = Attention::new(Additive::new(vector, width)).mask(mask);
                used = Some(attention.clone());
                Ok(attention)
            })?;
        let attention = used.expect("attend_learned calls its builder before it succeeds");
        let look = Look { queries, keys, lse: attended.lse, attention };
        Ok((attended.context.squeeze_dim(1), look))
    }
}
