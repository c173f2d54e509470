//! Local attention around positions that have a gradient.

use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use regard_kernel::LocalAttention;

use super::{CHECKED, Saved, dims, positive, record, tensor, view};

/// See [`crate::ops::attend_local`] for shapes.
#[backend_extension(Flex, Autodiff)]
pub trait LocalOps: Backend {
    /// The context.
    fn attend_local(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        positions: FloatTensor<Self>,
        attention: LocalAttention,
    ) -> FloatTensor<Self>;
}

impl LocalOps for Flex {
    fn attend_local(
        queries: FlexTensor,
        keys: FlexTensor,
        values: FlexTensor,
        positions: FlexTensor,
        attention: LocalAttention,
    ) -> FlexTensor {
        let [queries, keys, values, positions] = [queries, keys, values, positions].map(positive);
        let [batch, heads, length, _] = dims(&queries);
        let [.., width] = dims::<4>(&values);
        let out = attention.forward(&view(&queries), &view(&keys), &view(&values), &view(&positions)).expect(CHECKED);
        tensor(out, [batch, heads, length, width])
    }
}

#[derive(Debug, Clone)]
struct SavedLocal<B: Backend> {
    inputs: [FloatTensor<B>; 4],
    attention: LocalAttention,
}

impl Saved<Flex, 4> for SavedLocal<Flex> {
    fn backward(self, grad: FlexTensor) -> [FlexTensor; 4] {
        let (inputs, grad) = (self.inputs.map(positive), positive(grad));
        let [q, k, v, positions] = inputs.each_ref().map(view);
        let grads = self.attention.backward(&q, &k, &v, &positions, &view(&grad)).expect(CHECKED);
        let [queries, keys, values, positions] = inputs.each_ref().map(dims::<4>);
        [
            tensor(grads.queries, queries),
            tensor(grads.keys, keys),
            tensor(grads.values, values),
            tensor(grads.positions, positions),
        ]
    }
}

impl<B: LocalOps, C: CheckpointStrategy> LocalOps for Autodiff<B, C>
where
    SavedLocal<B>: Saved<B, 4>,
{
    fn attend_local(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        positions: FloatTensor<Self>,
        attention: LocalAttention,
    ) -> FloatTensor<Self> {
        let nodes = [queries.node(), keys.node(), values.node(), positions.node()];
        let inputs = [queries, keys, values, positions].map(|tensor| tensor.into_primitive());
        let [queries, keys, values, positions] = inputs.clone();
        let context = B::attend_local(queries, keys, values, positions, attention);
        record::<B, C, _, 4>(nodes, context, || SavedLocal { inputs, attention })
    }
}

/// [`LocalOps::attend_local`] on tensors of any device.
pub(crate) fn attend_local(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    positions: Tensor<4>,
    attention: LocalAttention,
) -> Tensor<4> {
    let [queries, keys, values, positions] = [queries, keys, values, positions].map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as LocalOps>::attend_local(queries, keys, values, positions, attention))
}
