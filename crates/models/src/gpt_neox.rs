//! GPT-NeoX, which Pythia is, too: GPT with rotary positions, whose attention and feed-forward network read the same states.
//!
//! Layer: `x + attention(norm₁(x)) + W₂ gelu(W₁ norm₂(x))`, both parts side by side (Wang & Komatsuzaki 2021, GPT-J), or one after the
//! other where the configuration says so; a share of each head's features turns. Black et al., "GPT-NeoX-20B", 2022,
//! arXiv:2204.06745; Pythia: Biderman et al. 2023, arXiv:2304.01373.
//!
//! Time O(L²·d + L·d²) a layer, memory O(L·d); a token of a text takes O(L·d + d²) with the cache.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};
use regard::attention::{MultiHeadAttention, MultiHeadAttentionConfig};
use regard::catalogue::{Card, Family};
use regard::position::{RotaryConfig, RotaryScaling};
use regard::{LayerNorm, LayerNormConfig, Linear, LinearConfig, Mode};

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::language::{Attend, DecoderState, LanguageModel};
use crate::padded::embed;
use crate::pretrained::names::{Source, load};
use crate::pretrained::{Checkpoint, Fields, check_layers};
use crate::rope::Rope;
use crate::translator::Classifier;
use crate::weights::shuffled;

/// See the module's page.
pub const CARD: Card = Card {
    name: "GPT-NeoX",
    family: Family::Models,
    sentence: "A decoder alone with rotary positions, whose attention and feed-forward network work side by side.",
    equation: "layer: x + attention(norm₁(x)) + W₂ gelu(W₁ norm₂(x))",
    paper: "Black et al. 2022, arXiv:2204.06745; Pythia: Biderman et al. 2023, arXiv:2304.01373",
    cost: "time O(L²·d + L·d²) a layer, memory O(L·d); with the cache O(L·d + d²) a token",
    when: "Checkpoints whose config.json says gpt_neox. `regard generate` and `regard inspect` run them.",
};

/// Configuration of [`GptNeox`]; the defaults are those of Pythia 160M.
#[derive(Config, Debug)]
pub struct GptNeoxConfig {
    /// Tokens.
    pub vocabulary: usize,
    /// Positions: the longest text that it was made for.
    #[config(default = 2048)]
    pub context: usize,
    /// Features of a token.
    #[config(default = 768)]
    pub width: usize,
    /// Features inside the feed-forward networks.
    #[config(default = 3072)]
    pub inner: usize,
    /// Attention heads.
    #[config(default = 12)]
    pub heads: usize,
    /// Layers.
    #[config(default = 12)]
    pub layers: usize,
    /// Whether the output is read with the embedding.
    #[config(default = false)]
    pub tied: bool,
    /// Whether attention and feed-forward network read the same states.
    #[config(default = true)]
    pub parallel: bool,
    /// Whether the attention's linear layers have biases.
    #[config(default = true)]
    pub bias: bool,
    /// Added to the variance of the norms.
    #[config(default = 1e-5)]
    pub epsilon: f32,
    /// Between the feed-forward networks' layers.
    #[config(default = "Activation::Gelu")]
    pub activation: Activation,
    /// The share of a head's features that turn.
    #[config(default = 0.25)]
    pub rotated: f64,
    /// The base of the rotary wavelengths.
    #[config(default = 10000.0)]
    pub rotary_base: f64,
    /// For texts longer than those of training; no scaling unless given.
    pub scaling: Option<RotaryScaling>,
}

/// A GPT-NeoX.
#[derive(Module, Debug)]
pub struct GptNeox {
    /// `[vocabulary, width]`
    pub embedding: Param<Tensor<2>>,
    /// Bottom to top.
    pub layers: Vec<GptNeoxLayer>,
    /// The last norm.
    pub norm: LayerNorm,
    /// `[vocabulary, width]`, when the head is untied.
    pub head: Option<Param<Tensor<2>>>,
    #[module(skip)]
    config: GptNeoxConfig,
}

/// Self attention and a feed-forward network.
#[derive(Module, Debug)]
pub struct GptNeoxLayer {
    /// Before the attention.
    pub attention_norm: LayerNorm,
    /// The heads.
    pub attention: MultiHeadAttention,
    /// Before the feed-forward network.
    pub feed_forward_norm: LayerNorm,
    /// `[width, inner]`
    pub inner: Linear,
    /// `[inner, width]`
    pub outer: Linear,
}

impl GptNeoxConfig {
    /// Random weights: normal, 0.02.
    ///
    /// # Errors
    /// When a number is zero, not a divisor or out of its range.
    pub fn init(&self, device: &Device) -> Result<GptNeox> {
        let sizes = [("vocabulary", self.vocabulary), ("context", self.context), ("inner", self.inner)];
        for (argument, given) in sizes.into_iter().chain([("layers", self.layers)]) {
            if given == 0 {
                return Err(Error::Config { argument, given: "0".into(), expected: "at least 1".into() });
            }
        }
        if !(self.rotated > 0.0 && self.rotated <= 1.0) {
            let given = self.rotated.to_string();
            return Err(Error::Config { argument: "rotated", given, expected: "a share above 0, up to 1".into() });
        }
        let normal = || Initializer::Normal { mean: 0.0, std: 0.02 };
        let norm = || LayerNormConfig::new(self.width).with_epsilon(self.epsilon).init(device);
        let linear = |from, to| LinearConfig::new(from, to).with_initializer(Some(normal())).init(device);
        let head_width = self.width.checked_div(self.heads).unwrap_or(0);
        let rotary = RotaryConfig::new(head_width)
            .with_rotated(Some((head_width as f64 * self.rotated) as usize))
            .with_base(self.rotary_base)
            .with_scaling(self.scaling);
        let attention =
            MultiHeadAttentionConfig::new(self.width, self.heads).with_bias(self.bias).with_rotary(Some(rotary));
        let layers = (0..self.layers)
            .map(|_| {
                Ok(GptNeoxLayer {
                    attention_norm: norm(),
                    attention: attention.init(device)?,
                    feed_forward_norm: norm(),
                    inner: linear(self.width, self.inner),
                    outer: linear(self.inner, self.width),
                })
            })
            .collect::<Result<_>>()?;
        let table = || normal().init([self.vocabulary, self.width], device);
        Ok(GptNeox { embedding: table(), layers, norm: norm(), head: (!self.tied).then(table), config: self.clone() })
    }
}

impl GptNeox {
    /// The configuration that it was made with.
    pub fn config(&self) -> &GptNeoxConfig {
        &self.config
    }
}

impl LanguageModel for GptNeox {
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

    fn embed(&self, ids: &[u32], shape: [usize; 2], _start: usize, _mode: Mode) -> Result<Tensor<3>> {
        Ok(embed(&self.embedding, ids, shape))
    }

    fn layer(&self, layer: usize, x: Tensor<3>, _mode: Mode, attend: &mut Attend) -> Result<Tensor<3>> {
        let layer = &self.layers[layer];
        let seen = x.clone() + attend(&layer.attention, layer.attention_norm.forward(x.clone()))?;
        let read = if self.config.parallel { x } else { seen.clone() };
        let inner = layer.inner.forward(layer.feed_forward_norm.forward(read));
        Ok(seen + layer.outer.forward(self.config.activation.forward(inner)))
    }

    fn finish(&self, x: Tensor<3>) -> Tensor<3> {
        self.norm.forward(x)
    }

    fn classifier(&self) -> Classifier {
        let weight = self.head.as_ref().unwrap_or(&self.embedding);
        Classifier { weight: weight.val(), bias: None, cap: None, blocks: None }
    }

    /// Only distances count, and a cache may bound them.
    fn positions(&self, state: &DecoderState, more: usize) -> usize {
        let end = state.position().saturating_add(more);
        state.reach().map_or(end, |reach| reach.min(end))
    }

    fn shuffled(&self, seed: u64) -> Result<Box<dyn LanguageModel>> {
        Ok(Box::new(shuffled(self.clone(), seed)))
    }
}

/// The model of a checkpoint.
pub(crate) fn open(fields: &Fields, file: &Checkpoint) -> Result<GptNeox> {
    let rope = Rope::of(fields)?;
    let heads = fields.get("num_attention_heads")?;
    // Older configurations say nothing of the share, which is a quarter then.
    let said = fields.maybe::<f64>("rotary_pct")?.is_some() || rope.share != 1.0;
    let config = GptNeoxConfig::new(fields.get("vocab_size")?)
        .with_context(fields.or("max_position_embeddings", 2048)?)
        .with_width(fields.get("hidden_size")?)
        .with_inner(fields.get("intermediate_size")?)
        .with_heads(heads)
        .with_layers(fields.get("num_hidden_layers")?)
        .with_tied(fields.or("tie_word_embeddings", false)?)
        .with_parallel(fields.or("use_parallel_residual", true)?)
        .with_bias(fields.or("attention_bias", true)?)
        .with_epsilon(fields.or("layer_norm_eps", 1e-5)?)
        .with_activation(fields.activation("hidden_act", "gelu")?)
        .with_rotated(if said { rope.share } else { 0.25 })
        .with_rotary_base(rope.base)
        .with_scaling(rope.scaling);
    check_layers(fields, file, config.layers)?;
    let joined = "layers.#.attention.query_key_value";
    let names = [
        ("embedding", Source::At("embed_in.weight")),
        ("layers.#.attention_norm", Source::At("layers.#.input_layernorm")),
        ("layers.#.attention.query", Source::OfHeads(joined, 0, heads)),
        ("layers.#.attention.key", Source::OfHeads(joined, 1, heads)),
        ("layers.#.attention.value", Source::OfHeads(joined, 2, heads)),
        ("layers.#.attention.output", Source::At("layers.#.attention.dense")),
        ("layers.#.feed_forward_norm", Source::At("layers.#.post_attention_layernorm")),
        ("layers.#.inner", Source::At("layers.#.mlp.dense_h_to_4h")),
        ("layers.#.outer", Source::At("layers.#.mlp.dense_4h_to_h")),
        ("norm", Source::At("final_layer_norm")),
        ("head", Source::At("/embed_out.weight")),
    ];
    load(config.init(&Device::default())?, file, "gpt_neox.", &names)
}
