//! A classifier's last product and its loss, in one.

use std::sync::Arc;

use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy, ops::OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use regard_kernel::rows::LinearCrossEntropy;

use super::{CHECKED, Saved, dims, slice, step, tensor};

/// What each row's class should have been, and how strictly: see [`crate::ops::linear_cross_entropy`].
#[derive(Debug, Clone)]
pub struct Labels {
    /// The right class of each row.
    pub targets: Arc<[usize]>,
    /// The share ε of the probability that is spread over all classes.
    pub smoothing: f32,
    /// Rows with this target count for nothing (padding).
    pub ignore: Option<usize>,
}

/// See [`crate::ops::linear_cross_entropy`] for shapes.
#[backend_extension(Flex, Autodiff)]
pub trait LinearCrossEntropyOps: Backend {
    /// Summed loss (one number). The bias is empty where there is none.
    fn fused_linear_cross_entropy(
        states: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        labels: Labels,
    ) -> FloatTensor<Self>;
}

/// The loss with its derivatives, on a backend that holds numbers.
trait LossAndGradients: Backend {
    /// The summed loss, and its gradients by states, weight and bias: they are cheapest to have at once.
    fn loss_and_gradients(
        states: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        labels: Labels,
    ) -> (FloatTensor<Self>, SavedLoss<Self>);
}

fn classification<'a>(
    states: &'a FlexTensor,
    weight: &'a FlexTensor,
    bias: &'a FlexTensor,
    labels: &'a Labels,
) -> LinearCrossEntropy<'a> {
    LinearCrossEntropy {
        states: slice(states),
        weight: slice(weight),
        bias: slice(bias),
        width: dims::<2>(weight)[1],
        targets: &labels.targets,
        smoothing: labels.smoothing,
        ignore: labels.ignore,
    }
}

impl LinearCrossEntropyOps for Flex {
    fn fused_linear_cross_entropy(
        states: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        labels: Labels,
    ) -> FlexTensor {
        let [states, weight, bias] = [states, weight, bias].map(|tensor| tensor.to_contiguous());
        let loss = classification(&states, &weight, &bias, &labels).loss().expect(CHECKED);
        tensor(vec![loss as f32], [1])
    }
}

impl LossAndGradients for Flex {
    fn loss_and_gradients(
        states: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        labels: Labels,
    ) -> (FlexTensor, SavedLoss<Self>) {
        let [states, weight, bias] = [states, weight, bias].map(|tensor| tensor.to_contiguous());
        let (loss, grads) = classification(&states, &weight, &bias, &labels).loss_and_gradients().expect(CHECKED);
        let gradients = [
            tensor(grads.states, dims::<2>(&states)),
            tensor(grads.weight, dims::<2>(&weight)),
            tensor(grads.bias, dims::<1>(&bias)),
        ];
        (tensor(vec![loss as f32], [1]), SavedLoss { gradients })
    }
}

/// Gradients that are known but for the factor that the rest of the graph multiplies the loss with.
#[derive(Debug, Clone)]
struct SavedLoss<B: Backend> {
    gradients: [FloatTensor<B>; 3],
}

impl Saved<Flex, 3> for SavedLoss<Flex> {
    fn backward(self, grad: FlexTensor) -> [FlexTensor; 3] {
        let factor = slice(&grad.to_contiguous())[0];
        self.gradients.map(|mut gradient| {
            gradient.storage_mut::<f32>().iter_mut().for_each(|value| *value *= factor);
            gradient
        })
    }
}

impl<B: LinearCrossEntropyOps + LossAndGradients, C: CheckpointStrategy> LinearCrossEntropyOps for Autodiff<B, C>
where
    SavedLoss<B>: Saved<B, 3>,
{
    fn fused_linear_cross_entropy(
        states: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        labels: Labels,
    ) -> FloatTensor<Self> {
        let nodes = [states.node(), weight.node(), bias.node()];
        let [states, weight, bias] = [states, weight, bias].map(|tensor| tensor.into_primitive());
        match step::<B, C, SavedLoss<B>, 3>(nodes) {
            OpsKind::Tracked(node) => {
                let (loss, saved) = B::loss_and_gradients(states, weight, bias, labels);
                node.finish(saved, loss)
            }
            OpsKind::UnTracked(node) => node.finish(B::fused_linear_cross_entropy(states, weight, bias, labels)),
        }
    }
}

/// [`LinearCrossEntropyOps::fused_linear_cross_entropy`] on tensors of any device.
pub(crate) fn linear_cross_entropy(states: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>, labels: Labels) -> Tensor<1> {
    let (states, weight, bias) = (states.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    let loss = <Dispatch as LinearCrossEntropyOps>::fused_linear_cross_entropy(states, weight, bias, labels);
    Tensor::from_dispatch(loss)
}
