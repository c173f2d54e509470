//! What reads answers from an encoder's states: a token for a hidden place, a label for a text.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};
use regard::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::translator::Classifier;

/// Scores of every token for hidden places: `E · norm(f(W x)) + b`, E the embedding unless the head has a table of its own.
#[derive(Module, Debug)]
pub struct TokenHead {
    /// `[width, embedded]`
    pub dense: Linear,
    /// Behind the activation.
    pub norm: LayerNorm,
    /// `[vocabulary, embedded]`, when it is not the embedding.
    pub head: Option<Param<Tensor<2>>>,
    /// `[vocabulary]`
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    activation: Activation,
}

/// What a [`TokenHead`] is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenHeadConfig {
    /// Between the linear layer and the norm.
    pub activation: Activation,
    /// Whether it reads with the embedding.
    pub tied: bool,
}

/// Scores of the labels that a text may have, read from its first state: `W₂ f(W₁ x₁)`.
#[derive(Module, Debug)]
pub struct LabelHead {
    /// `[width, width]`; what some families call the pooler.
    pub dense: Linear,
    /// `[width, label]`
    pub output: Linear,
    #[module(skip)]
    activation: Activation,
}

/// What a [`LabelHead`] is made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelHeadConfig {
    /// Between the linear layers.
    pub activation: Activation,
    /// What the labels are called.
    pub names: Vec<String>,
}

impl TokenHeadConfig {
    /// Random weights: normal, 0.02.
    pub(crate) fn init(self, [width, embedded, vocabulary]: [usize; 3], epsilon: f32, device: &Device) -> TokenHead {
        TokenHead {
            dense: linear(width, embedded, device),
            norm: LayerNormConfig::new(embedded).with_epsilon(epsilon).init(device),
            head: (!self.tied).then(|| normal().init([vocabulary, embedded], device)),
            bias: Initializer::Zeros.init([vocabulary], device),
            activation: self.activation,
        }
    }
}

impl TokenHead {
    /// `[position, width]` → `[position, vocabulary]`.
    pub(crate) fn forward(&self, states: Tensor<2>, embedding: &Param<Tensor<2>>) -> Tensor<2> {
        let states = self.norm.forward(self.activation.forward(self.dense.forward(states)));
        let table = self.head.as_ref().unwrap_or(embedding);
        Classifier { weight: table.val(), bias: Some(self.bias.val()), cap: None }.scores(states)
    }
}

impl LabelHeadConfig {
    /// Random weights: normal, 0.02.
    pub(crate) fn init(&self, width: usize, device: &Device) -> LabelHead {
        LabelHead {
            dense: linear(width, width, device),
            output: linear(width, self.names.len(), device),
            activation: self.activation,
        }
    }
}

impl LabelHead {
    /// `[row, position, width]` → `[row, label]`.
    pub(crate) fn forward(&self, states: Tensor<3>) -> Tensor<2> {
        let first = states.slice_dim(1, 0..1).squeeze_dim(1);
        self.output.forward(self.activation.forward(self.dense.forward(first)))
    }
}

pub(crate) fn normal() -> Initializer {
    Initializer::Normal { mean: 0.0, std: 0.02 }
}

pub(crate) fn linear(from: usize, to: usize, device: &Device) -> Linear {
    LinearConfig::new(from, to).with_initializer(Some(normal())).init(device)
}
