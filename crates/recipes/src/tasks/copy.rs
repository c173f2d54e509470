//! Repeating a sequence of random bytes: the task that Neural Turing machines are known for.
//!
//! Bytes are heard one by one, and then said in the same order, bit by bit. Graves, Wayne & Danihelka 2014, arXiv:1410.5401,
//! section 4.1. The controller is a layer without a state, so whatever is repeated has been through the memory.

use burn::module::Module;
use burn::tensor::activation::tanh;
use burn::tensor::{Device, Tensor, TensorData};
use regard::memory::{NtmMemory, NtmMemoryConfig};
use regard::{Linear, LinearConfig, Mode};
use regard_models::Result;

use super::{Example, Learner};
use crate::data::random::SplitMix64;

/// Bytes of the longest sequence.
pub const LONGEST: usize = 8;

const BITS: usize = 8;
const CONTROLLER: usize = 64;
const SLOTS: usize = 16;
const WIDTH: usize = 16;

/// Sequences of one length from 1 to [`LONGEST`]; an answer a bit, the lowest first.
pub fn examples(rows: usize, random: &mut SplitMix64) -> Vec<Example> {
    let length = 1 + random.below(LONGEST);
    let example = |_| {
        let given: Vec<u32> = (0..length).map(|_| random.below(256) as u32).collect();
        let answers = given.iter().flat_map(|&byte| bits(byte)).collect();
        Example { given, answers }
    };
    (0..rows).map(example).collect()
}

fn bits(byte: u32) -> impl Iterator<Item = u32> {
    (0..BITS).map(move |bit| (byte >> bit) & 1)
}

/// A layer that drives the memory, and one that reads bits from both.
#[derive(Module, Debug)]
pub(crate) struct Copier {
    controller: Linear,
    memory: NtmMemory,
    output: Linear,
}

impl Copier {
    /// # Errors
    /// Never: the sizes fit.
    pub(crate) fn new(device: &Device) -> Result<Self> {
        let memory = NtmMemoryConfig::new(CONTROLLER).with_slots(SLOTS).with_width(WIDTH).init(device)?;
        // Bits, and whether it is time to answer.
        let controller = LinearConfig::new(BITS + 1 + WIDTH, CONTROLLER).init(device);
        let output = LinearConfig::new(CONTROLLER + WIDTH, 2 * BITS).init(device);
        Ok(Copier { controller, memory, output })
    }
}

impl Learner for Copier {
    fn answer(&self, examples: &[Example], _: Mode) -> Result<Tensor<2>> {
        let (rows, length) = (examples.len(), examples.first().map_or(0, |example| example.given.len()));
        let device = self.output.weight.val().device().inner();
        let mut state = self.memory.start(rows, &device);
        let mut read = Tensor::<2>::zeros([rows, WIDTH], &device);
        let mut said = Vec::with_capacity(length);
        for step in 0..2 * length {
            let heard = examples.iter().flat_map(|example| match example.given.get(step) {
                Some(&byte) => bits(byte).chain([0]).map(|bit| bit as f32).collect::<Vec<_>>(),
                None => [vec![0.0; BITS], vec![1.0]].concat(),
            });
            let heard = TensorData::new(heard.collect::<Vec<f32>>(), [rows, BITS + 1]);
            let heard = Tensor::<2>::from_data(heard, &device);
            let controller = tanh(self.controller.forward(Tensor::cat(vec![heard, read], 1)));
            (read, state) = self.memory.step(controller.clone(), state)?;
            if step >= length {
                said.push(self.output.forward(Tensor::cat(vec![controller, read.clone()], 1)));
            }
        }
        Ok(Tensor::stack::<3>(said, 1).reshape([rows * length * BITS, 2]))
    }
}
