//! What the networks of all tasks have in common: examples in, a class an answer out.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::activation::log_softmax;
use burn::tensor::module::embedding;
use burn::tensor::{Device, Int, Tensor, TensorData};
use regard::Mode;
use regard_models::Result;

use super::Example;

/// A network that answers the questions of a task.
pub(crate) trait Learner: Module + Sync + 'static {
    /// Scores of the classes of every answer of one example after another, `[answer, class]`.
    ///
    /// # Errors
    /// When a mechanism refuses; examples of another task it may not survive.
    fn answer(&self, examples: &[Example], mode: Mode) -> Result<Tensor<2>>;

    /// What is to fall: the summed cross-entropy of the answers.
    ///
    /// # Errors
    /// As [`Learner::answer`].
    fn loss(&self, examples: &[Example], mode: Mode) -> Result<Tensor<1>> {
        Ok(costs(self.answer(examples, mode)?, examples).sum())
    }
}

/// The cross-entropy of each answer.
pub(super) fn costs(scores: Tensor<2>, examples: &[Example]) -> Tensor<1> {
    let right: Vec<i64> = examples.iter().flat_map(|example| &example.answers).map(|&class| i64::from(class)).collect();
    let count = right.len();
    let right = Tensor::<2, Int>::from_data(TensorData::new(right, [count, 1]), &scores.device());
    -log_softmax(scores, 1).gather(1, right).squeeze_dim::<1>(1)
}

/// The given symbols at these places, `[example, place]`.
pub(super) fn symbols(
    examples: &[Example],
    places: impl Iterator<Item = usize> + Clone,
    device: &Device,
) -> Tensor<2, Int> {
    let of = |example: &Example| places.clone().map(|place| i64::from(example.given[place])).collect::<Vec<_>>();
    let symbols: Vec<i64> = examples.iter().flat_map(of).collect();
    let shape = [examples.len(), symbols.len() / examples.len().max(1)];
    Tensor::from_data(TensorData::new(symbols, shape), device)
}

/// A random vector a symbol, of about unit length.
pub(super) fn table(symbols: usize, width: usize, device: &Device) -> Param<Tensor<2>> {
    Initializer::Normal { mean: 0.0, std: (width as f64).powf(-0.5) }.init([symbols, width], device)
}

/// The vectors of symbols, `[example, place, width]`.
pub(super) fn look_up(table: &Param<Tensor<2>>, symbols: Tensor<2, Int>) -> Tensor<3> {
    embedding(table.val(), symbols)
}
