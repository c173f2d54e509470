//! A linear layer, its weight used as it is stored.

use std::sync::Arc;

use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Tensor};
use regard_kernel::rows::{self, Quantized, Weight};
use regard_kernel::{bf16, f16};

use super::{CHECKED, Saved, dims, record, slice, tensor};

/// See [`crate::ops::linear`] for shapes.
#[backend_extension(Flex, Autodiff)]
pub trait LinearOps: Backend {
    /// The rows' images. The bias is empty where there is none.
    fn fused_linear(rows: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The same with a weight in blocks.
    fn quantized_linear(rows: FloatTensor<Self>, bias: FloatTensor<Self>, weight: Arc<Quantized>) -> FloatTensor<Self>;
}

impl LinearOps for Flex {
    fn fused_linear(input: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let weight = usable(weight);
        linear_of(input, &stored(&weight), bias)
    }

    fn quantized_linear(input: FlexTensor, bias: FlexTensor, weight: Arc<Quantized>) -> FlexTensor {
        linear_of(input, &weight.weight(), bias)
    }
}

fn linear_of(input: FlexTensor, weight: &Weight, bias: FlexTensor) -> FlexTensor {
    let [input, bias] = [input, bias].map(|tensor| tensor.to_contiguous());
    let ([count, _], [_, features]) = (dims(&input), weight.sizes());
    tensor(rows::linear(slice(&input), weight, slice(&bias)).expect(CHECKED), [count, features])
}

/// A weight that the kernel can use where it lies: one of its axes is contiguous. Others are copied.
fn usable(weight: FlexTensor) -> FlexTensor {
    let layout = weight.layout();
    let contiguous = |axis: usize| layout.shape()[axis] == 1 || layout.strides()[axis] == 1;
    if layout.has_positive_strides() && (contiguous(0) || contiguous(1)) { weight } else { weight.to_contiguous() }
}

/// What [`usable`] made of a weight.
fn stored(weight: &FlexTensor) -> Weight<'_> {
    let (layout, sizes) = (weight.layout(), dims(weight));
    let (start, strides) = (layout.start_offset(), [0, 1].map(|axis| layout.strides()[axis] as usize));
    let weight = match weight.dtype() {
        DType::F16 => Weight::strided(&weight.storage::<f16>()[start..], sizes, strides),
        DType::BF16 => Weight::strided(&weight.storage::<bf16>()[start..], sizes, strides),
        _ => Weight::strided(&weight.storage::<f32>()[start..], sizes, strides),
    };
    weight.expect(CHECKED)
}

#[derive(Debug, Clone)]
struct SavedLinear<B: Backend> {
    rows: FloatTensor<B>,
    weight: FloatTensor<B>,
    biased: bool,
}

impl Saved<Flex, 3> for SavedLinear<Flex> {
    fn backward(self, grad: FlexTensor) -> [FlexTensor; 3] {
        let [input, grad] = [self.rows, grad].map(|tensor| tensor.to_contiguous());
        let weight = usable(self.weight);
        let grads = rows::linear_backward(slice(&input), &stored(&weight), self.biased, slice(&grad)).expect(CHECKED);
        let bias = grads.bias.len();
        [tensor(grads.states, dims::<2>(&input)), tensor(grads.weight, dims::<2>(&weight)), tensor(grads.bias, [bias])]
    }
}

#[derive(Debug, Clone)]
struct SavedQuantized {
    weight: Arc<Quantized>,
    biased: bool,
}

impl Saved<Flex, 2> for SavedQuantized {
    fn backward(self, grad: FlexTensor) -> [FlexTensor; 2] {
        let grad = grad.to_contiguous();
        let ([count, features], [width, _]) = (dims(&grad), self.weight.sizes());
        let states = rows::linear_backward_rows(&self.weight.weight(), slice(&grad)).expect(CHECKED);
        let mut bias = vec![0.0; if self.biased { features } else { 0 }];
        for grad in slice(&grad).chunks_exact(features) {
            bias.iter_mut().zip(grad).for_each(|(sum, x)| *sum += x);
        }
        let biases = bias.len();
        [tensor(states, [count, width]), tensor(bias, [biases])]
    }
}

impl<B: LinearOps, C: CheckpointStrategy> LinearOps for Autodiff<B, C>
where
    SavedLinear<B>: Saved<B, 3>,
    SavedQuantized: Saved<B, 2>,
{
    fn fused_linear(rows: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [rows.node(), weight.node(), bias.node()];
        let [rows, weight, bias] = [rows, weight, bias].map(|tensor| tensor.into_primitive());
        let biased = bias.shape().num_elements() > 0;
        let out = B::fused_linear(rows.clone(), weight.clone(), bias);
        record::<B, C, _, 3>(nodes, out, || SavedLinear { rows, weight, biased })
    }

    fn quantized_linear(rows: FloatTensor<Self>, bias: FloatTensor<Self>, weight: Arc<Quantized>) -> FloatTensor<Self> {
        let nodes = [rows.node(), bias.node()];
        let [rows, bias] = [rows, bias].map(|tensor| tensor.into_primitive());
        let biased = bias.shape().num_elements() > 0;
        let out = B::quantized_linear(rows, bias, weight.clone());
        record::<B, C, _, 2>(nodes, out, || SavedQuantized { weight, biased })
    }
}

/// [`LinearOps::fused_linear`] on tensors of any device.
pub(crate) fn linear(rows: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let (rows, weight, bias) = (rows.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as LinearOps>::fused_linear(rows, weight, bias))
}

/// [`LinearOps::quantized_linear`] on tensors of any device.
pub(crate) fn quantized_linear(rows: Tensor<2>, bias: Tensor<1>, weight: Arc<Quantized>) -> Tensor<2> {
    let (rows, bias) = (rows.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as LinearOps>::quantized_linear(rows, bias, weight))
}
