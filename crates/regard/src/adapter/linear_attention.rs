//! Causal linear attention.

use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use regard_kernel::LinearAttention;
use regard_kernel::linear::Gates;

use super::{CHECKED, Saved, dims, positive, record, tensor, view};

/// See [`crate::ops::linear_attention`] for shapes.
#[backend_extension(Flex, Autodiff)]
pub trait LinearAttentionOps: Backend {
    /// What each position reads from the memory. A gate that there is not is empty.
    fn linear_attention(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        decay: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        attention: LinearAttention,
    ) -> FloatTensor<Self>;
}

fn gates<'a>(decay: &'a FlexTensor, beta: &'a FlexTensor) -> Gates<'a> {
    let [decay, beta] = [decay, beta].map(|gate| (gate.layout().num_elements() > 0).then(|| view(gate)));
    Gates { decay, beta }
}

impl LinearAttentionOps for Flex {
    fn linear_attention(
        queries: FlexTensor,
        keys: FlexTensor,
        values: FlexTensor,
        decay: FlexTensor,
        beta: FlexTensor,
        attention: LinearAttention,
    ) -> FlexTensor {
        let [queries, keys, values, decay, beta] = [queries, keys, values, decay, beta].map(positive);
        let [batch, heads, length, _] = dims(&queries);
        let [.., width] = dims::<4>(&values);
        let (q, k, v) = (view(&queries), view(&keys), view(&values));
        let out = attention.forward(&q, &k, &v, &gates(&decay, &beta), None).expect(CHECKED);
        tensor(out.context, [batch, heads, length, width])
    }
}

#[derive(Debug, Clone)]
struct SavedLinearAttention<B: Backend> {
    inputs: [FloatTensor<B>; 5],
    attention: LinearAttention,
}

impl Saved<Flex, 5> for SavedLinearAttention<Flex> {
    fn backward(self, grad: FlexTensor) -> [FlexTensor; 5] {
        let (inputs, grad) = (self.inputs.map(positive), positive(grad));
        let [queries, keys, values, decay, beta] = &inputs;
        let (q, k, v) = (view(queries), view(keys), view(values));
        let grads = self.attention.backward(&q, &k, &v, &gates(decay, beta), None, &view(&grad), None).expect(CHECKED);
        let [queries, keys, values, decay, beta] = inputs.each_ref().map(dims::<4>);
        [
            tensor(grads.queries, queries),
            tensor(grads.keys, keys),
            tensor(grads.values, values),
            tensor(grads.decay, decay),
            tensor(grads.beta, beta),
        ]
    }
}

impl<B: LinearAttentionOps, C: CheckpointStrategy> LinearAttentionOps for Autodiff<B, C>
where
    SavedLinearAttention<B>: Saved<B, 5>,
{
    fn linear_attention(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        decay: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        attention: LinearAttention,
    ) -> FloatTensor<Self> {
        let nodes = [queries.node(), keys.node(), values.node(), decay.node(), beta.node()];
        let inputs = [queries, keys, values, decay, beta].map(|tensor| tensor.into_primitive());
        let [queries, keys, values, decay, beta] = inputs.clone();
        let context = B::linear_attention(queries, keys, values, decay, beta, attention);
        record::<B, C, _, 5>(nodes, context, || SavedLinearAttention { inputs, attention })
    }
}

/// [`LinearAttentionOps::linear_attention`] on tensors of any device.
pub(crate) fn linear_attention(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    decay: Tensor<4>,
    beta: Tensor<4>,
    attention: LinearAttention,
) -> Tensor<4> {
    let [queries, keys, values, decay, beta] = [queries, keys, values, decay, beta].map(Tensor::into_dispatch);
    let context = <Dispatch as LinearAttentionOps>::linear_attention(queries, keys, values, decay, beta, attention);
    Tensor::from_dispatch(context)
}
