//! A linear layer as a module over the fused operation: what makes queries, keys and values of states.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::{self, Initializer};
use burn::tensor::{Device, Tensor};

use crate::ops;

/// Configuration of [`Linear`].
#[derive(Config, Debug)]
pub struct LinearConfig {
    /// Features of the input.
    pub width: usize,
    /// Features of the output.
    pub features: usize,
    /// Whether there is a bias.
    #[config(default = true)]
    pub bias: bool,
    /// How weight and bias start; uniform within 1 / √width unless given.
    pub initializer: Option<Initializer>,
}

/// `y = x · W + b` over the last axis, with the kernel's matrix products.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[width, feature]`
    pub weight: Param<Tensor<2>>,
    /// `[feature]`
    pub bias: Option<Param<Tensor<1>>>,
}

impl LinearConfig {
    /// Random weights.
    pub fn init(&self, device: &Device) -> Linear {
        let mut config = nn::LinearConfig::new(self.width, self.features).with_bias(self.bias);
        if let Some(initializer) = self.initializer.clone() {
            config = config.with_initializer(initializer);
        }
        let nn::Linear { weight, bias } = config.init(device);
        Linear { weight, bias }
    }
}

impl Linear {
    /// Any shape whose last axis is the width.
    ///
    /// # Panics
    /// When it is not.
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        ops::linear(input, self.weight.val(), self.bias.as_ref().map(|bias| bias.val()))
    }
}
