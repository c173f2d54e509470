//! Fused attention.

use std::sync::Arc;

use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{AutodiffBackend, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use regard_kernel::Attention;

use super::{CHECKED, Saved, dims, positive, record, slice, tensor, view};

/// See [`crate::ops::attend`] for shapes.
#[backend_extension(Flex, Autodiff)]
pub trait AttentionOps: Backend {
    /// Context and log-sum-exp. `parameters` are the values that `attention` was built with, here to take gradients.
    fn attend(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        attention: Arc<Attention>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl AttentionOps for Flex {
    fn attend(
        queries: FlexTensor,
        keys: FlexTensor,
        values: FlexTensor,
        _parameters: FlexTensor,
        attention: Arc<Attention>,
    ) -> (FlexTensor, FlexTensor) {
        let [queries, keys, values] = [queries, keys, values].map(positive);
        let [batch, heads, length, _] = dims(&queries);
        let [.., width] = dims::<4>(&values);
        let out = attention.forward(&view(&queries), &view(&keys), &view(&values)).expect(CHECKED);
        (tensor(out.context, [batch, heads, length, width]), tensor(out.lse, [batch, heads, length]))
    }
}

#[derive(Debug, Clone)]
struct SavedAttention<B: Backend> {
    inputs: [FloatTensor<B>; 3],
    parameters: FloatTensor<B>,
    context: FloatTensor<B>,
    lse: FloatTensor<B>,
    attention: Arc<Attention>,
}

impl Saved<Flex, 4> for SavedAttention<Flex> {
    fn backward(self, grad: FlexTensor) -> [FlexTensor; 4] {
        let inputs @ [queries, keys, values] = &self.inputs.map(positive);
        let (context, lse, grad) = (slice(&self.context), slice(&self.lse), positive(grad));
        let grads = self.attention.backward(&view(queries), &view(keys), &view(values), context, lse, &view(&grad));
        let grads = grads.expect(CHECKED);
        let mut learned: Vec<f32> = grads.score;
        learned.extend(grads.biases.into_iter().flatten());
        learned.extend(grads.normalizer);
        // Without learned parameters a placeholder of one number stands in, which nothing reads.
        let [count] = dims(&self.parameters);
        learned.resize(count, 0.0);
        let [queries, keys, values] = inputs.each_ref().map(dims::<4>);
        [
            tensor(grads.queries, queries),
            tensor(grads.keys, keys),
            tensor(grads.values, values),
            tensor(learned, [count]),
        ]
    }
}

impl<B: AttentionOps, C: CheckpointStrategy> AttentionOps for Autodiff<B, C>
where
    SavedAttention<B>: Saved<B, 4>,
{
    fn attend(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        attention: Arc<Attention>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [queries.node(), keys.node(), values.node(), parameters.node()];
        let inputs = [queries, keys, values].map(|tensor| tensor.into_primitive());
        let parameters = parameters.into_primitive();
        let [queries, keys, values] = inputs.clone();
        let (context, lse) = B::attend(queries, keys, values, parameters.clone(), attention.clone());
        let outer_lse = Self::from_inner(lse.clone());
        let saved = context.clone();
        let context = record::<B, C, _, 4>(nodes, context, || SavedAttention {
            inputs,
            parameters,
            context: saved,
            lse,
            attention,
        });
        (context, outer_lse)
    }
}

/// [`AttentionOps::attend`] on tensors of any device.
pub(crate) fn attend(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    parameters: Tensor<1>,
    attention: Arc<Attention>,
) -> (Tensor<4>, Tensor<3>) {
    let [queries, keys, values] = [queries, keys, values].map(Tensor::into_dispatch);
    let parameters = parameters.into_dispatch();
    let (context, lse) = <Dispatch as AttentionOps>::attend(queries, keys, values, parameters, attention);
    (Tensor::from_dispatch(context), Tensor::from_dispatch(lse))
}
