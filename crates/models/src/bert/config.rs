//! What a BERT, or a descendant, is made with.

use burn::config::Config;
use burn::tensor::Device;
use regard::LayerNormConfig;
use regard::attention::MultiHeadAttentionConfig;
use regard::sparse::LongformerConfig;
use serde::{Deserialize, Serialize};

use super::heads::{LabelHeadConfig, TokenHeadConfig, linear, normal};
use super::{Bert, BertLayer, CARD, SelfAttention};
use crate::activation::Activation;
use crate::bigbird::BlockSparse;
use crate::error::{Error, Result};

/// Configuration of [`Bert`]; the defaults are those of its base model.
#[derive(Config, Debug)]
pub struct BertConfig {
    /// Tokens.
    pub vocabulary: usize,
    /// Positions: the longest text.
    #[config(default = 512)]
    pub context: usize,
    /// Features of a position.
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
    /// Texts within a text that it tells apart; with 0 it knows of none (DistilBERT).
    #[config(default = 2)]
    pub segments: usize,
    /// Added to the variance before its root.
    #[config(default = 1e-12)]
    pub epsilon: f32,
    /// Of the feed-forward networks.
    #[config(default = "Activation::Gelu")]
    pub activation: Activation,
    /// Whether queries, keys and values have biases.
    #[config(default = true)]
    pub bias: bool,
    /// Features of a token before the first layer, to be mapped to `width`; already as many unless given (ALBERT).
    pub embedded: Option<usize>,
    /// Different layers, each of which is run several times; all are different unless given (ALBERT).
    pub distinct: Option<usize>,
    /// The token that fills up texts, where positions are counted from the number after it and this token has none (RoBERTa).
    pub pad: Option<u32>,
    /// Whether embeddings of tokens are multiplied by `√width` (BigBird).
    #[config(default = false)]
    pub rescaled: bool,
    /// Who sees whom.
    #[config(default = "Pattern::Full")]
    pub pattern: Pattern,
    /// The head for hidden tokens, if there is one.
    pub tokens: Option<TokenHeadConfig>,
    /// The head for labels, if there is one.
    pub labels: Option<LabelHeadConfig>,
}

/// Who sees whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pattern {
    /// Everybody all others.
    Full,
    /// Everybody a window, and some are global (Longformer).
    Windows {
        /// Positions to each side, for each of the different layers.
        reach: Vec<usize>,
        /// Positions that see all and are seen by all.
        global: Vec<usize>,
    },
    /// Blocks see some blocks, once a text is long enough (BigBird).
    Blocks(BlockSparse),
}

impl BertConfig {
    /// Random weights: normal, 0.02.
    ///
    /// # Errors
    /// When a number is zero, not a divisor or out of its range.
    pub fn init(&self, device: &Device) -> Result<Bert> {
        let wrong = |argument, given: String, expected: String| Err(Error::Config { argument, given, expected });
        let embedded = self.embedded.unwrap_or(self.width);
        let distinct = self.distinct.unwrap_or(self.layers);
        let sizes = [("vocabulary", self.vocabulary), ("context", self.context), ("inner", self.inner)];
        for (argument, given) in sizes.into_iter().chain([("layers", self.layers), ("embedded", embedded)]) {
            if given == 0 {
                return wrong(argument, "0".into(), "at least 1".into());
            }
        }
        if distinct == 0 || distinct > self.layers {
            return wrong("distinct", distinct.to_string(), format!("1 to the {} layers", self.layers));
        }
        if !(self.epsilon >= 0.0 && self.epsilon.is_finite()) {
            return wrong("epsilon", self.epsilon.to_string(), "a number of at least 0".into());
        }
        match &self.pattern {
            Pattern::Windows { reach, .. } if reach.len() != distinct => {
                return wrong("pattern", format!("{} windows", reach.len()), format!("{distinct}, one a layer"));
            }
            Pattern::Blocks(BlockSparse { block: 0, .. }) => {
                return wrong("pattern", "blocks of 0 positions".into(), "at least 1".into());
            }
            _ => {}
        }
        let norm = |width| LayerNormConfig::new(width).with_epsilon(self.epsilon).init(device);
        let layers = (0..distinct)
            .map(|layer| {
                Ok(BertLayer {
                    attention: self.attention(layer, device)?,
                    attention_norm: norm(self.width),
                    inner: linear(self.width, self.inner, device),
                    outer: linear(self.inner, self.width, device),
                    feed_forward_norm: norm(self.width),
                })
            })
            .collect::<Result<_>>()?;
        let table = |rows| normal().init([rows, embedded], device);
        let Some(positions) = self.context.checked_add(self.first_position() as usize) else {
            return wrong("context", self.context.to_string(), "so few that they can be counted".into());
        };
        let tokens = self.tokens.map(|head| head.init([self.width, embedded, self.vocabulary], self.epsilon, device));
        Ok(Bert {
            embedding: table(self.vocabulary),
            position_embedding: table(positions),
            segment_embedding: (self.segments > 0).then(|| table(self.segments)),
            norm: norm(embedded),
            mapping: self.embedded.map(|embedded| linear(embedded, self.width, device)),
            layers,
            tokens,
            labels: self.labels.as_ref().map(|head| head.init(self.width, device)),
            config: self.clone(),
            card: CARD,
        })
    }

    fn attention(&self, layer: usize, device: &Device) -> Result<SelfAttention> {
        Ok(match &self.pattern {
            Pattern::Windows { reach, .. } => SelfAttention::Window(
                LongformerConfig::new(self.width, self.heads).with_window(reach[layer]).init(device)?,
            ),
            _ => SelfAttention::Masked(
                MultiHeadAttentionConfig::new(self.width, self.heads)
                    .with_bias(self.bias)
                    .with_output_bias(Some(true))
                    .init(device)?,
            ),
        })
    }

    /// The row of the table of positions that the first of a text takes.
    fn first_position(&self) -> u64 {
        self.pad.map_or(0, |pad| u64::from(pad) + 1)
    }
}
