//! Probes: what do we note on the way?
//!
//! A weight is made again from q, k and the row's log-sum-exp, so a probe can look at any length: it is shown one tile
//! after another and keeps only what it is made to keep.

mod entropy;
mod pyramid;
mod received;
mod top_keys;
mod weights;

use crate::pack;
use crate::problem::{Problem, Seen, run as run_tasks};
use crate::scan::AllLimits;
use crate::score::Queries;
use crate::scores::Scores;
use crate::scratch;
use crate::shape::{KEY_BLOCK, QUERY_BLOCK, Shape, Tile};
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

/// Tiles that are computed, by all threads, before the probes see them.
const WAVE: usize = 64;

/// Shows every probe what it asks for. Stages are few, and each has a pass of its own.
pub(crate) fn run(problem: &Problem, lse: &[f32], probes: &mut [&mut dyn Probe]) -> Result<()> {
    let most = problem.attention.biases.len();
    let mut stages: Vec<Stage> = Vec::new();
    for probe in probes.iter_mut() {
        match probe.stage() {
            Stage::Scores { biases } if biases > most => {
                return Err(Error::new("biases of the scores to observe", biases, format!("at most {most}")));
            }
            stage if !stages.contains(&stage) => stages.push(stage),
            _ => {}
        }
        probe.begin(&problem.shape)?;
    }
    for stage in stages {
        show(problem, lse, stage, probes.iter_mut().filter(|probe| probe.stage() == stage).collect());
    }
    Ok(())
}

/// Shows all tiles of a stage to all probes.
fn show(problem: &Problem, lse: &[f32], stage: Stage, mut probes: Vec<&mut &mut dyn Probe>) {
    let Shape { batch, heads, .. } = problem.shape;
    let mut tiles = (0..batch * heads).flat_map(|unit| {
        problem.shape.query_blocks().flat_map(move |queries| {
            let tile = move |keys| problem.tile(unit / heads, unit % heads, queries.clone(), keys);
            problem.shape.key_blocks().map(tile)
        })
    });
    let limits = if stage == Stage::Weights { AllLimits::find(problem) } else { None };
    let count = batch * heads * problem.shape.query_blocks().count() * problem.shape.key_blocks().count();
    let mut memory = vec![0.0; WAVE.min(count) * QUERY_BLOCK * KEY_BLOCK];
    loop {
        let wave: Vec<(Tile, bool)> = tiles.by_ref().take(WAVE).map(|tile| (tile, false)).collect();
        let mut wave = wave;
        if wave.is_empty() {
            return;
        }
        let work = problem.work() * wave.len() as f64 / count as f64;
        let tasks = wave.iter_mut().zip(memory.chunks_exact_mut(QUERY_BLOCK * KEY_BLOCK)).collect();
        run_tasks(work, tasks, |((tile, seen), memory)| {
            *seen = fill(problem, lse, limits.as_ref(), stage, tile, memory);
        });
        let shown: Vec<(&Tile, Scores)> = wave
            .iter()
            .zip(memory.chunks_exact_mut(QUERY_BLOCK * KEY_BLOCK))
            .filter(|((_, seen), _)| *seen)
            .map(|((tile, _), memory)| (tile, Scores::new(tile, memory)))
            .collect();
        run_tasks(work, probes.iter_mut().collect(), |probe| {
            shown.iter().for_each(|(tile, scores)| probe.tile(tile, scores));
        });
    }
}

/// Computes what a tile shows at a stage; false if it is hidden.
fn fill(
    problem: &Problem,
    lse: &[f32],
    limits: Option<&AllLimits>,
    stage: Stage,
    tile: &Tile,
    memory: &mut [f32],
) -> bool {
    let seen = if let Stage::Scores { .. } = stage { Seen::Everything } else { problem.seen(tile) };
    if matches!(seen, Seen::Nothing) {
        return false;
    }
    let Shape { query_width, .. } = problem.shape;
    let count = tile.queries.len();
    scratch::with([query_width * pad(count)], |[transposed]| {
        let source = problem.queries.matrix(tile.batch, tile.head).slice(tile.queries.clone());
        source.with(|source| pack::transpose(source, transposed));
        let packed = Queries { transposed, rows: &[], count, width: query_width };
        let mut scores = Scores::of(tile, &seen, memory);
        match stage {
            Stage::Scores { biases } => problem.biased(tile, &packed, biases, &mut scores),
            Stage::Masked => problem.scores(tile, &packed, &seen, &mut scores),
            Stage::Weights => {
                problem.scores(tile, &packed, &seen, &mut scores);
                weigh(problem, lse, limits, tile, &seen, &mut scores);
            }
        }
    });
    true
}

/// Makes weights of a tile's scores.
fn weigh(problem: &Problem, lse: &[f32], limits: Option<&AllLimits>, tile: &Tile, seen: &Seen, scores: &mut Scores) {
    let Shape { heads, queries, .. } = problem.shape;
    let count = tile.queries.len();
    let mut rows = [f32::INFINITY; QUERY_BLOCK];
    let first = (tile.batch * heads + tile.head) * queries + tile.queries.start;
    if let Some(limits) = limits {
        problem.attention.normalizer.select(&limits.of(first..first + count), scores);
    }
    rows[..count].copy_from_slice(&lse[first..first + count]);
    problem.attention.normalizer.weights(&rows, scores);
    if let Seen::Some(visible) = seen {
        visible.hide(scores, 0.0);
    }
}
