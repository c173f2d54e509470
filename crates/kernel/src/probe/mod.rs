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

use crate::pack;
use crate::problem::{Problem, Seen, run as run_tasks};
use crate::scan::AllLimits;
use crate::score::Queries;
use crate::scores::Scores;
use crate::scratch;
use crate::shape::{KEY_BLOCK, QUERY_BLOCK, Shape, Tile, blocks};
use crate::simd::pad;
use crate::{Error, Result};

pub use entropy::Entropy;
pub use pyramid::Pyramid;
pub use received::Received;
pub use top_keys::{TopKey, TopKeys};
pub use weights::Weights;

/// How far along the way from scores to weights a probe looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Scores that so many of the biases, in order, have changed; hidden pairs have theirs, too.
    Scores {
        /// 0 shows what the score alone gives.
        biases: usize,
    },
    /// Scores with all biases, as they are normalised: −∞ where hidden.
    Masked,
    /// Weights, 0 where hidden.
    #[default]
    Weights,
}

/// Notes something about the weights of an attention.
pub trait Probe: Send {
    /// What the probe is shown: weights, unless it says otherwise.
    fn stage(&self) -> Stage {
        Stage::default()
    }

    /// A new problem: forget what was noted and make room.
    ///
    /// # Errors
    /// If the problem is too large for the probe, or has not what it asks for.
    fn begin(&mut self, shape: &Shape) -> Result<()>;

    /// A tile of weights, or of what [`stage`](Probe::stage) asks for. Tiles come by batch, then head, then queries, then
    /// keys; those that are hidden altogether do not come, and hidden pairs of the others weigh 0. Weight that a sink took
    /// is nowhere.
    fn tile(&mut self, tile: &Tile, weights: &Scores);
}

/// Tiles that are computed, by all threads, before the probes see them: as many as a processor's own cache holds.
const WAVE: usize = 32;

/// Tiles of the same queries that are computed together.
const TOGETHER: usize = 4;

/// Shows every probe what it asks for, of some queries and some keys. Stages are few, and each has a pass of its own.
pub(crate) fn run(
    problem: &Problem,
    lse: &[f32],
    [queries, keys]: [Range<usize>; 2],
    probes: &mut [&mut dyn Probe],
) -> Result<()> {
    let most = problem.attention.biases.len();
    let shape = Shape { queries: queries.len(), keys: keys.len(), ..problem.shape };
    let mut stages: Vec<Stage> = Vec::new();
    for probe in probes.iter_mut() {
        match probe.stage() {
            Stage::Scores { biases } if biases > most => {
                return Err(Error::new("biases of the scores to observe", biases, format!("at most {most}")));
            }
            stage if !stages.contains(&stage) => stages.push(stage),
            _ => {}
        }
        probe.begin(&shape)?;
    }
    for stage in stages {
        let asking = probes.iter_mut().filter(|probe| probe.stage() == stage).collect();
        show(problem, lse, stage, [&queries, &keys], asking);
    }
    Ok(())
}

/// Shows some queries and some keys at a stage to all probes.
fn show(
    problem: &Problem,
    lse: &[f32],
    stage: Stage,
    [queries, keys]: [&Range<usize>; 2],
    mut probes: Vec<&mut &mut dyn Probe>,
) {
    let shape = Shape { queries: queries.len(), keys: keys.len(), ..problem.shape };
    let Shape { batch, heads, .. } = shape;
    let per_block = blocks(keys.clone(), TOGETHER * KEY_BLOCK).count();
    let count = batch * heads * blocks(queries.clone(), QUERY_BLOCK).count() * per_block;
    let share = shape.queries as f64 * shape.keys as f64 / (problem.shape.queries as f64 * problem.shape.keys as f64);
    let mut runs = (0..batch * heads).flat_map(|unit| {
        blocks(queries.clone(), QUERY_BLOCK).flat_map(move |queries| {
            let run = move |keys| problem.tile(unit / heads, unit % heads, queries.clone(), keys);
            blocks(keys.clone(), TOGETHER * KEY_BLOCK).map(run)
        })
    });
    let limits = if stage == Stage::Weights { AllLimits::find(problem) } else { None };
    let mut memory = vec![0.0; (WAVE / TOGETHER).min(count) * TOGETHER * QUERY_BLOCK * KEY_BLOCK];
    loop {
        let wave: Vec<Tile> = runs.by_ref().take(WAVE / TOGETHER).collect();
        if wave.is_empty() {
            return;
        }
        let work = problem.work() * share * wave.len() as f64 / count as f64;
        let mut tiles: Vec<_> = wave.iter().map(|run| (run, Vec::new())).collect();
        let tasks = tiles.iter_mut().zip(memory.chunks_exact_mut(TOGETHER * QUERY_BLOCK * KEY_BLOCK)).collect();
        run_tasks(work, tasks, |((run, tiles), memory)| {
            *tiles = shown(problem, lse, limits.as_ref(), stage, run, memory);
        });
        let tiles: Vec<_> = tiles
            .into_iter()
            .flat_map(|(_, tiles)| tiles)
            .map(|(tile, scores)| {
                let tile = Tile {
                    shape: &shape,
                    queries: tile.queries.start - queries.start..tile.queries.end - queries.start,
                    keys: tile.keys.start - keys.start..tile.keys.end - keys.start,
                    ..tile
                };
                let scores = scores.renumbered(&tile);
                (tile, scores)
            })
            .collect();
        run_tasks(work, probes.iter_mut().collect(), |probe| {
            tiles.iter().for_each(|(tile, scores)| probe.tile(tile, scores));
        });
    }
}

/// What a run of tiles shows at a stage, without those that are hidden.
fn shown<'a>(
    problem: &'a Problem,
    lse: &[f32],
    limits: Option<&AllLimits>,
    stage: Stage,
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
            let seen = if let Stage::Scores { .. } = stage { Seen::Everything } else { problem.seen(&tile) };
            if matches!(seen, Seen::Nothing) {
                continue;
            }
            let mut scores = Scores::of(&tile, &seen, memory);
            match stage {
                Stage::Scores { biases } => problem.biased(&tile, &packed, biases, &mut scores),
                Stage::Masked => problem.scores(&tile, &packed, &seen, &mut scores),
                Stage::Weights => {
                    problem.scores(&tile, &packed, &seen, &mut scores);
                    if let Some(limits) = &limits {
                        normalizer.select(limits, &mut scores);
                    }
                    normalizer.weights(&rows, &mut scores);
                    if let Seen::Some(visible) = &seen {
                        visible.hide(&mut scores, 0.0);
                    }
                }
            }
            tiles.push((tile, scores));
        }
        tiles
    })
}
