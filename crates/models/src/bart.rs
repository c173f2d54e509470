//! BART: a Transformer that learned to mend spoiled texts, and then to summarise or translate.
//!
//! The encoder–decoder of 2017 with learned positions, a norm behind the embedding, GELU for the rectifier, and a bias in the last
//! layer. Lewis et al., "BART: Denoising Sequence-to-Sequence Pre-training", ACL 2020, arXiv:1910.13461. mBART (Liu et al. 2020,
//! arXiv:2001.08210) normalises before each part instead of behind it.
//!
//! Time O(L²·d + L·d²) a layer, memory O(L·d); a token of the target takes O((L + S)·d + d²).

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Int, Tensor, TensorData};
use regard::attention::{MultiHeadAttention, MultiHeadAttentionConfig};
use regard::catalogue::{Card, Family};
use regard::position::{LearnedPositions, LearnedPositionsConfig, sinusoidal};
use regard::{LayerNorm, LayerNormConfig, Mode};
use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::encoder_decoder::{AttendAt, EncoderDecoder, Half};
use crate::error::{Error, Result};
use crate::layers::{DecoderLayer, EncoderLayer, Norm, Residual};
use crate::padded::embed;
use crate::pretrained::names::{Names, Source, load};
use crate::pretrained::{Checkpoint, Fields, any_of, check_layers};
use crate::translator::{Classifier, Specials, check_dropout, check_length};
use crate::weights::shuffled;

/// See the module's page.
pub const CARD: Card = Card {
    name: "BART",
    family: Family::Models,
    sentence: "An encoder-decoder that learned from mending spoiled texts.",
    equation: "norm(x + attention(x)), norm(x + W₂ gelu(W₁ x)); logits = y Eᵀ + b",
    paper: "Lewis et al. 2020, arXiv:1910.13461; mBART: Liu et al. 2020, arXiv:2001.08210",
    cost: "time O(L²·d + L·d²) a layer, memory O(L·d)",
    when: "Checkpoints whose config.json says bart or mbart. `regard summarize` and `regard translate` run them.",
};

/// Rows of the tables of positions before the first: they were made for the ids of padding.
const OFFSET: usize = 2;

/// What tells a [`Bart`] the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BartPositions {
    /// A table for each half.
    Learned,
    /// Sinusoids, all sines before all cosines (Marian).
    Sines,
}

/// Configuration of [`Bart`]; the defaults are those of the large BART.
#[derive(Config, Debug)]
pub struct BartConfig {
    /// Tokens.
    pub vocabulary: usize,
    /// The special ids.
    pub specials: Specials,
    /// Features of a token.
    #[config(default = 1024)]
    pub width: usize,
    /// Encoder layers.
    #[config(default = 12)]
    pub encoder_layers: usize,
    /// Decoder layers.
    #[config(default = 12)]
    pub decoder_layers: usize,
    /// The encoder's attention heads.
    #[config(default = 16)]
    pub encoder_heads: usize,
    /// The decoder's attention heads.
    #[config(default = 16)]
    pub decoder_heads: usize,
    /// Features inside the encoder's feed-forward networks.
    #[config(default = 4096)]
    pub encoder_inner: usize,
    /// Features inside the decoder's feed-forward networks.
    #[config(default = 4096)]
    pub decoder_inner: usize,
    /// The longest source or target, special tokens included.
    #[config(default = 1024)]
    pub longest: usize,
    /// Inside the feed-forward networks.
    #[config(default = "Activation::Gelu")]
    pub activation: Activation,
    /// Where layers normalise.
    #[config(default = "Norm::Post")]
    pub norm: Norm,
    /// What tells the order.
    #[config(default = "BartPositions::Learned")]
    pub positions: BartPositions,
    /// Whether there is a norm behind the embedding.
    #[config(default = true)]
    pub embedding_norm: bool,
    /// Whether embeddings are multiplied by `√width`.
    #[config(default = false)]
    pub scaled: bool,
    /// Whether the output is read with the embedding.
    #[config(default = true)]
    pub tied: bool,
    /// Whether the output has a bias.
    #[config(default = true)]
    pub bias: bool,
    /// Probability of dropping an embedding's or a residual's element.
    #[config(default = 0.1)]
    pub dropout: f32,
}

/// A BART.
#[derive(Module, Debug)]
pub struct Bart {
    /// `[vocabulary, width]`; `shared` in Hugging Face's files.
    pub embedding: Param<Tensor<2>>,
    /// What the source's tokens go through first.
    pub source: BartEntry,
    /// Bottom to top.
    pub encoder: Vec<EncoderLayer>,
    /// mBART only; `layer_norm`.
    pub encoder_norm: Option<LayerNorm>,
    /// What the target's tokens go through first.
    pub target: BartEntry,
    /// Bottom to top.
    pub decoder: Vec<DecoderLayer>,
    /// mBART only; `layer_norm`.
    pub decoder_norm: Option<LayerNorm>,
    /// `[vocabulary, width]`, when the head is untied; `lm_head`.
    pub head: Option<Param<Tensor<2>>>,
    /// `[1, vocabulary]`; `final_logits_bias`.
    pub bias: Option<Param<Tensor<2>>>,
    #[module(skip)]
    config: BartConfig,
    #[module(skip)]
    card: Card,
}

/// What happens to tokens before the first layer.
#[derive(Module, Debug)]
pub struct BartEntry {
    /// `[2 + longest, width]`, where they are learned; `embed_positions`.
    pub positions: Option<LearnedPositions>,
    /// `layernorm_embedding`.
    pub norm: Option<LayerNorm>,
}

impl BartConfig {
    /// Random weights.
    ///
    /// # Errors
    /// When a number is zero, not a divisor or out of its range, or a special id is no token.
    pub fn init(&self, device: &Device) -> Result<Bart> {
        self.specials.check(self.vocabulary)?;
        check_dropout(self.dropout)?;
        let layers = [("encoder_layers", self.encoder_layers), ("decoder_layers", self.decoder_layers)];
        let inner = [("encoder_inner", self.encoder_inner), ("decoder_inner", self.decoder_inner)];
        for (argument, given) in layers.into_iter().chain(inner).chain([("longest", self.longest)]) {
            if given == 0 {
                return Err(Error::Config { argument, given: "0".into(), expected: "at least 1".into() });
            }
        }
        let attention = |heads| MultiHeadAttentionConfig::new(self.width, heads);
        let norm = || LayerNormConfig::new(self.width).init(device);
        let last = || (self.norm == Norm::Pre).then(norm);
        let entry = || BartEntry {
            positions: (self.positions == BartPositions::Learned)
                .then(|| LearnedPositionsConfig::new(self.longest.saturating_add(OFFSET), self.width).init(device)),
            norm: self.embedding_norm.then(norm),
        };
        let encoder = (0..self.encoder_layers)
            .map(|_| EncoderLayer::new(&attention(self.encoder_heads), self.encoder_inner, device));
        let decoder = (0..self.decoder_layers)
            .map(|_| DecoderLayer::new(&attention(self.decoder_heads), self.decoder_inner, device));
        let table = || Initializer::Normal { mean: 0.0, std: 0.02 }.init([self.vocabulary, self.width], device);
        Ok(Bart {
            embedding: table(),
            source: entry(),
            encoder: encoder.collect::<Result<_>>()?,
            encoder_norm: last(),
            target: entry(),
            decoder: decoder.collect::<Result<_>>()?,
            decoder_norm: last(),
            head: (!self.tied).then(table),
            bias: self.bias.then(|| Initializer::Zeros.init([1, self.vocabulary], device)),
            config: self.clone(),
            card: CARD,
        })
    }
}

impl Bart {
    /// The configuration that it was made with.
    pub fn config(&self) -> &BartConfig {
        &self.config
    }
}

impl EncoderDecoder for Bart {
    fn card(&self) -> Card {
        self.card
    }

    fn vocabulary(&self) -> usize {
        self.config.vocabulary
    }

    fn specials(&self) -> Specials {
        self.config.specials
    }

    fn longest(&self) -> usize {
        self.config.longest
    }

    fn device(&self) -> Device {
        self.embedding.val().device()
    }

    fn layers(&self, half: Half) -> usize {
        match half {
            Half::Encoder => self.encoder.len(),
            Half::Decoder => self.decoder.len(),
        }
    }

    fn embed(&self, half: Half, ids: &[u32], shape: [usize; 2], start: usize, mode: Mode) -> Result<Tensor<3>> {
        let (entry, argument) = match half {
            Half::Encoder => (&self.source, "source"),
            Half::Decoder => (&self.target, "target"),
        };
        check_length(argument, start + shape[1], self.config.longest)?;
        let tokens = embed(&self.embedding, ids, shape);
        let width = self.config.width;
        let tokens = if self.config.scaled { tokens * (width as f64).sqrt() } else { tokens };
        let positions = match &entry.positions {
            Some(learned) => learned.forward(OFFSET + start, shape[1])?,
            None => sines_first(sinusoidal(start, shape[1], width, &tokens.device().inner())),
        };
        let x = tokens + positions.unsqueeze();
        Ok(mode.dropout(entry.norm.iter().fold(x, |x, norm| norm.forward(x)), self.config.dropout))
    }

    fn layer(&self, half: Half, layer: usize, x: Tensor<3>, mode: Mode, attend: &mut AttendAt) -> Result<Tensor<3>> {
        let BartConfig { norm, activation, dropout, .. } = self.config;
        let residual = Residual { norm, activation, dropout, mode };
        match half {
            Half::Encoder => self.encoder[layer].forward(x, residual, attend),
            Half::Decoder => self.decoder[layer].forward(x, residual, attend),
        }
    }

    fn cross(&self, layer: usize) -> &MultiHeadAttention {
        &self.decoder[layer].cross_attention
    }

    fn finish(&self, half: Half, x: Tensor<3>) -> Tensor<3> {
        let last = match half {
            Half::Encoder => &self.encoder_norm,
            Half::Decoder => &self.decoder_norm,
        };
        last.iter().fold(x, |x, norm| norm.forward(x))
    }

    fn classifier(&self) -> Classifier {
        let weight = self.head.as_ref().unwrap_or(&self.embedding).val();
        let bias = self.bias.as_ref().map(|bias| bias.val().reshape([self.config.vocabulary]));
        Classifier { weight, bias, cap: None, blocks: None }
    }

    fn shuffled(&self, seed: u64) -> Box<dyn EncoderDecoder> {
        Box::new(shuffled(self.clone(), seed))
    }
}

/// Interleaved sinusoids `[position, width]` with the sines, which are the even features, before the cosines.
fn sines_first(positions: Tensor<2>) -> Tensor<2> {
    let width = positions.dims()[1] as i64;
    let order: Vec<i64> = (0..width).step_by(2).chain((1..width).step_by(2)).collect();
    let order: Tensor<1, Int> = Tensor::from_data(TensorData::new(order, [width as usize]), &positions.device());
    positions.select(1, order)
}

/// The model of a checkpoint.
pub(crate) fn open(fields: &Fields, file: &Checkpoint) -> Result<Bart> {
    fields.expect("normalize_before", false)?;
    fields.expect("add_final_layer_norm", false)?;
    configuration(fields)?.load(fields, file, CARD)
}

/// The model of a checkpoint of mBART.
pub(crate) fn open_mbart(fields: &Fields, file: &Checkpoint) -> Result<Bart> {
    configuration(fields)?.with_norm(Norm::Pre).load(fields, file, CARD)
}

fn configuration(fields: &Fields) -> Result<BartConfig> {
    let end = fields.or("eos_token_id", 2)?;
    let begin = fields.or("decoder_start_token_id", end)?;
    sizes(fields, Specials { pad: fields.or("pad_token_id", 1)?, begin, end })
}

/// What the configurations of BART and of its relatives have in common.
pub(crate) fn sizes(fields: &Fields, specials: Specials) -> Result<BartConfig> {
    Ok(BartConfig::new(fields.get("vocab_size")?, specials)
        .with_width(fields.or("d_model", 1024)?)
        .with_encoder_layers(fields.or("encoder_layers", 12)?)
        .with_decoder_layers(fields.or("decoder_layers", 12)?)
        .with_encoder_heads(fields.or("encoder_attention_heads", 16)?)
        .with_decoder_heads(fields.or("decoder_attention_heads", 16)?)
        .with_encoder_inner(fields.or("encoder_ffn_dim", 4096)?)
        .with_decoder_inner(fields.or("decoder_ffn_dim", 4096)?)
        .with_longest(fields.or("max_position_embeddings", 1024)?)
        .with_activation(fields.activation("activation_function", "gelu")?)
        .with_scaled(fields.or("scale_embedding", false)?)
        .with_tied(fields.or("tie_word_embeddings", true)?)
        .with_dropout(fields.or("dropout", 0.1)?))
}

impl BartConfig {
    /// The model that a checkpoint's tensors make.
    pub(crate) fn load(self, fields: &Fields, file: &Checkpoint, card: Card) -> Result<Bart> {
        check_layers(fields, file, self.encoder_layers.saturating_add(self.decoder_layers))?;
        let prefix = if file.names().any(|name| name.starts_with("model.")) { "model." } else { "" };
        // A file with a head means it, whatever its configuration says; one without a bias has zeros there.
        let tied = self.tied && !file.has(HEAD);
        let bias = file.has(BIAS);
        let names = [("embedding", Source::At(any_of(file, prefix, TABLES)))];
        let model = self.with_tied(tied).with_bias(bias).init(&Device::default())?;
        Ok(Bart { card, ..load(model, file, prefix, &[&names, NAMES].concat())? })
    }
}

/// What the embedding is called; the first in files that were written carefully.
const TABLES: &[&str] = &["shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"];
const HEAD: &str = "lm_head.weight";
const BIAS: &str = "final_logits_bias";

const NAMES: Names = &[
    ("source.positions.table", Source::At("encoder.embed_positions.weight")),
    ("source.norm", Source::At("encoder.layernorm_embedding")),
    ("encoder.#.self_attention.query", Source::At("encoder.layers.#.self_attn.q_proj")),
    ("encoder.#.self_attention.key", Source::At("encoder.layers.#.self_attn.k_proj")),
    ("encoder.#.self_attention.value", Source::At("encoder.layers.#.self_attn.v_proj")),
    ("encoder.#.self_attention.output", Source::At("encoder.layers.#.self_attn.out_proj")),
    ("encoder.#.self_attention_norm", Source::At("encoder.layers.#.self_attn_layer_norm")),
    ("encoder.#.feed_forward.inner", Source::At("encoder.layers.#.fc1")),
    ("encoder.#.feed_forward.outer", Source::At("encoder.layers.#.fc2")),
    ("encoder.#.feed_forward_norm", Source::At("encoder.layers.#.final_layer_norm")),
    ("encoder_norm", Source::At("encoder.layer_norm")),
    ("target.positions.table", Source::At("decoder.embed_positions.weight")),
    ("target.norm", Source::At("decoder.layernorm_embedding")),
    ("decoder.#.self_attention.query", Source::At("decoder.layers.#.self_attn.q_proj")),
    ("decoder.#.self_attention.key", Source::At("decoder.layers.#.self_attn.k_proj")),
    ("decoder.#.self_attention.value", Source::At("decoder.layers.#.self_attn.v_proj")),
    ("decoder.#.self_attention.output", Source::At("decoder.layers.#.self_attn.out_proj")),
    ("decoder.#.self_attention_norm", Source::At("decoder.layers.#.self_attn_layer_norm")),
    ("decoder.#.cross_attention.query", Source::At("decoder.layers.#.encoder_attn.q_proj")),
    ("decoder.#.cross_attention.key", Source::At("decoder.layers.#.encoder_attn.k_proj")),
    ("decoder.#.cross_attention.value", Source::At("decoder.layers.#.encoder_attn.v_proj")),
    ("decoder.#.cross_attention.output", Source::At("decoder.layers.#.encoder_attn.out_proj")),
    ("decoder.#.cross_attention_norm", Source::At("decoder.layers.#.encoder_attn_layer_norm")),
    ("decoder.#.feed_forward.inner", Source::At("decoder.layers.#.fc1")),
    ("decoder.#.feed_forward.outer", Source::At("decoder.layers.#.fc2")),
    ("decoder.#.feed_forward_norm", Source::At("decoder.layers.#.final_layer_norm")),
    ("decoder_norm", Source::At("decoder.layer_norm")),
    ("head", Source::At("/lm_head.weight")),
    ("bias", Source::At("/final_logits_bias")),
];
