//! The Transformer: an encoder–decoder made of attention and small networks alone.
//!
//! Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arXiv:1706.03762. One embedding table serves source,
//! target and output (Press & Wolf 2017, arXiv:1608.05859). Layers normalise after their residual sum, as in the paper, or before
//! their function (Xiong et al. 2020, arXiv:2002.04745), which trains without warm-up trouble and then needs a last
//! norm on each stack.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use regard::attention::{Cache, MultiHeadAttention, MultiHeadAttentionConfig};
use regard::catalogue::{Card, Family};
use regard::position::sinusoidal;
use regard::{Attention, Causal, LayerNorm, LayerNormConfig, Linear, LinearConfig, Mode, Padding, ScaledDot};

use crate::error::{Error, Result};
use crate::padded::{Padded, id_tensor};
use crate::translator::{Classifier, Sight, Site, Specials, Translator, check_dropout, check_length, kept_rows};

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

/// Where a layer normalises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// `norm(x + f(x))`, as in the paper.
    Post,
    /// `x + f(norm(x))`, and a norm at the end.
    Pre,
}

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

/// Self attention, then a feed-forward network.
#[derive(Module, Debug)]
pub struct EncoderLayer {
    /// Source looks at source.
    pub self_attention: MultiHeadAttention,
    /// Its norm.
    pub self_attention_norm: LayerNorm,
    /// A position on its own.
    pub feed_forward: FeedForward,
    /// Its norm.
    pub feed_forward_norm: LayerNorm,
}

/// Self attention, cross attention, then a feed-forward network.
#[derive(Module, Debug)]
pub struct DecoderLayer {
    /// Target looks at earlier target.
    pub self_attention: MultiHeadAttention,
    /// Its norm.
    pub self_attention_norm: LayerNorm,
    /// Target looks at source.
    pub cross_attention: MultiHeadAttention,
    /// Its norm.
    pub cross_attention_norm: LayerNorm,
    /// A position on its own.
    pub feed_forward: FeedForward,
    /// Its norm.
    pub feed_forward_norm: LayerNorm,
}

/// `W₂ relu(W₁ x)`.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// `[width, inner]`
    pub inner: Linear,
    /// `[inner, width]`
    pub outer: Linear,
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
        let attention =
            || MultiHeadAttentionConfig::new(self.width, self.heads).with_dropout(self.attention_dropout).init(device);
        let norm = || LayerNormConfig::new(self.width).init(device);
        let encoder = (0..self.encoder_layers)
            .map(|_| {
                Ok(EncoderLayer {
                    self_attention: attention()?,
                    self_attention_norm: norm(),
                    feed_forward: FeedForward::new(self.width, self.inner, device),
                    feed_forward_norm: norm(),
                })
            })
            .collect::<Result<_>>()?;
        let decoder = (0..self.decoder_layers)
            .map(|_| {
                Ok(DecoderLayer {
                    self_attention: attention()?,
                    self_attention_norm: norm(),
                    cross_attention: attention()?,
                    cross_attention_norm: norm(),
                    feed_forward: FeedForward::new(self.width, self.inner, device),
                    feed_forward_norm: norm(),
                })
            })
            .collect::<Result<_>>()?;
        let scale = Initializer::Normal { mean: 0.0, std: (self.width as f64).powf(-0.5) };
        let last = || (self.norm == Norm::Pre).then(norm);
        Ok(Transformer {
            embedding: scale.init([self.vocabulary, self.width], device),
            encoder,
            decoder,
            encoder_norm: last(),
            decoder_norm: last(),
            config: self.clone(),
        })
    }
}

impl FeedForward {
    fn new(width: usize, inner: usize, device: &Device) -> Self {
        let linear = |from, to| {
            LinearConfig::new(from, to).with_initializer(Some(Initializer::XavierUniform { gain: 1.0 })).init(device)
        };
        FeedForward { inner: linear(width, inner), outer: linear(inner, width) }
    }

    fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        self.outer.forward(relu(self.inner.forward(input)))
    }
}

/// What a layer's residual branch needs to know.
#[derive(Clone, Copy)]
struct Residual<'a> {
    place: Norm,
    dropout: f32,
    mode: Mode<'a>,
}

impl Residual<'_> {
    /// `norm(x + f(x))` or `x + f(norm(x))`.
    fn around(
        self,
        norm: &LayerNorm,
        input: Tensor<3>,
        function: impl FnOnce(Tensor<3>) -> Result<Tensor<3>>,
    ) -> Result<Tensor<3>> {
        let inside = match self.place {
            Norm::Pre => norm.forward(input.clone()),
            Norm::Post => input.clone(),
        };
        let sum = input + self.mode.dropout(function(inside)?, self.dropout);
        Ok(match self.place {
            Norm::Pre => sum,
            Norm::Post => norm.forward(sum),
        })
    }
}

/// What decoding remembers: the target so far in each layer, and the source once.
#[derive(Debug, Clone)]
pub struct TransformerState {
    layers: Vec<LayerState>,
    lengths: Vec<usize>,
    position: usize,
}

#[derive(Debug, Clone)]
struct LayerState {
    past: Option<Cache>,
    source: Cache,
}

impl Transformer {
    /// The configuration that it was made with.
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }

    fn residual<'a>(&self, mode: Mode<'a>) -> Residual<'a> {
        Residual { place: self.config.norm, dropout: self.config.dropout, mode }
    }

    /// `√d · E[ids] + P`, dropped.
    fn embed(&self, ids: &[u32], shape: [usize; 2], start: usize, mode: Mode) -> Tensor<3> {
        let device = self.device();
        let width = self.config.width;
        let ids = id_tensor(ids, shape, &device);
        let tokens = burn::tensor::module::embedding(self.embedding.val(), ids) * (width as f64).sqrt();
        let positions = sinusoidal(start, shape[1], width, &device.inner());
        mode.dropout(tokens + positions.unsqueeze(), self.config.dropout)
    }

    fn encode(&self, source: &Padded, mode: Mode, mut sights: Option<&mut Vec<Sight>>) -> Result<Tensor<3>> {
        check_length("source", source.width(), self.config.longest)?;
        let attention = Attention::new(ScaledDot::default()).mask(Padding::new(source.lengths().to_vec()));
        let residual = self.residual(mode);
        let mut x = self.embed(source.ids(), [source.rows(), source.width()], 0, mode);
        for (layer, block) in self.encoder.iter().enumerate() {
            x = residual.around(&block.self_attention_norm, x, |x| {
                let out = block.self_attention.forward(x.clone(), x, &attention, mode)?;
                if let Some(sights) = sights.as_deref_mut() {
                    sights.push(Sight { site: Site::EncoderSelf, layer, looks: vec![out.look] });
                }
                Ok(out.output)
            })?;
            x = residual.around(&block.feed_forward_norm, x, |x| Ok(block.feed_forward.forward(x)))?;
        }
        Ok(self.encoder_norm.iter().fold(x, |x, norm| norm.forward(x)))
    }

    /// The last norm, and positions one below the other.
    fn finish(&self, states: Tensor<3>) -> Tensor<2> {
        let states = self.decoder_norm.iter().fold(states, |x, norm| norm.forward(x));
        let [rows, length, width] = states.dims();
        states.reshape([rows * length, width])
    }
}

impl Translator for Transformer {
    type State = TransformerState;

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

    fn states(
        &self,
        source: &Padded,
        target: &Padded,
        mode: Mode,
        mut sights: Option<&mut Vec<Sight>>,
    ) -> Result<Tensor<2>> {
        check_length("target", target.width(), self.config.longest)?;
        let memory = self.encode(source, mode, sights.as_deref_mut())?;
        let causal = Attention::new(ScaledDot::default()).mask(Causal::default());
        let cross = Attention::new(ScaledDot::default()).mask(Padding::new(source.lengths().to_vec()));
        let residual = self.residual(mode);
        let mut note = |site, layer, look| {
            if let Some(sights) = sights.as_deref_mut() {
                sights.push(Sight { site, layer, looks: vec![look] });
            }
        };
        let mut y = self.embed(target.ids(), [target.rows(), target.width()], 0, mode);
        for (layer, block) in self.decoder.iter().enumerate() {
            y = residual.around(&block.self_attention_norm, y, |y| {
                let out = block.self_attention.forward(y.clone(), y, &causal, mode)?;
                note(Site::DecoderSelf, layer, out.look);
                Ok(out.output)
            })?;
            y = residual.around(&block.cross_attention_norm, y, |y| {
                let out = block.cross_attention.forward(y, memory.clone(), &cross, mode)?;
                note(Site::Cross, layer, out.look);
                Ok(out.output)
            })?;
            y = residual.around(&block.feed_forward_norm, y, |y| Ok(block.feed_forward.forward(y)))?;
        }
        Ok(self.finish(y))
    }

    fn classifier(&self) -> Classifier {
        Classifier { weight: self.embedding.val(), bias: None, cap: None, blocks: None }
    }

    fn start(&self, source: &Padded) -> Result<TransformerState> {
        let memory = self.encode(source, Mode::Evaluate, None)?;
        let layers = self
            .decoder
            .iter()
            .map(|block| {
                let (keys, values) = block.cross_attention.project(memory.clone());
                LayerState { past: None, source: Cache::new(keys, values) }
            })
            .collect();
        Ok(TransformerState { layers, lengths: source.lengths().to_vec(), position: 0 })
    }

    fn step(&self, tokens: &[u32], state: &mut TransformerState) -> Result<Tensor<2>> {
        check_length("target", state.position + 1, self.config.longest)?;
        // The cache holds the past alone, so nothing needs hiding.
        let past = Attention::new(ScaledDot::default());
        let cross = Attention::new(ScaledDot::default()).mask(Padding::new(state.lengths.clone()));
        let residual = self.residual(Mode::Evaluate);
        let mut y = self.embed(tokens, [tokens.len(), 1], state.position, Mode::Evaluate);
        for (block, layer) in self.decoder.iter().zip(&mut state.layers) {
            y = residual.around(&block.self_attention_norm, y, |y| {
                Ok(block.self_attention.decode(y, &mut layer.past, &past)?)
            })?;
            y = residual.around(&block.cross_attention_norm, y, |y| {
                let (keys, values) = (layer.source.keys(), layer.source.values());
                Ok(block.cross_attention.attend(y, keys, values, &cross, Mode::Evaluate)?.output)
            })?;
            y = residual.around(&block.feed_forward_norm, y, |y| Ok(block.feed_forward.forward(y)))?;
        }
        state.position += 1;
        Ok(self.classifier().scores(self.finish(y)))
    }

    fn select(&self, state: &mut TransformerState, rows: &[usize]) {
        let Some(index) = kept_rows(rows, state.lengths.len(), &self.device()) else { return };
        for layer in &mut state.layers {
            layer.source.select(index.clone());
            if let Some(past) = &mut layer.past {
                past.select(index.clone());
            }
        }
        state.lengths = rows.iter().map(|&row| state.lengths[row]).collect();
    }
}
