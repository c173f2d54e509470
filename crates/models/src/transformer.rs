//! The Transformer: an encoder–decoder made of attention and small networks alone.
//!
//! Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arXiv:1706.03762. One embedding table serves source,
//! target and output (Press & Wolf 2017, arXiv:1608.05859). Layers normalise after their residual sum, as in the paper, or before
//! their function (Xiong et al. 2020, arXiv:2002.04745), which trains without warm-up trouble and then needs a last
//! norm on each stack.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};
use regard::attention::{MultiHeadAttention, MultiHeadAttentionConfig};
use regard::catalogue::{Card, Family};
use regard::position::sinusoidal;
use regard::{LayerNorm, LayerNormConfig, Mode};

use crate::activation::Activation;
use crate::encoder_decoder::{AttendAt, EncoderDecoder, Half};
use crate::error::{Error, Result};
use crate::layers::{DecoderLayer, EncoderLayer, Norm, Residual};
use crate::padded::embed;
use crate::translator::{Classifier, Specials, check_dropout};
use crate::weights::shuffled;

/// See the module's page.
pub const CARD: Card = Card {
    name: "Transformer",
    family: Family::Models,
    sentence: "An encoder-decoder made of attention and small networks alone.",
    equation: "decoder(y, encoder(x)); layer: x + attention(x), x + W₂ relu(W₁ x)",
    paper: "Vaswani et al. 2017, arXiv:1706.03762",
    cost: "time O(L²·d + L·d²) a layer, memory O(L·d)",
    when: "Sequence to sequence. `regard translate` runs one.",
};

/// Configuration of [`Transformer`].
#[derive(Config, Debug)]
pub struct TransformerConfig {
    /// Tokens, joint for source and target.
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
    /// Encoder layers.
    #[config(default = 6)]
    pub encoder_layers: usize,
    /// Decoder layers.
    #[config(default = 6)]
    pub decoder_layers: usize,
    /// Where layers normalise.
    #[config(default = "Norm::Post")]
    pub norm: Norm,
    /// Probability of dropping an embedding's or a residual's element.
    #[config(default = 0.1)]
    pub dropout: f32,
    /// Probability of dropping an attention weight.
    #[config(default = 0.0)]
    pub attention_dropout: f32,
    /// The longest source or target, special tokens included.
    #[config(default = 1024)]
    pub longest: usize,
}

/// An encoder–decoder Transformer.
#[derive(Module, Debug)]
pub struct Transformer {
    /// `[vocabulary, width]`, for source, target and output.
    pub embedding: Param<Tensor<2>>,
    /// Bottom to top.
    pub encoder: Vec<EncoderLayer>,
    /// Bottom to top.
    pub decoder: Vec<DecoderLayer>,
    /// Pre-norm only.
    pub encoder_norm: Option<LayerNorm>,
    /// Pre-norm only.
    pub decoder_norm: Option<LayerNorm>,
    #[module(skip)]
    config: TransformerConfig,
}

impl TransformerConfig {
    /// Random weights.
    ///
    /// # Errors
    /// When a number is zero, not a divisor or out of its range, or a special id is no token.
    pub fn init(&self, device: &Device) -> Result<Transformer> {
        self.specials.check(self.vocabulary)?;
        for (argument, given) in [("inner", self.inner), ("longest", self.longest)] {
            if given < 2 {
                return Err(Error::Config { argument, given: given.to_string(), expected: "at least 2".into() });
            }
        }
        check_dropout(self.dropout)?;
        let attention = MultiHeadAttentionConfig::new(self.width, self.heads).with_dropout(self.attention_dropout);
        let norm = || LayerNormConfig::new(self.width).init(device);
        let encoder = (0..self.encoder_layers).map(|_| EncoderLayer::new(&attention, self.inner, device));
        let decoder = (0..self.decoder_layers).map(|_| DecoderLayer::new(&attention, self.inner, device));
        let scale = Initializer::Normal { mean: 0.0, std: (self.width as f64).powf(-0.5) };
        let last = || (self.norm == Norm::Pre).then(norm);
        Ok(Transformer {
            embedding: scale.init([self.vocabulary, self.width], device),
            encoder: encoder.collect::<Result<_>>()?,
            decoder: decoder.collect::<Result<_>>()?,
            encoder_norm: last(),
            decoder_norm: last(),
            config: self.clone(),
        })
    }
}

impl Transformer {
    /// The configuration that it was made with.
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }
}

impl EncoderDecoder for Transformer {
    fn card(&self) -> Card {
        CARD
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

    /// `√d · E[ids] + P`, dropped.
    fn embed(&self, _half: Half, ids: &[u32], shape: [usize; 2], start: usize, mode: Mode) -> Result<Tensor<3>> {
        let width = self.config.width;
        let tokens = embed(&self.embedding, ids, shape) * (width as f64).sqrt();
        let positions = sinusoidal(start, shape[1], width, &EncoderDecoder::device(self).inner());
        Ok(mode.dropout(tokens + positions.unsqueeze(), self.config.dropout))
    }

    fn layer(&self, half: Half, layer: usize, x: Tensor<3>, mode: Mode, attend: &mut AttendAt) -> Result<Tensor<3>> {
        let TransformerConfig { norm, dropout, .. } = self.config;
        let residual = Residual { norm, activation: Activation::Relu, dropout, mode };
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
        Classifier { weight: self.embedding.val(), bias: None, cap: None, blocks: None }
    }

    fn shuffled(&self, seed: u64) -> Box<dyn EncoderDecoder> {
        Box::new(shuffled(self.clone(), seed))
    }
}
