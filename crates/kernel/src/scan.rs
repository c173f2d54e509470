//! Passes over all keys, for normalizers that must know a whole row before they can weigh any of it.
//!
//! A pass computes scores and throws them away again. What it finds is small: a few numbers a row.

use std::ops::Range;

use crate::normalize::Limits;
use crate::pack;
use crate::problem::{Problem, Seen, cut, run as run_tasks};
use crate::score::Queries;
use crate::scores::Scores;
use crate::scratch;
use crate::shape::{KEY_BLOCK, Shape};
use crate::simd::pad;

/// Lets all keys pass by some packed queries until the normalizer knows enough; nothing if it asks for no pass.
pub(crate) fn limits(
    problem: &Problem,
    batch: usize,
    head: usize,
    queries: Range<usize>,
    packed: &Queries,
    kept: bool,
) -> Option<Limits> {
    let mut scan = problem.attention.normalizer.scan(&problem.shape, kept)?;
    scratch::with([pad(queries.len()) * KEY_BLOCK], |[buffer]| {
        loop {
            for keys in problem.shape.key_blocks() {
                let tile = problem.tile(batch, head, queries.clone(), keys);
                let seen = problem.seen(&tile);
                if matches!(seen, Seen::Nothing) {
                    continue;
                }
                let mut scores = Scores::of(&tile, &seen, buffer);
                problem.scores(&tile, packed, &seen, &mut scores);
                scan.tile(&scores);
            }
            if !scan.again() {
                return Some(scan.limits());
            }
        }
    })
}

/// The limits of every row of a problem, for passes that make weights again.
pub(crate) struct AllLimits {
    scores: Vec<f32>,
    keys: Vec<usize>,
}

impl AllLimits {
    /// Finds them, or nothing if weights can be made without.
    pub(crate) fn find(problem: &Problem) -> Option<Self> {
        problem.attention.normalizer.scan(&problem.shape, true)?;
        let Shape { batch, heads, query_width, .. } = problem.shape;
        let mut all = Self { scores: vec![0.0; problem.size(1)], keys: vec![0; problem.size(1)] };
        let blocks = problem.shape.query_blocks();
        let places = (0..batch * heads).flat_map(|unit| blocks.clone().map(move |queries| (unit, queries)));
        let scores = cut(&mut all.scores, batch * heads, blocks.clone(), 1);
        let keys = cut(&mut all.keys, batch * heads, blocks.clone(), 1);
        let tasks = places.zip(scores).zip(keys).collect();
        run_tasks(problem.work(), tasks, |(((unit, queries), scores), keys)| {
            let (batch, head, count) = (unit / heads, unit % heads, queries.len());
            scratch::with([query_width * pad(count)], |[transposed]| {
                let source = problem.queries.matrix(batch, head).slice(queries.clone());
                source.with(|source| pack::transpose(source, transposed));
                let packed = Queries { transposed, rows: &[], count, width: query_width };
                if let Some(limits) = limits(problem, batch, head, queries, &packed, true) {
                    scores.copy_from_slice(&limits.scores[..count]);
                    keys.copy_from_slice(&limits.keys[..count]);
                }
            });
        });
        Some(all)
    }

    /// The limits of some rows, counted through batches, heads and queries.
    pub(crate) fn of(&self, rows: Range<usize>) -> Limits {
        let mut limits = Limits::none();
        limits.scores[..rows.len()].copy_from_slice(&self.scores[rows.clone()]);
        limits.keys[..rows.len()].copy_from_slice(&self.keys[rows]);
        limits
    }
}
