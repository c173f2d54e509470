//! T5: an encoder–decoder that is told what to do in the text that it reads ("translate English to German: …").
//!
//! `x + attention(norm(x))`, `x + W₂ f(W₁ norm(x))`, in the decoder a look at the source between them. Positions are distances: a
//! learned number for each head and bucket of distances is added to the scores of self attention, the same in every layer of a half.
//! Scores are not scaled, norms only scale, nothing has a bias. Raffel et al., "Exploring the Limits of Transfer Learning with a
//! Unified Text-to-Text Transformer", JMLR 2020, arXiv:1910.10683. T5 1.1, Flan-T5 and mT5 (Xue et al. 2021, arXiv:2010.11934) have
//! gates in their feed-forward networks (Shazeer 2020, arXiv:2002.05202) and a head of their own.
//!
//! Time O(L²·d + L·d²) a layer, memory O(L·d); a token of the target takes O((L + S)·d + d²). It takes any length, though it learned
//! from 512 tokens. It is here to be run: the buckets' numbers get no gradient.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};
use regard::attention::{MultiHeadAttention, MultiHeadAttentionConfig};
use regard::catalogue::{Card, Family};
use regard::{Attention, Dot, Linear, LinearConfig, Mode, RelativeBuckets, RmsNorm, RmsNormConfig};

use crate::activation::Activation;
use crate::encoder_decoder::{AttendAt, EncoderDecoder, Half};
use crate::error::{Error, Result};
use crate::padded::embed;
use crate::pretrained::names::{Names, Source, load};
use crate::pretrained::{Checkpoint, Fields, any_of, check_layers};
use crate::translator::{Classifier, Site, Specials};
use crate::weights::shuffled;

/// See the module's page.
pub const CARD: Card = Card {
    name: "T5",
    family: Family::Models,
    sentence: "An encoder-decoder that is told its task in words, and knows positions as distances.",
    equation: "x + attention(norm(x)), x + W₂ f(W₁ norm(x)); e_ij = q_i·k_j + b[bucket(j - i)]",
    paper: "Raffel et al. 2020, arXiv:1910.10683; mT5: Xue et al. 2021, arXiv:2010.11934",
    cost: "time O(L²·d + L·d²) a layer, memory O(L·d)",
    when: "Checkpoints whose config.json says t5 or mt5. `regard translate` and `regard summarize` run them.",
};

/// Configuration of [`T5`]; the defaults are those of the smallest T5.
#[derive(Config, Debug)]
pub struct T5Config {
    /// Tokens.
    pub vocabulary: usize,
    /// The special ids.
    pub specials: Specials,
    /// Features of a token.
    #[config(default = 512)]
    pub width: usize,
    /// Features inside the feed-forward networks.
    #[config(default = 2048)]
    pub inner: usize,
    /// Attention heads.
    #[config(default = 8)]
    pub heads: usize,
    /// Features of a head.
    #[config(default = 64)]
    pub head_width: usize,
    /// Encoder layers.
    #[config(default = 6)]
    pub encoder_layers: usize,
    /// Decoder layers.
    #[config(default = 6)]
    pub decoder_layers: usize,
    /// Buckets of distances; half of the encoder's are for keys after the query.
    #[config(default = 32)]
    pub buckets: usize,
    /// From this distance on, all are in one bucket.
    #[config(default = 128)]
    pub max_distance: usize,
    /// Inside the feed-forward networks.
    #[config(default = "Activation::Relu")]
    pub activation: Activation,
    /// Whether the feed-forward networks have gates (T5 1.1).
    #[config(default = false)]
    pub gated: bool,
    /// Whether the output is read with the embedding.
    #[config(default = true)]
    pub tied: bool,
    /// Whether the last states are divided by `√width` (not in T5 1.1).
    #[config(default = true)]
    pub scaled: bool,
    /// Added to the mean square before its root.
    #[config(default = 1e-6)]
    pub epsilon: f32,
}

/// A T5.
#[derive(Module, Debug)]
pub struct T5 {
    /// `[vocabulary, width]`; `shared` in Hugging Face's files.
    pub embedding: Param<Tensor<2>>,
    /// It reads the source.
    pub encoder: T5Stack,
    /// It writes the target.
    pub decoder: T5Stack,
    /// `[vocabulary, width]`, when the head is untied; `lm_head`.
    pub head: Option<Param<Tensor<2>>>,
    #[module(skip)]
    config: T5Config,
}

/// Half of a T5.
#[derive(Module, Debug)]
pub struct T5Stack {
    /// `[bucket, head]`: what a distance adds to scores; `relative_attention_bias`.
    pub buckets: Param<Tensor<2>>,
    /// Bottom to top; `block`.
    pub layers: Vec<T5Layer>,
    /// `final_layer_norm`.
    pub norm: RmsNorm,
}

/// Self attention, in the decoder cross attention, and a feed-forward network.
#[derive(Module, Debug)]
pub struct T5Layer {
    /// `SelfAttention`.
    pub self_attention: T5Attention,
    /// `EncDecAttention`, in the decoder.
    pub cross_attention: Option<T5Attention>,
    /// `DenseReluDense`.
    pub feed_forward: T5FeedForward,
}

/// Attention behind its norm.
#[derive(Module, Debug)]
pub struct T5Attention {
    /// `layer_norm`.
    pub norm: RmsNorm,
    /// The heads.
    pub heads: MultiHeadAttention,
}

/// `W₂ f(W₁ norm(x))`, or `W₂ (f(W_g norm(x)) ∘ W₁ norm(x))`.
#[derive(Module, Debug)]
pub struct T5FeedForward {
    /// `layer_norm`.
    pub norm: RmsNorm,
    /// `[width, inner]`; `wi_0`.
    pub gate: Option<Linear>,
    /// `[width, inner]`; `wi`, or `wi_1` beside a gate.
    pub inner: Linear,
    /// `[inner, width]`; `wo`.
    pub outer: Linear,
}

impl T5Config {
    /// Random weights: normal, 0.05.
    ///
    /// # Errors
    /// When a number is zero or out of its range, or a special id is no token.
    pub fn init(&self, device: &Device) -> Result<T5> {
        self.check()?;
        let normal = || Initializer::Normal { mean: 0.0, std: 0.05 };
        let norm = || RmsNormConfig::new(self.width).with_epsilon(self.epsilon).init(device);
        let linear =
            |from, to| LinearConfig::new(from, to).with_bias(false).with_initializer(Some(normal())).init(device);
        let attention = || -> Result<T5Attention> {
            let config = MultiHeadAttentionConfig::new(self.width, self.heads).with_bias(false);
            let heads = config.with_head_width(Some(self.head_width)).init(device)?;
            Ok(T5Attention { norm: norm(), heads })
        };
        let layer = |half| -> Result<T5Layer> {
            let feed_forward = T5FeedForward {
                norm: norm(),
                gate: self.gated.then(|| linear(self.width, self.inner)),
                inner: linear(self.width, self.inner),
                outer: linear(self.inner, self.width),
            };
            let cross_attention = if half == Half::Decoder { Some(attention()?) } else { None };
            Ok(T5Layer { self_attention: attention()?, cross_attention, feed_forward })
        };
        let stack = |half, layers| -> Result<T5Stack> {
            let layers = (0..layers).map(|_| layer(half)).collect::<Result<_>>()?;
            Ok(T5Stack { buckets: normal().init([self.buckets, self.heads], device), layers, norm: norm() })
        };
        let table = || normal().init([self.vocabulary, self.width], device);
        Ok(T5 {
            embedding: table(),
            encoder: stack(Half::Encoder, self.encoder_layers)?,
            decoder: stack(Half::Decoder, self.decoder_layers)?,
            head: (!self.tied).then(table),
            config: self.clone(),
        })
    }

    fn check(&self) -> Result<()> {
        let wrong = |argument, given: String, expected: String| Err(Error::Config { argument, given, expected });
        self.specials.check(self.vocabulary)?;
        let layers = [("encoder_layers", self.encoder_layers), ("decoder_layers", self.decoder_layers)];
        for (argument, given) in layers.into_iter().chain([("inner", self.inner), ("heads", self.heads)]) {
            if given == 0 {
                return wrong(argument, "0".into(), "at least 1".into());
            }
        }
        if self.buckets < 4 || !self.buckets.is_multiple_of(2) {
            return wrong("buckets", self.buckets.to_string(), "an even number, at least 4".into());
        }
        let exact = self.buckets / 2;
        if self.max_distance <= exact {
            return wrong("max_distance", self.max_distance.to_string(), format!("more than {exact}"));
        }
        if !(self.epsilon >= 0.0 && self.epsilon.is_finite()) {
            return wrong("epsilon", self.epsilon.to_string(), "a number of at least 0".into());
        }
        Ok(())
    }
}

impl T5Attention {
    fn forward(&self, x: Tensor<3>, site: Site, attend: &mut AttendAt) -> Result<Tensor<3>> {
        Ok(x.clone() + attend(site, &self.heads, self.norm.forward(x))?)
    }
}

impl T5FeedForward {
    fn forward(&self, x: Tensor<3>, activation: Activation) -> Tensor<3> {
        let states = self.norm.forward(x.clone());
        let inner = match &self.gate {
            Some(gate) => activation.gate(gate.forward(states.clone()), self.inner.forward(states)),
            None => activation.forward(self.inner.forward(states)),
        };
        x + self.outer.forward(inner)
    }
}

impl T5 {
    /// The configuration that it was made with.
    pub fn config(&self) -> &T5Config {
        &self.config
    }

    fn stack(&self, half: Half) -> &T5Stack {
        match half {
            Half::Encoder => &self.encoder,
            Half::Decoder => &self.decoder,
        }
    }
}

impl EncoderDecoder for T5 {
    fn card(&self) -> Card {
        CARD
    }

    fn vocabulary(&self) -> usize {
        self.config.vocabulary
    }

    fn specials(&self) -> Specials {
        self.config.specials
    }

    /// Only distances count.
    fn longest(&self) -> usize {
        usize::MAX
    }

    fn device(&self) -> Device {
        self.embedding.val().device()
    }

    fn layers(&self, half: Half) -> usize {
        self.stack(half).layers.len()
    }

    fn embed(&self, _half: Half, ids: &[u32], shape: [usize; 2], _start: usize, _mode: Mode) -> Result<Tensor<3>> {
        Ok(embed(&self.embedding, ids, shape))
    }

    fn layer(&self, half: Half, layer: usize, x: Tensor<3>, _mode: Mode, attend: &mut AttendAt) -> Result<Tensor<3>> {
        let layer = &self.stack(half).layers[layer];
        let site = if half == Half::Encoder { Site::EncoderSelf } else { Site::DecoderSelf };
        let mut x = layer.self_attention.forward(x, site, attend)?;
        if let Some(cross) = &layer.cross_attention {
            x = cross.forward(x, Site::Cross, attend)?;
        }
        Ok(layer.feed_forward.forward(x, self.config.activation))
    }

    fn cross(&self, layer: usize) -> &MultiHeadAttention {
        let cross = &self.decoder.layers[layer].cross_attention;
        &cross.as_ref().expect("the decoder's layers are made with it").heads
    }

    fn attention(&self, site: Site) -> Result<Attention> {
        let attention = Attention::new(Dot);
        let (stack, bidirectional) = match site {
            Site::EncoderSelf => (&self.encoder, true),
            Site::DecoderSelf => (&self.decoder, false),
            Site::Cross => return Ok(attention),
        };
        let table = stack.buckets.val().into_data().convert::<f32>().try_into_vec::<f32>();
        let table = table.expect("they were made f32");
        let T5Config { heads, max_distance, .. } = self.config;
        let buckets = RelativeBuckets::new(table, heads, bidirectional, max_distance);
        Ok(attention.bias(buckets.map_err(regard::Error::from)?))
    }

    fn finish(&self, half: Half, x: Tensor<3>) -> Tensor<3> {
        let x = self.stack(half).norm.forward(x);
        match half {
            Half::Decoder if self.config.scaled => x * (self.config.width as f64).powf(-0.5),
            _ => x,
        }
    }

    fn classifier(&self) -> Classifier {
        let weight = self.head.as_ref().unwrap_or(&self.embedding);
        Classifier { weight: weight.val(), bias: None, cap: None, blocks: None }
    }

    fn shuffled(&self, seed: u64) -> Box<dyn EncoderDecoder> {
        Box::new(shuffled(self.clone(), seed))
    }
}

/// The model of a checkpoint.
pub(crate) fn open(fields: &Fields, file: &Checkpoint) -> Result<T5> {
    // Since T5 1.1, an untied head has meant that states are not scaled; new files say so, too.
    let scaled = fields.or("scale_decoder_outputs", fields.or("tie_word_embeddings", true)?)?;
    make(fields, file, "relu", scaled)
}

/// The model of a checkpoint of mT5: T5 1.1 for many languages.
pub(crate) fn open_mt5(fields: &Fields, file: &Checkpoint) -> Result<T5> {
    make(fields, file, "gated-gelu", false)
}

fn make(fields: &Fields, file: &Checkpoint, feed_forward: &str, scaled: bool) -> Result<T5> {
    let pad = fields.or("pad_token_id", 0)?;
    let specials =
        Specials { pad, begin: fields.or("decoder_start_token_id", pad)?, end: fields.or("eos_token_id", 1)? };
    let layers = fields.or("num_layers", 6)?;
    let (gated, activation) = feed_forward_of(fields, feed_forward)?;
    let config = T5Config::new(fields.get("vocab_size")?, specials)
        .with_width(fields.or("d_model", 512)?)
        .with_inner(fields.or("d_ff", 2048)?)
        .with_heads(fields.or("num_heads", 8)?)
        .with_head_width(fields.or("d_kv", 64)?)
        .with_encoder_layers(layers)
        .with_decoder_layers(fields.or("num_decoder_layers", layers)?)
        .with_buckets(fields.or("relative_attention_num_buckets", 32)?)
        .with_max_distance(fields.or("relative_attention_max_distance", 128)?)
        .with_activation(activation)
        .with_gated(gated)
        .with_tied(!file.has("lm_head.weight"))
        .with_scaled(scaled)
        .with_epsilon(fields.or("layer_norm_epsilon", 1e-6)?);
    check_layers(fields, file, config.encoder_layers.saturating_add(config.decoder_layers))?;
    let (encoder_inner, decoder_inner) = match gated {
        true => ("encoder.block.#.layer.1.DenseReluDense.wi_1", "decoder.block.#.layer.2.DenseReluDense.wi_1"),
        false => ("encoder.block.#.layer.1.DenseReluDense.wi", "decoder.block.#.layer.2.DenseReluDense.wi"),
    };
    let names = [
        ("embedding", Source::At(any_of(file, "", TABLES))),
        ("encoder.layers.#.feed_forward.inner", Source::At(encoder_inner)),
        ("decoder.layers.#.feed_forward.inner", Source::At(decoder_inner)),
    ];
    load(config.init(&Device::default())?, file, "", &[&names, NAMES].concat())
}

/// Whether there are gates, and what bends: `relu`, `gated-gelu` …
fn feed_forward_of(fields: &Fields, default: &str) -> Result<(bool, Activation)> {
    let given: String = fields.or("feed_forward_proj", default.to_owned())?;
    let (gated, activation) = match given.strip_prefix("gated-") {
        // The gated GELU of the T5s is the approximation.
        Some("gelu") => (true, "gelu_new"),
        Some(activation) => (true, activation),
        None => (false, &*given),
    };
    let activation = Activation::named(activation).map_err(|error| Error::Weights {
        path: fields.path().to_owned(),
        reason: format!("feed_forward_proj is {given:?}: {error}"),
    })?;
    Ok((gated, activation))
}

/// What the embedding is called; the first in files that were written carefully.
const TABLES: &[&str] = &["shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"];

const NAMES: Names = &[
    ("encoder.buckets", Source::At("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight")),
    ("encoder.layers.#.self_attention.norm", Source::At("encoder.block.#.layer.0.layer_norm")),
    ("encoder.layers.#.self_attention.heads.query", Source::At("encoder.block.#.layer.0.SelfAttention.q")),
    ("encoder.layers.#.self_attention.heads.key", Source::At("encoder.block.#.layer.0.SelfAttention.k")),
    ("encoder.layers.#.self_attention.heads.value", Source::At("encoder.block.#.layer.0.SelfAttention.v")),
    ("encoder.layers.#.self_attention.heads.output", Source::At("encoder.block.#.layer.0.SelfAttention.o")),
    ("encoder.layers.#.feed_forward.norm", Source::At("encoder.block.#.layer.1.layer_norm")),
    ("encoder.layers.#.feed_forward.gate", Source::At("encoder.block.#.layer.1.DenseReluDense.wi_0")),
    ("encoder.layers.#.feed_forward.outer", Source::At("encoder.block.#.layer.1.DenseReluDense.wo")),
    ("encoder.norm", Source::At("encoder.final_layer_norm")),
    ("decoder.buckets", Source::At("decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight")),
    ("decoder.layers.#.self_attention.norm", Source::At("decoder.block.#.layer.0.layer_norm")),
    ("decoder.layers.#.self_attention.heads.query", Source::At("decoder.block.#.layer.0.SelfAttention.q")),
    ("decoder.layers.#.self_attention.heads.key", Source::At("decoder.block.#.layer.0.SelfAttention.k")),
    ("decoder.layers.#.self_attention.heads.value", Source::At("decoder.block.#.layer.0.SelfAttention.v")),
    ("decoder.layers.#.self_attention.heads.output", Source::At("decoder.block.#.layer.0.SelfAttention.o")),
    ("decoder.layers.#.cross_attention.norm", Source::At("decoder.block.#.layer.1.layer_norm")),
    ("decoder.layers.#.cross_attention.heads.query", Source::At("decoder.block.#.layer.1.EncDecAttention.q")),
    ("decoder.layers.#.cross_attention.heads.key", Source::At("decoder.block.#.layer.1.EncDecAttention.k")),
    ("decoder.layers.#.cross_attention.heads.value", Source::At("decoder.block.#.layer.1.EncDecAttention.v")),
    ("decoder.layers.#.cross_attention.heads.output", Source::At("decoder.block.#.layer.1.EncDecAttention.o")),
    ("decoder.layers.#.feed_forward.norm", Source::At("decoder.block.#.layer.2.layer_norm")),
    ("decoder.layers.#.feed_forward.gate", Source::At("decoder.block.#.layer.2.DenseReluDense.wi_0")),
    ("decoder.layers.#.feed_forward.outer", Source::At("decoder.block.#.layer.2.DenseReluDense.wo")),
    ("decoder.norm", Source::At("decoder.final_layer_norm")),
    ("head", Source::At("lm_head.weight")),
];
