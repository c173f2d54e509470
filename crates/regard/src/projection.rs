//! A linear layer as a module over the fused operation: what makes queries, keys and values of states.

use std::sync::Arc;

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::{self, Initializer};
use burn::tensor::{DType, Device, Tensor};
use regard_kernel::rows::{Quantized, Weight};

use crate::error::{Error, Result};
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
///
/// The weight is used as it is stored: f32, f16 or bf16, and in either direction; `tensor.transpose()` of a tensor
/// `[feature, width]` is not copied. [`Linear::quantized`] rounds it to 8 bits.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[width, feature]`. Where the layer has blocks instead, a tensor of this shape that holds nothing but NaN and takes no
    /// memory.
    pub weight: Param<Tensor<2>>,
    /// `[feature]`
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    blocks: Option<Arc<Quantized>>,
}

impl LinearConfig {
    /// Random weights.
    pub fn init(&self, device: &Device) -> Linear {
        let mut config = nn::LinearConfig::new(self.width, self.features).with_bias(self.bias);
        if let Some(initializer) = self.initializer.clone() {
            config = config.with_initializer(initializer);
        }
        let nn::Linear { weight, bias } = config.init(device);
        Linear { weight, bias, blocks: None }
    }
}

impl Linear {
    /// A layer whose weight is in blocks, as some files have it.
    ///
    /// # Errors
    /// When there is not one bias a feature.
    pub fn of_blocks(blocks: Arc<Quantized>, bias: Option<Param<Tensor<1>>>, device: &Device) -> Result<Self> {
        let [width, features] = blocks.sizes();
        if let Some(bias) = bias.as_ref().filter(|bias| bias.dims() != [features]) {
            return Err(Error::shape("bias", &bias.dims(), format!("[{features}], one a feature")));
        }
        let nothing = Tensor::<2>::full([1, 1], f32::NAN, device).expand([width, features]);
        Ok(Linear { weight: Param::from_tensor(nothing).set_require_grad(false), bias, blocks: Some(blocks) })
    }

    /// The same layer with its weight rounded to 8 bits in blocks of 32 that share a scale: about a quarter of the memory, and of
    /// the time that a token takes to generate. It cannot be trained or saved any more. See
    /// [`Quantized`](regard_kernel::rows::Quantized) for the error.
    ///
    /// # Errors
    /// When a weight is infinite or not a number.
    pub fn quantized(self) -> Result<Self> {
        if self.blocks.is_some() {
            return Ok(self);
        }
        let weight = self.weight.val();
        let [width, features] = weight.dims();
        let device = weight.device();
        let numbers = ops::numbers(weight.transpose().cast(DType::F32))?;
        let blocks = Quantized::new(&Weight::turned(&numbers, [width, features])?)?;
        Self::of_blocks(Arc::new(blocks), self.bias, &device)
    }

    /// Its weight in blocks, if it has been [`quantized`](Linear::quantized).
    pub fn blocks(&self) -> Option<&Arc<Quantized>> {
        self.blocks.as_ref()
    }

    /// Any shape whose last axis is the width.
    ///
    /// # Panics
    /// When it is not.
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let bias = self.bias.as_ref().map(|bias| bias.val());
        match &self.blocks {
            Some(blocks) => ops::quantized_linear(input, blocks.clone(), bias),
            None => ops::linear(input, self.weight.val(), bias),
        }
    }
}
