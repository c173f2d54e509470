//! The gradients of what modifiers learn, which many tiles share.

use std::ops::Range;

use super::Inputs;
use super::block::QueryBlock;
use super::tile::TileGradient;
use crate::attention::{Attention, Gradients};
use crate::problem::{cut, run as run_tasks};
use crate::shape::Shape;

/// How many partial sums exist at a time.
const WAVE: usize = 64;

/// Where each modifier's parameters lie in one flat vector: the score's, the normalizer's, then each bias's. A pairwise
/// bias has none here.
#[derive(Default)]
pub(super) struct Layout {
    ends: Vec<usize>,
}

impl Layout {
    pub(super) fn new(attention: &Attention) -> Self {
        let biases = attention.biases.iter().map(|bias| match bias.pairwise() {
            Some(_) => 0,
            None => bias.parameters().len(),
        });
        let sizes = [attention.score.parameters().len(), attention.normalizer.parameters().len()];
        let mut end = 0;
        let ends = sizes.into_iter().chain(biases).map(|size| {
            end += size;
            end
        });
        Self { ends: ends.collect() }
    }

    fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Whether nothing is learned, pairwise biases aside.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn part(&self, i: usize) -> Range<usize> {
        let end = |i: usize| self.ends.get(i).copied().unwrap_or(0);
        if i == 0 { 0..end(0) } else { end(i - 1)..end(i) }
    }

    pub(super) fn score(&self) -> Range<usize> {
        self.part(0)
    }

    pub(super) fn normalizer(&self) -> Range<usize> {
        self.part(1)
    }

    pub(super) fn bias(&self, i: usize) -> Range<usize> {
        self.part(2 + i)
    }

    /// Does all tasks and adds up what each of them writes into its own parameters, in order.
    pub(super) fn sum<T: Send>(
        &self,
        work: f64,
        tasks: Vec<T>,
        task: impl Fn(T, &mut [f32]) + Sync + Send,
    ) -> Vec<f32> {
        if self.is_empty() {
            run_tasks(work, tasks, |item| task(item, &mut []));
            return Vec::new();
        }
        let mut sum = vec![0.0; self.len()];
        let mut tasks = tasks.into_iter();
        loop {
            let wave: Vec<T> = tasks.by_ref().take(WAVE).collect();
            if wave.is_empty() {
                return sum;
            }
            let mut partials = vec![0.0; wave.len() * self.len()];
            let pairs = wave.into_iter().zip(partials.chunks_exact_mut(self.len())).collect();
            run_tasks(work, pairs, |(item, partial): (T, &mut [f32])| task(item, partial));
            for partial in partials.chunks_exact(self.len()) {
                sum.iter_mut().zip(partial).for_each(|(sum, x)| *sum += x);
            }
        }
    }

    /// Hands each modifier its part.
    pub(super) fn split(&self, attention: &Attention, parameters: &[f32], gradients: &mut Gradients) {
        if self.is_empty() {
            gradients.biases = vec![Vec::new(); attention.biases.len()];
            return;
        }
        gradients.score = parameters[self.score()].to_vec();
        gradients.normalizer = parameters[self.normalizer()].to_vec();
        gradients.biases = (0..attention.biases.len()).map(|i| parameters[self.bias(i)].to_vec()).collect();
    }
}

/// The gradients of biases that have a parameter for every pair. A task owns some queries' rows of such a bias and adds up
/// every batch and head that shares them, in order: no partial sums, and scores are computed once more.
pub(super) fn pairwise(inputs: &Inputs, layout: &Layout, gradients: &mut Gradients) {
    let problem = inputs.problem;
    let Shape { batch, heads, keys, .. } = problem.shape;
    for (index, bias) in problem.attention.biases.iter().enumerate() {
        let Some([batches, bias_heads]) = bias.pairwise() else { continue };
        let sum = &mut gradients.biases[index];
        *sum = vec![0.0; bias.parameters().len()];
        let maps = batches * bias_heads;
        let places = (0..maps).flat_map(|map| problem.shape.query_blocks().map(move |queries| (map, queries)));
        let tasks: Vec<_> = places.zip(cut(sum, maps, problem.shape.query_blocks(), keys)).collect();
        run_tasks(2.0 * problem.work(), tasks, |((map, queries), rows)| {
            let (bias_batch, bias_head) = (map / bias_heads, map % bias_heads);
            let sharing = |own: usize, shared: usize, all: usize| if shared == 1 { 0..all } else { own..own + 1 };
            for batch in sharing(bias_batch, batches, batch) {
                for head in sharing(bias_head, bias_heads, heads) {
                    add_pairs(inputs, layout, index, (batch, head, queries.clone()), rows);
                }
            }
        });
    }
}

/// Adds the gradients of what bias `index` was added to, `[query][key]`.
fn add_pairs(
    inputs: &Inputs,
    layout: &Layout,
    index: usize,
    (batch, head, queries): (usize, usize, Range<usize>),
    rows: &mut [f32],
) {
    let problem = inputs.problem;
    let biases = &problem.attention.biases;
    // The biases above only pass the gradient on; what they learn was gathered before.
    let mut ignored = vec![0.0; layout.len()];
    QueryBlock::with(inputs, batch, head, queries.clone(), |block| {
        TileGradient::with(problem, |gradient| {
            for keys in problem.shape.key_blocks() {
                let tile = problem.tile(batch, head, queries.clone(), keys.clone());
                let Some(mut parts) = gradient.compute(inputs, block, &tile) else { continue };
                for (i, bias) in biases.iter().enumerate().skip(index + 1).rev() {
                    bias.backward(&tile, &parts.stages[i + 1], &mut parts.grad, &mut ignored[layout.bias(i)]);
                }
                for key in keys {
                    for (row, grad) in rows.chunks_exact_mut(problem.shape.keys).zip(parts.grad.row(key)) {
                        row[key] += grad;
                    }
                }
            }
        });
    });
}
