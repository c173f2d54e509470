//! Attention by features.

use std::sync::Arc;

use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{AutodiffBackend, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use regard_kernel::FeatureAttention;

use super::{CHECKED, Saved, dims, positive, record, slice, tensor, view};

/// See [`crate::ops::attend_features`] for shapes.
#[backend_extension(Flex, Autodiff)]
pub trait FeatureOps: Backend {
    /// Context, and what the weights of a query summed to.
    fn attend_features(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        attention: Arc<FeatureAttention>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl FeatureOps for Flex {
    fn attend_features(
        queries: FlexTensor,
        keys: FlexTensor,
        values: FlexTensor,
        attention: Arc<FeatureAttention>,
    ) -> (FlexTensor, FlexTensor) {
        let [queries, keys, values] = [queries, keys, values].map(positive);
        let [batch, heads, length, _] = dims(&queries);
        let [.., width] = dims::<4>(&values);
        let out = attention.forward(&view(&queries), &view(&keys), &view(&values)).expect(CHECKED);
        (tensor(out.context, [batch, heads, length, width]), tensor(out.totals, [batch, heads, length]))
    }
}

#[derive(Debug, Clone)]
struct SavedFeatures<B: Backend> {
    inputs: [FloatTensor<B>; 3],
    context: FloatTensor<B>,
    totals: FloatTensor<B>,
    attention: Arc<FeatureAttention>,
}

impl Saved<Flex, 3> for SavedFeatures<Flex> {
    fn backward(self, grad: FlexTensor) -> [FlexTensor; 3] {
        let inputs @ [queries, keys, values] = &self.inputs.map(positive);
        let (context, totals, grad) = (slice(&self.context), slice(&self.totals), positive(grad));
        let grads = self.attention.backward(&view(queries), &view(keys), &view(values), context, totals, &view(&grad));
        let grads = grads.expect(CHECKED);
        let [queries, keys, values] = inputs.each_ref().map(dims::<4>);
        [tensor(grads.queries, queries), tensor(grads.keys, keys), tensor(grads.values, values)]
    }
}

impl<B: FeatureOps, C: CheckpointStrategy> FeatureOps for Autodiff<B, C>
where
    SavedFeatures<B>: Saved<B, 3>,
{
    fn attend_features(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        attention: Arc<FeatureAttention>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [queries.node(), keys.node(), values.node()];
        let inputs = [queries, keys, values].map(|tensor| tensor.into_primitive());
        let [queries, keys, values] = inputs.clone();
        let (context, totals) = B::attend_features(queries, keys, values, attention.clone());
        let outer_totals = Self::from_inner(totals.clone());
        let saved = context.clone();
        let context =
            record::<B, C, _, 3>(nodes, context, || SavedFeatures { inputs, context: saved, totals, attention });
        (context, outer_totals)
    }
}

/// [`FeatureOps::attend_features`] on tensors of any device, the context alone.
pub(crate) fn attend_features(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    attention: Arc<FeatureAttention>,
) -> Tensor<4> {
    let [queries, keys, values] = [queries, keys, values].map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as FeatureOps>::attend_features(queries, keys, values, attention).0)
}
