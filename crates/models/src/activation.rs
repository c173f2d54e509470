//! The bends between the linear layers of feed-forward networks.

use std::f64::consts::PI;

use burn::tensor::Tensor;
use burn::tensor::activation::{gelu, relu, sigmoid, silu, tanh};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A function of each feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// `x Φ(x)`, Φ the normal distribution. Hendrycks & Gimpel 2016, arXiv:1606.08415.
    Gelu,
    /// The same paper's approximation by tanh: GPT-2, Gemma, T5 1.1.
    GeluTanh,
    /// `x σ(1.702 x)`: the same paper's other approximation, in CLIP.
    GeluSigmoid,
    /// `max(x, 0)`.
    Relu,
    /// `x σ(x)`, also called swish: LLaMA, Marian. Ramachandran et al. 2017, arXiv:1710.05941.
    Silu,
    /// Hyperbolic tangent.
    Tanh,
}

/// What Hugging Face's configurations call them.
const NAMES: [(&str, Activation); 9] = [
    ("gelu", Activation::Gelu),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("quick_gelu", Activation::GeluSigmoid),
    ("relu", Activation::Relu),
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("tanh", Activation::Tanh),
];

impl Activation {
    /// By the name that it has in Hugging Face's configurations.
    ///
    /// # Errors
    /// When it has none of those known, which are listed.
    pub fn named(name: &str) -> Result<Self> {
        let known = NAMES.iter().find(|(known, _)| *known == name).map(|(_, activation)| *activation);
        known.ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            Error::Config { argument: "activation", given: format!("{name:?}"), expected: names.join(", ") }
        })
    }

    /// Of each element.
    pub fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Activation::Gelu => gelu(x),
            // x / 2 · (1 + tanh(√(2/π) (x + 0.044715 x³))), with 1 + tanh(u) = 2 σ(2u) and products for the cube.
            Activation::GeluTanh => {
                let scale = 2.0 * (2.0 / PI).sqrt();
                let square = x.clone() * x.clone();
                let gate = sigmoid(x.clone() * (square * (0.044_715 * scale) + scale));
                x * gate
            }
            Activation::GeluSigmoid => x.clone() * sigmoid(x * 1.702),
            Activation::Relu => relu(x),
            Activation::Silu => silu(x),
            Activation::Tanh => tanh(x),
        }
    }
}
