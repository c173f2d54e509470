//! What `--preset` means: an architecture and how to train it.

use burn::tensor::Device;
use regard_models::{Decoding, Norm, Seq2Seq, Seq2SeqConfig, Specials, Transformer, TransformerConfig};
use serde::{Deserialize, Serialize};

use crate::data::tokenizer::{BOS, EOS, PAD};
use crate::error::{Error, Result};
use crate::optimizer::{AdamConfig, Schedule};

/// A network's configuration, as `config.json` keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "architecture", rename_all = "lowercase")]
pub enum Architecture {
    /// A Transformer.
    Transformer(TransformerConfig),
    /// A recurrent encoder–decoder.
    Seq2Seq(Seq2SeqConfig),
}

/// A network.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one of them in a program, never a list")]
pub enum Network {
    /// A Transformer.
    Transformer(Transformer),
    /// A recurrent encoder–decoder.
    Seq2Seq(Seq2Seq),
}

/// Runs the same generic code on whichever network it is.
macro_rules! with_network {
    ($network:expr, $model:ident => $body:expr) => {
        match $network {
            $crate::presets::Network::Transformer($model) => $body,
            $crate::presets::Network::Seq2Seq($model) => $body,
        }
    };
}
pub(crate) use with_network;

impl Architecture {
    /// The network, with random weights.
    ///
    /// # Errors
    /// When the configuration makes none.
    pub fn init(&self, device: &Device) -> Result<Network> {
        Ok(match self {
            Architecture::Transformer(config) => Network::Transformer(config.init(device)?),
            Architecture::Seq2Seq(config) => Network::Seq2Seq(config.init(device)?),
        })
    }

    /// Tokens of the vocabulary.
    pub fn vocabulary(&self) -> usize {
        match self {
            Architecture::Transformer(config) => config.vocabulary,
            Architecture::Seq2Seq(config) => config.vocabulary,
        }
    }
}

/// How to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Optimiser.
    pub adam: AdamConfig,
    /// Label smoothing.
    pub smoothing: f32,
    /// Steps in all.
    pub steps: u64,
    /// Target tokens of a batch, padding included.
    pub max_tokens: usize,
    /// Pairs with a longer side are left out.
    pub max_length: usize,
    /// Steps between validations, each of which writes a checkpoint.
    pub validate_every: u64,
    /// Parts of a batch that are worked on side by side; the bits of the result depend on it.
    pub shards: usize,
    /// Of weights, order, dropout and extra pairs.
    pub seed: u64,
    /// Extra pairs made of the training pairs (joined, or without the capital in front), as a share of those; 0 is none.
    #[serde(default)]
    pub augment: f32,
}

/// A named starting point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Transformer-Tiny of Wu et al. 2021, with its recipe for Multi30k.
    Tiny,
    /// The shipped translator.
    Small,
    /// Bahdanau's network, sized for a CPU.
    Bahdanau,
    /// Luong's network, sized for a CPU.
    Luong,
    /// Letters to phonemes.
    G2p,
}

impl Preset {
    /// All, by name.
    pub const ALL: [(&'static str, Preset); 5] = [
        ("tiny", Preset::Tiny),
        ("small", Preset::Small),
        ("bahdanau", Preset::Bahdanau),
        ("luong", Preset::Luong),
        ("g2p", Preset::G2p),
    ];

    /// The preset called `name`.
    ///
    /// # Errors
    /// Listing the names there are.
    pub fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == name);
        let known = Self::ALL.map(|(known, _)| known).join(", ");
        found.map(|(_, preset)| preset).ok_or_else(|| Error::option("preset", name, format!("one of {known}")))
    }

    /// Tokens of a vocabulary that is trained for it.
    pub fn vocabulary(self) -> usize {
        match self {
            Preset::Tiny => 10_000,
            _ => 6_000,
        }
    }

    /// The architecture over `vocabulary` tokens.
    pub fn architecture(self, vocabulary: usize) -> Architecture {
        let specials = Specials { pad: PAD, begin: BOS, end: EOS };
        let transformer = TransformerConfig::new(vocabulary, specials);
        let recurrent = |decoding| Architecture::Seq2Seq(Seq2SeqConfig::new(vocabulary, specials, decoding));
        match self {
            Preset::Tiny => Architecture::Transformer(
                transformer
                    .with_width(128)
                    .with_inner(256)
                    .with_heads(4)
                    .with_encoder_layers(4)
                    .with_decoder_layers(4)
                    // With the norm after each sublayer this step size never learns to look at the source: see RESULTS.md.
                    .with_norm(Norm::Pre)
                    .with_dropout(0.3),
            ),
            Preset::Small => Architecture::Transformer(
                transformer
                    .with_width(256)
                    .with_inner(768)
                    .with_heads(4)
                    .with_encoder_layers(3)
                    .with_decoder_layers(2)
                    .with_norm(Norm::Pre)
                    .with_dropout(0.1),
            ),
            Preset::G2p => Architecture::Transformer(
                transformer
                    .with_width(256)
                    .with_inner(512)
                    .with_heads(4)
                    .with_encoder_layers(3)
                    .with_decoder_layers(3)
                    .with_norm(Norm::Pre)
                    .with_dropout(0.1)
                    .with_longest(128),
            ),
            Preset::Bahdanau => recurrent(Decoding::Bahdanau),
            Preset::Luong => recurrent(Decoding::Luong),
        }
    }

    /// The recipe.
    pub fn training(self) -> Training {
        let adam = AdamConfig {
            rate: 0.005,
            warmup: 2000,
            schedule: Schedule::InverseSqrt,
            floor: 0.0,
            betas: (0.9, 0.98),
            epsilon: 1e-8,
            decay: 0.0,
            clip: 0.0,
            average: 0.998,
        };
        let tiny = Training {
            adam,
            smoothing: 0.1,
            steps: 8000,
            max_tokens: 4096,
            max_length: 256,
            validate_every: 250,
            shards: 2,
            seed: 1,
            augment: 0.0,
        };
        let cosine = AdamConfig { schedule: Schedule::Cosine, clip: 1.0, ..adam };
        match self {
            Preset::Tiny => tiny,
            Preset::Small => Training {
                adam: AdamConfig { rate: 0.002, warmup: 400, ..cosine },
                steps: 16_000,
                max_tokens: 2048,
                max_length: 64,
                augment: 0.6,
                ..tiny
            },
            Preset::G2p => Training {
                adam: AdamConfig { rate: 0.002, warmup: 800, ..cosine },
                steps: 9000,
                max_tokens: 2048,
                max_length: 64,
                ..tiny
            },
            Preset::Bahdanau | Preset::Luong => Training {
                adam: AdamConfig { rate: 0.002, warmup: 400, ..cosine },
                steps: 8000,
                max_tokens: 2048,
                max_length: 48,
                ..tiny
            },
        }
    }
}
