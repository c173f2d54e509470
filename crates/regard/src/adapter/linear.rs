//! A linear layer.

use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use regard_kernel::rows;

use super::{CHECKED, Saved, dims, record, slice, tensor};

/// See [`crate::ops::linear`] for shapes.
#[backend_extension(Flex, Autodiff)]
pub trait LinearOps: Backend {
    /// The rows' images. The bias is empty where there is none.
    fn fused_linear(rows: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl LinearOps for Flex {
    fn fused_linear(input: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let [input, weight, bias] = [input, weight, bias].map(|tensor| tensor.to_contiguous());
        let [count, _] = dims(&input);
        let sizes @ [_, width] = dims(&weight);
        let mut out = vec![0.0; count * width];
        rows::linear(slice(&input), slice(&weight), slice(&bias), sizes, &mut out).expect(CHECKED);
        tensor(out, [count, width])
    }
}

#[derive(Debug, Clone)]
struct SavedLinear<B: Backend> {
    rows: FloatTensor<B>,
    weight: FloatTensor<B>,
    biased: bool,
}

impl Saved<Flex, 3> for SavedLinear<Flex> {
    fn backward(self, grad: FlexTensor) -> [FlexTensor; 3] {
        let [input, weight, grad] = [self.rows, self.weight, grad].map(|tensor| tensor.to_contiguous());
        let sizes = dims(&weight);
        let grads = rows::linear_backward(slice(&input), slice(&weight), self.biased, sizes, slice(&grad));
        let grads = grads.expect(CHECKED);
        let bias = grads.bias.len();
        [tensor(grads.states, dims::<2>(&input)), tensor(grads.weight, sizes), tensor(grads.bias, [bias])]
    }
}

impl<B: LinearOps, C: CheckpointStrategy> LinearOps for Autodiff<B, C>
where
    SavedLinear<B>: Saved<B, 3>,
{
    fn fused_linear(rows: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [rows.node(), weight.node(), bias.node()];
        let [rows, weight, bias] = [rows, weight, bias].map(|tensor| tensor.into_primitive());
        let biased = bias.shape().num_elements() > 0;
        let out = B::fused_linear(rows.clone(), weight.clone(), bias);
        record::<B, C, _, 3>(nodes, out, || SavedLinear { rows, weight, biased })
    }
}

/// [`LinearOps::fused_linear`] on tensors of any device.
pub(crate) fn linear(rows: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let (rows, weight, bias) = (rows.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as LinearOps>::fused_linear(rows, weight, bias))
}
