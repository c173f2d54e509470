//! Fused attention whose log-sum-exp has a gradient, too: the last feature of what comes out.

use std::sync::Arc;

use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use regard_kernel::{Attention, View};

use super::{CHECKED, Saved, dims, positive, record, slice, tensor, view};

/// See [`crate::ops::attend_packed`] for shapes.
#[backend_extension(Flex, Autodiff)]
pub trait PackedOps: Backend {
    /// The context with the log-sum-exp as one more feature, which takes gradients like the others.
    fn attend_packed(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        attention: Arc<Attention>,
    ) -> FloatTensor<Self>;
}

/// Rows of `width` numbers with one more behind each.
fn packed(rows: &[f32], width: usize, last: impl IntoIterator<Item = f32>) -> Vec<f32> {
    let mut packed = Vec::with_capacity(rows.len() / width.max(1) * (width + 1));
    for (row, last) in last.into_iter().enumerate() {
        packed.extend_from_slice(&rows[row * width..][..width]);
        packed.push(last);
    }
    packed
}

impl PackedOps for Flex {
    fn attend_packed(
        queries: FlexTensor,
        keys: FlexTensor,
        values: FlexTensor,
        attention: Arc<Attention>,
    ) -> FlexTensor {
        let [queries, keys, values] = [queries, keys, values].map(positive);
        let [batch, heads, length, _] = dims(&queries);
        let [.., width] = dims::<4>(&values);
        let out = attention.forward(&view(&queries), &view(&keys), &view(&values)).expect(CHECKED);
        tensor(packed(&out.context, width, out.lse), [batch, heads, length, width + 1])
    }
}

#[derive(Debug, Clone)]
struct SavedPacked<B: Backend> {
    inputs: [FloatTensor<B>; 3],
    packed: FloatTensor<B>,
    attention: Arc<Attention>,
}

impl Saved<Flex, 3> for SavedPacked<Flex> {
    fn backward(self, grad: FlexTensor) -> [FlexTensor; 3] {
        let [queries, keys, values] = self.inputs;
        let (queries, keys, values, grad) = (positive(queries), positive(keys), values.to_contiguous(), positive(grad));
        let sizes @ [batch, heads, count, width] = dims(&values);
        let (mut context, mut lse) = (slice(&self.packed).to_vec(), Vec::new());
        // As if every value ended in a 1 and yet every context in a 0: then the gradient of a score, which is
        // a · (grad · v − grad · c), gets from the last feature what the log-sum-exp's gradient asks for, a · grad.
        for row in context.chunks_exact_mut(width + 1) {
            lse.push(std::mem::replace(&mut row[width], 0.0));
        }
        let ones = packed(slice(&values), width, std::iter::repeat_n(1.0, batch * heads * count));
        let ones = View::new(&ones, [batch, heads, count, width + 1]).expect(CHECKED);
        let grads = self.attention.backward(&view(&queries), &view(&keys), &ones, &context, &lse, &view(&grad));
        let grads = grads.expect(CHECKED);
        let kept = grads.values.chunks_exact(width + 1).flat_map(|row| row[..width].iter().copied()).collect();
        [tensor(grads.queries, dims::<4>(&queries)), tensor(grads.keys, dims::<4>(&keys)), tensor(kept, sizes)]
    }
}

impl<B: PackedOps, C: CheckpointStrategy> PackedOps for Autodiff<B, C>
where
    SavedPacked<B>: Saved<B, 3>,
{
    fn attend_packed(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        attention: Arc<Attention>,
    ) -> FloatTensor<Self> {
        let nodes = [queries.node(), keys.node(), values.node()];
        let inputs = [queries, keys, values].map(|tensor| tensor.into_primitive());
        let [queries, keys, values] = inputs.clone();
        let packed = B::attend_packed(queries, keys, values, attention.clone());
        record::<B, C, _, 3>(nodes, packed.clone(), || SavedPacked { inputs, packed, attention })
    }
}

/// [`PackedOps::attend_packed`] on tensors of any device.
pub(crate) fn attend_packed(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    attention: Arc<Attention>,
) -> Tensor<4> {
    let [queries, keys, values] = [queries, keys, values].map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as PackedOps>::attend_packed(queries, keys, values, attention))
}
