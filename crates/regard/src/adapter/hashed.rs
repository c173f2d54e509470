//! Attention by hashing.

use std::sync::Arc;

use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{AutodiffBackend, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use regard_kernel::HashedAttention;

use super::{CHECKED, Saved, dims, positive, record, slice, tensor, view};

/// See [`crate::ops::attend_hashed`] for shapes.
#[backend_extension(Flex, Autodiff)]
pub trait HashedOps: Backend {
    /// Context, and each row's greatest score and total. The keys are empty where queries are keys.
    fn attend_hashed(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        attention: Arc<HashedAttention>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

fn is_there(keys: &FlexTensor) -> bool {
    keys.layout().num_elements() > 0
}

impl HashedOps for Flex {
    fn attend_hashed(
        queries: FlexTensor,
        keys: FlexTensor,
        values: FlexTensor,
        attention: Arc<HashedAttention>,
    ) -> (FlexTensor, FlexTensor) {
        let [queries, keys, values] = [queries, keys, values].map(positive);
        let [batch, heads, length, _] = dims(&queries);
        let [.., width] = dims::<4>(&values);
        let given = is_there(&keys).then(|| view(&keys));
        let out = attention.forward(&view(&queries), given.as_ref(), &view(&values)).expect(CHECKED);
        (tensor(out.context, [batch, heads, length, width]), tensor(out.rows, [batch, heads, length, 2]))
    }
}

#[derive(Debug, Clone)]
struct SavedHashed<B: Backend> {
    inputs: [FloatTensor<B>; 3],
    context: FloatTensor<B>,
    rows: FloatTensor<B>,
    attention: Arc<HashedAttention>,
}

impl Saved<Flex, 3> for SavedHashed<Flex> {
    fn backward(self, grad: FlexTensor) -> [FlexTensor; 3] {
        let inputs @ [queries, keys, values] = &self.inputs.map(positive);
        let (context, rows, grad) = (slice(&self.context), slice(&self.rows), positive(grad));
        let given = is_there(keys).then(|| view(keys));
        let grads = self.attention.backward(&view(queries), given.as_ref(), &view(values), context, rows, &view(&grad));
        let grads = grads.expect(CHECKED);
        let [queries, keys, values] = inputs.each_ref().map(dims::<4>);
        [tensor(grads.queries, queries), tensor(grads.keys, keys), tensor(grads.values, values)]
    }
}

impl<B: HashedOps, C: CheckpointStrategy> HashedOps for Autodiff<B, C>
where
    SavedHashed<B>: Saved<B, 3>,
{
    fn attend_hashed(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        attention: Arc<HashedAttention>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [queries.node(), keys.node(), values.node()];
        let inputs = [queries, keys, values].map(|tensor| tensor.into_primitive());
        let [queries, keys, values] = inputs.clone();
        let (context, rows) = B::attend_hashed(queries, keys, values, attention.clone());
        let outer_rows = Self::from_inner(rows.clone());
        let saved = context.clone();
        let context = record::<B, C, _, 3>(nodes, context, || SavedHashed { inputs, context: saved, rows, attention });
        (context, outer_rows)
    }
}

/// [`HashedOps::attend_hashed`] on tensors of any device, the context alone.
pub(crate) fn attend_hashed(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    attention: Arc<HashedAttention>,
) -> Tensor<4> {
    let [queries, keys, values] = [queries, keys, values].map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as HashedOps>::attend_hashed(queries, keys, values, attention).0)
}
