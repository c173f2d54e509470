//! Probes: what do we note on the way?
//!
//! A weight is made again from q, k and the row's log-sum-exp, so a probe can look at any length: it is shown one tile
//! after another and keeps only what it is made to keep.

mod entropy;
mod pyramid;
mod received;
mod top_keys;
mod weights;

use std::ops::Range;

use crate::Result;
use crate::pack;
use crate::problem::{Problem, Seen, run as run_tasks};
use crate::scan::AllLimits;
use crate::score::Queries;
use crate::scores::Scores;
use crate::scratch;
use crate::shape::{KEY_BLOCK, QUERY_BLOCK, Shape, Tile, blocks};
use crate::simd::pad;

pub use entropy::Entropy;
pub use pyramid::Pyramid;
pub use received::Received;
pub use top_keys::{TopKey, TopKeys};
pub use weights::Weights;

/// Notes something about the weights of an attention.
pub trait Probe: Send {
    /// A new problem: forget what was noted and make room.
    ///
    /// # Errors
    /// If the problem is too large for the probe, or has not what it asks for.
    fn begin(&mut self, shape: &Shape) -> Result<()>;

    /// A tile of weights. Tiles come by batch, then head, then queries, then keys; those that are hidden altogether do
    /// not come, and hidden pairs of the others weigh 0. Weight that a sink took is nowhere.
    fn tile(&mut self, tile: &Tile, weights: &Scores);
}

/// Tiles that are computed, by all threads, before the probes see them: as many as a processor's own cache holds.
const WAVE: usize = 32;

/// Tiles of the same queries that are computed together.
const TOGETHER: usize = 4;

/// Shows the weights of some queries on some keys to all probes.
pub(crate) fn run(
    problem: &Problem,
    lse: &[f32],
    [queries, keys]: [Range<usize>; 2],
    probes: &mut [&mut dyn Probe],
) -> Result<()> {
    let shape = Shape { queries: queries.len(), keys: keys.len(), ..problem.shape };
    for probe in probes.iter_mut() {
        probe.begin(&shape)?;
    }
    let Shape { batch, heads, .. } = shape;
    let per_block = blocks(keys.clone(), TOGETHER * KEY_BLOCK).count();
    let count = batch * heads * blocks(queries.clone(), QUERY_BLOCK).count() * per_block;
    let share = shape.queries as f64 * shape.keys as f64 / (problem.shape.queries as f64 * problem.shape.keys as f64);
    let (all_queries, all_keys) = (&queries, &keys);
    let mut runs = (0..batch * heads).flat_map(|unit| {
        blocks(all_queries.clone(), QUERY_BLOCK).flat_map(move |queries| {
            let run = move |keys| problem.tile(unit / heads, unit % heads, queries.clone(), keys);
            blocks(all_keys.clone(), TOGETHER * KEY_BLOCK).map(run)
        })
    });
    let limits = AllLimits::find(problem);
    let mut memory = vec![0.0; (WAVE / TOGETHER).min(count) * TOGETHER * QUERY_BLOCK * KEY_BLOCK];
    loop {
        let wave: Vec<Tile> = runs.by_ref().take(WAVE / TOGETHER).collect();
        if wave.is_empty() {
            return Ok(());
        }
        let work = problem.work() * share * wave.len() as f64 / count as f64;
        let mut tiles: Vec<_> = wave.iter().map(|run| (run, Vec::new())).collect();
        let tasks = tiles.iter_mut().zip(memory.chunks_exact_mut(TOGETHER * QUERY_BLOCK * KEY_BLOCK)).collect();
        run_tasks(work, tasks, |((run, tiles), memory)| *tiles = weights(problem, lse, limits.as_ref(), run, memory));
        let tiles: Vec<_> = tiles
            .into_iter()
            .flat_map(|(_, tiles)| tiles)
            .map(|(tile, weights)| {
                let tile = Tile {
                    shape: &shape,
                    queries: tile.queries.start - queries.start..tile.queries.end - queries.start,
                    keys: tile.keys.start - keys.start..tile.keys.end - keys.start,
                    ..tile
                };
                let weights = weights.renumbered(&tile);
                (tile, weights)
            })
            .collect();
        run_tasks(work, probes.iter_mut().collect(), |probe| {
            tiles.iter().for_each(|(tile, weights)| probe.tile(tile, weights));
        });
    }
}

/// The weights of a run of tiles, without those that are hidden.
fn weights<'a>(
    problem: &'a Problem,
    lse: &[f32],
    limits: Option<&AllLimits>,
    run: &Tile,
    memory: &'a mut [f32],
) -> Vec<(Tile<'a>, Scores<'a>)> {
    let Shape { heads, queries, query_width, .. } = problem.shape;
    let count = run.queries.len();
    let first = (run.batch * heads + run.head) * queries + run.queries.start;
    let mut rows = [f32::INFINITY; QUERY_BLOCK];
    rows[..count].copy_from_slice(&lse[first..first + count]);
    let limits = limits.map(|limits| limits.of(first..first + count));
    let normalizer = &problem.attention.normalizer;
    scratch::with([query_width * pad(count)], |[transposed]| {
        let source = problem.queries.matrix(run.batch, run.head).slice(run.queries.clone());
        source.with(|source| pack::transpose(source, transposed));
        let packed = Queries { transposed, rows: &[], count, width: query_width };
        let mut tiles = Vec::with_capacity(TOGETHER);
        for (keys, memory) in blocks(run.keys.clone(), KEY_BLOCK).zip(memory.chunks_exact_mut(QUERY_BLOCK * KEY_BLOCK))
        {
            let tile = problem.tile(run.batch, run.head, run.queries.clone(), keys);
            let seen = problem.seen(&tile);
            if matches!(seen, Seen::Nothing) {
                continue;
            }
            let mut scores = Scores::of(&tile, &seen, memory);
            problem.scores(&tile, &packed, &seen, &mut scores);
            if let Some(limits) = &limits {
                normalizer.select(limits, &mut scores);
            }
            normalizer.weights(&rows, &mut scores);
            if let Seen::Some(visible) = &seen {
                visible.hide(&mut scores, 0.0);
            }
            tiles.push((tile, scores));
        }
        tiles
    })
}
