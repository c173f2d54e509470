//! LSTM over an attended sequence: each step weights the whole input by its state and feeds the weighted input on.
//!
//! `e_tj = score(h_{t-1}, x_j)`, `c_t = Σ_j softmax(e_t)_j · x_j`, `h_t = LSTM(c_t, h_{t-1})`. The score is additive,
//! `v · tanh(W [h; x_j])`, or multiplicative, `hᵀ W x_j`. Fed back like this it is the process block of Vinyals, Bengio &
//! Kudlur, "Order Matters: Sequence to Sequence for Sets", ICLR 2016, arXiv:1511.06391; weighting an LSTM's input by additive
//! attention became known through Wang, Huang, Zhu & Zhao, "Attention-based LSTM for Aspect-level Sentiment Classification",
//! EMNLP 2016, who look once. The cell is Hochreiter & Schmidhuber 1997 with Gers's forget gate.
//!
//! Time O(steps·(S·a + h²)), memory O(S·a); each look is fused, steps follow one another. Reach for it when a few steps
//! must gather evidence from anywhere in a sequence; a Transformer trains faster where steps need not wait.

use burn::config::Config;
use burn::module::Module;
use burn::nn::Initializer;
use burn::tensor::activation::{sigmoid, tanh};
use burn::tensor::{Device, Tensor};
use regard_kernel::Mask;

use super::{expect, expect_width, positive};
use crate::attention::{AdditiveAttention, AdditiveAttentionConfig, GeneralAttention, GeneralAttentionConfig, Look};
use crate::catalogue::{Card, Family};
use crate::error::Result;
use crate::ops;
use crate::projection::{Linear, LinearConfig};

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "LstmAttention",
    family: Family::Memory,
    sentence: "Each step of an LSTM weights the whole input by its state and takes the weighted input.",
    equation: "c_t = Σ_j softmax_j(score(h_{t-1}, x_j)) · x_j; h_t = LSTM(c_t, h_{t-1})",
    paper: "Vinyals et al. 2016 (ICLR), arXiv:1511.06391; Wang et al. 2016 (EMNLP), aclanthology.org/D16-1058",
    cost: "time O(steps·(S·a + h²)), memory O(S·a); each look fused, steps in turn",
    when: "A few steps that gather evidence from anywhere. Slow where steps need not wait for each other.",
};

/// How the state is compared with the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Match {
    /// `v · tanh(W [h; x])`
    Additive,
    /// `hᵀ W x`
    Multiplicative,
}

/// Configuration of [`LstmAttention`].
#[derive(Config, Debug)]
pub struct LstmAttentionConfig {
    /// Features of the input.
    pub input_width: usize,
    /// Features of the state.
    pub width: usize,
    /// How they are compared.
    #[config(default = "Match::Additive")]
    pub matching: Match,
}

/// The score's weights.
#[allow(clippy::large_enum_variant, reason = "there is one a layer, and it seldom moves")]
#[derive(Module, Debug)]
pub enum Matching {
    /// A hidden layer as wide as the state.
    Additive(AdditiveAttention),
    /// One matrix.
    Multiplicative(GeneralAttention),
}

/// An LSTM that attends to its input at every step.
#[derive(Module, Debug)]
pub struct LstmAttention {
    /// The score.
    pub matching: Matching,
    /// `[input width, 4 · width]`, with the cell's biases; gates in the order input, forget, cell, output.
    pub input: Linear,
    /// `[width, 4 · width]`
    pub hidden: Linear,
}

/// State and cell, both `[batch, width]`.
#[derive(Debug, Clone)]
pub struct LstmState {
    /// `h`
    pub hidden: Tensor<2>,
    /// The cell.
    pub cell: Tensor<2>,
}

impl LstmAttentionConfig {
    /// Random weights: the score's as [`AdditiveAttentionConfig`] and [`GeneralAttentionConfig`] have it, the cell's
    /// uniform within 1/√width, as in PyTorch.
    ///
    /// # Errors
    /// When a width is 0.
    pub fn init(&self, device: &Device) -> Result<LstmAttention> {
        positive("input_width", self.input_width)?;
        positive("width", self.width)?;
        let bound = (self.width as f64).powf(-0.5);
        let linear = |from, bias| {
            let initializer = Initializer::Uniform { min: -bound, max: bound };
            LinearConfig::new(from, 4 * self.width).with_bias(bias).with_initializer(Some(initializer)).init(device)
        };
        let matching = match self.matching {
            Match::Additive => {
                Matching::Additive(AdditiveAttentionConfig::new(self.width, self.input_width, self.width).init(device))
            }
            Match::Multiplicative => {
                Matching::Multiplicative(GeneralAttentionConfig::new(self.width, self.input_width).init(device))
            }
        };
        Ok(LstmAttention { matching, input: linear(self.input_width, true), hidden: linear(self.width, false) })
    }
}

impl LstmAttention {
    /// `steps` looks at `input [batch, position, input width]`, starting from `state` (zeros if not given) → the states
    /// `[batch, step, width]`, the last state, and where each step looked.
    ///
    /// # Errors
    /// When `steps` is 0 or the shapes do not fit each other, the layer or the mask.
    pub fn forward(
        &self,
        input: Tensor<3>,
        steps: usize,
        state: Option<LstmState>,
        mask: impl Mask + Clone + 'static,
    ) -> Result<(Tensor<3>, LstmState, Vec<Look>)> {
        positive("steps", steps)?;
        expect_width("input", input.dims(), self.input.weight.dims()[0])?;
        let shape = [input.dims()[0], self.hidden.weight.dims()[0]];
        let mut state = state.unwrap_or_else(|| {
            let zeros = Tensor::zeros(shape, &ops::constants(&input.device()));
            LstmState { hidden: zeros.clone(), cell: zeros }
        });
        expect("state", state.hidden.dims(), shape)?;
        expect("cell", state.cell.dims(), shape)?;
        let projected = match &self.matching {
            Matching::Additive(score) => score.project(input.clone()),
            Matching::Multiplicative(score) => score.project(input.clone()),
        };
        let (mut states, mut looks) = (Vec::with_capacity(steps), Vec::with_capacity(steps));
        for _ in 0..steps {
            let query = state.hidden.clone().unsqueeze_dim(1);
            let (projected, input, mask) = (projected.clone(), input.clone(), mask.clone());
            let (context, look) = match &self.matching {
                Matching::Additive(score) => score.forward(query, projected, input, mask)?,
                Matching::Multiplicative(score) => score.forward(query, projected, input, mask)?,
            };
            state = self.cell(context.squeeze_dim(1), state);
            states.push(state.hidden.clone());
            looks.push(look);
        }
        Ok((Tensor::stack(states, 1), state, looks))
    }

    fn cell(&self, input: Tensor<2>, state: LstmState) -> LstmState {
        let width = state.cell.dims()[1];
        let gates = self.input.forward(input) + self.hidden.forward(state.hidden);
        let gate = |which: usize| gates.clone().narrow(1, which * width, width);
        let cell = sigmoid(gate(1)) * state.cell + sigmoid(gate(0)) * tanh(gate(2));
        LstmState { hidden: sigmoid(gate(3)) * tanh(cell.clone()), cell }
    }
}
