//! Neural Turing machine memory: a controller reads and writes slots that it finds by content, by position, or both.
//!
//! A head asks with a key `k`, strength `β`, gate `g`, shift distribution `s` and sharpness `γ`:
//! `w^c = softmax(β · cos(k, M_i))`, `w^g = g·w^c + (1-g)·w_{t-1}`, `w̃_i = Σ_o s(o)·w^g_{i-o}` (around the ring),
//! `w_i ∝ w̃_i^γ`. Writing is `M_i ← M_i ∘ (1 - w_i e) + w_i a`, reading `r = Σ_i w_i M_i`.
//! Graves, Wayne & Danihelka, "Neural Turing Machines", 2014, arXiv:1410.5401.
//!
//! Time and memory O(N·M) a step for N slots of width M; composed. Reach for it to learn algorithms (copy, recall, sort)
//! and carry them to longer inputs; it is slow and fickle to train where attention over the input itself is possible.

use burn::config::Config;
use burn::module::Module;
use burn::nn::Initializer;
use burn::tensor::activation::{sigmoid, softmax, softplus, tanh};
use burn::tensor::{Device, Tensor};

use super::{expect, expect_width, positive};
use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};
use crate::ops;
use crate::projection::{Linear, LinearConfig};

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "NtmMemory",
    family: Family::Memory,
    sentence: "A controller reads, erases and adds to slots found by content, by position, or both.",
    equation: "w ∝ (s ⊛ (g·softmax(β·cos(k, M)) + (1-g)·w_{t-1}))^γ; M ← M∘(1 - w eᵀ) + w aᵀ; r = wᵀ M",
    paper: "Graves, Wayne & Danihelka 2014, arXiv:1410.5401",
    cost: "time and memory O(slots·width) a step; composed, a step after the other",
    when: "Algorithms that must carry to longer inputs. Fickle to train; attention over the input is easier.",
};

/// What empty memory holds: not 0, where the cosine has no direction (Collier & Beel 2018, arXiv:1807.08518).
const EMPTY: f32 = 1e-6;
/// Squared lengths and weights below this count as this.
const SMALLEST: f32 = 1e-12;

/// Configuration of [`NtmMemory`]; 128 slots of width 20 and shifts by one as in the paper.
#[derive(Config, Debug)]
pub struct NtmMemoryConfig {
    /// Features of the controller's state.
    pub controller_width: usize,
    /// `N`
    #[config(default = 128)]
    pub slots: usize,
    /// `M`
    #[config(default = 20)]
    pub width: usize,
    /// How far a head may move in a step, either way.
    #[config(default = 1)]
    pub shift: usize,
}

/// A memory with one head that writes and one that reads.
#[derive(Module, Debug)]
pub struct NtmMemory {
    /// From the controller to key, strength, gate, shifts (from -shift to shift) and sharpness of the head that reads.
    pub reader: Linear,
    /// The same of the head that writes, then what it erases and what it adds.
    pub writer: Linear,
    #[module(skip)]
    slots: usize,
    #[module(skip)]
    width: usize,
    #[module(skip)]
    shift: usize,
}

/// What the memory holds and where its heads are.
#[derive(Debug, Clone)]
pub struct NtmState {
    /// `[batch, slot, width]`
    pub memory: Tensor<3>,
    /// Weights of the last read, `[batch, slot]`.
    pub read: Tensor<2>,
    /// Weights of the last write, `[batch, slot]`.
    pub written: Tensor<2>,
}

impl NtmMemoryConfig {
    /// Random heads (Xavier).
    ///
    /// # Errors
    /// When there are no slots, they have no width, or a shift goes further than around the ring.
    pub fn init(&self, device: &Device) -> Result<NtmMemory> {
        positive("slots", self.slots)?;
        positive("width", self.width)?;
        if 2 * self.shift >= self.slots {
            return Err(Error::value("shift", self.shift, format!("less than half of the {} slots", self.slots)));
        }
        let address = self.width + 2 * self.shift + 4;
        let linear = |to| {
            let initializer = Initializer::XavierUniform { gain: 1.0 };
            LinearConfig::new(self.controller_width, to).with_initializer(Some(initializer)).init(device)
        };
        let (reader, writer) = (linear(address), linear(address + 2 * self.width));
        Ok(NtmMemory { reader, writer, slots: self.slots, width: self.width, shift: self.shift })
    }
}

impl NtmMemory {
    /// Empty memory, both heads at its first slot.
    pub fn start(&self, batch: usize, device: &Device) -> NtmState {
        let device = ops::constants(device);
        let first = Tensor::<2>::zeros([batch, self.slots], &device);
        let first = first.slice_assign([0..batch, 0..1], Tensor::ones([batch, 1], &device));
        let memory = Tensor::full([batch, self.slots, self.width], EMPTY, &device);
        NtmState { memory, read: first.clone(), written: first }
    }

    /// The controller's state `[batch, controller width]` writes, then reads → what was read, `[batch, width]`, and the
    /// state after.
    ///
    /// # Errors
    /// When the shapes do not fit each other or the memory.
    pub fn step(&self, controller: Tensor<2>, state: NtmState) -> Result<(Tensor<2>, NtmState)> {
        let batch = controller.dims()[0];
        expect_width("controller", controller.dims(), self.reader.weight.dims()[0])?;
        expect("memory", state.memory.dims(), [batch, self.slots, self.width])?;
        expect("read", state.read.dims(), [batch, self.slots])?;
        expect("written", state.written.dims(), [batch, self.slots])?;

        let asked = self.writer.forward(controller.clone());
        let written = self.address(&asked, &state.memory, state.written);
        let address = self.width + 2 * self.shift + 4;
        let row = |from| asked.clone().narrow(1, from, self.width).unsqueeze_dim::<3>(1);
        let (erase, add) = (sigmoid(row(address)), tanh(row(address + self.width)));
        let column: Tensor<3> = written.clone().unsqueeze_dim(2);
        let memory = state.memory * (-(column.clone() * erase) + 1.0) + column * add;

        let asked = self.reader.forward(controller);
        let read = self.address(&asked, &memory, state.read);
        let row: Tensor<3> = read.clone().unsqueeze_dim(1);
        Ok((row.matmul(memory.clone()).squeeze_dim(1), NtmState { memory, read, written }))
    }

    /// The weights `[batch, slot]` of a head that asks for `asked`.
    fn address(&self, asked: &Tensor<2>, memory: &Tensor<3>, before: Tensor<2>) -> Tensor<2> {
        let (width, shifts) = (self.width, 2 * self.shift + 1);
        let part = |from, count| asked.clone().narrow(1, from, count);
        let key: Tensor<3> = part(0, width).unsqueeze_dim(2);
        let strength = softplus(part(width, 1), 1.0);
        let gate = sigmoid(part(width + 1, 1));
        let shift = softmax(part(width + 2, shifts), 1);
        let sharpness = softplus(part(width + 2 + shifts, 1), 1.0) + 1.0;

        let length = |vectors: Tensor<3>, axis: usize| (vectors.square().sum_dim(axis) + SMALLEST).sqrt();
        let cosine = memory.clone().matmul(key.clone()) / (length(memory.clone(), 2) * length(key, 1));
        let content = softmax(cosine.squeeze_dim::<2>(2) * strength, 1);
        let gated = content * gate.clone() + before * (-gate + 1.0);
        let turned = (0..shifts).map(|which| {
            let by = which as isize - self.shift as isize;
            around(gated.clone(), by) * shift.clone().narrow(1, which, 1)
        });
        let moved = turned.reduce(|sum, next| sum + next).expect("there is at least the shift by 0");
        // w^γ / Σ w^γ
        softmax(moved.clamp_min(SMALLEST).log() * sharpness, 1)
    }
}

/// Each row turned so that slot `i` moves to `i + by`, around the ring.
fn around(weights: Tensor<2>, by: isize) -> Tensor<2> {
    let slots = weights.dims()[1];
    let by = by.rem_euclid(slots as isize) as usize;
    if by == 0 {
        return weights;
    }
    let (front, back) = (weights.clone().narrow(1, 0, slots - by), weights.narrow(1, slots - by, by));
    Tensor::cat(vec![back, front], 1)
}
