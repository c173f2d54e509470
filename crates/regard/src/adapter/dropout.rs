//! Dropout whose mask is a function of a seed and a place.

use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use regard_kernel::dropout as kernel;

use super::{Saved, record, slice};

/// See [`crate::Mode`].
#[backend_extension(Flex, Autodiff)]
pub trait DropoutOps: Backend {
    /// Keeps an element with probability `1 - probability`, decided by `(seed, index)` alone, and rescales it.
    fn keyed_dropout(input: FloatTensor<Self>, probability: f32, seed: u64) -> FloatTensor<Self>;
}

impl DropoutOps for Flex {
    fn keyed_dropout(input: FlexTensor, probability: f32, seed: u64) -> FlexTensor {
        let input = input.to_contiguous();
        let values = slice(&input);
        let mut kept = vec![0.0; values.len()];
        kernel::scale_mask(seed, 0, probability, &mut kept);
        kept.iter_mut().zip(values).for_each(|(scale, value)| *scale *= value);
        FlexTensor::from_data(TensorData::new(kept, input.layout().shape().clone()))
    }
}

#[derive(Debug, Clone)]
struct SavedDropout {
    probability: f32,
    seed: u64,
}

impl<B: DropoutOps> Saved<B, 1> for SavedDropout {
    /// The gradient passes where the value passed.
    fn backward(self, grad: FloatTensor<B>) -> [FloatTensor<B>; 1] {
        [B::keyed_dropout(grad, self.probability, self.seed)]
    }
}

impl<B: DropoutOps, C: CheckpointStrategy> DropoutOps for Autodiff<B, C> {
    fn keyed_dropout(input: FloatTensor<Self>, probability: f32, seed: u64) -> FloatTensor<Self> {
        let nodes = [input.node()];
        let out = B::keyed_dropout(input.into_primitive(), probability, seed);
        record::<B, C, _, 1>(nodes, out, || SavedDropout { probability, seed })
    }
}

/// [`DropoutOps::keyed_dropout`] on tensors of any device.
pub(crate) fn dropout<const D: usize>(input: Tensor<D>, probability: f32, seed: u64) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as DropoutOps>::keyed_dropout(input.into_dispatch(), probability, seed))
}
