//! The layers of a Transformer's two halves: attention and a small network, each with a residual sum and a norm around it.
//!
//! Vaswani et al. 2017, arXiv:1706.03762. The original, BART and Marian are made of them; what differs is in [`Residual`].

use burn::module::Module;
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};
use regard::attention::{MultiHeadAttention, MultiHeadAttentionConfig};
use regard::{LayerNorm, LayerNormConfig, Linear, LinearConfig, Mode};

use crate::activation::Activation;
use crate::encoder_decoder::AttendAt;
use crate::error::Result;
use crate::translator::Site;

/// Where a layer normalises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// `norm(x + f(x))`, as in the paper.
    Post,
    /// `x + f(norm(x))`, and a norm at the end.
    Pre,
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

/// `W₂ f(W₁ x)`, `f` the rectifier in the paper.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// `[width, inner]`
    pub inner: Linear,
    /// `[inner, width]`
    pub outer: Linear,
}

/// What a layer's residual branches need to know.
#[derive(Clone, Copy)]
pub(crate) struct Residual<'a> {
    pub norm: Norm,
    pub activation: Activation,
    pub dropout: f32,
    pub mode: Mode<'a>,
}

impl EncoderLayer {
    pub(crate) fn new(attention: &MultiHeadAttentionConfig, inner: usize, device: &Device) -> Result<Self> {
        let norm = || LayerNormConfig::new(attention.width).init(device);
        Ok(EncoderLayer {
            self_attention: attention.init(device)?,
            self_attention_norm: norm(),
            feed_forward: FeedForward::new(attention.width, inner, device),
            feed_forward_norm: norm(),
        })
    }

    pub(crate) fn forward(&self, x: Tensor<3>, residual: Residual, attend: &mut AttendAt) -> Result<Tensor<3>> {
        let x =
            residual.around(&self.self_attention_norm, x, |x| attend(Site::EncoderSelf, &self.self_attention, x))?;
        residual.around(&self.feed_forward_norm, x, |x| Ok(self.feed_forward.forward(x, residual.activation)))
    }
}

impl DecoderLayer {
    pub(crate) fn new(attention: &MultiHeadAttentionConfig, inner: usize, device: &Device) -> Result<Self> {
        let norm = || LayerNormConfig::new(attention.width).init(device);
        Ok(DecoderLayer {
            self_attention: attention.init(device)?,
            self_attention_norm: norm(),
            cross_attention: attention.init(device)?,
            cross_attention_norm: norm(),
            feed_forward: FeedForward::new(attention.width, inner, device),
            feed_forward_norm: norm(),
        })
    }

    pub(crate) fn forward(&self, y: Tensor<3>, residual: Residual, attend: &mut AttendAt) -> Result<Tensor<3>> {
        let y =
            residual.around(&self.self_attention_norm, y, |y| attend(Site::DecoderSelf, &self.self_attention, y))?;
        let y = residual.around(&self.cross_attention_norm, y, |y| attend(Site::Cross, &self.cross_attention, y))?;
        residual.around(&self.feed_forward_norm, y, |y| Ok(self.feed_forward.forward(y, residual.activation)))
    }
}

impl FeedForward {
    fn new(width: usize, inner: usize, device: &Device) -> Self {
        let linear = |from, to| {
            LinearConfig::new(from, to).with_initializer(Some(Initializer::XavierUniform { gain: 1.0 })).init(device)
        };
        FeedForward { inner: linear(width, inner), outer: linear(inner, width) }
    }

    fn forward(&self, input: Tensor<3>, activation: Activation) -> Tensor<3> {
        self.outer.forward(activation.forward(self.inner.forward(input)))
    }
}

impl Residual<'_> {
    /// `norm(x + f(x))` or `x + f(norm(x))`.
    fn around(
        self,
        norm: &LayerNorm,
        input: Tensor<3>,
        function: impl FnOnce(Tensor<3>) -> Result<Tensor<3>>,
    ) -> Result<Tensor<3>> {
        let inside = match self.norm {
            Norm::Pre => norm.forward(input.clone()),
            Norm::Post => input.clone(),
        };
        let sum = input + self.mode.dropout(function(inside)?, self.dropout);
        Ok(match self.norm {
            Norm::Pre => sum,
            Norm::Post => norm.forward(sum),
        })
    }
}
