//! Multi-head attention: several small attentions side by side, each in its own subspace.
//!
//! `MultiHead(Q, K, V) = Concat(head_1, …, head_H) W_O`, `head_h = Attention(Q W_Q^h, K W_K^h, V W_V^h)`.
//! Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arXiv:1706.03762. With fewer key heads than heads,
//! grouped-query attention (Ainslie et al. 2023, arXiv:2305.13245); with one, multi-query (Shazeer 2019, arXiv:1911.02150).
//!
//! Time O(L·S·d), memory O(L·d): no weight is stored. Fused through the kernel, forward and backward.

use burn::config::Config;
use burn::module::Module;
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};
use regard_kernel::Attention;

use super::{Look, check_width};
use crate::cache::{Next, Policy};
use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};
use crate::noise::Mode;
use crate::ops;
use crate::position::{Rotary, RotaryConfig};
use crate::projection::{Linear, LinearConfig};

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "MultiHead",
    family: Family::Heads,
    sentence: "Several small attentions side by side, each looking in its own subspace.",
    equation: "Concat_h(softmax(Q W_Q^h (K W_K^h)ᵀ / √d) V W_V^h) W_O",
    paper: "Vaswani et al. 2017, arXiv:1706.03762; grouped heads: Ainslie et al. 2023, arXiv:2305.13245",
    cost: "time O(L·S·d), memory O(L·d); fused, forward and backward",
    when: "The default. Fewer key heads shrink the cache of a decoder; more than about d/32 heads seldom help.",
};

/// Configuration of [`MultiHeadAttention`].
#[derive(Config, Debug)]
pub struct MultiHeadAttentionConfig {
    /// Features of the input and output.
    pub width: usize,
    /// Query heads; `width` is a multiple of it.
    pub heads: usize,
    /// Key and value heads, a divisor of `heads`; as many as `heads` unless given.
    pub key_heads: Option<usize>,
    /// Features of what is attended to; `width` unless given.
    pub memory_width: Option<usize>,
    /// Whether the projections have biases.
    #[config(default = true)]
    pub bias: bool,
    /// Probability that a weight is dropped in training.
    #[config(default = 0.0)]
    pub dropout: f32,
    /// What turns queries and keys by their positions, in self attention; as wide as a head. Nothing unless given.
    pub rotary: Option<RotaryConfig>,
}

/// Multi-head attention, self or cross.
#[derive(Module, Debug)]
pub struct MultiHeadAttention {
    /// `[width, heads · head width]`
    pub query: Linear,
    /// `[memory width, key heads · head width]`
    pub key: Linear,
    /// `[memory width, key heads · head width]`
    pub value: Linear,
    /// `[heads · head width, width]`
    pub output: Linear,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    key_heads: usize,
    #[module(skip)]
    dropout: f32,
    #[module(skip)]
    rotary: Option<Rotary>,
}

/// What a forward pass returns.
#[derive(Debug, Clone)]
pub struct MultiHeadOutput {
    /// `[batch, query, width]`
    pub output: Tensor<3>,
    /// What it takes to see the weights.
    pub look: Look,
}

impl MultiHeadAttentionConfig {
    /// Random projections (Xavier).
    ///
    /// # Errors
    /// When `heads` does not divide `width`, `key_heads` does not divide `heads`, `dropout` is not in `[0, 1)`, or the rotary
    /// positions are not as wide as a head.
    pub fn init(&self, device: &Device) -> Result<MultiHeadAttention> {
        let key_heads = self.key_heads.unwrap_or(self.heads);
        if self.heads == 0 || self.width == 0 || !self.width.is_multiple_of(self.heads) {
            return Err(Error::value("heads", self.heads, format!("a divisor of the width {}", self.width)));
        }
        if key_heads == 0 || !self.heads.is_multiple_of(key_heads) {
            return Err(Error::value("key_heads", key_heads, format!("a divisor of the {} heads", self.heads)));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::value("dropout", self.dropout, "a probability in [0, 1)"));
        }
        let rotary = self.rotary.as_ref().map(|rotary| match rotary.width == self.width / self.heads {
            true => rotary.init(),
            false => {
                let expected = format!("{}, the features of a head", self.width / self.heads);
                Err(Error::value("width of the rotary positions", rotary.width, expected))
            }
        });
        let memory = self.memory_width.unwrap_or(self.width);
        let keys = self.width / self.heads * key_heads;
        let linear = |from, to| {
            LinearConfig::new(from, to)
                .with_bias(self.bias)
                .with_initializer(Some(Initializer::XavierUniform { gain: 1.0 }))
                .init(device)
        };
        Ok(MultiHeadAttention {
            query: linear(self.width, self.width),
            key: linear(memory, keys),
            value: linear(memory, keys),
            output: linear(self.width, self.width),
            heads: self.heads,
            key_heads,
            dropout: self.dropout,
            rotary: rotary.transpose()?,
        })
    }
}

impl MultiHeadAttention {
    /// Every position of `input [batch, query, width]` looks at `memory [batch, key, memory width]` (itself, for self
    /// attention), as `attention` says.
    ///
    /// # Errors
    /// When the shapes do not fit each other or the attention's modifiers.
    pub fn forward(
        &self,
        input: Tensor<3>,
        memory: Tensor<3>,
        attention: &Attention,
        mode: Mode,
    ) -> Result<MultiHeadOutput> {
        check_width("memory", &memory, &self.key)?;
        check_width("input", &input, &self.query)?;
        let (keys, values) = self.project(memory);
        match &self.rotary {
            Some(rotary) => {
                let queries = rotary.forward(self.queries(input), 0)?;
                self.mix(queries, rotary.forward(keys, 0)?, values, attention, mode)
            }
            None => self.attend(input, keys, values, attention, mode),
        }
    }

    /// The next positions of a sequence look at themselves and at what `cache` holds of those before: the output,
    /// `[batch, position, width]`.
    ///
    /// # Errors
    /// As [`Self::forward`], and when the cache holds another batch.
    pub fn decode(&self, input: Tensor<3>, cache: &mut dyn Policy, attention: &Attention) -> Result<Tensor<3>> {
        check_width("input", &input, &self.key)?;
        check_width("input", &input, &self.query)?;
        let (keys, values) = self.project(input.clone());
        let queries = self.queries(input);
        let context = cache.attend(Next { queries, keys, values, rotary: self.rotary.as_ref(), attention })?;
        Ok(self.output.forward(joined(context)))
    }

    fn queries(&self, input: Tensor<3>) -> Tensor<4> {
        split(self.query.forward(input), self.heads)
    }

    /// Keys and values of `memory`, `[batch, key head, key, head width]`, to be attended to more than once. No position turns
    /// them.
    ///
    /// # Panics
    /// When `memory` is not as wide as the layer was made for.
    pub fn project(&self, memory: Tensor<3>) -> (Tensor<4>, Tensor<4>) {
        let keys = split(self.key.forward(memory.clone()), self.key_heads);
        (keys, split(self.value.forward(memory), self.key_heads))
    }

    /// [`Self::forward`] on keys and values that [`Self::project`] made.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn attend(
        &self,
        input: Tensor<3>,
        keys: Tensor<4>,
        values: Tensor<4>,
        attention: &Attention,
        mode: Mode,
    ) -> Result<MultiHeadOutput> {
        check_width("input", &input, &self.query)?;
        let width = input.dims()[2];
        if values.dims()[3] * self.heads != width {
            let expected = format!("a last axis of {}", width / self.heads);
            return Err(Error::shape("values", &values.dims(), expected));
        }
        self.mix(self.queries(input), keys, values, attention, mode)
    }

    fn mix(
        &self,
        queries: Tensor<4>,
        keys: Tensor<4>,
        values: Tensor<4>,
        attention: &Attention,
        mode: Mode,
    ) -> Result<MultiHeadOutput> {
        let dropping = match mode {
            Mode::Train(noise) if self.dropout > 0.0 => attention.clone().dropout(self.dropout, noise.draw())?,
            _ => attention.clone(),
        };
        let attended = ops::attend(queries.clone(), keys.clone(), values, &dropping)?;
        let look = Look { queries, keys, lse: attended.lse, attention: attention.clone() };
        Ok(MultiHeadOutput { output: self.output.forward(joined(attended.context)), look })
    }
}

/// `[batch, position, heads · feature]` as `[batch, head, position, feature]`, without copying.
pub(crate) fn split(projected: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, length, width] = projected.dims();
    projected.reshape([batch, length, heads, width / heads]).swap_dims(1, 2)
}

/// `[batch, head, position, feature]` as `[batch, position, heads · feature]`.
fn joined(context: Tensor<4>) -> Tensor<3> {
    let [batch, heads, length, width] = context.dims();
    context.swap_dims(1, 2).reshape([batch, length, heads * width])
}
