//! Finding a needle: of all positions one is marked, and its value is to be said.
//!
//! Soft attention looks a little everywhere, and its gradient says where to look more. A choice has no such slope, and learns all
//! the same: straight through, as if it had been soft (Bengio et al. 2013, arXiv:1308.3432; with noise, Jang et al. 2017,
//! arXiv:1611.01144), or by REINFORCE, which makes those draws likelier that turned out better than expected (Xu et al. 2015,
//! arXiv:1502.03044; Williams 1992). When measured, all but the soft look at the position with the greatest score.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};
use regard::{Attention, Gumbel, Hard, Linear, LinearConfig, Mode, Sampled, ScaledDot, ops};
use regard_models::Result;

use super::learner::{costs, look_up, symbols, table};
use super::{Example, Learner};
use crate::data::random::SplitMix64;

/// Positions of an example.
pub const LENGTH: usize = 32;
/// Different values.
pub const VALUES: usize = 8;
/// Kinds of positions that are not the needle; symbols from 1, the needle being 0.
pub const HAY: usize = 8;

const WIDTH: usize = 32;

/// The kind and the value of each position in turn; the answer is the value of the one that is a needle.
pub fn example(random: &mut SplitMix64) -> Example {
    let needle = random.below(LENGTH);
    let values: Vec<u32> = (0..LENGTH).map(|_| random.below(VALUES) as u32).collect();
    let kind = |at| if at == needle { 0 } else { 1 + random.below(HAY) as u32 };
    let given = (0..LENGTH).map(kind).zip(&values).flat_map(|(kind, &value)| [kind, value]).collect();
    Example { given, answers: vec![values[needle]] }
}

/// How a position is chosen, and how that is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// It is not: weights by softmax.
    Soft,
    /// Drawn, learned by REINFORCE.
    Sampled,
    /// Drawn, learned straight through.
    Gumbel,
    /// The best, learned straight through.
    Hard,
}

/// One learned query among keys.
#[derive(Module, Debug)]
pub(crate) struct Finder {
    query: Param<Tensor<2>>,
    kinds: Param<Tensor<2>>,
    /// Read to be looked at, and again to be said: a choice that is seldom right would teach an output layer of its own nothing,
    /// and that layer the choice.
    values: Param<Tensor<2>>,
    /// What a draw is expected to cost, told from what there is to draw from.
    baseline: Option<Linear>,
    #[module(skip)]
    choice: Choice,
}

impl Finder {
    /// # Errors
    /// Never: the sizes fit.
    pub(crate) fn new(choice: Choice, device: &Device) -> Result<Self> {
        Ok(Finder {
            query: Initializer::Normal { mean: 0.0, std: 1.0 }.init([1, WIDTH], device),
            kinds: table(1 + HAY, WIDTH, device),
            values: table(VALUES, WIDTH, device),
            baseline: (choice == Choice::Sampled).then(|| LinearConfig::new(WIDTH, 1).init(device)),
            choice,
        })
    }

    /// The query, keys and values, `[example, 1, position, width]`.
    fn read(&self, examples: &[Example]) -> [Tensor<4>; 3] {
        let device = self.query.val().device();
        let of = |vectors, first: usize| -> Tensor<4> {
            look_up(vectors, symbols(examples, (first..2 * LENGTH).step_by(2), &device)).unsqueeze_dim(1)
        };
        let query: Tensor<4> = self.query.val().unsqueeze();
        [query.repeat_dim(0, examples.len()), of(&self.kinds, 0), of(&self.values, 1)]
    }

    fn attention(&self, mode: Mode) -> Result<Attention> {
        let attention = Attention::new(ScaledDot::default());
        Ok(match (self.choice, mode) {
            (Choice::Soft, _) => attention,
            (Choice::Sampled, Mode::Train(noise)) => attention.normalizer(Sampled::new(noise.draw())),
            (Choice::Gumbel, Mode::Train(noise)) => {
                let gumbel = Gumbel::new(1.0, noise.draw()).map_err(regard::Error::from)?;
                attention.normalizer(gumbel.hard())
            }
            _ => attention.normalizer(Hard),
        })
    }

    fn say(&self, context: Tensor<4>) -> Tensor<2> {
        let [rows, _, _, width] = context.dims();
        context.reshape([rows, width]).matmul(self.values.val().transpose())
    }
}

impl Learner for Finder {
    fn answer(&self, examples: &[Example], mode: Mode) -> Result<Tensor<2>> {
        let [query, keys, values] = self.read(examples);
        Ok(self.say(ops::attend(query, keys, values, &self.attention(mode)?)?.context))
    }

    fn loss(&self, examples: &[Example], mode: Mode) -> Result<Tensor<1>> {
        let Some(baseline) = &self.baseline else { return Ok(costs(self.answer(examples, mode)?, examples).sum()) };
        let [query, keys, values] = self.read(examples);
        let rows = examples.len();
        let attention = self.attention(mode)?;
        let drawn = ops::attend(query.clone().detach(), keys.clone().detach(), values.clone(), &attention)?;
        let costs = costs(self.say(drawn.context), examples);
        let cost = costs.clone().detach();
        let known = (keys.clone() + values).mean_dim(2).detach().reshape([rows, WIDTH]);
        let expected = baseline.forward(known).reshape([rows]);
        // The same draw once more, of ones: its gradient is what the draw cost beyond what was expected.
        let ones = Tensor::ones([rows, 1, LENGTH, 1], &keys.device().inner());
        let draw = ops::attend(query, keys, ones, &attention)?.context.reshape([rows]);
        let surprise = (draw * (cost.clone() - expected.clone().detach())).sum();
        let miss = (expected - cost).square().sum();
        Ok(costs.sum() + slope(surprise) + slope(miss))
    }
}

/// A term that is 0 and has the gradient of `term`, so that the loss that is shown is the answers' alone.
fn slope(term: Tensor<1>) -> Tensor<1> {
    term.clone() - term.detach()
}

#[cfg(test)]
mod tests {
    use burn::tensor::activation::softmax;
    use regard::Noise;

    use super::*;

    #[test]
    fn the_mean_over_draws_is_the_slope_of_the_expected_cost() {
        const DRAWS: usize = 1 << 15;
        let finder = Finder::new(Choice::Sampled, &Device::default().autodiff()).unwrap();
        let example = example(&mut SplitMix64::keyed(&[1]));
        let slopes = |loss: Tensor<1>| -> Vec<f32> {
            let gradient = finder.query.val().grad(&loss.backward()).expect("the loss depends on the query");
            gradient.into_data().try_into_vec().expect("gradients are f32")
        };
        let noise = Noise::new(5);
        let loss = finder.loss(&vec![example.clone(); DRAWS], Mode::Train(&noise)).unwrap();
        let mean = slopes(loss / DRAWS as f32);

        let [query, keys, values] = finder.read(std::slice::from_ref(&example));
        let scores = query.matmul(keys.transpose()) * (WIDTH as f64).powf(-0.5);
        let chances = softmax(scores, 3).reshape([LENGTH]);
        let each = costs(finder.say(values.reshape([LENGTH, 1, 1, WIDTH])), &vec![example; LENGTH]);
        let exact = slopes((chances * each).sum());
        let length = |vector: Vec<f32>| vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        let off = length(mean.iter().zip(&exact).map(|(mean, exact)| mean - exact).collect());
        // The weights are random: where the slope is small, the draws' noise is a good part of it. A wrong sign would be twice it off.
        assert!(off < 0.6 * length(exact.clone()), "{off} off {}", length(exact));
    }
}
