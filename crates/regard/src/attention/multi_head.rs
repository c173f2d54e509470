//! Multi-head attention: several small attentions side by side, each in its own subspace.
//!
//! `MultiHead(Q, K, V) = Concat(head_1, …, head_H) W_O`, `head_h = Attention(Q W_Q^h, K W_K^h, V W_V^h)`.
//! Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arXiv:1706.03762. With fewer key heads than heads,
//! grouped-query attention (Ainslie et al. 2023, arXiv:2305.13245); with one, multi-query (Shazeer 2019, arXiv:1911.02150).
//! Queries and keys may be normalised first: [`QueryKeyNorm`].
//!
//! With a gate, what the heads found is let through a feature at a time, as the position that asked sees fit:
//! `(MultiHead(X) ∘ σ(X W_G)) W_O`. Qiu et al., "Gated Attention for Large Language Models", NeurIPS 2025, arXiv:2505.06708.
//!
//! Time O(L·S·d), memory O(L·d): no weight is stored. Fused through the kernel, forward and backward.

use burn::config::Config;
use burn::module::Module;
use burn::nn::Initializer;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};
use regard_kernel::Attention;

use super::{HeadNorm, Look, QueryKeyNorm, check_width};
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

/// Multi-head attention with fewer key heads.
pub(super) const GROUPED_QUERY: Card = Card {
    name: "GroupedQuery",
    family: Family::Heads,
    sentence: "Several query heads share a head of keys and values; where all share one, it is multi-query attention.",
    equation: "MultiHead with K_g = K W_K^g, V_g = V W_V^g, g = h · groups / H",
    paper: "Ainslie et al. 2023, arXiv:2305.13245; one group: Shazeer 2019 (multi-query), arXiv:1911.02150",
    cost: "time O(L·S·d); a cache of groups / H of the size, read once for all heads that share it; fused",
    when: "Decoders, which wait for their cache: MultiHead with key_heads. Quality falls a little with one group.",
};

/// Multi-head attention with a gate.
pub(super) const GATED_OUTPUT: Card = Card {
    name: "GatedOutput",
    family: Family::Heads,
    sentence: "What the heads found is let through feature by feature, as the position that asked sees fit.",
    equation: "(MultiHead(X) ∘ σ(X W_G)) W_O",
    paper: "Qiu et al. 2025 (Gated Attention), arXiv:2505.06708",
    cost: "a linear map and a sigmoid a position beside a fused attention",
    when: "Large language models: heads that have nothing to say need no sink. MultiHead with gate.",
};

/// Configuration of [`MultiHeadAttention`].
#[derive(Config, Debug)]
pub struct MultiHeadAttentionConfig {
    /// Features of the input and output.
    pub width: usize,
    /// Query heads; `width` is a multiple of it, unless the heads' own width is given.
    pub heads: usize,
    /// Key and value heads, a divisor of `heads`; as many as `heads` unless given.
    pub key_heads: Option<usize>,
    /// Features of a head; `width / heads` unless given.
    pub head_width: Option<usize>,
    /// Features of what is attended to; `width` unless given.
    pub memory_width: Option<usize>,
    /// Whether the projections have biases.
    #[config(default = true)]
    pub bias: bool,
    /// Whether the output's has one; as the others unless given.
    pub output_bias: Option<bool>,
    /// Probability that a weight is dropped in training.
    #[config(default = 0.0)]
    pub dropout: f32,
    /// How each head's queries and keys are normalised; not at all unless given.
    pub query_key_norm: Option<QueryKeyNorm>,
    /// Whether a sigmoid of the input gates what the heads found.
    #[config(default = false)]
    pub gate: bool,
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
    /// What normalises queries, if anything does.
    pub query_norm: Option<HeadNorm>,
    /// What normalises keys.
    pub key_norm: Option<HeadNorm>,
    /// `W_G`, `[width, heads · head width]`, if there is a gate.
    pub gate: Option<Linear>,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    key_heads: usize,
    #[module(skip)]
    head_width: usize,
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
        let whole = self.head_width.is_some() || (self.heads > 0 && self.width.is_multiple_of(self.heads));
        if self.heads == 0 || self.width == 0 || !whole {
            return Err(Error::value("heads", self.heads, format!("a divisor of the width {}", self.width)));
        }
        let head_width = self.head_width.unwrap_or(self.width / self.heads);
        if head_width == 0 {
            return Err(Error::value("head_width", head_width, "at least 1"));
        }
        if key_heads == 0 || !self.heads.is_multiple_of(key_heads) {
            return Err(Error::value("key_heads", key_heads, format!("a divisor of the {} heads", self.heads)));
        }
        check_dropout(self.dropout)?;
        let rotary = self.rotary.as_ref().map(|rotary| match rotary.width == head_width {
            true => rotary.init(),
            false => {
                let expected = format!("{head_width}, the features of a head");
                Err(Error::value("width of the rotary positions", rotary.width, expected))
            }
        });
        let memory = self.memory_width.unwrap_or(self.width);
        let (queries, keys) = (head_width * self.heads, head_width * key_heads);
        let linear = |from, to, bias| {
            LinearConfig::new(from, to)
                .with_bias(bias)
                .with_initializer(Some(Initializer::XavierUniform { gain: 1.0 }))
                .init(device)
        };
        let norm = || self.query_key_norm.map(|norm| norm.init(head_width, device));
        Ok(MultiHeadAttention {
            query: linear(self.width, queries, self.bias),
            key: linear(memory, keys, self.bias),
            value: linear(memory, keys, self.bias),
            output: linear(queries, self.width, self.output_bias.unwrap_or(self.bias)),
            query_norm: norm(),
            key_norm: norm(),
            gate: self.gate.then(|| linear(self.width, queries, self.bias)),
            heads: self.heads,
            key_heads,
            head_width,
            dropout: self.dropout,
            rotary: rotary.transpose()?,
        })
    }
}

impl MultiHeadAttention {
    /// The same with its projections in blocks of 8-bit numbers; see [`Linear::quantized`].
    ///
    /// # Errors
    /// When a weight is infinite or not a number.
    pub fn quantized(self) -> Result<Self> {
        Ok(Self {
            query: self.query.quantized()?,
            key: self.key.quantized()?,
            value: self.value.quantized()?,
            output: self.output.quantized()?,
            gate: self.gate.map(Linear::quantized).transpose()?,
            ..self
        })
    }

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
                let queries = rotary.forward(self.queries(input.clone()), 0)?;
                self.mix(input, [queries, rotary.forward(keys, 0)?, values], attention, mode)
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
        let queries = self.queries(input.clone());
        let context = cache.attend(Next { queries, keys, values, rotary: self.rotary.as_ref(), attention })?;
        Ok(self.output.forward(self.gated(join(context), input)))
    }

    fn queries(&self, input: Tensor<3>) -> Tensor<4> {
        let queries = split(self.query.forward(input), self.heads);
        self.query_norm.iter().fold(queries, |queries, norm| norm.forward(queries))
    }

    /// What the heads found, as far as the gate lets it through.
    fn gated(&self, context: Tensor<3>, input: Tensor<3>) -> Tensor<3> {
        match &self.gate {
            Some(gate) => context * sigmoid(gate.forward(input)),
            None => context,
        }
    }

    /// Keys and values of `memory`, `[batch, key head, key, head width]`, to be attended to more than once. No position turns
    /// them.
    ///
    /// # Panics
    /// When `memory` is not as wide as the layer was made for.
    pub fn project(&self, memory: Tensor<3>) -> (Tensor<4>, Tensor<4>) {
        let keys = split(self.key.forward(memory.clone()), self.key_heads);
        let keys = self.key_norm.iter().fold(keys, |keys, norm| norm.forward(keys));
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
        if values.dims()[3] != self.head_width {
            let expected = format!("a last axis of {}", self.head_width);
            return Err(Error::shape("values", &values.dims(), expected));
        }
        let queries = self.queries(input.clone());
        self.mix(input, [queries, keys, values], attention, mode)
    }

    fn mix(
        &self,
        input: Tensor<3>,
        [queries, keys, values]: [Tensor<4>; 3],
        attention: &Attention,
        mode: Mode,
    ) -> Result<MultiHeadOutput> {
        let values = if let Mode::Explain(stage) = mode { stage.values(values)? } else { values };
        let dropping = dropping(attention, self.dropout, mode)?;
        let attended = ops::attend(queries.clone(), keys.clone(), values.clone(), &dropping)?;
        let look = Look { queries, keys, lse: attended.lse, attention: attention.clone() };
        let context = match mode {
            Mode::Explain(stage) => stage.context(attended.context, values, look.clone())?,
            Mode::Evaluate | Mode::Train(_) => attended.context,
        };
        let context = self.gated(join(context), input);
        Ok(MultiHeadOutput { output: self.output.forward(context), look })
    }
}

/// Refuses what is no probability of dropping.
pub(crate) fn check_dropout(dropout: f32) -> Result<()> {
    if (0.0..1.0).contains(&dropout) {
        return Ok(());
    }
    Err(Error::value("dropout", dropout, "a probability in [0, 1)"))
}

/// `attention`, with weights dropped if it trains.
pub(super) fn dropping(attention: &Attention, dropout: f32, mode: Mode) -> Result<Attention> {
    Ok(match mode {
        Mode::Train(noise) if dropout > 0.0 => attention.clone().dropout(dropout, noise.draw())?,
        _ => attention.clone(),
    })
}

/// `[batch, position, heads · feature]` as `[batch, head, position, feature]`, without copying.
pub(crate) fn split(projected: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, length, width] = projected.dims();
    projected.reshape([batch, length, heads, width / heads]).swap_dims(1, 2)
}

/// `[batch, head, position, feature]` as `[batch, position, heads · feature]`.
pub(super) fn join(heads: Tensor<4>) -> Tensor<3> {
    let [batch, count, length, width] = heads.dims();
    heads.swap_dims(1, 2).reshape([batch, length, count * width])
}
