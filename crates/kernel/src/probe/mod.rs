//! Probes: what do we note on the way?
//!
//! A weight is made again from q, k and the row's log-sum-exp, so a probe can look at any length: it is shown one tile
//! after another and keeps only what it is made to keep.

mod entropy;
mod pyramid;
mod received;
mod top_keys;
mod weights;

use crate::Result;
use crate::pack;
use crate::problem::{Problem, Seen, run as run_tasks};
use crate::scan::AllLimits;
use crate::score::Queries;
use crate::scores::Scores;
use crate::scratch;
use crate::shape::{KEY_BLOCK, QUERY_BLOCK, Shape, Tile};
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

/// Tiles that are computed, by all threads, before the probes see them.
const WAVE: usize = 64;

/// Shows all weights to all probes.
pub(crate) fn run(problem: &Problem, lse: &[f32], probes: &mut [&mut dyn Probe]) -> Result<()> {
    for probe in probes.iter_mut() {
        probe.begin(&problem.shape)?;
    }
    let Shape { batch, heads, .. } = problem.shape;
    let mut tiles = (0..batch * heads).flat_map(|unit| {
        problem.shape.query_blocks().flat_map(move |queries| {
            let tile = move |keys| problem.tile(unit / heads, unit % heads, queries.clone(), keys);
            problem.shape.key_blocks().map(tile)
        })
    });
    let limits = AllLimits::find(problem);
    let count = batch * heads * problem.shape.query_blocks().count() * problem.shape.key_blocks().count();
    let mut memory = vec![0.0; WAVE.min(count) * QUERY_BLOCK * KEY_BLOCK];
    loop {
        let wave: Vec<(Tile, bool)> = tiles.by_ref().take(WAVE).map(|tile| (tile, false)).collect();
        let mut wave = wave;
        if wave.is_empty() {
            return Ok(());
        }
        let work = problem.work() * wave.len() as f64 / count as f64;
        let tasks = wave.iter_mut().zip(memory.chunks_exact_mut(QUERY_BLOCK * KEY_BLOCK)).collect();
        run_tasks(work, tasks, |((tile, seen), memory)| *seen = weights(problem, lse, limits.as_ref(), tile, memory));
        let weights: Vec<(&Tile, Scores)> = wave
            .iter()
            .zip(memory.chunks_exact_mut(QUERY_BLOCK * KEY_BLOCK))
            .filter(|((_, seen), _)| *seen)
            .map(|((tile, _), memory)| (tile, Scores::new(tile, memory)))
            .collect();
        run_tasks(work, probes.iter_mut().collect(), |probe| {
            weights.iter().for_each(|(tile, weights)| probe.tile(tile, weights));
        });
    }
}

/// Computes the weights of a tile; false if it is hidden.
fn weights(problem: &Problem, lse: &[f32], limits: Option<&AllLimits>, tile: &Tile, memory: &mut [f32]) -> bool {
    let seen = problem.seen(tile);
    if matches!(seen, Seen::Nothing) {
        return false;
    }
    let Shape { heads, queries, query_width, .. } = problem.shape;
    let count = tile.queries.len();
    scratch::with([query_width * pad(count)], |[transposed]| {
        let source = problem.queries.matrix(tile.batch, tile.head).slice(tile.queries.clone());
        source.with(|source| pack::transpose(source, transposed));
        let packed = Queries { transposed, rows: &[], count, width: query_width };
        let mut scores = Scores::of(tile, &seen, memory);
        problem.scores(tile, &packed, &seen, &mut scores);
        let mut rows = [f32::INFINITY; QUERY_BLOCK];
        let first = (tile.batch * heads + tile.head) * queries + tile.queries.start;
        if let Some(limits) = limits {
            problem.attention.normalizer.select(&limits.of(first..first + count), &mut scores);
        }
        rows[..count].copy_from_slice(&lse[first..first + count]);
        problem.attention.normalizer.weights(&rows, &mut scores);
        if let Seen::Some(visible) = &seen {
            visible.hide(&mut scores, 0.0);
        }
    });
    true
}
