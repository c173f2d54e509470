//! Normalisation of rows as modules over the fused operations: layer norm and the root-mean-square norm.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

use crate::ops;

/// Configuration of [`LayerNorm`].
#[derive(Config, Debug)]
pub struct LayerNormConfig {
    /// Features of a row.
    pub width: usize,
    /// Added to the variance.
    #[config(default = 1e-5)]
    pub epsilon: f32,
}

/// Rows are shifted and scaled to mean 0 and variance 1, then by what is learned.
/// Ba, Kiros & Hinton 2016, arXiv:1607.06450.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// The learned scale, `[width]`.
    pub weight: Param<Tensor<1>>,
    /// The learned shift, `[width]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    epsilon: f32,
}

impl LayerNormConfig {
    /// Scale 1 and shift 0.
    pub fn init(&self, device: &Device) -> LayerNorm {
        LayerNorm {
            weight: Initializer::Ones.init([self.width], device),
            bias: Initializer::Zeros.init([self.width], device),
            epsilon: self.epsilon,
        }
    }
}

impl LayerNorm {
    /// Any shape whose last axis is the width.
    ///
    /// # Panics
    /// When it is not.
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        ops::layer_norm(input, self.weight.val(), self.bias.val(), self.epsilon)
    }
}

/// Configuration of [`RmsNorm`].
#[derive(Config, Debug)]
pub struct RmsNormConfig {
    /// Features of a row.
    pub width: usize,
    /// Added to the mean square.
    #[config(default = 1e-6)]
    pub epsilon: f32,
}

/// Rows are scaled to a mean square of 1, then by what is learned; nothing is shifted.
/// Zhang & Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019, arXiv:1910.07467.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// The learned scale, `[width]`.
    pub weight: Param<Tensor<1>>,
    #[module(skip)]
    epsilon: f32,
}

impl RmsNormConfig {
    /// Scale 1.
    pub fn init(&self, device: &Device) -> RmsNorm {
        RmsNorm { weight: Initializer::Ones.init([self.width], device), epsilon: self.epsilon }
    }
}

impl RmsNorm {
    /// Any shape whose last axis is the width.
    ///
    /// # Panics
    /// When it is not.
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        ops::rms_norm(input, self.weight.val(), self.epsilon)
    }
}
