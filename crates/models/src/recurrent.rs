//! The gated recurrent unit, and a pair of them that read a sentence from both ends.
//!
//! `r = σ(W_r x + U_r h)`, `z = σ(W_z x + U_z h)`, `n = tanh(W_n x + r ∘ (U_n h))`, `h' = (1 - z) ∘ n + z ∘ h`, with
//! biases on every product. Cho et al. 2014, arXiv:1406.1078, with the reset gate after the product, as cuDNN and PyTorch have it.

use burn::module::Module;
use burn::nn::Initializer;
use burn::tensor::activation::{sigmoid, tanh};
use burn::tensor::{Device, Tensor, TensorData};

use regard::{Linear, LinearConfig};

use crate::padded::Padded;

/// One unit; the gates lie side by side in the order reset, update, new.
#[derive(Module, Debug)]
pub struct Gru {
    /// `[input, 3 · hidden]`
    pub input: Linear,
    /// `[hidden, 3 · hidden]`
    pub hidden: Linear,
}

impl Gru {
    pub(crate) fn new(input: usize, hidden: usize, device: &Device) -> Self {
        let bound = (hidden as f64).powf(-0.5);
        let linear = |from| {
            let initializer = Initializer::Uniform { min: -bound, max: bound };
            LinearConfig::new(from, 3 * hidden).with_initializer(Some(initializer)).init(device)
        };
        Gru { input: linear(input), hidden: linear(hidden) }
    }

    /// One step: `projected = W x + b` `[batch, 3 · hidden]` and the state `[batch, hidden]` → the next state.
    pub(crate) fn step(&self, projected: Tensor<2>, state: Tensor<2>) -> Tensor<2> {
        let width = state.dims()[1];
        let recurrent = self.hidden.forward(state.clone());
        let gate = |tensor: &Tensor<2>, which: usize| tensor.clone().narrow(1, which * width, width);
        let reset = sigmoid(gate(&projected, 0) + gate(&recurrent, 0));
        let update = sigmoid(gate(&projected, 1) + gate(&recurrent, 1));
        let new = tanh(gate(&projected, 2) + reset * gate(&recurrent, 2));
        new.clone() + update * (state - new)
    }
}

/// Reads forwards and backwards; each position knows what came before it and what comes after.
#[derive(Module, Debug)]
pub struct Bidirectional {
    /// From the first token.
    pub forward: Gru,
    /// From the last real token.
    pub backward: Gru,
}

impl Bidirectional {
    pub(crate) fn new(input: usize, hidden: usize, device: &Device) -> Self {
        Bidirectional { forward: Gru::new(input, hidden, device), backward: Gru::new(input, hidden, device) }
    }

    /// `embedded [batch, position, input]` → `[batch, position, 2 · hidden]`, and the backward state at the first token.
    /// What stands at padded positions is not meant to be read.
    pub(crate) fn read(&self, embedded: Tensor<3>, source: &Padded) -> (Tensor<3>, Tensor<2>) {
        let [rows, length, _] = embedded.dims();
        let device = embedded.device();
        let hidden = self.forward.hidden.weight.dims()[0];
        let zero = Tensor::<2>::zeros([rows, hidden], &device.clone().inner());
        let at = |projected: &Tensor<3>, position: usize| projected.clone().narrow(1, position, 1).squeeze_dim::<2>(1);

        let projected = self.forward.input.forward(embedded.clone());
        let mut state = zero.clone();
        let mut forwards = Vec::with_capacity(length);
        for position in 0..length {
            state = self.forward.step(at(&projected, position), state);
            forwards.push(state.clone());
        }

        let projected = self.backward.input.forward(embedded);
        let mut state = zero;
        let mut backwards = Vec::with_capacity(length);
        for position in (0..length).rev() {
            state = self.backward.step(at(&projected, position), state);
            if source.lengths().iter().any(|&length| position >= length) {
                // Nothing has been read yet where there is only padding.
                let real: Vec<f32> =
                    source.lengths().iter().map(|&length| if position < length { 1.0 } else { 0.0 }).collect();
                let real = Tensor::<2>::from_data(TensorData::new(real, [rows, 1]), &device.clone().inner());
                state = state * real;
            }
            backwards.push(state.clone());
        }
        backwards.reverse();
        let states = Tensor::cat(vec![Tensor::stack(forwards, 1), Tensor::stack(backwards, 1)], 2);
        (states, state)
    }
}
