//! Associative recall: pairs of a key and a value are given, then one of the keys, and its value is to be said.
//!
//! Three mechanisms do it in ways of their own:
//! - **hopfield**: the key is pulled towards the stored pair that it resembles (Ramsauer et al. 2021, arXiv:2008.02217, who
//!   complete patterns of which a part is known);
//! - **lstm**: the key is the first state of an LSTM that looks at the pairs twice, as an aspect asks a sentence for what it says
//!   of it (Wang et al. 2016, aclanthology.org/D16-1058);
//! - **mega**: keys and values stand in one sequence, and a single layer without positions is to know which value followed which
//!   key. Only the average before its attention can tell. It stands in for the long sequences of Ma et al. 2023,
//!   arXiv:2209.10655.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use regard::memory::{Hopfield, HopfieldConfig, LstmAttention, LstmAttentionConfig, LstmState, MegaEma, MegaEmaConfig};
use regard::{Attention, Causal, Linear, LinearConfig, Mode, Padding, ScaledDot};
use regard_models::Result;

use super::learner::{look_up, symbols, table};
use super::{Example, Learner};
use crate::data::random::SplitMix64;

/// Pairs of an example.
pub const PAIRS: usize = 8;
/// Different keys; symbols from 0.
pub const KEYS: usize = 16;
/// Different values; symbols from [`KEYS`].
pub const VALUES: usize = 16;

const WIDTH: usize = 32;

/// Pairs of different keys, a key and its value in turn, and then a key; the answer is a value, from 0.
pub fn example(random: &mut SplitMix64) -> Example {
    let keys = &random.shuffled(KEYS)[..PAIRS];
    let values: Vec<usize> = (0..PAIRS).map(|_| random.below(VALUES)).collect();
    let asked = random.below(PAIRS);
    let pairs = keys.iter().zip(&values).flat_map(|(&key, &value)| [key as u32, (KEYS + value) as u32]);
    Example { given: pairs.chain([keys[asked] as u32]).collect(), answers: vec![values[asked] as u32] }
}

/// The pairs, key beside value, `[example, pair, 2 · width]`, and the key that is asked for, `[example, 1, width]`.
fn pairs(vectors: &Param<Tensor<2>>, examples: &[Example]) -> (Tensor<3>, Tensor<3>) {
    let device = vectors.val().device();
    let [keys, values] =
        [0, 1].map(|first| look_up(vectors, symbols(examples, (first..2 * PAIRS).step_by(2), &device)));
    let asked = look_up(vectors, symbols(examples, 2 * PAIRS..=2 * PAIRS, &device));
    (Tensor::cat(vec![keys, values], 2), asked)
}

/// All pairs of all examples.
fn whole(examples: &[Example]) -> Padding {
    Padding::new(vec![PAIRS; examples.len()])
}

/// Association of a key with pairs.
#[derive(Module, Debug)]
pub(crate) struct HopfieldRecall {
    vectors: Param<Tensor<2>>,
    association: Hopfield,
    output: Linear,
}

impl HopfieldRecall {
    /// # Errors
    /// Never: the sizes fit.
    pub(crate) fn new(device: &Device) -> Result<Self> {
        Ok(HopfieldRecall {
            vectors: table(KEYS + VALUES, WIDTH, device),
            association: HopfieldConfig::new(WIDTH, 2 * WIDTH, WIDTH, WIDTH).init(device)?,
            output: LinearConfig::new(WIDTH, VALUES).init(device),
        })
    }
}

impl Learner for HopfieldRecall {
    fn answer(&self, examples: &[Example], _: Mode) -> Result<Tensor<2>> {
        let (pairs, asked) = pairs(&self.vectors, examples);
        let (found, _) = self.association.forward(asked, pairs, whole(examples))?;
        Ok(self.output.forward(found.squeeze_dim::<2>(1)))
    }
}

/// An LSTM whose first state is the key.
#[derive(Module, Debug)]
pub(crate) struct LstmRecall {
    vectors: Param<Tensor<2>>,
    reader: LstmAttention,
    output: Linear,
}

impl LstmRecall {
    /// # Errors
    /// Never: the sizes fit.
    pub(crate) fn new(device: &Device) -> Result<Self> {
        Ok(LstmRecall {
            vectors: table(KEYS + VALUES, WIDTH, device),
            reader: LstmAttentionConfig::new(2 * WIDTH, WIDTH).init(device)?,
            output: LinearConfig::new(WIDTH, VALUES).init(device),
        })
    }
}

impl Learner for LstmRecall {
    fn answer(&self, examples: &[Example], _: Mode) -> Result<Tensor<2>> {
        let (pairs, asked) = pairs(&self.vectors, examples);
        let hidden: Tensor<2> = asked.squeeze_dim(1);
        let cell = Tensor::zeros(hidden.dims(), &hidden.device().inner());
        let (_, last, _) = self.reader.forward(pairs, 2, Some(LstmState { hidden, cell }), whole(examples))?;
        Ok(self.output.forward(last.hidden))
    }
}

/// One layer of Mega over the sequence.
#[derive(Module, Debug)]
pub(crate) struct MegaRecall {
    vectors: Param<Tensor<2>>,
    layer: MegaEma,
    output: Linear,
}

impl MegaRecall {
    /// # Errors
    /// Never: the sizes fit.
    pub(crate) fn new(device: &Device) -> Result<Self> {
        Ok(MegaRecall {
            vectors: table(KEYS + VALUES, WIDTH, device),
            layer: MegaEmaConfig::new(WIDTH).with_shared_width(WIDTH).with_averages(8).init(device)?,
            output: LinearConfig::new(WIDTH, VALUES).init(device),
        })
    }
}

impl Learner for MegaRecall {
    fn answer(&self, examples: &[Example], _: Mode) -> Result<Tensor<2>> {
        let device = self.vectors.val().device();
        let sequence = look_up(&self.vectors, symbols(examples, 0..=2 * PAIRS, &device));
        let attention = Attention::new(ScaledDot::default()).mask(Causal::default());
        let (states, _) = self.layer.forward(sequence, &attention)?;
        Ok(self.output.forward(states.narrow(1, 2 * PAIRS, 1).squeeze_dim::<2>(1)))
    }
}
