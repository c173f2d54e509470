//! The backward pass: weights are made again from the log-sum-exps, a query at a time.
//!
//! With `a` the weights of a query, dX the gradient of any X, and δ = dc · c:
//!
//! ```text
//! da_jk = Σ_f v_jf (v'_k ∘ dc)_f        de_jk = a_jk (da_jk − δ)
//! dv_j  = Σ_k a_jk (v'_k ∘ dc)          dv'_k = dc ∘ Σ_j a_jk v_j
//! dk_j  = scale · Σ_k de_jk (q ∘ k'_k)  dk'_k = scale · q ∘ g_k      dq = scale · Σ_k k'_k ∘ g_k      g_k = Σ_j de_jk k_j
//! ```
//!
//! Queries that lie together share most of their keys, so a span of queries adds up gradients of its own for the keys that
//! it sees, and spans are joined in order. Spans depend on the length alone: results do not depend on threads.

use std::ops::Range;

use super::Problem;
use super::query::{Panels, SIDE, add_multiplied, add_products, exponentials, of_scores, products, rows, scores};
use crate::Output;
use crate::problem::run as run_tasks;
use crate::scratch;
use crate::shape::blocks;
use crate::simd::{Base, gemm, pad};
use crate::view::{Matrix, View};

/// Most spans that queries are cut into.
const SPANS: usize = 8;
/// Fewest queries of a span.
const LEAST: usize = 64;

/// What a gradient of the context means for everything that led to it; all contiguous, in the shape of what they are of.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// Of the queries.
    pub queries: Vec<f32>,
    /// Of the keys of the first and of the second kind, summed over the query heads that share them.
    pub keys: [Vec<f32>; 2],
    /// Of the values, as those of the keys.
    pub values: [Vec<f32>; 2],
}

/// What a span of queries has to say.
struct Span {
    head: usize,
    queries: Range<usize>,
    /// The keys of each kind that one of them sees.
    seen: [Range<usize>; 2],
    /// `[query][feature]`, padded.
    grad_queries: Vec<f32>,
    /// `[key][feature]` of those seen, padded.
    grad_keys: [Vec<f32>; 2],
    grad_values: [Vec<f32>; 2],
}

/// All gradients.
pub(super) fn run(problem: &Problem, output: &Output, grad: &View) -> Gradients {
    let Problem { batch, heads, key_heads, queries, keys, width, value_width, .. } = *problem;
    let size = batch * key_heads * keys;
    let mut gradients = Gradients {
        queries: vec![0.0; batch * heads * queries * width],
        keys: [(); 2].map(|()| vec![0.0; size * width]),
        values: [(); 2].map(|()| vec![0.0; size * value_width]),
    };
    let each = queries.div_ceil(SPANS).max(LEAST);
    for unit in 0..if queries == 0 { 0 } else { batch * key_heads } {
        let (b, key_head) = (unit / key_heads, unit % key_heads);
        let panels = Panels::new(problem, b, key_head);
        // A head at a time, so that no more than its spans are held.
        for head in key_head * problem.group()..(key_head + 1) * problem.group() {
            let mut spans: Vec<Span> =
                blocks(0..queries, each).map(|queries| Span::new(problem, head, queries)).collect();
            run_tasks(4.0 * problem.work() / (batch * heads) as f64, spans.iter_mut().collect(), |span| {
                span.run(problem, &panels, b, output, grad);
            });
            for span in &spans {
                let row = (b * heads + head) * queries + span.queries.start;
                add(&span.grad_queries, width, &mut gradients.queries[row * width..]);
                for side in 0..2 {
                    let row = unit * keys + span.seen[side].start;
                    add(&span.grad_keys[side], width, &mut gradients.keys[side][row * width..]);
                    add(&span.grad_values[side], value_width, &mut gradients.values[side][row * value_width..]);
                }
            }
        }
    }
    gradients
}

/// Adds rows without their padding.
fn add(rows: &[f32], width: usize, to: &mut [f32]) {
    for (to, row) in to.chunks_exact_mut(width.max(1)).zip(rows.chunks_exact(pad(width).max(1))) {
        to.iter_mut().zip(row).for_each(|(to, x)| *to += x);
    }
}

impl Span {
    fn new(problem: &Problem, head: usize, queries: Range<usize>) -> Self {
        let [from, to] = [queries.start, queries.end - 1].map(|query| problem.seen(query));
        let seen = [from[0].start..to[0].end, from[1].start..to[1].end];
        let rows = |width: usize| seen.clone().map(|seen| vec![0.0; seen.len() * pad(width)]);
        let (grad_keys, grad_values) = (rows(problem.width), rows(problem.value_width));
        let grad_queries = vec![0.0; queries.len() * pad(problem.width)];
        Self { head, queries, seen, grad_queries, grad_keys, grad_values }
    }

    /// Fills the gradients.
    fn run(&mut self, problem: &Problem, panels: &Panels, batch: usize, output: &Output, grad: &View) {
        let (width, value_width) = (problem.width, problem.value_width);
        let (mut q, mut grad_row) = (vec![0.0; pad(width)], vec![0.0; pad(value_width)]);
        let sources = [problem.q, *grad].map(|view| view.matrix(batch, self.head).slice(self.queries.clone()));
        sources[0].with(|queries| {
            sources[1].with(|grads| {
                for (i, query) in self.queries.clone().enumerate() {
                    let row = (batch * problem.heads + self.head) * problem.queries + query;
                    let lse = output.lse[row];
                    // A query that saw nothing has no gradient, whatever is given for it.
                    if lse == f32::NEG_INFINITY {
                        continue;
                    }
                    (0..width).for_each(|feature| q[feature] = queries.get(i, feature));
                    (0..value_width).for_each(|feature| grad_row[feature] = grads.get(i, feature));
                    let context = &output.context[row * value_width..][..value_width];
                    let inner = grad_row.iter().zip(context).map(|(x, c)| x * c).sum();
                    self.one(problem, panels, i, query, [&q, &grad_row], lse, inner);
                }
            });
        });
    }

    /// Adds what one query has to say.
    #[allow(clippy::too_many_arguments)]
    fn one(
        &mut self,
        problem: &Problem,
        panels: &Panels,
        i: usize,
        query: usize,
        [q, grad]: [&[f32]; 2],
        lse: f32,
        inner: f32,
    ) {
        let Problem { width, value_width, scale, .. } = *problem;
        let (padded, value_padded) = (pad(width), pad(value_width));
        let [first, second] = problem.seen(query);
        let starts = [self.seen[0].start, self.seen[1].start];
        let sizes = [
            SIDE * padded,
            width * SIDE,
            SIDE * value_padded,
            value_width * SIDE,
            SIDE * SIDE,
            SIDE * SIDE,
            SIDE * value_padded,
            SIDE * padded,
        ];
        scratch::with(sizes, |[own, turned, grads, grads_turned, weights, tile, mixed, gathered]| {
            for pairs in blocks(second, SIDE) {
                let (count, lanes) = (pairs.len(), pad(pairs.len()));
                products(scale, &panels.keys[1], pairs.clone(), q, width, own, turned);
                products(1.0, &panels.values[1], pairs.clone(), grad, value_width, grads, grads_turned);
                let (mixed, gathered) = (&mut mixed[..count * value_padded], &mut gathered[..count * padded]);
                mixed.fill(0.0);
                gathered.fill(0.0);
                for keys in blocks(first.clone(), SIDE) {
                    let size = keys.len() * lanes;
                    let (weights, tile) = (&mut weights[..size], &mut tile[..size]);
                    scores(rows(&panels.keys[0], keys.clone(), width), turned, count, weights);
                    exponentials(weights, lse);
                    let values = rows(&panels.values[0], keys.clone(), value_width);
                    gemm(1.0, values, grads_turned, Base::Zero, tile, lanes);
                    of_scores(weights, inner, tile);
                    let [weights, tile] = [&*weights, &*tile].map(|x| Matrix::panel(x, keys.len(), count, lanes));
                    let place = keys.start - starts[0];
                    gemm(
                        1.0,
                        weights,
                        grads,
                        Base::Sum,
                        &mut self.grad_values[0][place * value_padded..],
                        value_padded,
                    );
                    gemm(1.0, tile, own, Base::Sum, &mut self.grad_keys[0][place * padded..], padded);
                    let values = &panels.values[0][keys.start * value_padded..];
                    gemm(1.0, weights.transposed(), values, Base::Sum, mixed, value_padded);
                    gemm(1.0, tile.transposed(), &panels.keys[0][keys.start * padded..], Base::Sum, gathered, padded);
                }
                let place = pairs.start - starts[1];
                add_multiplied(1.0, mixed, grad, value_padded, &mut self.grad_values[1][place * value_padded..]);
                add_multiplied(scale, gathered, q, padded, &mut self.grad_keys[1][place * padded..]);
                let others = &panels.keys[1][pairs.start * padded..pairs.end * padded];
                add_products(scale, gathered, others, padded, &mut self.grad_queries[i * padded..][..padded]);
            }
        });
    }
}
