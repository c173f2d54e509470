//! The bends between the linear layers of feed-forward networks.

use burn::tensor::Tensor;
use burn::tensor::activation::{relu, sigmoid, tanh};
use regard::ops::activate;
use regard::rows::Activation as Fused;
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
            Activation::Gelu => activate(Fused::Gelu, x, None),
            Activation::GeluTanh => activate(Fused::GeluTanh, x, None),
            Activation::Silu => activate(Fused::Silu, x, None),
            Activation::GeluSigmoid => x.clone() * sigmoid(x * 1.702),
            Activation::Relu => relu(x),
            Activation::Tanh => tanh(x),
        }
    }

    /// As the gate of another tensor: `f(x) ∘ up`.
    pub fn gate<const D: usize>(self, x: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
        match self {
            Activation::Gelu => activate(Fused::Gelu, x, Some(up)),
            Activation::GeluTanh => activate(Fused::GeluTanh, x, Some(up)),
            Activation::Silu => activate(Fused::Silu, x, Some(up)),
            Activation::GeluSigmoid | Activation::Relu | Activation::Tanh => self.forward(x) * up,
        }
    }
}
