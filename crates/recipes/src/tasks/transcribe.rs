//! Writing down sounds that last for one to three frames each, and that come again: which one is next can only be told from where
//! the last one was.
//!
//! What speech asks of a decoder, without the speech. Chorowski et al. 2015, arXiv:1506.07503, whose attention that knows content
//! alone confuses a sound with the same sound elsewhere. The question is the sound just written, and a memory position is a frame
//! and knows nothing of its place.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use regard::memory::{LocationAware, LocationAwareConfig};
use regard::{Linear, LinearConfig, Mode};
use regard_models::Result;

use super::learner::{look_up, symbols, table};
use super::{Example, Learner};
use crate::data::random::SplitMix64;

/// Different sounds.
pub const SOUNDS: usize = 4;
/// Sounds of an example.
pub const SAID: usize = 8;
/// Frames of an example.
pub const FRAMES: usize = 16;
/// Frames of the longest sound.
pub const LONGEST: usize = 3;

const WIDTH: usize = 32;

/// Frames, and the sounds they are of; a sound differs from the one before it.
pub fn example(random: &mut SplitMix64) -> Example {
    let mut lengths = [1; SAID];
    let mut left = FRAMES - SAID;
    while left > 0 {
        let length = &mut lengths[random.below(SAID)];
        if *length < LONGEST {
            *length += 1;
            left -= 1;
        }
    }
    let mut answers: Vec<u32> = Vec::with_capacity(SAID);
    for _ in 0..SAID {
        let next = match answers.last() {
            Some(&last) => (last as usize + 1 + random.below(SOUNDS - 1)) % SOUNDS,
            None => random.below(SOUNDS),
        };
        answers.push(next as u32);
    }
    let frames = answers.iter().zip(lengths).flat_map(|(&sound, length)| std::iter::repeat_n(sound, length));
    Example { given: frames.collect(), answers }
}

/// A look a sound, from the frame last looked at.
#[derive(Module, Debug)]
pub(crate) struct Transcriber {
    frames: Param<Tensor<2>>,
    /// The sound just written; the last row, that there is none yet.
    written: Param<Tensor<2>>,
    attention: LocationAware,
    output: Linear,
    /// Whether it knows where it looked before.
    #[module(skip)]
    aware: bool,
}

impl Transcriber {
    /// `aware`, or with the same weights and nothing but content.
    ///
    /// # Errors
    /// Never: the sizes fit.
    pub(crate) fn new(aware: bool, device: &Device) -> Result<Self> {
        let attention = LocationAwareConfig::new(WIDTH, WIDTH, WIDTH).with_filters(8).with_reach(2 * LONGEST + 1);
        Ok(Transcriber {
            frames: table(SOUNDS, WIDTH, device),
            written: table(SOUNDS + 1, WIDTH, device),
            attention: attention.init(device)?,
            output: LinearConfig::new(WIDTH, SOUNDS).init(device),
            aware,
        })
    }
}

impl Learner for Transcriber {
    fn answer(&self, examples: &[Example], _: Mode) -> Result<Tensor<2>> {
        let device = self.frames.val().device();
        let frames = look_up(&self.frames, symbols(examples, 0..FRAMES, &device));
        let projected = self.attention.project(frames.clone());
        let before = |step: usize| {
            examples.iter().map(move |example| match step.checked_sub(1) {
                Some(before) => i64::from(example.answers[before]),
                None => SOUNDS as i64,
            })
        };
        let (mut weights, mut contexts) = (None, Vec::with_capacity(SAID));
        for step in 0..SAID {
            let written = TensorData::new(before(step).collect::<Vec<i64>>(), [examples.len(), 1]);
            let query = look_up(&self.written, Tensor::from_data(written, &device)).squeeze_dim(1);
            let (context, looked) = self.attention.forward(query, projected.clone(), frames.clone(), weights, None)?;
            weights = self.aware.then_some(looked);
            contexts.push(context);
        }
        let contexts = Tensor::stack::<3>(contexts, 1).reshape([examples.len() * SAID, WIDTH]);
        Ok(self.output.forward(contexts))
    }
}
