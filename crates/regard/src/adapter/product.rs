//! Products of many matrices.

use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use regard_kernel::rows;

use super::{CHECKED, Saved, dims, positive, record, tensor, view};

/// See [`crate::ops::product`] for shapes.
#[backend_extension(Flex, Autodiff)]
pub trait ProductOps: Backend {
    /// The product of each batch and head.
    fn fused_product(left: FloatTensor<Self>, right: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl ProductOps for Flex {
    fn fused_product(left: FlexTensor, right: FlexTensor) -> FlexTensor {
        let [left, right] = [left, right].map(positive);
        let ([batch, heads, count, _], [other, others, _, width]) = (dims(&left), dims(&right));
        let both = |a: usize, b: usize| if a == 1 { b } else { a };
        let shape = [both(batch, other), both(heads, others), count, width];
        let mut out = vec![0.0; shape.iter().product()];
        rows::product(&view(&left), &view(&right), &mut out).expect(CHECKED);
        tensor(out, shape)
    }
}

#[derive(Debug, Clone)]
struct SavedProduct<B: Backend> {
    sides: [FloatTensor<B>; 2],
}

impl Saved<Flex, 2> for SavedProduct<Flex> {
    fn backward(self, grad: FlexTensor) -> [FlexTensor; 2] {
        let ([left, right], grad) = (self.sides.map(positive), positive(grad));
        let grads = rows::product_backward(&view(&left), &view(&right), &view(&grad)).expect(CHECKED);
        [tensor(grads.left, dims::<4>(&left)), tensor(grads.right, dims::<4>(&right))]
    }
}

impl<B: ProductOps, C: CheckpointStrategy> ProductOps for Autodiff<B, C>
where
    SavedProduct<B>: Saved<B, 2>,
{
    fn fused_product(left: FloatTensor<Self>, right: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [left.node(), right.node()];
        let sides = [left, right].map(|tensor| tensor.into_primitive());
        let [left, right] = sides.clone();
        let out = B::fused_product(left, right);
        record::<B, C, _, 2>(nodes, out, || SavedProduct { sides })
    }
}

/// [`ProductOps::fused_product`] on tensors of any device.
pub(crate) fn product(left: Tensor<4>, right: Tensor<4>) -> Tensor<4> {
    let (left, right) = (left.into_dispatch(), right.into_dispatch());
    Tensor::from_dispatch(<Dispatch as ProductOps>::fused_product(left, right))
}
