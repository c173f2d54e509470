//! Attention along the edges of a graph.

use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use regard_kernel::{EdgeAttention, Graph};

use super::{CHECKED, Saved, dims, positive, record, tensor, view};

/// See [`crate::ops::attend_edges`] for shapes; vectors are `[1, head, 1, feature]`.
#[backend_extension(Flex, Autodiff)]
pub trait EdgeOps: Backend {
    /// The context.
    fn attend_edges(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        vectors: FloatTensor<Self>,
        graph: Graph,
        attention: EdgeAttention,
    ) -> FloatTensor<Self>;
}

impl EdgeOps for Flex {
    fn attend_edges(
        queries: FlexTensor,
        keys: FlexTensor,
        values: FlexTensor,
        vectors: FlexTensor,
        graph: Graph,
        attention: EdgeAttention,
    ) -> FlexTensor {
        let inputs = [queries, keys, values, vectors].map(positive);
        let [batch, heads, receivers, _] = dims(&inputs[0]);
        let [.., width] = dims::<4>(&inputs[2]);
        let [q, k, v, vectors] = inputs.each_ref().map(view);
        let out = attention.forward(&graph, &q, &k, &v, &vectors).expect(CHECKED);
        tensor(out, [batch, heads, receivers, width])
    }
}

#[derive(Debug, Clone)]
struct SavedEdges<B: Backend> {
    inputs: [FloatTensor<B>; 4],
    graph: Graph,
    attention: EdgeAttention,
}

impl Saved<Flex, 4> for SavedEdges<Flex> {
    fn backward(self, grad: FlexTensor) -> [FlexTensor; 4] {
        let (inputs, grad) = (self.inputs.map(positive), positive(grad));
        let [q, k, v, vectors] = inputs.each_ref().map(view);
        let grads = self.attention.backward(&self.graph, &q, &k, &v, &vectors, &view(&grad)).expect(CHECKED);
        let [queries, keys, values, vectors] = inputs.each_ref().map(dims::<4>);
        [
            tensor(grads.queries, queries),
            tensor(grads.keys, keys),
            tensor(grads.values, values),
            tensor(grads.vectors, vectors),
        ]
    }
}

impl<B: EdgeOps, C: CheckpointStrategy> EdgeOps for Autodiff<B, C>
where
    SavedEdges<B>: Saved<B, 4>,
{
    fn attend_edges(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        vectors: FloatTensor<Self>,
        graph: Graph,
        attention: EdgeAttention,
    ) -> FloatTensor<Self> {
        let nodes = [queries.node(), keys.node(), values.node(), vectors.node()];
        let inputs = [queries, keys, values, vectors].map(|tensor| tensor.into_primitive());
        let [queries, keys, values, vectors] = inputs.clone();
        let context = B::attend_edges(queries, keys, values, vectors, graph.clone(), attention);
        record::<B, C, _, 4>(nodes, context, || SavedEdges { inputs, graph, attention })
    }
}

/// [`EdgeOps::attend_edges`] on tensors of any device.
pub(crate) fn attend_edges(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    vectors: Tensor<4>,
    graph: Graph,
    attention: EdgeAttention,
) -> Tensor<4> {
    let [queries, keys, values, vectors] = [queries, keys, values, vectors].map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as EdgeOps>::attend_edges(queries, keys, values, vectors, graph, attention))
}
