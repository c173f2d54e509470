//! Which places does the number come from? Methods that ask the model, by its gradient or by changing its input.
//!
//! | method | asks for | cost | adds up |
//! |---|---|---|---|
//! | [`gradient_input`] | a gradient | 1 backward pass | for what is linear |
//! | [`integrated_gradients`] | gradients on a path | a backward pass a step | yes |
//! | [`leave_one_out`] | the number without each place | a forward pass a place | for what is linear |
//! | [`occlusion`] | the number without each window of places | a forward pass a window | no |
//! | [`value_zeroing`] | a layer's output without each value | a forward pass a place | no |
//! | [`head_ablation`] | the number without each head | a forward pass a head | no |
//!
//! The first four score the places of a [`Subject`](crate::Subject); value zeroing maps how tokens mix in one layer, and head ablation
//! scores heads.

mod gradient_input;
mod head_ablation;
mod integrated_gradients;
mod leave_one_out;
mod occlusion;
mod value_zeroing;

use crate::error::checked;
use crate::perturbation::places;
use crate::{Differentiable, Error, Result};

pub use gradient_input::gradient_input;
pub use head_ablation::head_ablation;
pub use integrated_gradients::integrated_gradients;
pub use leave_one_out::leave_one_out;
pub use occlusion::occlusion;
pub use value_zeroing::value_zeroing;

/// The input and its baseline, checked, and the features of a place.
fn ends(subject: &dyn Differentiable) -> Result<(&[f32], &[f32], usize)> {
    let (places, width) = (places(subject)?, subject.width());
    if width == 0 {
        return crate::error::field("width", 0, "at least 1");
    }
    let shape = [places, width];
    let input = checked("the input", subject.input(), &shape)?;
    Ok((input, checked("the baseline's input", subject.baseline_input(), &shape)?, width))
}

/// The number and the gradient at each input, checked.
fn gradients(subject: &dyn Differentiable, inputs: &[Vec<f32>]) -> Result<(Vec<f32>, Vec<Vec<f32>>)> {
    let answer = subject.gradients(inputs);
    let (numbers, gradients) = answer.map_err(|source| Error::Given { function: "the explained function", source })?;
    let numbers = checked("the explained function's numbers", numbers, &[inputs.len()])?;
    if gradients.len() != inputs.len() {
        let name = "the explained function's gradients".to_owned();
        return Err(Error::Shape { name, given: gradients.len(), shape: vec![inputs.len()] });
    }
    for (gradient, input) in gradients.iter().zip(inputs) {
        checked("the explained function's gradient", gradient, &[input.len()])?;
    }
    Ok((numbers, gradients))
}

/// The sum of each place's features.
fn by_place(features: impl Iterator<Item = f64>, width: usize) -> Vec<f32> {
    let features: Vec<f64> = features.collect();
    features.chunks(width).map(|place| place.iter().sum::<f64>() as f32).collect()
}
