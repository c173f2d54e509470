//! LLaMA: a decoder alone, with relative positions, gated feed-forward networks and norms that only scale.
//!
//! `x = E[token]`; layer: `x += attention(norm(x))`, `x += W_down (silu(W_gate norm(x)) ∘ W_up norm(x))`; logits: `norm(x) · Hᵀ`. Queries
//! and keys are turned by their positions ([`Rotary`](regard::position::Rotary)), several query heads may share a head of keys and
//! values, and nothing has a bias. Touvron et al., "LLaMA", 2023, arXiv:2302.13971; shared heads: LLaMA 2, arXiv:2307.09288; norm:
//! Zhang & Sennrich 2019, arXiv:1910.07467; gated network (SwiGLU): Shazeer 2020, arXiv:2002.05202.
//!
//! Time O(L²·d + L·d²) a layer, memory O(L·d); a token of a text takes O(L·d + d²) with the cache. Mistral, Qwen and many others are
//! this with other numbers. Positions are relative, so with a cache of bounded reach ([`regard::cache`]) a text may go on for ever.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::activation::silu;
use burn::tensor::{Device, Tensor};
use regard::attention::{Look, MultiHeadAttention, MultiHeadAttentionConfig};
use regard::catalogue::{Card, Family};
use regard::position::{Pairs, RotaryConfig, RotaryScaling};
use regard::{Attention, Causal, Linear, LinearConfig, Mode, RmsNorm, RmsNormConfig, ScaledDot};

use crate::error::{Error, Result};
use crate::language::{DecoderState, LanguageModel};
use crate::padded::{Padded, id_tensor};
use crate::translator::{Classifier, Sight, Site, check_length};

/// See the module's page.
pub const CARD: Card = Card {
    name: "LLaMA",
    family: Family::Models,
    sentence: "A decoder alone with rotary positions, shared key heads and gated feed-forward networks.",
    equation: "layer: x + attention(norm(x)), x + W_down (silu(W_gate norm(x)) ∘ W_up norm(x))",
    paper: "Touvron et al. 2023, arXiv:2302.13971, arXiv:2307.09288",
    cost: "time O(L²·d + L·d²) a layer, memory O(L·d); with the cache O(L·d + d²) a token",
    when: "Text from left to right, as most open models have it. `regard generate` runs llama2.c's files.",
};

/// Configuration of [`Llama`]; the defaults are those of the 7 billion parameters of LLaMA 2.
#[derive(Config, Debug)]
pub struct LlamaConfig {
    /// Tokens.
    pub vocabulary: usize,
    /// Positions: the longest text that it was made for.
    #[config(default = 4096)]
    pub context: usize,
    /// Features of a token.
    #[config(default = 4096)]
    pub width: usize,
    /// Features inside the feed-forward networks.
    #[config(default = 11008)]
    pub inner: usize,
    /// Attention heads.
    #[config(default = 32)]
    pub heads: usize,
    /// Key and value heads, a divisor of `heads`; as many as `heads` unless given.
    pub key_heads: Option<usize>,
    /// Layers.
    #[config(default = 32)]
    pub layers: usize,
    /// Whether the output is read with the embedding.
    #[config(default = false)]
    pub tied: bool,
    /// Added to the mean square before its root.
    #[config(default = 1e-5)]
    pub epsilon: f32,
    /// The base of the rotary wavelengths.
    #[config(default = 10000.0)]
    pub rotary_base: f64,
    /// Which features of a head make a pair: halves in Hugging Face's files, neighbours in Meta's and llama2.c's.
    #[config(default = "Pairs::Halves")]
    pub pairs: Pairs,
    /// For texts longer than those of training; no scaling unless given.
    pub scaling: Option<RotaryScaling>,
}

/// A LLaMA.
#[derive(Module, Debug)]
pub struct Llama {
    /// `[vocabulary, width]`; `embed_tokens` in Hugging Face's files.
    pub embedding: Param<Tensor<2>>,
    /// Bottom to top.
    pub layers: Vec<LlamaLayer>,
    /// `norm`.
    pub norm: RmsNorm,
    /// `[vocabulary, width]`, when the head is untied; `lm_head`.
    pub head: Option<Param<Tensor<2>>>,
    #[module(skip)]
    config: LlamaConfig,
}

/// Self attention, then a gated feed-forward network.
#[derive(Module, Debug)]
pub struct LlamaLayer {
    /// `input_layernorm` in Hugging Face's files.
    pub attention_norm: RmsNorm,
    /// `self_attn`.
    pub attention: MultiHeadAttention,
    /// `post_attention_layernorm`.
    pub feed_forward_norm: RmsNorm,
    /// `[width, inner]`; `mlp.gate_proj`.
    pub gate: Linear,
    /// `[width, inner]`; `mlp.up_proj`.
    pub up: Linear,
    /// `[inner, width]`; `mlp.down_proj`.
    pub down: Linear,
}

impl LlamaConfig {
    /// Random weights: normal, 0.02.
    ///
    /// # Errors
    /// When a number is zero, not a divisor or out of its range.
    pub fn init(&self, device: &Device) -> Result<Llama> {
        let sizes = [("vocabulary", self.vocabulary), ("context", self.context), ("inner", self.inner)];
        for (argument, given) in sizes.into_iter().chain([("layers", self.layers)]) {
            if given == 0 {
                return Err(Error::Config { argument, given: "0".into(), expected: "at least 1".into() });
            }
        }
        if !(self.epsilon >= 0.0 && self.epsilon.is_finite()) {
            let given = self.epsilon.to_string();
            return Err(Error::Config { argument: "epsilon", given, expected: "a number of at least 0".into() });
        }
        let normal = || Initializer::Normal { mean: 0.0, std: 0.02 };
        let linear =
            |from, to| LinearConfig::new(from, to).with_bias(false).with_initializer(Some(normal())).init(device);
        let norm = || RmsNormConfig::new(self.width).with_epsilon(self.epsilon).init(device);
        let rotary = RotaryConfig::new(self.width.checked_div(self.heads).unwrap_or(0))
            .with_base(self.rotary_base)
            .with_pairs(self.pairs)
            .with_scaling(self.scaling);
        let attention = MultiHeadAttentionConfig::new(self.width, self.heads)
            .with_key_heads(self.key_heads)
            .with_bias(false)
            .with_rotary(Some(rotary));
        let layers = (0..self.layers)
            .map(|_| {
                Ok(LlamaLayer {
                    attention_norm: norm(),
                    attention: attention.init(device)?,
                    feed_forward_norm: norm(),
                    gate: linear(self.width, self.inner),
                    up: linear(self.width, self.inner),
                    down: linear(self.inner, self.width),
                })
            })
            .collect::<Result<_>>()?;
        let table = || normal().init([self.vocabulary, self.width], device);
        Ok(Llama { embedding: table(), layers, norm: norm(), head: (!self.tied).then(table), config: self.clone() })
    }
}

impl LlamaLayer {
    /// `x + f(norm(x))` twice; `attend` is the attention, which differs between reading a text and going on with one.
    fn forward(
        &self,
        x: Tensor<3>,
        attend: impl FnOnce(&MultiHeadAttention, Tensor<3>) -> Result<Tensor<3>>,
    ) -> Result<Tensor<3>> {
        let x = x.clone() + attend(&self.attention, self.attention_norm.forward(x))?;
        let inner = self.feed_forward_norm.forward(x.clone());
        let inner = silu(self.gate.forward(inner.clone())) * self.up.forward(inner);
        Ok(x + self.down.forward(inner))
    }
}

impl Llama {
    /// The configuration that it was made with.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    fn embed(&self, ids: &[u32], shape: [usize; 2]) -> Tensor<3> {
        let table = self.embedding.val();
        let ids = id_tensor(ids, shape, &table.device());
        burn::tensor::module::embedding(table, ids)
    }

    /// The last norm, and positions one below the other.
    fn finish(&self, x: Tensor<3>) -> Tensor<2> {
        let [rows, length, width] = x.dims();
        self.norm.forward(x).reshape([rows * length, width])
    }
}

impl LanguageModel for Llama {
    fn card(&self) -> Card {
        CARD
    }

    fn vocabulary(&self) -> usize {
        self.config.vocabulary
    }

    fn context(&self) -> usize {
        self.config.context
    }

    fn layers(&self) -> usize {
        self.layers.len()
    }

    fn classifier(&self) -> Classifier {
        let weight = self.head.as_ref().unwrap_or(&self.embedding);
        Classifier { weight: weight.val(), bias: None }
    }

    fn states(&self, text: &Padded, mode: Mode, mut sights: Option<&mut Vec<Sight>>) -> Result<Tensor<2>> {
        check_length("text", text.width(), self.config.context)?;
        let causal = Attention::new(ScaledDot::default()).mask(Causal::default());
        let mut x = self.embed(text.ids(), [text.rows(), text.width()]);
        for (layer, block) in self.layers.iter().enumerate() {
            let mut look: Option<Look> = None;
            x = block.forward(x, |attention, x| {
                let out = attention.forward(x.clone(), x, &causal, mode)?;
                look = Some(out.look);
                Ok(out.output)
            })?;
            if let (Some(sights), Some(look)) = (sights.as_deref_mut(), look) {
                sights.push(Sight { site: Site::DecoderSelf, layer, looks: vec![look] });
            }
        }
        Ok(self.finish(x))
    }

    fn read(&self, tokens: &[u32], state: &mut DecoderState) -> Result<Tensor<2>> {
        let tokens = Padded::new(&[tokens], 0, self.config.vocabulary)?;
        check_length("text", self.positions(state, tokens.width()), self.config.context)?;
        // Aligned to the last key: the cache holds what came before.
        let causal = Attention::new(ScaledDot::default()).mask(Causal::default());
        let mut x = self.embed(tokens.ids(), [1, tokens.width()]);
        for (block, cache) in self.layers.iter().zip(state.caches()) {
            x = block.forward(x, |attention, x| Ok(attention.decode(x, cache, &causal)?))?;
        }
        state.advance(tokens.width());
        Ok(self.finish(x))
    }

    /// Only distances count, and a cache may bound them.
    fn positions(&self, state: &DecoderState, more: usize) -> usize {
        let end = state.position().saturating_add(more);
        state.reach().map_or(end, |reach| reach.min(end))
    }
}
