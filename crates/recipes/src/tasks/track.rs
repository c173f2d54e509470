//! Staying with a place: at every step a glimpse says where something is, and more often than not it is wrong.
//!
//! What lies at the place is asked after the last glimpse, of which one says the right place with probability [`CLEAR`] and
//! otherwise any other. Whoever believes the last glimpse is right as often as it is; whoever keeps an average of where the
//! glimpses were is nearly always right. No paper shows it: the averaging of distributions has none that does.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};
use regard::memory::{EmaDistribution, EmaDistributionConfig};
use regard::{Linear, LinearConfig, Mode};
use regard_models::Result;

use super::learner::{look_up, symbols, table};
use super::{Example, Learner};
use crate::data::random::SplitMix64;

/// Places, each with a symbol.
pub const PLACES: usize = 8;
/// Different symbols.
pub const SYMBOLS: usize = 8;
/// Glimpses of an example.
pub const GLIMPSES: usize = 16;
/// Probability that a glimpse is right.
pub const CLEAR: f64 = 0.5;

const WIDTH: usize = 32;

/// The symbol at each place, and then the place that each glimpse says; the answer is a symbol.
pub fn example(random: &mut SplitMix64) -> Example {
    const PARTS: usize = 1 << 20;
    let symbols: Vec<u32> = (0..PLACES).map(|_| random.below(SYMBOLS) as u32).collect();
    let place = random.below(PLACES);
    let glimpses = (0..GLIMPSES).map(|_| {
        let clear = (random.below(PARTS) as f64) < CLEAR * PARTS as f64;
        let other = (place + 1 + random.below(PLACES - 1)) % PLACES;
        (if clear { place } else { other }) as u32
    });
    Example { answers: vec![symbols[place]], given: symbols.iter().copied().chain(glimpses).collect() }
}

/// Scores of places by glimpse, made weights one after the other.
#[derive(Module, Debug)]
pub(crate) struct Tracker {
    symbols: Param<Tensor<2>>,
    /// Also what a glimpse of the place looks like.
    places: Param<Tensor<2>>,
    /// None: the last glimpse counts alone.
    smoothing: Option<EmaDistribution>,
    output: Linear,
}

impl Tracker {
    /// `smoothed`, or by the last glimpse.
    ///
    /// # Errors
    /// Never: the numbers are in their ranges.
    pub(crate) fn new(smoothed: bool, device: &Device) -> Result<Self> {
        Ok(Tracker {
            symbols: table(SYMBOLS, WIDTH, device),
            places: Initializer::Normal { mean: 0.0, std: 1.0 }.init([PLACES, WIDTH], device),
            smoothing: if smoothed { Some(EmaDistributionConfig::new().init(device)?) } else { None },
            output: LinearConfig::new(WIDTH, SYMBOLS).init(device),
        })
    }
}

impl Learner for Tracker {
    fn answer(&self, examples: &[Example], _: Mode) -> Result<Tensor<2>> {
        let device = self.symbols.val().device();
        let values = look_up(&self.symbols, symbols(examples, 0..PLACES, &device));
        let glimpses = look_up(&self.places, symbols(examples, PLACES..PLACES + GLIMPSES, &device));
        let keys: Tensor<3> = self.places.val().transpose().unsqueeze_dim(0);
        let scores = glimpses.matmul(keys.repeat_dim(0, examples.len())) * (WIDTH as f64).powf(-0.5);
        let last = |rows: Tensor<3>| rows.narrow(1, GLIMPSES - 1, 1);
        let weights = match &self.smoothing {
            Some(smoothing) => last(smoothing.forward(scores, None)?),
            None => softmax(last(scores), 2),
        };
        Ok(self.output.forward(weights.matmul(values).squeeze_dim::<2>(1)))
    }
}
