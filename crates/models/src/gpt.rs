//! GPT-2: a decoder alone, which reads a text and says how likely each next token is.
//!
//! `x = E[token] + P[position]`; layer: `x += attention(norm(x))`, `x += W₂ gelu(W₁ norm(x))`; logits: `norm(x) · Hᵀ`, where `H`
//! is `E` again (Press & Wolf 2017, arXiv:1608.05859) unless the head is untied. Every position looks at itself and at those
//! before it. Radford et al., "Language Models are Unsupervised Multitask Learners", 2019; layers of Vaswani et al. 2017,
//! arXiv:1706.03762, norms before them. GELU is GPT-2's: the approximation by tanh (Hendrycks & Gimpel 2016, arXiv:1606.08415).
//!
//! Time O(L²·d + L·d²) a layer, memory O(L·d); a token of a text takes O(L·d + d²) with the cache. For text that is
//! generated, or scored, from left to right. It cannot look ahead, and knows no position beyond its context.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};
use regard::attention::{MultiHeadAttention, MultiHeadAttentionConfig};
use regard::catalogue::{Card, Family};
use regard::position::{LearnedPositions, LearnedPositionsConfig};
use regard::{LayerNorm, LayerNormConfig, Linear, LinearConfig, Mode};

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::language::{Attend, LanguageModel};
use crate::padded::embed;
use crate::pretrained::names::{Names, Source, load};
use crate::pretrained::{Checkpoint, Fields, check_layers};
use crate::translator::{Classifier, check_dropout};
use crate::weights::shuffled;

/// See the module's page.
pub const CARD: Card = Card {
    name: "GPT-2",
    family: Family::Models,
    sentence: "A decoder alone, which continues a text.",
    equation: "p(next | x) = softmax(norm(x_L) Eᵀ); layer: x + attention(norm(x)), x + W₂ gelu(W₁ norm(x))",
    paper: "Radford et al. 2019",
    cost: "time O(L²·d + L·d²) a layer, memory O(L·d); with the cache O(L·d + d²) a token",
    when: "Text from left to right. `regard train charlm` trains one, `regard generate` runs it.",
};

/// Configuration of [`Gpt`]; the defaults are GPT-2's smallest.
#[derive(Config, Debug)]
pub struct GptConfig {
    /// Tokens.
    pub vocabulary: usize,
    /// Positions: the longest text that it can look at.
    #[config(default = 1024)]
    pub context: usize,
    /// Features of a token.
    #[config(default = 768)]
    pub width: usize,
    /// Features inside the feed-forward networks; four times the width unless given.
    pub inner: Option<usize>,
    /// Attention heads.
    #[config(default = 12)]
    pub heads: usize,
    /// Layers.
    #[config(default = 12)]
    pub layers: usize,
    /// Whether the output is read with the embedding.
    #[config(default = true)]
    pub tied: bool,
    /// Added to the variance of the norms.
    #[config(default = 1e-5)]
    pub epsilon: f32,
    /// Between the feed-forward networks' layers.
    #[config(default = "Activation::GeluTanh")]
    pub activation: Activation,
    /// Probability of dropping an embedding's, a residual's or an attention weight's element.
    #[config(default = 0.1)]
    pub dropout: f32,
}

/// A GPT-2.
#[derive(Module, Debug)]
pub struct Gpt {
    /// `[vocabulary, width]`; `wte` in GPT-2's files.
    pub embedding: Param<Tensor<2>>,
    /// `wpe` in GPT-2's files.
    pub positions: LearnedPositions,
    /// Bottom to top; `h` in GPT-2's files.
    pub layers: Vec<GptLayer>,
    /// `ln_f` in GPT-2's files.
    pub norm: LayerNorm,
    /// `[vocabulary, width]`, when the head is untied.
    pub head: Option<Param<Tensor<2>>>,
    #[module(skip)]
    config: GptConfig,
}

/// Self attention, then a feed-forward network.
#[derive(Module, Debug)]
pub struct GptLayer {
    /// `ln_1` in GPT-2's files.
    pub attention_norm: LayerNorm,
    /// `attn`; GPT-2's files hold query, key and value side by side in `c_attn`.
    pub attention: MultiHeadAttention,
    /// `ln_2`.
    pub feed_forward_norm: LayerNorm,
    /// `[width, inner]`; `mlp.c_fc`.
    pub inner: Linear,
    /// `[inner, width]`; `mlp.c_proj`.
    pub outer: Linear,
}

impl GptConfig {
    /// Features inside the feed-forward networks.
    pub fn inner_width(&self) -> usize {
        self.inner.unwrap_or(self.width.saturating_mul(4))
    }

    /// Random weights as GPT-2's: normal, 0.02, and for what is added to the residual `0.02 / √(2 · layers)`; biases 0.
    ///
    /// # Errors
    /// When a number is zero, not a divisor or out of its range.
    pub fn init(&self, device: &Device) -> Result<Gpt> {
        let sizes = [("vocabulary", self.vocabulary), ("context", self.context), ("inner", self.inner_width())];
        for (argument, given) in sizes.into_iter().chain([("layers", self.layers)]) {
            if given == 0 {
                return Err(Error::Config { argument, given: given.to_string(), expected: "at least 1".into() });
            }
        }
        check_dropout(self.dropout)?;
        let (width, inner) = (self.width, self.inner_width());
        let normal = |std| Initializer::Normal { mean: 0.0, std };
        let linear = |from, to, std| {
            let mut drawn = LinearConfig::new(from, to).with_initializer(Some(normal(std))).init(device);
            drawn.bias = Some(Initializer::Zeros.init([to], device));
            drawn
        };
        let residual = 0.02 / (2.0 * self.layers as f64).sqrt();
        let norm = || LayerNormConfig::new(width).with_epsilon(self.epsilon).init(device);
        let layers = (0..self.layers)
            .map(|_| {
                let config = MultiHeadAttentionConfig::new(width, self.heads).with_dropout(self.dropout);
                let mut attention = config.init(device)?;
                for projection in [&mut attention.query, &mut attention.key, &mut attention.value] {
                    *projection = linear(width, width, 0.02);
                }
                attention.output = linear(width, width, residual);
                Ok(GptLayer {
                    attention_norm: norm(),
                    attention,
                    feed_forward_norm: norm(),
                    inner: linear(width, inner, 0.02),
                    outer: linear(inner, width, residual),
                })
            })
            .collect::<Result<_>>()?;
        let table = || normal(0.02).init([self.vocabulary, width], device);
        Ok(Gpt {
            embedding: table(),
            positions: LearnedPositionsConfig::new(self.context, width).init(device),
            layers,
            norm: norm(),
            head: (!self.tied).then(table),
            config: self.clone(),
        })
    }
}

impl Gpt {
    /// The configuration that it was made with.
    pub fn config(&self) -> &GptConfig {
        &self.config
    }

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.embedding.val().device()
    }
}

impl LanguageModel for Gpt {
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
        Classifier { weight: weight.val(), bias: None, cap: None, blocks: None }
    }

    fn embed(&self, ids: &[u32], shape: [usize; 2], start: usize, mode: Mode) -> Result<Tensor<3>> {
        let tokens = embed(&self.embedding, ids, shape) + self.positions.forward(start, shape[1])?.unsqueeze();
        Ok(mode.dropout(tokens, self.config.dropout))
    }

    fn layer(&self, layer: usize, x: Tensor<3>, mode: Mode, attend: &mut Attend) -> Result<Tensor<3>> {
        let (layer, dropout) = (&self.layers[layer], self.config.dropout);
        let seen = attend(&layer.attention, layer.attention_norm.forward(x.clone()))?;
        let x = x + mode.dropout(seen, dropout);
        let inner = layer.inner.forward(layer.feed_forward_norm.forward(x.clone()));
        Ok(x + mode.dropout(layer.outer.forward(self.config.activation.forward(inner)), dropout))
    }

    fn finish(&self, x: Tensor<3>) -> Tensor<3> {
        self.norm.forward(x)
    }

    fn shuffled(&self, seed: u64) -> Result<Box<dyn LanguageModel>> {
        Ok(Box::new(shuffled(self.clone(), seed)))
    }
}

const NAMES: Names = &[
    ("embedding", Source::At("wte.weight")),
    ("positions.table", Source::At("wpe.weight")),
    ("layers.#.attention_norm", Source::At("h.#.ln_1")),
    ("layers.#.attention.query", Source::Share("h.#.attn.c_attn", 0, 3)),
    ("layers.#.attention.key", Source::Share("h.#.attn.c_attn", 1, 3)),
    ("layers.#.attention.value", Source::Share("h.#.attn.c_attn", 2, 3)),
    ("layers.#.attention.output", Source::Straight("h.#.attn.c_proj")),
    ("layers.#.feed_forward_norm", Source::At("h.#.ln_2")),
    ("layers.#.inner", Source::Straight("h.#.mlp.c_fc")),
    ("layers.#.outer", Source::Straight("h.#.mlp.c_proj")),
    ("norm", Source::At("ln_f")),
    ("head", Source::At("/lm_head.weight")),
];

/// The model of a checkpoint.
pub(crate) fn open(fields: &Fields, file: &Checkpoint) -> Result<Gpt> {
    fields.expect("scale_attn_weights", true)?;
    fields.expect("scale_attn_by_inverse_layer_idx", false)?;
    let config = GptConfig::new(fields.get("vocab_size")?)
        .with_context(fields.or("n_positions", 1024)?)
        .with_width(fields.or("n_embd", 768)?)
        .with_inner(fields.maybe("n_inner")?)
        .with_heads(fields.or("n_head", 12)?)
        .with_layers(fields.or("n_layer", 12)?)
        .with_tied(fields.or("tie_word_embeddings", true)?)
        .with_epsilon(fields.or("layer_norm_epsilon", 1e-5)?)
        .with_activation(fields.activation("activation_function", "gelu_new")?);
    check_layers(fields, file, config.layers)?;
    let prefix = if file.has("transformer.wte.weight") { "transformer." } else { "" };
    load(config.init(&Device::default())?, file, prefix, NAMES)
}
