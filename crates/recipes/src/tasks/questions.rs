//! Questions over facts: somebody took a thing and went from place to place; where is the thing?
//!
//! Facts like those of bAbI's second task, "two supporting facts" (Weston et al. 2015, arXiv:1502.05698): "Ann took the ball",
//! "Ann went to the kitchen", "Bob went to the garden". A fact is stored by who or what it is about, and says who or where. The
//! answer takes two reads, from the thing to its holder and from the holder to a place, and of all places the last one counts, so
//! each key also says how long ago it was. Miller et al. 2016, arXiv:1606.03126, bags of words as there.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use regard::memory::{KeyValueMemory, KeyValueMemoryConfig};
use regard::{Linear, LinearConfig, Mode, Padding};
use regard_models::Result;

use super::{Example, Learner};
use crate::data::random::SplitMix64;

/// Symbols from 0.
pub const PEOPLE: usize = 4;
/// Symbols after the people.
pub const PLACES: usize = 6;
/// Symbols after the places.
pub const THINGS: usize = 2;
/// Facts of an example.
pub const FACTS: usize = 10;

/// First symbol of a place.
const PLACE: usize = PEOPLE;
/// First symbol of a thing.
const THING: usize = PLACE + PLACES;
/// First symbol of an age.
const AGE: usize = THING + THINGS;
const WORDS: usize = AGE + FACTS;
const WIDTH: usize = 32;

/// Facts from the first to the last, what they are about and what they say of it in turn, and then a thing; the answer is a
/// place, from 0.
pub fn example(random: &mut SplitMix64) -> Example {
    loop {
        // A person and a place, or a thing and a person.
        let mut facts: Vec<(usize, usize)> =
            (0..FACTS).map(|_| (random.below(PEOPLE), PLACE + random.below(PLACES))).collect();
        for (thing, fact) in random.shuffled(FACTS).into_iter().take(THINGS).enumerate() {
            facts[fact] = (THING + thing, random.below(PEOPLE));
        }
        let asked = THING + random.below(THINGS);
        let said = |about: usize| facts.iter().rfind(|fact| fact.0 == about).map(|fact| fact.1);
        // Nobody can say where somebody is who has not been seen.
        let Some(place) = said(asked).and_then(said) else { continue };
        let words = facts.iter().flat_map(|&(about, says)| [about as u32, says as u32]);
        return Example { given: words.chain([asked as u32]).collect(), answers: vec![(place - PLACE) as u32] };
    }
}

/// A memory of facts, and a layer that says where.
#[derive(Module, Debug)]
pub(crate) struct Answerer {
    memory: KeyValueMemory,
    output: Linear,
}

impl Answerer {
    /// # Errors
    /// Never: the sizes fit.
    pub(crate) fn new(device: &Device) -> Result<Self> {
        let memory = KeyValueMemoryConfig::new(WORDS, WIDTH).init(device)?;
        Ok(Answerer { memory, output: LinearConfig::new(WIDTH, PLACES).with_bias(false).init(device) })
    }
}

impl Learner for Answerer {
    fn answer(&self, examples: &[Example], _: Mode) -> Result<Tensor<2>> {
        let device = self.output.weight.val().device().inner();
        let [mut keys, mut values] = [0, 1].map(|_| vec![0.0f32; examples.len() * FACTS * WORDS]);
        let mut questions = vec![0.0f32; examples.len() * WORDS];
        for (row, example) in examples.iter().enumerate() {
            for fact in 0..FACTS {
                let at = (row * FACTS + fact) * WORDS;
                keys[at + example.given[2 * fact] as usize] = 1.0;
                keys[at + AGE + (FACTS - 1 - fact)] = 1.0;
                values[at + example.given[2 * fact + 1] as usize] = 1.0;
            }
            questions[row * WORDS + example.given[2 * FACTS] as usize] = 1.0;
        }
        let tensor = |words: Vec<f32>, count| {
            Tensor::<3>::from_data(TensorData::new(words, [examples.len(), count, WORDS]), &device)
        };
        let all = Padding::new(vec![FACTS; examples.len()]);
        let answer = self.memory.forward(tensor(questions, 1), tensor(keys, FACTS), tensor(values, FACTS), all)?;
        Ok(self.output.forward(answer.state.squeeze_dim::<2>(1)))
    }
}
