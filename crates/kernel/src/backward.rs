//! The backward pass: every weight is made again from the row's log-sum-exp, and five products turn the gradient of the
//! context into those of queries, keys and values.
//!
//! The forward pass is C = P V with P = softmax(E) and E = scale · Q Kᵀ, and then P is gone. By the chain rule, its gradient
//! would need P in three places. Reading it back is out of the question: L×S numbers would have to be written, held and
//! read, and for long rows that takes longer than to compute them. `P_ij = exp(E_ij − lse_i)` costs one product and one
//! exponential, out of a tile that is in the processor's cache already. So there are two products forward and five backward,
//! one of them a second time.
//!
//! With D what dropout multiplies weights with, and dX the gradient of any X:
//!
//! ```text
//! dV = (P ∘ D)ᵀ dC            dP = D ∘ (dC Vᵀ)
//! dE = P ∘ (dP − δ)           δ_i = Σ_j P_ij dP_ij = Σ_f dC_if C_if
//! dQ, dK and the parameters from dE, by way of the biases and the score
//! ```
//!
//! δ is how the weights of a row answer for summing to 1: if one grows, the others shrink. It seems to ask for the whole row
//! before the first dE can be had, as the softmax did. But Σ_j P_ij D_ij (dC_i · V_j) is dC_i · Σ_j P_ij D_ij V_j, and that
//! sum is the context, which is known: one short product a query, before the keys stream by (Dao et al. 2022,
//! arXiv:2205.14135).
//!
//! That line is the softmax's; other normalizers have their own, and some need a δ that the context does not know. For them
//! a pass of its own gathers it first ([`Normalizer::gathers`](crate::Normalizer::gathers)).
//!
//! dQ sums over keys, dK and dV over queries, so one of them cannot stay in place while tiles stream. With enough heads for
//! all threads, a thread takes a key head with all its queries and keeps panels of dK and dV at hand. With fewer, some
//! threads take spans of keys and then spans of queries, and scores are computed twice. Either way sums over keys and sums
//! over queries run in order, so the cut may depend on the number of threads and the result does not.

mod block;
mod gather;
mod parameters;
mod tile;

use std::iter::once;
use std::ops::Range;

use crate::attention::Gradients;
use crate::pack;
use crate::problem::{Problem, cut, run as run_tasks};
use crate::scan::AllLimits;
use crate::score::{Keys, ScoreGradients};
use crate::scratch;
use crate::shape::{KEY_BLOCK, QUERY_BLOCK, Shape, blocks};
use crate::simd::pad;
use crate::view::View;
use block::{QueryBlock, with_panel};
use parameters::Layout;
use tile::TileGradient;

/// What a backward pass reads.
pub(crate) struct Inputs<'a> {
    problem: &'a Problem<'a>,
    values: &'a View<'a>,
    context: &'a [f32],
    lse: &'a [f32],
    grad: &'a View<'a>,
    limits: Option<AllLimits>,
    /// What was gathered about each row, `[batch, head, query]`, if the normalizer asks for it.
    gathered: Option<Vec<f32>>,
}

/// What a pass writes; `None` is left to another one.
#[derive(Default)]
struct Pass<'a> {
    /// `[head][query][feature]`
    queries: Option<&'a mut [f32]>,
    /// `[key][feature]`
    keys: Option<&'a mut [f32]>,
    /// `[key][feature]`
    values: Option<&'a mut [f32]>,
    /// Those that [`Layout`] knows.
    parameters: &'a mut [f32],
}

/// All gradients.
pub(crate) fn run(problem: &Problem, values: &View, context: &[f32], lse: &[f32], grad: &View) -> Gradients {
    let mut inputs = Inputs { problem, values, context, lse, grad, limits: AllLimits::find(problem), gathered: None };
    inputs.gathered = problem.attention.normalizer.gathers().then(|| gather::run(&inputs));
    let Shape { batch, heads, key_heads, queries, keys, query_width, key_width, value_width } = problem.shape;
    let mut gradients = Gradients {
        queries: vec![0.0; batch * heads * queries * query_width],
        keys: vec![0.0; batch * key_heads * keys * key_width],
        values: vec![0.0; batch * key_heads * keys * value_width],
        score: Vec::new(),
        biases: Vec::new(),
        normalizer: Vec::new(),
    };
    let layout = Layout::new(problem.attention);
    let threads = rayon::current_num_threads();
    let mut parameters = Vec::new();
    if threads > 1 && batch * key_heads < 2 * threads && layout.is_empty() {
        by_positions(&inputs, &mut gradients);
    } else {
        parameters = by_heads(&inputs, &layout, &mut gradients);
    }
    layout.split(problem.attention, &parameters, &mut gradients);
    parameters::pairwise(&inputs, &layout, &mut gradients);
    gradients
}

/// A task for each key head, with the query heads that share it: no tile is computed twice. Returns the parameters'
/// gradients.
fn by_heads(inputs: &Inputs, layout: &Layout, gradients: &mut Gradients) -> Vec<f32> {
    let Shape { batch, key_heads, queries, keys, query_width, key_width, value_width, .. } = inputs.problem.shape;
    let (units, group) = (batch * key_heads, inputs.problem.shape.group());
    let d_queries = cut(&mut gradients.queries, units, once(0..group * queries), query_width);
    let d_keys = cut(&mut gradients.keys, units, once(0..keys), key_width);
    let d_values = cut(&mut gradients.values, units, once(0..keys), value_width);
    let tasks = d_queries.into_iter().zip(d_keys).zip(d_values).enumerate().collect();
    layout.sum(5.0 * inputs.problem.work(), tasks, |(unit, ((d_queries, d_keys), d_values)), parameters| {
        let first = unit % key_heads * group;
        let pass = Pass { queries: Some(d_queries), keys: Some(d_keys), values: Some(d_values), parameters };
        cover(inputs, layout, unit / key_heads, first..first + group, 0..queries, 0..keys, pass);
    })
}

/// With fewer heads than threads: a task for some keys of a key head, then one for some queries of a query head. Scores and
/// their gradients are computed twice.
fn by_positions(inputs: &Inputs, gradients: &mut Gradients) {
    const SPAN: usize = 4 * KEY_BLOCK;
    let Shape { batch, heads, key_heads, queries, keys, query_width, key_width, value_width } = inputs.problem.shape;
    let group = inputs.problem.shape.group();
    let layout = Layout::default();

    let spans = blocks(0..keys, SPAN);
    let places = (0..batch * key_heads).flat_map(|unit| spans.clone().map(move |keys| (unit, keys)));
    let d_keys = cut(&mut gradients.keys, batch * key_heads, spans.clone(), key_width);
    let d_values = cut(&mut gradients.values, batch * key_heads, spans.clone(), value_width);
    let tasks = places.zip(d_keys).zip(d_values).collect();
    run_tasks(4.0 * inputs.problem.work(), tasks, |(((unit, keys), d_keys), d_values)| {
        let first = unit % key_heads * group;
        let pass = Pass { keys: Some(d_keys), values: Some(d_values), ..Pass::default() };
        cover(inputs, &layout, unit / key_heads, first..first + group, 0..queries, keys, pass);
    });

    let spans = blocks(0..queries, SPAN);
    let places = (0..batch * heads).flat_map(|unit| spans.clone().map(move |queries| (unit, queries)));
    let tasks = places.zip(cut(&mut gradients.queries, batch * heads, spans.clone(), query_width)).collect();
    run_tasks(3.0 * inputs.problem.work(), tasks, |((unit, queries), d_queries)| {
        let pass = Pass { queries: Some(d_queries), ..Pass::default() };
        cover(inputs, &layout, unit / heads, unit % heads..unit % heads + 1, queries, 0..keys, pass);
    });
}

/// Computes what `pass` wants from some queries of some query heads (all sharing one key head) and some keys.
fn cover(
    inputs: &Inputs,
    layout: &Layout,
    batch: usize,
    heads: Range<usize>,
    queries: Range<usize>,
    keys: Range<usize>,
    pass: Pass,
) {
    let problem = inputs.problem;
    if heads.is_empty() {
        return; // keys that no query head shares
    }
    let Shape { query_width, key_width, value_width, .. } = problem.shape;
    let key_head = heads.start / problem.shape.group();
    let Pass { queries: mut d_queries, keys: d_keys, values: d_values, parameters } = pass;
    scratch::with([keys.len() * pad(key_width)], |[key_rows]| {
        let source = problem.keys.matrix(batch, key_head);
        for (block, rows) in blocks(keys.clone(), KEY_BLOCK).zip(key_rows.chunks_mut(KEY_BLOCK * pad(key_width).max(1)))
        {
            source.slice(block).with(|block| pack::finite_rows(block, rows));
        }
        with_panel(d_keys, keys.len(), key_width, |mut d_keys| {
            with_panel(d_values, keys.len(), value_width, |mut d_values| {
                for head in heads {
                    for block in blocks(queries.clone(), QUERY_BLOCK) {
                        let d_block = d_queries.take().map(|rows| {
                            let (block, rest) = rows.split_at_mut(block.len() * query_width);
                            d_queries = Some(rest);
                            block
                        });
                        let panels = Panels {
                            keys: keys.clone(),
                            key_rows,
                            d_keys: d_keys.as_deref_mut(),
                            d_values: d_values.as_deref_mut(),
                        };
                        query_block(inputs, layout, batch, head, block, panels, d_block, parameters);
                    }
                }
            });
        });
    });
}

/// The keys of a pass, `[key][feature]`, rows padded to whole vectors.
struct Panels<'a> {
    keys: Range<usize>,
    key_rows: &'a [f32],
    d_keys: Option<&'a mut [f32]>,
    d_values: Option<&'a mut [f32]>,
}

/// One block of queries against all keys of the pass.
#[allow(clippy::too_many_arguments)]
fn query_block(
    inputs: &Inputs,
    layout: &Layout,
    batch: usize,
    head: usize,
    queries: Range<usize>,
    mut panels: Panels,
    d_queries: Option<&mut [f32]>,
    parameters: &mut [f32],
) {
    let problem = inputs.problem;
    let attention = problem.attention;
    let (key_width, value_width) = (pad(problem.shape.key_width), pad(problem.shape.value_width));
    // Under a mask, most blocks of queries may see none of these keys: they need not be packed.
    let tile = |keys| problem.tile(batch, head, queries.clone(), keys);
    if blocks(panels.keys.clone(), KEY_BLOCK).all(|keys| problem.hidden(&tile(keys))) {
        return;
    }
    QueryBlock::with(inputs, batch, head, queries.clone(), |block| {
        if !layout.is_empty() {
            block.normalizer_parameters(problem, layout, parameters);
        }
        with_panel(d_queries, queries.len(), problem.shape.query_width, |mut d_queries| {
            TileGradient::with(problem, |gradient| {
                for keys in blocks(panels.keys.clone(), KEY_BLOCK) {
                    let tile = tile(keys.clone());
                    let Some(mut parts) = gradient.compute(inputs, block, &tile) else { continue };
                    let rows = keys.start - panels.keys.start..keys.end - panels.keys.start;
                    if let Some(d_values) = &mut panels.d_values {
                        let d_values = &mut d_values[rows.start * value_width..rows.end * value_width];
                        block.add_values(&parts, &tile, d_values);
                    }
                    for (i, bias) in attention.biases.iter().enumerate().rev() {
                        let parameters = &mut parameters[layout.bias(i)];
                        bias.backward(&tile, &parts.stages[i + 1], &mut parts.grad, parameters);
                    }
                    let panel = rows.start * key_width..rows.end * key_width;
                    let rows = &panels.key_rows[panel.clone()];
                    let mut into = ScoreGradients {
                        queries: d_queries.as_deref_mut(),
                        keys: panels.d_keys.as_deref_mut().map(|d_keys| &mut d_keys[panel]),
                        parameters: &mut parameters[layout.score()],
                    };
                    problem.with_keys(&tile, |keys| {
                        let keys = Keys { rows, ..*keys };
                        attention.score.backward(
                            &tile,
                            &block.queries,
                            &keys,
                            &parts.stages[0],
                            &parts.grad,
                            &mut into,
                        );
                    });
                }
            });
        });
    });
}
