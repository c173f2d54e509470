//! Generating one position after another: attention of few queries with many keys.
//!
//! A new position has one query, and the products of a block of queries shrink to those of a vector: each number of the
//! keys and values is read once and met by a single multiplication. The processor could do many times as many in the time
//! that memory takes to deliver the number, so a decode is as fast as it reads, and everything here is about reading less
//! and never waiting:
//!
//! - Query heads that share a key head are worked on together, and what they share is read once.
//! - Numbers are read as they are kept. Halves are half the bytes of singles, and nearly twice as fast; whole numbers with
//!   scales ([`Precision`](crate::Precision)) are a quarter.
//! - With few queries, most lanes of a tile would be empty, so vectors are filled with features for the products, and with
//!   keys for the softmax. Memory is asked for numbers well ahead of their use.
//! - The work is cut over keys, too, so that every thread has some even for one query of one head. Each part of the keys
//!   leaves what it knows of a row (the greatest score, the sum of weights, the context so far), and the parts are joined
//!   in order, by the same rescaling that joins tiles (Dao et al., "Flash-Decoding", 2023). How keys are cut depends on
//!   their number alone, and therefore bits do not depend on threads.
//!
//! What is read lies in a [`KeyValueCache`], whose sequences grow together, in a [`PagedCache`], whose sequences grow, fork
//! and end on their own, or in the caller's memory. [`Attention::decode`](crate::Attention::decode) takes any of them.

mod block;
mod cache;
mod context;
mod few;
mod paged;
mod past;
mod split;
mod stream;

use std::ops::Range;

use crate::Result;
use crate::attention::{Attention, Output};
use crate::forward;
use crate::normalize::{Normalizer, Rows};
use crate::problem::{Problem, run as run_tasks};
use crate::shape::{KEY_BLOCK, Shape, blocks};
use crate::view::View;
use block::Block;
use past::Group;

pub use cache::KeyValueCache;
pub use paged::PagedCache;
pub(crate) use paged::Pages;
pub use past::Past;

/// The parts that a row's keys are cut into: of 1024 keys, or of more where that would make more than 32 parts. Threads have
/// no say, so that results do not depend on them.
fn spans(keys: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    const LEAST: usize = 16 * KEY_BLOCK;
    const MOST: usize = 32;
    blocks(0..keys, keys.div_ceil(MOST).next_multiple_of(KEY_BLOCK).max(LEAST))
}

/// As the forward pass, but the parts of a row may be computed by different threads and are joined in order. A normalizer
/// that must know all keys before it weighs any, or their order, leaves nothing to be joined: then this is the forward pass.
pub(crate) fn run(attention: &Attention, queries: &View, past: &Past) -> Result<Output> {
    let groups = past.groups(attention, queries)?;
    let size = |width| groups.first().map_or(0, |group| group.problem.size(width));
    let mut output = Output { context: vec![0.0; size(past.values.shape()[3])], lse: vec![0.0; size(1)] };
    let (mut joined, mut work) = (Vec::new(), 0.0);
    for group in &groups {
        let Shape { heads, queries, value_width, .. } = group.problem.shape;
        if !attention.normalizer.joins() || attention.normalizer.scan(&group.problem.shape, false).is_some() {
            let rows = group.batches.start * heads * queries..group.batches.end * heads * queries;
            let context = &mut output.context[rows.start * value_width..rows.end * value_width];
            forward::run_batches(&group.problem, &group.values, group.batches.clone(), context, &mut output.lse[rows]);
        } else {
            joined.extend(Block::all(&group.problem.shape, group.batches.clone()).map(|block| (group, block)));
            work += 2.0 * group.problem.work() * group.batches.len() as f64 / group.problem.shape.batch as f64;
        }
    }
    run_blocks(work, &joined, &mut output);
    Ok(output)
}

/// Cuts the keys of each block into spans, and joins what they leave.
fn run_blocks(work: f64, blocks: &[(&Group, Block)], output: &mut Output) {
    let spans_of = |group: &Group| spans(group.problem.shape.keys);
    let size = |(group, block): &(&Group, Block)| block.rows() * group.problem.shape.value_width;
    let mut sums = vec![0.0; blocks.iter().map(|unit| size(unit) * spans_of(unit.0).count()).sum()];
    let mut rest = &mut sums[..];
    let mut tasks = Vec::new();
    for unit in blocks {
        for keys in spans_of(unit.0) {
            let (sum, others) = rest.split_at_mut(size(unit));
            tasks.push((unit, keys, fresh(&unit.0.problem, unit.1.rows()), sum));
            rest = others;
        }
    }
    run_tasks(work, tasks.iter_mut().collect(), |((group, block), keys, rows, sum)| {
        stream::stream(&group.problem, &group.values, block, keys.clone(), rows, sum);
    });

    let mut parts = tasks.into_iter();
    for unit @ (group, block) in blocks {
        let Shape { heads, queries, value_width, .. } = group.problem.shape;
        let normalizer = &*group.problem.attention.normalizer;
        let mut rows = fresh(&group.problem, block.rows());
        let mut sum = vec![0.0; size(unit)];
        for (_, _, mut other, other_sum) in parts.by_ref().take(spans_of(group).count()) {
            join(normalizer, (&mut rows, &mut sum), (&mut other, other_sum), value_width);
        }
        for (i, head) in block.heads.clone().enumerate() {
            let mut rows = rows.part(i * block.queries.len()..(i + 1) * block.queries.len());
            normalizer.finish(head, &mut rows);
            let first = (block.batch * heads + head) * queries + block.queries.start;
            for (j, scale) in rows.scale[..rows.count].iter().enumerate() {
                let sum = &sum[(i * rows.count + j) * value_width..][..value_width];
                let context = &mut output.context[(first + j) * value_width..][..value_width];
                context.iter_mut().zip(sum).for_each(|(context, x)| *context = x * scale);
            }
            output.lse[first..first + rows.count].copy_from_slice(&rows.lse[..rows.count]);
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
