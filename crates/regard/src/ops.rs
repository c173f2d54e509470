//! Fused operations on burn tensors, each with its own backward: one pass over memory instead of one a primitive.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use regard_kernel::rows::Quantized;
use regard_kernel::{
    Attention, EdgeAttention, FeatureAttention, Graph, HashedAttention, LinearAttention, LocalAttention,
};

use crate::adapter::{self, Labels};
use crate::error::{Error, Result};

/// What [`attend`] returns.
#[derive(Debug, Clone)]
pub struct Attended {
    /// The mixed values, `[batch, head, query, value feature]`.
    pub context: Tensor<4>,
    /// Log-sum-exp of each row of scores, `[batch, head, query]`; with the queries and keys it is all that is needed to
    /// recompute any weight. Carries no gradient.
    pub lse: Tensor<3>,
}

/// Fused attention of any combination of score, bias, mask and normaliser, forward and backward, in memory linear in
/// the lengths.
///
/// Shapes: queries `[batch, head, query, feature]`, keys `[batch, key head, key, feature]`, values
/// `[batch, key head, key, value feature]`; `head` a multiple of `key head`. Any strides, f32.
///
/// # Errors
/// When the shapes do not fit each other or one of the modifiers.
pub fn attend(queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>, attention: &Attention) -> Result<Attended> {
    let nothing = Tensor::zeros([1], &constants(&queries.device()));
    run(queries, keys, values, nothing, attention.clone())
}

/// [`attend`] with learned modifiers: `build` makes the attention from the current values of `parameters`, and
/// `parameters` receives the gradient. The order is the kernel's: the score's, then each bias's, then the normaliser's.
///
/// # Errors
/// As [`attend`], and when `build` refuses the values.
pub fn attend_learned(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    parameters: Tensor<1>,
    build: impl FnOnce(Vec<f32>) -> regard_kernel::Result<Attention>,
) -> Result<Attended> {
    let attention = build(numbers(parameters.clone())?)?;
    run(queries, keys, values, parameters, attention)
}

fn run(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    parameters: Tensor<1>,
    attention: Attention,
) -> Result<Attended> {
    attention.fits(queries.dims(), keys.dims(), values.dims())?;
    let (context, lse) = adapter::attend(queries, keys, values, parameters, Arc::new(attention));
    Ok(Attended { context, lse })
}

/// Attention by positive features, forward and backward, in time linear in the length; see [`regard_kernel::features`].
/// queries `[batch, head, query, feature]`, keys `[batch, head, key, feature]`, values `[batch, head, key, value feature]`.
///
/// # Errors
/// When the shapes do not fit each other or the features.
pub fn attend_features(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    attention: &FeatureAttention,
) -> Result<Tensor<4>> {
    crate::mechanism::fits(&queries, &keys, &values)?;
    attention.fits(queries.dims(), keys.dims(), values.dims())?;
    Ok(adapter::attend_features(queries, keys, values, Arc::new(attention.clone())))
}

/// Attention of sorted positions; see [`regard_kernel::hashed`]. Shapes are those that were sorted; there are no keys where
/// one vector is both query and key.
pub(crate) fn attend_hashed(
    queries: Tensor<4>,
    keys: Option<Tensor<4>>,
    values: Tensor<4>,
    attention: HashedAttention,
) -> Tensor<4> {
    let keys = keys.unwrap_or_else(|| Tensor::zeros([0; 4], &constants(&queries.device())));
    adapter::attend_hashed(queries, keys, values, Arc::new(attention))
}

/// Attention to the keys around `positions [batch, head, query, 1]`, counted in keys from 0, which have a gradient; see
/// [`regard_kernel::local`]. Other shapes as [`attend_features`] has them.
///
/// # Errors
/// When the shapes do not fit each other.
pub fn attend_local(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    positions: Tensor<4>,
    attention: LocalAttention,
) -> Result<Tensor<4>> {
    crate::mechanism::fits(&queries, &keys, &values)?;
    let [batch, heads, length, _] = queries.dims();
    if positions.dims() != [batch, heads, length, 1] {
        let expected = format!("{:?}, one a query", [batch, heads, length, 1]);
        return Err(Error::shape("positions", &positions.dims(), expected));
    }
    Ok(adapter::attend_local(queries, keys, values, positions, attention))
}

/// Attention along the edges of a graph, forward and backward, `softmax_j(a · leaky(q_i + k_j))` over the neighbours of each node;
/// see [`regard_kernel::graph`]. queries `[batch, head, receiver, feature]`, keys `[batch, head, sender, feature]`, values
/// `[batch, head, sender, value feature]`, vectors `[head, feature]`. A node that sees nobody gets zeros.
///
/// # Errors
/// When the shapes do not fit each other or the graph.
pub fn attend_edges(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    vectors: Tensor<2>,
    graph: &Graph,
    attention: EdgeAttention,
) -> Result<Tensor<4>> {
    let vectors: Tensor<4> = vectors.unsqueeze_dim::<3>(1).unsqueeze_dim(0);
    attention.fits(graph, queries.dims(), keys.dims(), values.dims(), vectors.dims())?;
    Ok(adapter::attend_edges(queries, keys, values, vectors, graph.clone(), attention))
}

/// `left · right` for each batch and head, with the kernel's product, forward and backward: left
/// `[batch or 1, head or 1, i, k]`, right `[batch or 1, head or 1, k, j]`. Neither is copied, whatever its strides.
///
/// # Errors
/// When the shapes do not fit each other.
pub fn product(left: Tensor<4>, right: Tensor<4>) -> Result<Tensor<4>> {
    let ([batch, heads, _, depth], [other, others, height, _]) = (left.dims(), right.dims());
    let both = |a: usize, b: usize| a == b || a == 1 || b == 1;
    if depth != height || !both(batch, other) || !both(heads, others) {
        let expected = format!("[{batch} or 1, {heads} or 1, {depth}, column]");
        return Err(Error::shape("right", &right.dims(), expected));
    }
    Ok(adapter::product(left, right))
}

/// Each position's row becomes a sum of those around it, with the weights of its head: `y_t = Σ_s w_s · x_{t + s − n/2}`, x
/// `[batch, head, position, feature]`, weights `[head, n]`, n odd. What is past the ends is 0.
///
/// # Errors
/// When there is not a filter for each head, or it has no middle.
pub fn filter(x: Tensor<4>, weights: Tensor<2>) -> Result<Tensor<4>> {
    let ([heads, taps], [_, given, _, _]) = (weights.dims(), x.dims());
    if heads != given || taps.is_multiple_of(2) {
        return Err(Error::shape("weights", &weights.dims(), format!("[{given}, an odd number]")));
    }
    Ok(adapter::filter(x, weights))
}

/// Causal linear attention, forward and backward, in one pass over the positions: a memory that each position writes to and
/// reads from. `queries` and `keys` `[batch, head, position, feature]`, `values` `[batch, head, position, value feature]`;
/// what is read is multiplied with `scale`.
///
/// `decay` `[batch, head, position, feature or 1]`, a logarithm, 0 or less, is how much of the memory is kept at a position
/// (RetNet, gated linear attention); `beta` `[batch, head, position, 1]`, from 0 to 1, how far what is found under a key is
/// moved to the new value instead of being added to (the delta rule). See [`regard_kernel::linear`] for equations and papers.
///
/// # Errors
/// When the shapes do not fit each other.
pub fn linear_attention(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    decay: Option<Tensor<4>>,
    beta: Option<Tensor<4>>,
    scale: f32,
) -> Result<Tensor<4>> {
    crate::mechanism::fits(&queries, &keys, &values)?;
    let [batch, heads, length, width] = queries.dims();
    if keys.dims()[2] != length {
        return Err(Error::shape("keys", &keys.dims(), format!("as many positions as queries, {length}")));
    }
    if let Some(decay) = &decay {
        let (whole, single) = ([batch, heads, length, width], [batch, heads, length, 1]);
        if ![whole, single].contains(&decay.dims()) {
            return Err(Error::shape("decay", &decay.dims(), format!("{whole:?}, or 1 as the last axis")));
        }
    }
    if let Some(beta) = &beta
        && beta.dims() != [batch, heads, length, 1]
    {
        return Err(Error::shape("beta", &beta.dims(), format!("{:?}", [batch, heads, length, 1])));
    }
    let nothing = || Tensor::zeros([0; 4], &constants(&queries.device()));
    let (decay, beta) = (decay.unwrap_or_else(nothing), beta.unwrap_or_else(nothing));
    Ok(adapter::linear_attention(queries, keys, values, decay, beta, LinearAttention::with_scale(scale)))
}

/// Layer normalisation over the last axis: `(x - mean) / sqrt(variance + epsilon) · gamma + beta`.
/// Ba, Kiros & Hinton, "Layer Normalization", 2016, arXiv:1607.06450.
///
/// # Panics
/// When `gamma` or `beta` is not as wide as `input`'s last axis.
pub fn layer_norm<const D: usize>(input: Tensor<D>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f32) -> Tensor<D> {
    let dims = input.dims();
    let width = dims[D - 1];
    assert_eq!([gamma.dims(), beta.dims()], [[width]; 2], "gamma and beta must be as wide as the rows");
    let rows = input.reshape([dims.iter().product::<usize>() / width.max(1), width]);
    adapter::layer_norm(rows, gamma, beta, epsilon).reshape(dims)
}

/// A linear layer: `input · weight + bias` over the last axis, with the products of the kernel, forward and backward.
///
/// `weight [width, feature]`, as burn's `Linear` keeps it, `bias [feature]`. The weight is used as it is stored and never copied:
/// it may be the transpose of a tensor that lies the other way round, as in PyTorch's files, and f16 or bf16, which are widened
/// right before they are used. The weight's gradient is f32 whatever the weight is.
///
/// # Panics
/// When `input`'s last axis is not as wide as the weight has rows, or the bias not as long as it has columns.
pub fn linear<const D: usize>(input: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    let sizes = weight.dims();
    linear_by(input, sizes, bias, |rows, bias| adapter::linear(rows, weight, bias))
}

/// [`linear`] with a weight in blocks of 8-bit numbers, which has no gradient; that of input and bias flows.
///
/// # Panics
/// As [`linear`].
pub fn quantized_linear<const D: usize>(
    input: Tensor<D>,
    weight: Arc<Quantized>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    linear_by(input, weight.sizes(), bias, |rows, bias| adapter::quantized_linear(rows, bias, weight))
}

fn linear_by<const D: usize>(
    input: Tensor<D>,
    [width, features]: [usize; 2],
    bias: Option<Tensor<1>>,
    product: impl FnOnce(Tensor<2>, Tensor<1>) -> Tensor<2>,
) -> Tensor<D> {
    let mut dims = input.dims();
    assert_eq!(dims[D - 1], width, "the rows of a linear layer's input must be as wide as its weight is high");
    if let Some(bias) = &bias {
        assert_eq!(bias.dims(), [features], "a linear layer needs a bias a feature");
    }
    let rows = input.reshape([dims.iter().product::<usize>() / width.max(1), width]);
    dims[D - 1] = features;
    if rows.dims()[0] == 0 || width == 0 || features == 0 {
        return Tensor::zeros(dims, &rows.device());
    }
    let bias = bias.unwrap_or_else(|| Tensor::zeros([0], &constants(&rows.device())));
    product(rows, bias).reshape(dims)
}

/// Summed cross-entropy of the classes that a linear layer gives each row, with label smoothing `ε` (Szegedy et al. 2016,
/// arXiv:1512.00567): the right class is worth `1 - ε`, and `ε` is spread evenly over all classes.
///
/// `states [row, width]`, `weight [class, width]`, `bias [class]`. The logits `states · weightᵀ + bias`, their softmax and
/// gradient never exist as tensors (Wijmans et al. 2024, arXiv:2411.09009). Rows whose target is `ignore` add nothing and
/// cost nothing. When gradients are tracked, they are computed together with the loss, which is meant to be the end of the
/// graph.
///
/// # Errors
/// When the shapes do not fit, there is not one target a row, a target is no class, or `smoothing` is not in `[0, 1)`.
pub fn linear_cross_entropy(
    states: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    targets: &[u32],
    smoothing: f32,
    ignore: Option<u32>,
) -> Result<Tensor<1>> {
    let ([rows, width], [classes, _]) = (states.dims(), weight.dims());
    if weight.dims()[1] != width || width == 0 {
        let expected = format!("[class, {width}], as wide as the states, and at least 1");
        return Err(Error::shape("weight", &weight.dims(), expected));
    }
    if let Some(bias) = bias.as_ref().filter(|bias| bias.dims() != [classes]) {
        return Err(Error::shape("bias", &bias.dims(), format!("[{classes}], one a class")));
    }
    if targets.len() != rows {
        return Err(Error::shape("targets", &[targets.len()], format!("[{rows}], one a row of states")));
    }
    if let Some(bad) = targets.iter().find(|&&target| target as usize >= classes && Some(target) != ignore) {
        return Err(Error::value("targets", bad, format!("classes below {classes}")));
    }
    if !(0.0..1.0).contains(&smoothing) {
        return Err(Error::value("smoothing", smoothing, "a share in [0, 1)"));
    }
    let targets = targets.iter().map(|&target| target as usize).collect();
    let ignore = ignore.map(|class| class as usize);
    let bias = bias.unwrap_or_else(|| Tensor::zeros([0], &constants(&states.device())));
    Ok(adapter::linear_cross_entropy(states, weight, bias, Labels { targets, smoothing, ignore }))
}

/// The device without gradient tracking: constants made here cost no node in the graph.
pub(crate) fn constants(device: &Device) -> Device {
    device.clone().inner()
}

/// The numbers of a tensor, in order.
pub(crate) fn numbers<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let data = tensor.into_data();
    data.try_into_vec().map_err(|error| Error::value("tensor", format!("{error:?}"), "32-bit floating point numbers"))
}
