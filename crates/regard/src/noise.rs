//! How a pass runs: it evaluates, trains or is explained. Dropout is a function of where it happens, so that a run can stop, resume, or
//! be split without changing a bit.

use std::cell::Cell;

use burn::tensor::Tensor;

use crate::adapter;
use crate::error::Result;
use crate::stage::Stage;

/// A stream of seeds for one training step of one shard. Each place that drops something draws the next seed; the same
/// `seed` and the same order of layers give the same bits, whatever the number of threads.
#[derive(Debug)]
pub struct Noise {
    seed: u64,
    drawn: Cell<u64>,
}

impl Noise {
    /// The stream of a step. Give every (run, step, shard) its own seed.
    pub fn new(seed: u64) -> Self {
        Noise { seed, drawn: Cell::new(0) }
    }

    /// The next seed.
    pub fn draw(&self) -> u64 {
        let site = self.drawn.get();
        self.drawn.set(site + 1);
        mix(self.seed ^ mix(site))
    }
}

/// The finaliser of splitmix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number generators", 2014).
pub fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Whether a forward pass trains (and so drops), evaluates, or is explained.
#[derive(Debug, Clone, Copy)]
pub enum Mode<'a> {
    /// Nothing is dropped.
    Evaluate,
    /// Dropout draws its seeds here.
    Train(&'a Noise),
    /// Nothing is dropped; the stage keeps what passes, and changes it where it is told to.
    Explain(&'a Stage),
}

impl Mode<'_> {
    /// Zeroes each element with `probability` and scales the others by `1 / (1 - probability)`, when training.
    /// Srivastava et al., "Dropout", JMLR 2014.
    pub fn dropout<const D: usize>(self, input: Tensor<D>, probability: f32) -> Tensor<D> {
        match self {
            Mode::Train(noise) if probability > 0.0 => adapter::dropout(input, probability, noise.draw()),
            _ => input,
        }
    }

    /// What goes into the first layer of a stack, as the stage has it, if there is one.
    ///
    /// # Errors
    /// As [`Stage::enter`].
    pub fn enter(self, states: Tensor<3>) -> Result<Tensor<3>> {
        match self {
            Mode::Explain(stage) => stage.enter(states),
            Mode::Evaluate | Mode::Train(_) => Ok(states),
        }
    }
}
