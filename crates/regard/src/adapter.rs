//! The one file that names burn's backend types: the kernel's loops as differentiable burn operations.
//!
//! [`FusedOps`] is dispatched at run time on the tensor's device. On the CPU backend (`flex`) an operation borrows the
//! tensors' memory without copying, whatever their strides, and calls [`regard_kernel`]; under `Autodiff` the same
//! call records a node whose backward is the kernel's own. A burn upgrade should touch this file and little else.

use std::sync::Arc;

use burn::backend::autodiff::{
    Autodiff, NodeId,
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{AutodiffBackend, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};
use regard_kernel::linear::Gates;
use regard_kernel::rows::{self, LinearCrossEntropy};
use regard_kernel::{Attention, LinearAttention, View, dropout};

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

/// The fused operations; shapes are those of the functions in [`crate::ops`] that wrap them.
#[backend_extension(Flex, Autodiff)]
pub trait FusedOps: Backend {
    /// Context and log-sum-exp. `parameters` are the values that `attention` was built with, here to take gradients.
    fn attend(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        attention: Arc<Attention>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
    /// The context with the log-sum-exp as one more feature, which takes gradients like the others.
    fn attend_packed(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        attention: Arc<Attention>,
    ) -> FloatTensor<Self>;
    /// Causal linear attention. A gate that there is not is empty.
    fn linear_attention(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        decay: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        attention: LinearAttention,
    ) -> FloatTensor<Self>;
    /// Normalised rows, their means and reciprocal standard deviations.
    fn fused_layer_norm(
        rows: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
    /// A linear layer. The bias is empty where there is none.
    fn fused_linear(rows: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Summed loss (one number). The bias is empty where there is none.
    fn fused_linear_cross_entropy(
        states: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        labels: Labels,
    ) -> FloatTensor<Self>;
    /// Keeps an element with probability `1 - probability`, decided by `(seed, index)` alone, and rescales it.
    fn keyed_dropout(input: FloatTensor<Self>, probability: f32, seed: u64) -> FloatTensor<Self>;
}

/// The derivatives, on a backend that holds numbers.
trait FusedGradients: Backend {
    fn attend_backward(saved: SavedAttention<Self>, grad: FloatTensor<Self>) -> [FloatTensor<Self>; 4];
    fn attend_packed_backward(saved: SavedPacked<Self>, grad: FloatTensor<Self>) -> [FloatTensor<Self>; 3];
    fn linear_attention_backward(
        saved: [FloatTensor<Self>; 5],
        attention: LinearAttention,
        grad: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 5];
    fn layer_norm_backward(saved: SavedNorm<Self>, grad: FloatTensor<Self>) -> [FloatTensor<Self>; 3];
    fn linear_backward(saved: SavedLinear<Self>, grad: FloatTensor<Self>) -> [FloatTensor<Self>; 3];
    /// The summed loss, and its gradients by states, weight and bias: they are cheapest to have at once.
    fn linear_cross_entropy_gradients(
        states: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        labels: Labels,
    ) -> (FloatTensor<Self>, [FloatTensor<Self>; 3]);
    fn linear_cross_entropy_backward(known: [FloatTensor<Self>; 3], grad: FloatTensor<Self>) -> [FloatTensor<Self>; 3];
}

#[derive(Debug, Clone)]
struct SavedAttention<B: Backend> {
    queries: FloatTensor<B>,
    keys: FloatTensor<B>,
    values: FloatTensor<B>,
    parameters: FloatTensor<B>,
    context: FloatTensor<B>,
    lse: FloatTensor<B>,
    attention: Arc<Attention>,
}

#[derive(Debug, Clone)]
struct SavedPacked<B: Backend> {
    queries: FloatTensor<B>,
    keys: FloatTensor<B>,
    values: FloatTensor<B>,
    packed: FloatTensor<B>,
    attention: Arc<Attention>,
}

#[derive(Debug, Clone)]
struct SavedNorm<B: Backend> {
    rows: FloatTensor<B>,
    gamma: FloatTensor<B>,
    mean: FloatTensor<B>,
    rstd: FloatTensor<B>,
}

#[derive(Debug, Clone)]
struct SavedLinear<B: Backend> {
    rows: FloatTensor<B>,
    weight: FloatTensor<B>,
    biased: bool,
}

/// The callers in [`crate::ops`] have checked shapes and types, so the kernel cannot refuse.
const CHECKED: &str = "checked before the operation was dispatched";

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

fn slice(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect(CHECKED)
}

/// A strided view of a rank-4 tensor's memory; flipped tensors (negative strides) were made contiguous by [`positive`].
fn view(tensor: &FlexTensor) -> View<'_> {
    let layout = tensor.layout();
    let strides: Vec<usize> = layout.strides().iter().map(|&stride| stride as usize).collect();
    let memory = tensor.storage::<f32>();
    let memory = &memory[layout.start_offset().min(memory.len())..];
    View::strided(memory, layout.shape().dims::<4>(), strides.try_into().expect(CHECKED)).expect(CHECKED)
}

fn positive(tensor: FlexTensor) -> FlexTensor {
    if tensor.layout().has_positive_strides() { tensor } else { tensor.to_contiguous() }
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

fn gates<'a>(decay: &'a FlexTensor, beta: &'a FlexTensor) -> Gates<'a> {
    let [decay, beta] = [decay, beta].map(|gate| (gate.layout().num_elements() > 0).then(|| view(gate)));
    Gates { decay, beta }
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
        width: weight.layout().shape().dims::<2>()[1],
        targets: &labels.targets,
        smoothing: labels.smoothing,
        ignore: labels.ignore,
    }
}

impl FusedOps for Flex {
    fn attend(
        queries: FlexTensor,
        keys: FlexTensor,
        values: FlexTensor,
        _parameters: FlexTensor,
        attention: Arc<Attention>,
    ) -> (FlexTensor, FlexTensor) {
        let (queries, keys, values) = (positive(queries), positive(keys), positive(values));
        let [batch, heads, length, _] = queries.layout().shape().dims::<4>();
        let width = values.layout().shape().dims::<4>()[3];
        let out = attention.forward(&view(&queries), &view(&keys), &view(&values)).expect(CHECKED);
        (tensor(out.context, [batch, heads, length, width]), tensor(out.lse, [batch, heads, length]))
    }

    fn attend_packed(
        queries: FlexTensor,
        keys: FlexTensor,
        values: FlexTensor,
        attention: Arc<Attention>,
    ) -> FlexTensor {
        let (queries, keys, values) = (positive(queries), positive(keys), positive(values));
        let [batch, heads, length, _] = queries.layout().shape().dims::<4>();
        let width = values.layout().shape().dims::<4>()[3];
        let out = attention.forward(&view(&queries), &view(&keys), &view(&values)).expect(CHECKED);
        tensor(packed(&out.context, width, out.lse), [batch, heads, length, width + 1])
    }

    fn linear_attention(
        queries: FlexTensor,
        keys: FlexTensor,
        values: FlexTensor,
        decay: FlexTensor,
        beta: FlexTensor,
        attention: LinearAttention,
    ) -> FlexTensor {
        let [queries, keys, values, decay, beta] = [queries, keys, values, decay, beta].map(positive);
        let [batch, heads, length, _] = queries.layout().shape().dims::<4>();
        let width = values.layout().shape().dims::<4>()[3];
        let (q, k, v) = (view(&queries), view(&keys), view(&values));
        let out = attention.forward(&q, &k, &v, &gates(&decay, &beta), None).expect(CHECKED);
        tensor(out.context, [batch, heads, length, width])
    }

    fn fused_layer_norm(
        input: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f32,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let input = input.to_contiguous();
        let [count, width] = input.layout().shape().dims::<2>();
        let (mut out, mut mean, mut rstd) = (vec![0.0; count * width], vec![0.0; count], vec![0.0; count]);
        let (gamma, beta) = (gamma.to_contiguous(), beta.to_contiguous());
        rows::layer_norm(slice(&input), slice(&gamma), slice(&beta), epsilon, &mut out, &mut mean, &mut rstd)
            .expect(CHECKED);
        (tensor(out, [count, width]), tensor(mean, [count]), tensor(rstd, [count]))
    }

    fn fused_linear(input: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let [input, weight, bias] = [input, weight, bias].map(|tensor| tensor.to_contiguous());
        let count = input.layout().shape().dims::<2>()[0];
        let sizes = weight.layout().shape().dims::<2>();
        let mut out = vec![0.0; count * sizes[1]];
        rows::linear(slice(&input), slice(&weight), slice(&bias), sizes, &mut out).expect(CHECKED);
        tensor(out, [count, sizes[1]])
    }

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

    fn keyed_dropout(input: FlexTensor, probability: f32, seed: u64) -> FlexTensor {
        let input = input.to_contiguous();
        let values = slice(&input);
        let mut kept = vec![0.0; values.len()];
        dropout::scale_mask(seed, 0, probability, &mut kept);
        kept.iter_mut().zip(values).for_each(|(scale, value)| *scale *= value);
        FlexTensor::from_data(TensorData::new(kept, input.layout().shape().clone()))
    }
}

impl FusedGradients for Flex {
    fn attend_backward(saved: SavedAttention<Self>, grad: FlexTensor) -> [FlexTensor; 4] {
        let SavedAttention { queries, keys, values, parameters, context, lse, attention } = saved;
        let (queries, keys, values, grad) = (positive(queries), positive(keys), positive(values), positive(grad));
        let (q, k, v) = (view(&queries), view(&keys), view(&values));
        let grads = attention.backward(&q, &k, &v, slice(&context), slice(&lse), &view(&grad)).expect(CHECKED);
        let [queries, keys, values] = [&queries, &keys, &values].map(|t| t.layout().shape().dims::<4>());
        let count = parameters.layout().num_elements();
        let mut learned: Vec<f32> = grads.score;
        learned.extend(grads.biases.into_iter().flatten());
        learned.extend(grads.normalizer);
        // Without learned parameters a placeholder of one number stands in, which nothing reads.
        learned.resize(count, 0.0);
        [
            tensor(grads.queries, queries),
            tensor(grads.keys, keys),
            tensor(grads.values, values),
            tensor(learned, [count]),
        ]
    }

    fn attend_packed_backward(saved: SavedPacked<Self>, grad: FlexTensor) -> [FlexTensor; 3] {
        let SavedPacked { queries, keys, values, packed: both, attention } = saved;
        let (queries, keys, values, grad) = (positive(queries), positive(keys), values.to_contiguous(), positive(grad));
        let sizes @ [batch, heads, count, width] = values.layout().shape().dims::<4>();
        let (mut context, mut lse) = (slice(&both).to_vec(), Vec::new());
        // As if every value ended in a 1 and yet every context in a 0: then the gradient of a score, which is
        // a · (grad · v − grad · c), gets from the last feature what the log-sum-exp's gradient asks for, a · grad.
        for row in context.chunks_exact_mut(width + 1) {
            lse.push(std::mem::replace(&mut row[width], 0.0));
        }
        let ones = packed(slice(&values), width, std::iter::repeat_n(1.0, batch * heads * count));
        let ones = View::new(&ones, [batch, heads, count, width + 1]).expect(CHECKED);
        let (q, k) = (view(&queries), view(&keys));
        let grads = attention.backward(&q, &k, &ones, &context, &lse, &view(&grad)).expect(CHECKED);
        let [queries, keys] = [&queries, &keys].map(|t| t.layout().shape().dims::<4>());
        let kept = grads.values.chunks_exact(width + 1).flat_map(|row| row[..width].iter().copied()).collect();
        [tensor(grads.queries, queries), tensor(grads.keys, keys), tensor(kept, sizes)]
    }

    fn linear_attention_backward(
        saved: [FlexTensor; 5],
        attention: LinearAttention,
        grad: FlexTensor,
    ) -> [FlexTensor; 5] {
        let (saved, grad) = (saved.map(positive), positive(grad));
        let [queries, keys, values, decay, beta] = &saved;
        let (q, k, v) = (view(queries), view(keys), view(values));
        let grads = attention.backward(&q, &k, &v, &gates(decay, beta), None, &view(&grad), None).expect(CHECKED);
        let [queries, keys, values, decay, beta] = saved.map(|tensor| tensor.layout().shape().dims::<4>());
        [
            tensor(grads.queries, queries),
            tensor(grads.keys, keys),
            tensor(grads.values, values),
            tensor(grads.decay, decay),
            tensor(grads.beta, beta),
        ]
    }

    fn layer_norm_backward(saved: SavedNorm<Self>, grad: FlexTensor) -> [FlexTensor; 3] {
        let (input, grad, gamma) = (saved.rows.to_contiguous(), grad.to_contiguous(), saved.gamma.to_contiguous());
        let [count, width] = input.layout().shape().dims::<2>();
        let (mut dx, mut dgamma, mut dbeta) = (vec![0.0; count * width], vec![0.0; width], vec![0.0; width]);
        rows::layer_norm_backward(
            slice(&input),
            slice(&gamma),
            slice(&saved.mean),
            slice(&saved.rstd),
            slice(&grad),
            &mut dx,
            &mut dgamma,
            &mut dbeta,
        )
        .expect(CHECKED);
        [tensor(dx, [count, width]), tensor(dgamma, [width]), tensor(dbeta, [width])]
    }

    fn linear_backward(saved: SavedLinear<Self>, grad: FlexTensor) -> [FlexTensor; 3] {
        let [input, weight, grad] = [saved.rows, saved.weight, grad].map(|tensor| tensor.to_contiguous());
        let sizes = weight.layout().shape().dims::<2>();
        let grads = rows::linear_backward(slice(&input), slice(&weight), saved.biased, sizes, slice(&grad));
        let grads = grads.expect(CHECKED);
        let bias = grads.bias.len();
        [
            tensor(grads.states, input.layout().shape().dims::<2>()),
            tensor(grads.weight, sizes),
            tensor(grads.bias, [bias]),
        ]
    }

    fn linear_cross_entropy_gradients(
        states: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        labels: Labels,
    ) -> (FlexTensor, [FlexTensor; 3]) {
        let [states, weight, bias] = [states, weight, bias].map(|tensor| tensor.to_contiguous());
        let (loss, grads) = classification(&states, &weight, &bias, &labels).loss_and_gradients().expect(CHECKED);
        let shape = |of: &FlexTensor| of.layout().shape().dims::<2>();
        let grads = [
            tensor(grads.states, shape(&states)),
            tensor(grads.weight, shape(&weight)),
            tensor(grads.bias, bias.layout().shape().dims::<1>()),
        ];
        (tensor(vec![loss as f32], [1]), grads)
    }

    fn linear_cross_entropy_backward(known: [FlexTensor; 3], grad: FlexTensor) -> [FlexTensor; 3] {
        // Known but for the factor that the rest of the graph multiplies the loss with.
        let scale = slice(&grad.to_contiguous())[0];
        known.map(|mut known| {
            known.storage_mut::<f32>().iter_mut().for_each(|value| *value *= scale);
            known
        })
    }
}

#[derive(Debug)]
struct AttendBackward;

impl<B: FusedGradients> Backward<B, 4> for AttendBackward {
    type State = SavedAttention<B>;

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        register::<B, 4>(
            ops.parents.map(|parent| parent.map(|node| node.id)),
            B::attend_backward(ops.state, grad),
            grads,
        );
    }
}

#[derive(Debug)]
struct AttendPackedBackward;

impl<B: FusedGradients> Backward<B, 3> for AttendPackedBackward {
    type State = SavedPacked<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        register::<B, 3>(
            ops.parents.map(|parent| parent.map(|node| node.id)),
            B::attend_packed_backward(ops.state, grad),
            grads,
        );
    }
}

#[derive(Debug)]
struct LinearAttentionBackward;

impl<B: FusedGradients> Backward<B, 5> for LinearAttentionBackward {
    type State = ([FloatTensor<B>; 5], LinearAttention);

    fn backward(self, ops: Ops<Self::State, 5>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (saved, attention) = ops.state;
        register::<B, 5>(
            ops.parents.map(|parent| parent.map(|node| node.id)),
            B::linear_attention_backward(saved, attention, grad),
            grads,
        );
    }
}

#[derive(Debug)]
struct LayerNormBackward;

impl<B: FusedGradients> Backward<B, 3> for LayerNormBackward {
    type State = SavedNorm<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        register::<B, 3>(
            ops.parents.map(|parent| parent.map(|node| node.id)),
            B::layer_norm_backward(ops.state, grad),
            grads,
        );
    }
}

#[derive(Debug)]
struct LinearBackward;

impl<B: FusedGradients> Backward<B, 3> for LinearBackward {
    type State = SavedLinear<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        register::<B, 3>(
            ops.parents.map(|parent| parent.map(|node| node.id)),
            B::linear_backward(ops.state, grad),
            grads,
        );
    }
}

#[derive(Debug)]
struct LinearCrossEntropyBackward;

impl<B: FusedGradients> Backward<B, 3> for LinearCrossEntropyBackward {
    type State = [FloatTensor<B>; 3];

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        register::<B, 3>(
            ops.parents.map(|parent| parent.map(|node| node.id)),
            B::linear_cross_entropy_backward(ops.state, grad),
            grads,
        );
    }
}

#[derive(Debug)]
struct DropoutBackward;

impl<B: FusedOps> Backward<B, 1> for DropoutBackward {
    type State = (f32, u64);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (probability, seed) = ops.state;
        // The mask is a function of (seed, index): the gradient passes where the value passed.
        register::<B, 1>(
            ops.parents.map(|parent| parent.map(|node| node.id)),
            [B::keyed_dropout(grad, probability, seed)],
            grads,
        );
    }
}

fn register<B: Backend, const N: usize>(
    parents: [Option<NodeId>; N],
    values: [FloatTensor<B>; N],
    grads: &mut Gradients,
) {
    for (parent, value) in parents.into_iter().zip(values) {
        if let Some(parent) = parent {
            grads.register::<B>(parent, value);
        }
    }
}

impl<B: FusedOps + FusedGradients, C: CheckpointStrategy> FusedOps for Autodiff<B, C> {
    fn attend(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        attention: Arc<Attention>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [queries.node(), keys.node(), values.node(), parameters.node()];
        let prepared = AttendBackward.prepare::<C>(nodes).compute_bound().stateful();
        let (queries, keys) = (queries.into_primitive(), keys.into_primitive());
        let (values, parameters) = (values.into_primitive(), parameters.into_primitive());
        let inputs = (queries.clone(), keys.clone(), values.clone(), parameters.clone());
        let (context, lse) = B::attend(inputs.0, inputs.1, inputs.2, inputs.3, attention.clone());
        let outer_lse = Self::from_inner(lse.clone());
        let outer_context = match prepared {
            OpsKind::Tracked(node) => {
                let saved =
                    SavedAttention { queries, keys, values, parameters, context: context.clone(), lse, attention };
                node.finish(saved, context)
            }
            OpsKind::UnTracked(node) => node.finish(context),
        };
        (outer_context, outer_lse)
    }

    fn attend_packed(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        attention: Arc<Attention>,
    ) -> FloatTensor<Self> {
        let nodes = [queries.node(), keys.node(), values.node()];
        let prepared = AttendPackedBackward.prepare::<C>(nodes).compute_bound().stateful();
        let [queries, keys, values] = [queries, keys, values].map(|tensor| tensor.into_primitive());
        let packed = B::attend_packed(queries.clone(), keys.clone(), values.clone(), attention.clone());
        match prepared {
            OpsKind::Tracked(node) => {
                node.finish(SavedPacked { queries, keys, values, packed: packed.clone(), attention }, packed)
            }
            OpsKind::UnTracked(node) => node.finish(packed),
        }
    }

    fn linear_attention(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        decay: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        attention: LinearAttention,
    ) -> FloatTensor<Self> {
        let nodes = [queries.node(), keys.node(), values.node(), decay.node(), beta.node()];
        let prepared = LinearAttentionBackward.prepare::<C>(nodes).compute_bound().stateful();
        let saved = [queries, keys, values, decay, beta].map(|tensor| tensor.into_primitive());
        let [queries, keys, values, decay, beta] = saved.clone();
        let context = B::linear_attention(queries, keys, values, decay, beta, attention);
        match prepared {
            OpsKind::Tracked(node) => node.finish((saved, attention), context),
            OpsKind::UnTracked(node) => node.finish(context),
        }
    }

    fn fused_layer_norm(
        rows: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [rows.node(), gamma.node(), beta.node()];
        let prepared = LayerNormBackward.prepare::<C>(nodes).compute_bound().stateful();
        let (rows, gamma) = (rows.into_primitive(), gamma.into_primitive());
        let (out, mean, rstd) = B::fused_layer_norm(rows.clone(), gamma.clone(), beta.into_primitive(), epsilon);
        let (outer_mean, outer_rstd) = (Self::from_inner(mean.clone()), Self::from_inner(rstd.clone()));
        let out = match prepared {
            OpsKind::Tracked(node) => node.finish(SavedNorm { rows, gamma, mean, rstd }, out),
            OpsKind::UnTracked(node) => node.finish(out),
        };
        (out, outer_mean, outer_rstd)
    }

    fn fused_linear(rows: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [rows.node(), weight.node(), bias.node()];
        let prepared = LinearBackward.prepare::<C>(nodes).compute_bound().stateful();
        let (rows, weight, bias) = (rows.into_primitive(), weight.into_primitive(), bias.into_primitive());
        match prepared {
            OpsKind::Tracked(node) => {
                let biased = bias.shape().num_elements() > 0;
                let saved = SavedLinear { rows: rows.clone(), weight: weight.clone(), biased };
                node.finish(saved, B::fused_linear(rows, weight, bias))
            }
            OpsKind::UnTracked(node) => node.finish(B::fused_linear(rows, weight, bias)),
        }
    }

    fn fused_linear_cross_entropy(
        states: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        labels: Labels,
    ) -> FloatTensor<Self> {
        let nodes = [states.node(), weight.node(), bias.node()];
        let prepared = LinearCrossEntropyBackward.prepare::<C>(nodes).compute_bound().stateful();
        let (states, weight, bias) = (states.into_primitive(), weight.into_primitive(), bias.into_primitive());
        match prepared {
            OpsKind::Tracked(node) => {
                let (loss, gradients) = B::linear_cross_entropy_gradients(states, weight, bias, labels);
                node.finish(gradients, loss)
            }
            OpsKind::UnTracked(node) => node.finish(B::fused_linear_cross_entropy(states, weight, bias, labels)),
        }
    }

    fn keyed_dropout(input: FloatTensor<Self>, probability: f32, seed: u64) -> FloatTensor<Self> {
        let prepared = DropoutBackward.prepare::<C>([input.node()]).compute_bound().stateful();
        let out = B::keyed_dropout(input.into_primitive(), probability, seed);
        match prepared {
            OpsKind::Tracked(node) => node.finish((probability, seed), out),
            OpsKind::UnTracked(node) => node.finish(out),
        }
    }
}

/// [`FusedOps::attend`] on tensors of any device; everything has been checked.
pub(crate) fn attend(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    parameters: Tensor<1>,
    attention: Arc<Attention>,
) -> (Tensor<4>, Tensor<3>) {
    let (context, lse) = <Dispatch as FusedOps>::attend(
        queries.into_dispatch(),
        keys.into_dispatch(),
        values.into_dispatch(),
        parameters.into_dispatch(),
        attention,
    );
    (Tensor::from_dispatch(context), Tensor::from_dispatch(lse))
}

/// [`FusedOps::attend_packed`]; everything has been checked.
pub(crate) fn attend_packed(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    attention: Arc<Attention>,
) -> Tensor<4> {
    let [queries, keys, values] = [queries, keys, values].map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as FusedOps>::attend_packed(queries, keys, values, attention))
}

/// [`FusedOps::linear_attention`]; everything has been checked.
pub(crate) fn linear_attention(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    decay: Tensor<4>,
    beta: Tensor<4>,
    attention: LinearAttention,
) -> Tensor<4> {
    let [queries, keys, values] = [queries, keys, values].map(Tensor::into_dispatch);
    let [decay, beta] = [decay, beta].map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as FusedOps>::linear_attention(queries, keys, values, decay, beta, attention))
}

/// [`FusedOps::fused_layer_norm`], the rows alone.
pub(crate) fn layer_norm(rows: Tensor<2>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f32) -> Tensor<2> {
    let (rows, gamma, beta) = (rows.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch());
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_layer_norm(rows, gamma, beta, epsilon).0)
}

/// [`FusedOps::fused_linear`].
pub(crate) fn linear(rows: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let (rows, weight, bias) = (rows.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_linear(rows, weight, bias))
}

/// [`FusedOps::fused_linear_cross_entropy`].
pub(crate) fn linear_cross_entropy(states: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>, labels: Labels) -> Tensor<1> {
    let (states, weight, bias) = (states.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_linear_cross_entropy(states, weight, bias, labels))
}

/// [`FusedOps::keyed_dropout`].
pub(crate) fn dropout<const D: usize>(input: Tensor<D>, probability: f32, seed: u64) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::keyed_dropout(input.into_dispatch(), probability, seed))
}
