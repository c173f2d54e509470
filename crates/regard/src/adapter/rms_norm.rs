//! Root-mean-square norm.

use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{AutodiffBackend, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use regard_kernel::rows;

use super::{CHECKED, Saved, dims, record, slice, tensor};

/// See [`crate::ops::rms_norm`] for shapes.
#[backend_extension(Flex, Autodiff)]
pub trait RmsNormOps: Backend {
    /// Scaled rows, and the reciprocals of their root mean squares.
    fn fused_rms_norm(
        rows: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl RmsNormOps for Flex {
    fn fused_rms_norm(input: FlexTensor, gamma: FlexTensor, epsilon: f32) -> (FlexTensor, FlexTensor) {
        let [input, gamma] = [input, gamma].map(|tensor| tensor.to_contiguous());
        let [count, width] = dims(&input);
        let (mut out, mut rrms) = (vec![0.0; count * width], vec![0.0; count]);
        rows::rms_norm(slice(&input), slice(&gamma), epsilon, &mut out, &mut rrms).expect(CHECKED);
        (tensor(out, [count, width]), tensor(rrms, [count]))
    }
}

#[derive(Debug, Clone)]
struct SavedRmsNorm<B: Backend> {
    rows: FloatTensor<B>,
    gamma: FloatTensor<B>,
    rrms: FloatTensor<B>,
}

impl Saved<Flex, 2> for SavedRmsNorm<Flex> {
    fn backward(self, grad: FlexTensor) -> [FlexTensor; 2] {
        let [input, gamma, grad] = [self.rows, self.gamma, grad].map(|tensor| tensor.to_contiguous());
        let [count, width] = dims(&input);
        let (mut dx, mut dgamma) = (vec![0.0; count * width], vec![0.0; width]);
        rows::rms_norm_backward(slice(&input), slice(&gamma), slice(&self.rrms), slice(&grad), &mut dx, &mut dgamma)
            .expect(CHECKED);
        [tensor(dx, [count, width]), tensor(dgamma, [width])]
    }
}

impl<B: RmsNormOps, C: CheckpointStrategy> RmsNormOps for Autodiff<B, C>
where
    SavedRmsNorm<B>: Saved<B, 2>,
{
    fn fused_rms_norm(
        rows: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [rows.node(), gamma.node()];
        let [rows, gamma] = [rows, gamma].map(|tensor| tensor.into_primitive());
        let (out, rrms) = B::fused_rms_norm(rows.clone(), gamma.clone(), epsilon);
        let outer = Self::from_inner(rrms.clone());
        (record::<B, C, _, 2>(nodes, out, || SavedRmsNorm { rows, gamma, rrms }), outer)
    }
}

/// [`RmsNormOps::fused_rms_norm`] on tensors of any device, the rows alone.
pub(crate) fn rms_norm(rows: Tensor<2>, gamma: Tensor<1>, epsilon: f32) -> Tensor<2> {
    let (rows, gamma) = (rows.into_dispatch(), gamma.into_dispatch());
    Tensor::from_dispatch(<Dispatch as RmsNormOps>::fused_rms_norm(rows, gamma, epsilon).0)
}
