//! The bends between linear layers.

use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use regard_kernel::rows::{self, Activation};

use super::{CHECKED, Saved, dims, record, slice, tensor};

/// See [`crate::ops::activate`].
#[backend_extension(Flex, Autodiff)]
pub trait ActivationOps: Backend {
    /// `f(x)`, times `up` unless that is empty.
    fn fused_activation(x: FloatTensor<Self>, up: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self>;
}

impl ActivationOps for Flex {
    fn fused_activation(x: FlexTensor, up: FlexTensor, activation: Activation) -> FlexTensor {
        let [x, up] = [x, up].map(|tensor| tensor.to_contiguous());
        let mut out = vec![0.0; slice(&x).len()];
        rows::activate(activation, slice(&x), slice(&up), &mut out).expect(CHECKED);
        tensor(out, dims::<1>(&x))
    }
}

#[derive(Debug, Clone)]
struct SavedActivation<B: Backend> {
    x: FloatTensor<B>,
    up: FloatTensor<B>,
    activation: Activation,
}

impl Saved<Flex, 2> for SavedActivation<Flex> {
    fn backward(self, grad: FlexTensor) -> [FlexTensor; 2] {
        let [x, up, grad] = [self.x, self.up, grad].map(|tensor| tensor.to_contiguous());
        let (mut dx, mut dup) = (vec![0.0; slice(&x).len()], vec![0.0; slice(&up).len()]);
        rows::activate_backward(self.activation, slice(&x), slice(&up), slice(&grad), &mut dx, &mut dup)
            .expect(CHECKED);
        [tensor(dx, dims::<1>(&x)), tensor(dup, dims::<1>(&up))]
    }
}

impl<B: ActivationOps, C: CheckpointStrategy> ActivationOps for Autodiff<B, C>
where
    SavedActivation<B>: Saved<B, 2>,
{
    fn fused_activation(x: FloatTensor<Self>, up: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        let nodes = [x.node(), up.node()];
        let [x, up] = [x, up].map(|tensor| tensor.into_primitive());
        let out = B::fused_activation(x.clone(), up.clone(), activation);
        record::<B, C, _, 2>(nodes, out, || SavedActivation { x, up, activation })
    }
}

/// [`ActivationOps::fused_activation`] on tensors of any device.
pub(crate) fn activate(x: Tensor<1>, up: Tensor<1>, activation: Activation) -> Tensor<1> {
    let (x, up) = (x.into_dispatch(), up.into_dispatch());
    Tensor::from_dispatch(<Dispatch as ActivationOps>::fused_activation(x, up, activation))
}
