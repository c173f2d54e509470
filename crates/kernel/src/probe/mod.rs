//! Probes: what do we note on the way?
//!
//! A weight is made again from q, k and the row's log-sum-exp, so a probe can look at any length: it is shown one tile
//! after another and keeps only what it is made to keep.
//!
//! A block of queries is one thread's work: the thread makes a tile, and while that lies in its cache, lets every probe note
//! what it wants on a [`Page`] of its own. Pages are handed to the probes in order, so threads have no say in the results.

mod entropy;
mod pyramid;
mod received;
mod top_keys;
mod weights;

use std::any::Any;
use std::ops::Range;

use crate::pack;
use crate::problem::{Problem, Seen, run as run_tasks};
use crate::scan;
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
pub trait Probe: Send + Sync {
    /// What the probe is shown: weights, unless it says otherwise.
    fn stage(&self) -> Stage {
        Stage::default()
    }

    /// A new problem: forget what was noted and make room.
    ///
    /// # Errors
    /// If the problem is too large for the probe, or has not what it asks for.
    fn begin(&mut self, shape: &Shape) -> Result<()>;

    /// An empty page for what some queries look at; `block` has these and all keys.
    fn page(&self, block: &Tile) -> Box<dyn Page>;

    /// Takes a page back that every tile of `block` has been noted on. Pages come by batch, then head, then queries.
    fn file(&mut self, block: &Tile, page: Box<dyn Any>);
}

/// What a [`Probe`] notes about one block of queries.
pub trait Page: Any + Send {
    /// A tile of weights, or of what [`stage`](Probe::stage) asks for. Tiles come in the order of their keys; those that are
    /// hidden altogether do not come, and hidden pairs of the others weigh 0. Weight that a sink took is nowhere.
    fn tile(&mut self, tile: &Tile, weights: &Scores);
}

/// A page as the probe that made it knows it.
fn page_of<P: Page>(page: Box<dyn Any>) -> P {
    *page.downcast().expect("a probe is handed the pages that it has made")
}

/// Blocks of queries a thread that are noted before any is filed, so that threads seldom wait for each other.
const AHEAD: usize = 4;

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
        show(problem, lse, stage, [&queries, &keys], &shape, asking);
    }
    Ok(())
}

/// Shows some queries and some keys, whose sizes are those of `shape`, at a stage to all probes.
fn show(
    problem: &Problem,
    lse: &[f32],
    stage: Stage,
    [queries, keys]: [&Range<usize>; 2],
    shape: &Shape,
    mut probes: Vec<&mut &mut dyn Probe>,
) {
    let per_query = problem.work() / (problem.size(1) as f64).max(1.0) * keys.len() as f64;
    let per_query = per_query / (problem.shape.keys as f64).max(1.0);
    let mut blocks = (0..shape.batch * shape.heads).flat_map(|unit| {
        blocks(queries.clone(), QUERY_BLOCK).map(move |queries| (unit / shape.heads, unit % shape.heads, queries))
    });
    loop {
        let mut wave: Vec<_> = blocks
            .by_ref()
            .take(AHEAD * rayon::current_num_threads())
            .map(|(batch, head, at)| {
                let queries = at.start - queries.start..at.end - queries.start;
                let block = Tile { shape, batch, head, queries, keys: 0..shape.keys };
                let pages: Vec<_> = probes.iter().map(|probe| probe.page(&block)).collect();
                (problem.tile(batch, head, at, keys.clone()), block, pages)
            })
            .collect();
        if wave.is_empty() {
            return;
        }
        let work = per_query * wave.iter().map(|(_, block, _)| block.queries.len() as f64).sum::<f64>();
        run_tasks(work, wave.iter_mut().collect(), |(place, block, pages)| {
            tiles(problem, lse, stage, place, |keys, scores| {
                let keys = keys.start - place.keys.start..keys.end - place.keys.start;
                let tile = Tile { keys, ..block.clone() };
                let scores = scores.renumbered(&tile);
                pages.iter_mut().for_each(|page| page.tile(&tile, &scores));
            });
        });
        for (_, block, pages) in wave {
            probes.iter_mut().zip(pages).for_each(|(probe, page)| probe.file(&block, page));
        }
    }
}

/// What the tiles of a block show at a stage, without those that are hidden.
fn tiles(problem: &Problem, lse: &[f32], stage: Stage, block: &Tile, mut show: impl FnMut(Range<usize>, Scores)) {
    let Shape { heads, queries, query_width, .. } = problem.shape;
    let count = block.queries.len();
    let first = (block.batch * heads + block.head) * queries + block.queries.start;
    let mut rows = [f32::INFINITY; QUERY_BLOCK];
    rows[..count].copy_from_slice(&lse[first..first + count]);
    let normalizer = &problem.attention.normalizer;
    scratch::with([query_width * pad(count), pad(count) * KEY_BLOCK], |[transposed, buffer]| {
        let source = problem.queries.matrix(block.batch, block.head).slice(block.queries.clone());
        source.with(|source| pack::transpose(source, transposed));
        let packed = Queries { transposed, rows: &[], count, width: query_width };
        let limits = (stage == Stage::Weights)
            .then(|| scan::limits(problem, block.batch, block.head, block.queries.clone(), &packed, true))
            .flatten();
        for keys in blocks(block.keys.clone(), KEY_BLOCK) {
            let tile = problem.tile(block.batch, block.head, block.queries.clone(), keys.clone());
            let seen = if let Stage::Scores { .. } = stage { Seen::Everything } else { problem.seen(&tile) };
            if matches!(seen, Seen::Nothing) {
                continue;
            }
            let mut scores = Scores::of(&tile, &seen, buffer);
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
            show(keys, scores);
        }
    });
}
