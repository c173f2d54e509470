//! LLaMA: a decoder alone, with relative positions, gated feed-forward networks and norms that only scale.
//!
//! `x = E[token]`; layer: `x += attention(norm(x))`, `x += W_down (silu(W_gate norm(x)) ∘ W_up norm(x))`; logits: `norm(x) · Hᵀ`. Queries
//! and keys are turned by their positions ([`Rotary`](regard::position::Rotary)), several query heads may share a head of keys and
//! values, and nothing has a bias. Touvron et al., "LLaMA", 2023, arXiv:2302.13971; shared heads: LLaMA 2, arXiv:2307.09288; norm:
//! Zhang & Sennrich 2019, arXiv:1910.07467; gated network (SwiGLU): Shazeer 2020, arXiv:2002.05202.
//!
//! Time O(L²·d + L·d²) a layer, memory O(L·d); a token of a text takes O(L·d + d²) with the cache. Mistral, Qwen and many others are
//! this with other numbers. Positions are relative, so with a cache of bounded reach ([`regard::cache`]) a text may go on for ever.

use std::sync::Arc;

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};
use regard::attention::{MultiHeadAttention, MultiHeadAttentionConfig};
use regard::catalogue::{Card, Family};
use regard::position::{Pairs, RotaryConfig, RotaryScaling};
use regard::rows::Quantized;
use regard::{Attention, Causal, Linear, LinearConfig, Mode, RmsNorm, RmsNormConfig, ScaledDot, SoftCap, Window, ops};
use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::language::{Attend, DecoderState, LanguageModel};
use crate::padded::embed;
use crate::pretrained::names::{Names, Source, load};
use crate::pretrained::{Checkpoint, Fields, check_layers};
use crate::rope::Rope;
use crate::translator::Classifier;
use crate::weights::shuffled;

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
    /// Features of a head; `width / heads` unless given.
    pub head_width: Option<usize>,
    /// Whether queries, keys and values have biases (Qwen2).
    #[config(default = false)]
    pub bias: bool,
    /// Whether attention's output has one; as the others unless given.
    pub output_bias: Option<bool>,
    /// Whether the feed-forward networks have biases.
    #[config(default = false)]
    pub inner_bias: bool,
    /// Of the feed-forward networks' gates.
    #[config(default = "Activation::Silu")]
    pub activation: Activation,
    /// The most keys that a query sees, its own included; all unless given (Mistral).
    pub window: Option<usize>,
    /// The layers that see no farther than the window.
    #[config(default = "Windowed::All")]
    pub windowed: Windowed,
    /// What is special about Gemma 2; nothing unless given.
    pub gemma: Option<Gemma>,
}

/// Which layers have a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Windowed {
    /// Each.
    All,
    /// Those that say so, from the bottom.
    Some(Vec<bool>),
}

/// Gemma 2's: norms also behind the attention and behind the feed-forward network, embeddings times `√width`, and bounded scores.
/// Gemma Team 2024, arXiv:2408.00118.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Gemma {
    /// Scores are divided by the root of it.
    pub scale_width: usize,
    /// What bounds the scores of keys, if anything does.
    pub score_cap: Option<f32>,
    /// What bounds the scores of tokens, if anything does.
    pub token_cap: Option<f32>,
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
    /// What reads the next token, in blocks, if the model is quantized.
    #[module(skip)]
    blocks: Option<Arc<Quantized>>,
    #[module(skip)]
    config: LlamaConfig,
    /// What it is called: descendants differ in numbers only.
    #[module(skip)]
    card: Card,
}

/// Self attention, then a gated feed-forward network.
#[derive(Module, Debug)]
pub struct LlamaLayer {
    /// `input_layernorm` in Hugging Face's files.
    pub attention_norm: RmsNorm,
    /// `self_attn`.
    pub attention: MultiHeadAttention,
    /// `post_attention_layernorm`, Gemma's `pre_feedforward_layernorm`.
    pub feed_forward_norm: RmsNorm,
    /// `[width, inner]`; `mlp.gate_proj`.
    pub gate: Linear,
    /// `[width, inner]`; `mlp.up_proj`.
    pub up: Linear,
    /// `[inner, width]`; `mlp.down_proj`.
    pub down: Linear,
    /// Gemma's `post_attention_layernorm`.
    pub seen_norm: Option<RmsNorm>,
    /// Gemma's `post_feedforward_layernorm`.
    pub found_norm: Option<RmsNorm>,
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
        self.check_looks()?;
        let normal = || Initializer::Normal { mean: 0.0, std: 0.02 };
        let linear = |from, to| {
            let config = LinearConfig::new(from, to).with_bias(self.inner_bias);
            config.with_initializer(Some(normal())).init(device)
        };
        let norm = || RmsNormConfig::new(self.width).with_epsilon(self.epsilon).init(device);
        let head_width = self.head_width.unwrap_or(self.width.checked_div(self.heads).unwrap_or(0));
        let rotary =
            RotaryConfig::new(head_width).with_base(self.rotary_base).with_pairs(self.pairs).with_scaling(self.scaling);
        let attention = MultiHeadAttentionConfig::new(self.width, self.heads)
            .with_key_heads(self.key_heads)
            .with_head_width(self.head_width)
            .with_bias(self.bias)
            .with_output_bias(self.output_bias)
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
                    seen_norm: self.gemma.map(|_| norm()),
                    found_norm: self.gemma.map(|_| norm()),
                })
            })
            .collect::<Result<_>>()?;
        let table = || normal().init([self.vocabulary, self.width], device);
        let head = (!self.tied).then(table);
        Ok(Llama { embedding: table(), layers, norm: norm(), head, blocks: None, config: self.clone(), card: CARD })
    }

    fn check_looks(&self) -> Result<()> {
        let wrong = |argument, given: String, expected: String| Err(Error::Config { argument, given, expected });
        if self.window == Some(0) {
            return wrong("window", "0".into(), "at least 1 key".into());
        }
        if let Windowed::Some(layers) = &self.windowed
            && layers.len() != self.layers
        {
            return wrong("windowed", format!("{} layers", layers.len()), self.layers.to_string());
        }
        let Some(gemma) = self.gemma else { return Ok(()) };
        if gemma.scale_width == 0 {
            return wrong("scale_width", "0".into(), "at least 1".into());
        }
        let caps = [("score_cap", gemma.score_cap), ("token_cap", gemma.token_cap)];
        match caps.into_iter().find(|(_, cap)| cap.is_some_and(|cap| !(cap > 0.0 && cap.is_finite()))) {
            Some((argument, cap)) => wrong(argument, format!("{cap:?}"), "a number above 0".into()),
            None => Ok(()),
        }
    }
}

impl Llama {
    /// The configuration that it was made with.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// The same model with the weights of its linear layers, and of what reads the next token, in blocks of 8-bit numbers: a token
    /// takes about a quarter of the time and memory to generate. It cannot be trained or saved any more. The table of embeddings
    /// stays as it is: few of its rows are read.
    ///
    /// # Errors
    /// When a weight is infinite or not a number.
    pub fn quantized(mut self) -> Result<Self> {
        if self.blocks.is_some() {
            return Ok(self);
        }
        let table = self.head.take().unwrap_or_else(|| self.embedding.clone());
        self.blocks = Some(Arc::new(ops::quantize(table.val().transpose())?));
        let layers = std::mem::take(&mut self.layers).into_iter().map(|layer| {
            Ok(LlamaLayer {
                attention: layer.attention.quantized()?,
                gate: layer.gate.quantized()?,
                up: layer.up.quantized()?,
                down: layer.down.quantized()?,
                ..layer
            })
        });
        self.layers = layers.collect::<Result<_>>()?;
        Ok(self)
    }
}

impl LanguageModel for Llama {
    fn card(&self) -> Card {
        self.card
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

    fn embed(&self, ids: &[u32], shape: [usize; 2], _start: usize, _mode: Mode) -> Result<Tensor<3>> {
        let x = embed(&self.embedding, ids, shape);
        Ok(if self.config.gemma.is_some() { x * (self.config.width as f32).sqrt() } else { x })
    }

    fn layer(&self, layer: usize, x: Tensor<3>, _mode: Mode, attend: &mut Attend) -> Result<Tensor<3>> {
        let layer = &self.layers[layer];
        let behind = |norm: &Option<RmsNorm>, x| norm.iter().fold(x, |x, norm| norm.forward(x));
        let seen = attend(&layer.attention, layer.attention_norm.forward(x.clone()))?;
        let x = x + behind(&layer.seen_norm, seen);
        let inner = layer.feed_forward_norm.forward(x.clone());
        let inner = self.config.activation.gate(layer.gate.forward(inner.clone()), layer.up.forward(inner));
        Ok(x + behind(&layer.found_norm, layer.down.forward(inner)))
    }

    fn attention(&self, layer: usize) -> Attention {
        let scale = self.config.gemma.map(|gemma| (gemma.scale_width as f32).powf(-0.5));
        let mut attention = Attention::new(ScaledDot { scale });
        if let Some(cap) = self.config.gemma.and_then(|gemma| gemma.score_cap) {
            attention = attention.bias(SoftCap::new(cap).expect("checked when the model was made"));
        }
        let windowed = match &self.config.windowed {
            Windowed::All => true,
            Windowed::Some(layers) => layers[layer],
        };
        match self.config.window.filter(|_| windowed) {
            Some(window) => attention.mask(Window::new(Some(window - 1), Some(0))),
            None => attention.mask(Causal::default()),
        }
    }

    fn finish(&self, x: Tensor<3>) -> Tensor<3> {
        self.norm.forward(x)
    }

    fn classifier(&self) -> Classifier {
        let weight = self.head.as_ref().unwrap_or(&self.embedding);
        let cap = self.config.gemma.and_then(|gemma| gemma.token_cap);
        Classifier { weight: weight.val(), bias: None, cap, blocks: self.blocks.clone() }
    }

    fn quantized(self: Box<Self>) -> Result<Box<dyn LanguageModel>> {
        Ok(Box::new(Llama::quantized(*self)?))
    }

    fn shuffled(&self, seed: u64) -> Result<Box<dyn LanguageModel>> {
        if self.blocks.is_some() {
            let expected = "one whose weights are not in blocks".into();
            return Err(Error::Input { argument: "model", given: self.card.name.to_owned(), expected });
        }
        Ok(Box::new(shuffled(self.clone(), seed)))
    }

    /// Only distances count, and a cache may bound them.
    fn positions(&self, state: &DecoderState, more: usize) -> usize {
        let end = state.position().saturating_add(more);
        state.reach().map_or(end, |reach| reach.min(end))
    }
}

/// What Hugging Face calls the tensors, without the prefix.
pub(crate) const NAMES: Names = &[
    ("embedding", Source::At("embed_tokens.weight")),
    ("layers.#.attention_norm", Source::At("layers.#.input_layernorm")),
    ("layers.#.attention.query", Source::At("layers.#.self_attn.q_proj")),
    ("layers.#.attention.key", Source::At("layers.#.self_attn.k_proj")),
    ("layers.#.attention.value", Source::At("layers.#.self_attn.v_proj")),
    ("layers.#.attention.output", Source::At("layers.#.self_attn.o_proj")),
    ("layers.#.feed_forward_norm", Source::At("layers.#.post_attention_layernorm")),
    ("layers.#.gate", Source::At("layers.#.mlp.gate_proj")),
    ("layers.#.up", Source::At("layers.#.mlp.up_proj")),
    ("layers.#.down", Source::At("layers.#.mlp.down_proj")),
    ("norm", Source::At("norm")),
    ("head", Source::At("/lm_head.weight")),
];

/// The model of a checkpoint.
pub(crate) fn open(fields: &Fields, file: &Checkpoint) -> Result<Llama> {
    let bias = fields.or("attention_bias", false)?;
    let inner_bias = fields.or("mlp_bias", false)?;
    configuration(fields)?.with_bias(bias).with_inner_bias(inner_bias).load(fields, file, CARD, NAMES)
}

/// What the configurations of LLaMA and of its descendants have in common.
pub(crate) fn configuration(fields: &Fields) -> Result<LlamaConfig> {
    let rope = Rope::of(fields)?;
    Ok(LlamaConfig::new(fields.get("vocab_size")?)
        .with_context(fields.or("max_position_embeddings", 2048)?)
        .with_width(fields.get("hidden_size")?)
        .with_inner(fields.get("intermediate_size")?)
        .with_heads(fields.get("num_attention_heads")?)
        .with_key_heads(fields.maybe("num_key_value_heads")?)
        .with_head_width(fields.maybe("head_dim")?)
        .with_layers(fields.get("num_hidden_layers")?)
        .with_tied(fields.or("tie_word_embeddings", false)?)
        .with_epsilon(fields.or("rms_norm_eps", 1e-6)?)
        .with_activation(fields.activation("hidden_act", "silu")?)
        .with_rotary_base(rope.base)
        .with_scaling(rope.scaling))
}

impl LlamaConfig {
    /// The model that a checkpoint's tensors make.
    pub(crate) fn load(&self, fields: &Fields, file: &Checkpoint, card: Card, names: Names) -> Result<Llama> {
        check_layers(fields, file, self.layers)?;
        let model = load(self.init(&Device::default())?, file, "model.", names)?;
        Ok(Llama { card, ..model })
    }
}
