//! Layer norm.

use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{AutodiffBackend, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use regard_kernel::rows;

use super::{CHECKED, Saved, dims, record, slice, tensor};

/// See [`crate::ops::layer_norm`] for shapes.
#[backend_extension(Flex, Autodiff)]
pub trait LayerNormOps: Backend {
    /// Normalised rows, their means and reciprocal standard deviations.
    fn fused_layer_norm(
        rows: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl LayerNormOps for Flex {
    fn fused_layer_norm(
        input: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f32,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [input, gamma, beta] = [input, gamma, beta].map(|tensor| tensor.to_contiguous());
        let [count, width] = dims(&input);
        let (mut out, mut mean, mut rstd) = (vec![0.0; count * width], vec![0.0; count], vec![0.0; count]);
        rows::layer_norm(slice(&input), slice(&gamma), slice(&beta), epsilon, &mut out, &mut mean, &mut rstd)
            .expect(CHECKED);
        (tensor(out, [count, width]), tensor(mean, [count]), tensor(rstd, [count]))
    }
}

#[derive(Debug, Clone)]
struct SavedNorm<B: Backend> {
    rows: FloatTensor<B>,
    gamma: FloatTensor<B>,
    mean: FloatTensor<B>,
    rstd: FloatTensor<B>,
}

impl Saved<Flex, 3> for SavedNorm<Flex> {
    fn backward(self, grad: FlexTensor) -> [FlexTensor; 3] {
        let [input, gamma, grad] = [self.rows, self.gamma, grad].map(|tensor| tensor.to_contiguous());
        let [count, width] = dims(&input);
        let (mut dx, mut dgamma, mut dbeta) = (vec![0.0; count * width], vec![0.0; width], vec![0.0; width]);
        rows::layer_norm_backward(
            slice(&input),
            slice(&gamma),
            slice(&self.mean),
            slice(&self.rstd),
            slice(&grad),
            &mut dx,
            &mut dgamma,
            &mut dbeta,
        )
        .expect(CHECKED);
        [tensor(dx, [count, width]), tensor(dgamma, [width]), tensor(dbeta, [width])]
    }
}

impl<B: LayerNormOps, C: CheckpointStrategy> LayerNormOps for Autodiff<B, C>
where
    SavedNorm<B>: Saved<B, 3>,
{
    fn fused_layer_norm(
        rows: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [rows.node(), gamma.node(), beta.node()];
        let [rows, gamma, beta] = [rows, gamma, beta].map(|tensor| tensor.into_primitive());
        let (out, mean, rstd) = B::fused_layer_norm(rows.clone(), gamma.clone(), beta, epsilon);
        let (outer_mean, outer_rstd) = (Self::from_inner(mean.clone()), Self::from_inner(rstd.clone()));
        let out = record::<B, C, _, 3>(nodes, out, || SavedNorm { rows, gamma, mean, rstd });
        (out, outer_mean, outer_rstd)
    }
}

/// [`LayerNormOps::fused_layer_norm`] on tensors of any device, the rows alone.
pub(crate) fn layer_norm(rows: Tensor<2>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f32) -> Tensor<2> {
    let (rows, gamma, beta) = (rows.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch());
    Tensor::from_dispatch(<Dispatch as LayerNormOps>::fused_layer_norm(rows, gamma, beta, epsilon).0)
}
