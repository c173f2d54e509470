//! Generating one position after another: attention of few queries with many keys.
//!
//! What takes time is to read keys and values, so each is read once: the query heads that share a key head are worked on
//! together, and the work is cut over keys too, so that every thread has some. Each part of the keys leaves what it knows
//! of a row, and the parts are joined in order (Dao et al., "Flash-Decoding", 2023).

mod block;
mod cache;
mod context;
mod few;
mod past;
mod split;
mod stream;

use std::ops::Range;

use crate::forward;
use crate::normalize::{Normalizer, Rows};
use crate::problem::{Problem, run as run_tasks};
use crate::shape::{KEY_BLOCK, Shape, blocks};
use crate::view::View;
use block::Block;

pub use cache::KeyValueCache;
pub use past::Past;

/// The parts that a row's keys are cut into: of 1024 keys, or of more where that would make more than 32 parts. Threads have
/// no say, so that results do not depend on them.
fn spans(keys: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    const LEAST: usize = 16 * KEY_BLOCK;
    const MOST: usize = 32;
    blocks(0..keys, keys.div_ceil(MOST).next_multiple_of(KEY_BLOCK).max(LEAST))
}

/// As the forward pass, but the parts of a row may be computed by different threads and are joined in order. A normalizer
/// that must know all keys before it weighs any leaves nothing to be joined: then this is the forward pass.
pub(crate) fn run(problem: &Problem, values: &View, context: &mut [f32], lse: &mut [f32]) {
    if problem.attention.normalizer.scan(&problem.shape, false).is_some() {
        return forward::run(problem, values, context, lse);
    }
    let Shape { heads, queries, keys, value_width, .. } = problem.shape;
    let blocks = Block::all(&problem.shape);
    let spans = spans(keys);
    let count = spans.clone().count();
    let mut sums = vec![0.0; blocks.iter().map(|block| block.rows() * value_width).sum::<usize>() * count];
    let mut rest = &mut sums[..];
    let mut parts: Vec<(Rows, &mut [f32])> = Vec::with_capacity(blocks.len() * count);
    for block in &blocks {
        for _ in 0..count {
            let (sum, others) = rest.split_at_mut(block.rows() * value_width);
            parts.push((fresh(problem, block.rows()), sum));
            rest = others;
        }
    }
    let places = blocks.iter().flat_map(|block| spans.clone().map(move |keys| (block, keys)));
    let tasks = places.zip(&mut parts).collect();
    run_tasks(2.0 * problem.work(), tasks, |((block, keys), (rows, sum))| {
        stream::stream(problem, values, block, keys, rows, sum);
    });

    let mut parts = parts.into_iter();
    for block in &blocks {
        let mut rows = fresh(problem, block.rows());
        let mut sum = vec![0.0; block.rows() * value_width];
        for (mut other, other_sum) in parts.by_ref().take(count) {
            join(&*problem.attention.normalizer, (&mut rows, &mut sum), (&mut other, other_sum), value_width);
        }
        for (i, head) in block.heads.clone().enumerate() {
            let mut rows = rows.part(i * block.queries.len()..(i + 1) * block.queries.len());
            problem.attention.normalizer.finish(head, &mut rows);
            let first = (block.batch * heads + head) * queries + block.queries.start;
            for (j, scale) in rows.scale[..rows.count].iter().enumerate() {
                let sum = &sum[(i * rows.count + j) * value_width..][..value_width];
                let context = &mut context[(first + j) * value_width..][..value_width];
                context.iter_mut().zip(sum).for_each(|(context, x)| *context = x * scale);
            }
            lse[first..first + rows.count].copy_from_slice(&rows.lse[..rows.count]);
        }
    }
}

/// Rows that have seen nothing.
fn fresh(problem: &Problem, count: usize) -> Rows {
    let mut rows = Rows::new(count);
    problem.attention.normalizer.begin(&problem.shape, &mut rows);
    rows
}

/// Joins what other keys left of the same rows; sums are `[row][feature]`.
fn join(normalizer: &dyn Normalizer, own: (&mut Rows, &mut [f32]), other: (&mut Rows, &[f32]), width: usize) {
    let ((rows, sums), (other, others)) = (own, other);
    normalizer.merge(rows, other);
    let count = rows.count;
    few::join(&mut sums[..count * width], &rows.rescale, others, &other.rescale, width);
}
