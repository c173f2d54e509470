//! A filter along the positions.

use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use regard_kernel::rows;

use super::{CHECKED, Saved, dims, positive, record, slice, tensor, view};

/// See [`crate::ops::filter`] for shapes.
#[backend_extension(Flex, Autodiff)]
pub trait FilterOps: Backend {
    /// Sums over the rows around each row.
    fn fused_filter(x: FloatTensor<Self>, weights: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl FilterOps for Flex {
    fn fused_filter(x: FlexTensor, weights: FlexTensor) -> FlexTensor {
        let (x, weights) = (positive(x), weights.to_contiguous());
        let shape = dims::<4>(&x);
        let mut out = vec![0.0; shape.iter().product()];
        rows::filter(&view(&x), slice(&weights), &mut out).expect(CHECKED);
        tensor(out, shape)
    }
}

#[derive(Debug, Clone)]
struct SavedFilter<B: Backend> {
    x: FloatTensor<B>,
    weights: FloatTensor<B>,
}

impl Saved<Flex, 2> for SavedFilter<Flex> {
    fn backward(self, grad: FlexTensor) -> [FlexTensor; 2] {
        let (x, weights, grad) = (positive(self.x), self.weights.to_contiguous(), positive(grad));
        let grads = rows::filter_backward(&view(&x), slice(&weights), &view(&grad)).expect(CHECKED);
        [tensor(grads.x, dims::<4>(&x)), tensor(grads.weights, dims::<2>(&weights))]
    }
}

impl<B: FilterOps, C: CheckpointStrategy> FilterOps for Autodiff<B, C>
where
    SavedFilter<B>: Saved<B, 2>,
{
    fn fused_filter(x: FloatTensor<Self>, weights: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [x.node(), weights.node()];
        let [x, weights] = [x, weights].map(|tensor| tensor.into_primitive());
        let out = B::fused_filter(x.clone(), weights.clone());
        record::<B, C, _, 2>(nodes, out, || SavedFilter { x, weights })
    }
}

/// [`FilterOps::fused_filter`] on tensors of any device.
pub(crate) fn filter(x: Tensor<4>, weights: Tensor<2>) -> Tensor<4> {
    let (x, weights) = (x.into_dispatch(), weights.into_dispatch());
    Tensor::from_dispatch(<Dispatch as FilterOps>::fused_filter(x, weights))
}
