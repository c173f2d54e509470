//! The one place that names burn's backend types: the kernel's loops as differentiable burn operations, one a file.
//!
//! An operation is a trait that is dispatched at run time on the tensors' device. On the CPU backend (`flex`) it borrows
//! the tensors' memory without copying, whatever their strides, and calls [`regard_kernel`]; under `Autodiff` the same call
//! records a [`Step`], whose backward is the kernel's own. A burn upgrade should touch this folder and little else.
//! Callers in [`crate::ops`] have checked shapes and values.

mod attention;
mod dropout;
mod edges;
mod features;
mod filter;
mod hashed;
mod layer_norm;
mod linear;
mod linear_attention;
mod linear_cross_entropy;
mod local;
mod product;

use std::fmt::Debug;
use std::marker::PhantomData;

use burn::backend::Backend;
use burn::backend::autodiff::{
    Autodiff,
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, NodeGuard, Ops, OpsKind},
};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::tensor::TensorData;
use regard_kernel::View;

pub(crate) use attention::attend;
pub(crate) use dropout::dropout;
pub(crate) use edges::attend_edges;
pub(crate) use features::attend_features;
pub(crate) use filter::filter;
pub(crate) use hashed::attend_hashed;
pub(crate) use layer_norm::layer_norm;
pub(crate) use linear::{linear, quantized_linear};
pub(crate) use linear_attention::linear_attention;
pub(crate) use linear_cross_entropy::{Labels, linear_cross_entropy};
pub(crate) use local::attend_local;
pub(crate) use product::product;

/// What an operation on `N` tensors keeps for its backward.
trait Saved<B: Backend, const N: usize>: Clone + Debug + Send + 'static {
    /// The gradients of what went in, from that of what came out.
    fn backward(self, grad: FloatTensor<B>) -> [FloatTensor<B>; N];
}

/// An operation of ours in burn's graph.
#[derive(Debug)]
struct Step<S>(PhantomData<S>);

impl<B: Backend, S: Saved<B, N>, const N: usize> Backward<B, N> for Step<S> {
    type State = S;

    fn backward(self, ops: Ops<S, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        for (parent, grad) in ops.parents.into_iter().zip(ops.state.backward(grad)) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, grad);
            }
        }
    }
}

/// A step that follows `nodes`: tracked, if a gradient may be asked of one of them.
fn step<B: Backend, C: CheckpointStrategy, S: Saved<B, N>, const N: usize>(
    nodes: [NodeGuard; N],
) -> OpsKind<Step<S>, B, S, C, N> {
    Step(PhantomData).prepare::<C>(nodes).compute_bound().stateful()
}

/// `out`, with what it came from; `saved` is asked for only if there is to be a backward.
fn record<B: Backend, C: CheckpointStrategy, S: Saved<B, N>, const N: usize>(
    nodes: [NodeGuard; N],
    out: FloatTensor<B>,
    saved: impl FnOnce() -> S,
) -> FloatTensor<Autodiff<B, C>> {
    match step::<B, C, S, N>(nodes) {
        OpsKind::Tracked(node) => node.finish(saved(), out),
        OpsKind::UnTracked(node) => node.finish(out),
    }
}

/// The callers in [`crate::ops`] have checked shapes and types, so the kernel cannot refuse.
const CHECKED: &str = "checked before the operation was dispatched";

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

fn slice(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect(CHECKED)
}

fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    tensor.layout().shape().dims()
}

/// A strided view of a rank-4 tensor's memory; flipped tensors (negative strides) were made contiguous by [`positive`].
fn view(tensor: &FlexTensor) -> View<'_> {
    let layout = tensor.layout();
    let strides: Vec<usize> = layout.strides().iter().map(|&stride| stride as usize).collect();
    let memory = tensor.storage::<f32>();
    let memory = &memory[layout.start_offset().min(memory.len())..];
    View::strided(memory, dims(tensor), strides.try_into().expect(CHECKED)).expect(CHECKED)
}

fn positive(tensor: FlexTensor) -> FlexTensor {
    if tensor.layout().has_positive_strides() { tensor } else { tensor.to_contiguous() }
}
