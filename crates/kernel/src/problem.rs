//! One attention and one set of inputs: what forward, backward and probes have in common.

use std::ops::Range;

use rayon::prelude::*;

use crate::Result;
use crate::attention::Attention;
use crate::mask::{Coverage, Visible};
use crate::score::{Keys, Queries};
use crate::scores::Scores;
use crate::shape::{Shape, Tile};
use crate::view::View;

/// An attention that is known to fit its queries and keys.
pub(crate) struct Problem<'a> {
    pub(crate) attention: &'a Attention,
    pub(crate) shape: Shape,
    pub(crate) queries: View<'a>,
    pub(crate) keys: View<'a>,
}

/// What a tile's queries see of its keys. It lives on the stack, for the time of one tile.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Seen {
    Nothing,
    Everything,
    Some(Visible),
}

impl<'a> Problem<'a> {
    pub(crate) fn new(attention: &'a Attention, queries: &View<'a>, keys: &View<'a>) -> Result<Self> {
        let shape = Shape::of(queries.shape(), keys.shape())?;
        attention.check(&shape)?;
        Ok(Self { attention, shape, queries: *queries, keys: *keys })
    }

    /// The same problem with values.
    pub(crate) fn with_values(self, values: &View) -> Result<Self> {
        Ok(Self { shape: self.shape.with_values(values.shape())?, ..self })
    }

    /// How many numbers `[batch, head, query, width]` takes.
    pub(crate) fn size(&self, width: usize) -> usize {
        let Shape { batch, heads, queries, .. } = self.shape;
        batch * heads * queries * width
    }

    /// The tile of some queries and keys.
    pub(crate) fn tile(&self, batch: usize, head: usize, queries: Range<usize>, keys: Range<usize>) -> Tile<'_> {
        Tile { shape: &self.shape, batch, head, queries, keys }
    }

    /// Whether the masks leave nothing of a tile.
    pub(crate) fn hidden(&self, tile: &Tile) -> bool {
        self.attention.mask.as_ref().is_some_and(|mask| mask.coverage(tile) == Coverage::Empty)
    }

    /// What the masks leave of a tile.
    pub(crate) fn seen(&self, tile: &Tile) -> Seen {
        let Some(mask) = &self.attention.mask else { return Seen::Everything };
        match mask.coverage(tile) {
            Coverage::Empty => Seen::Nothing,
            Coverage::Full => Seen::Everything,
            Coverage::Mixed => {
                let mut visible = Visible::none(tile);
                mask.fill(tile, &mut visible);
                Seen::Some(visible.close())
            }
        }
    }

    /// Calls `f` with the tile's keys.
    pub(crate) fn with_keys<R>(&self, tile: &Tile, f: impl FnOnce(&Keys) -> R) -> R {
        let keys = self.keys.matrix(tile.batch, tile.head / self.shape.group()).slice(tile.keys.clone());
        keys.with(|matrix| f(&Keys { matrix, rows: &[] }))
    }

    /// Scores with the first of the biases; hidden pairs are like any other.
    pub(crate) fn biased(&self, tile: &Tile, queries: &Queries, biases: usize, scores: &mut Scores) {
        self.with_keys(tile, |keys| self.attention.score.forward(tile, queries, keys, scores));
        for bias in self.attention.biases.iter().take(biases) {
            bias.add(tile, scores);
        }
    }

    /// Scores with all biases, −∞ where hidden.
    pub(crate) fn scores(&self, tile: &Tile, queries: &Queries, seen: &Seen, scores: &mut Scores) {
        self.biased(tile, queries, self.attention.biases.len(), scores);
        if let Seen::Some(visible) = seen {
            visible.hide(scores, f32::NEG_INFINITY);
        }
    }

    /// Multiplications and additions of one product over all pairs.
    pub(crate) fn work(&self) -> f64 {
        let Shape { batch, heads, queries, keys, query_width, .. } = self.shape;
        [batch, heads, queries, keys, query_width.max(8)].iter().map(|&n| n as f64).product()
    }
}

/// Below this many multiplications and additions, waking other threads costs more than it saves.
const SERIAL: f64 = 4e6;
/// What a byte that memory delivers for one use costs, in multiplications.
pub(crate) const READ: f64 = 8.0;

/// Does all tasks, on the current thread pool if the work is worth it. Tasks do not depend on each other, so their results
/// do not depend on who does them.
pub(crate) fn run<T: Send>(work: f64, tasks: Vec<T>, task: impl Fn(T) + Sync + Send) {
    if work < SERIAL || tasks.len() < 2 || rayon::current_num_threads() < 2 {
        tasks.into_iter().for_each(task);
    } else {
        tasks.into_par_iter().for_each(task);
    }
}

/// Cuts `[unit][position][width]` into the given ranges of positions, the same in every unit, in order.
pub(crate) fn cut<T>(
    mut data: &mut [T],
    units: usize,
    ranges: impl Iterator<Item = Range<usize>> + Clone,
    width: usize,
) -> Vec<&mut [T]> {
    let mut parts = Vec::with_capacity(units * ranges.clone().count());
    for _ in 0..units {
        for range in ranges.clone() {
            let (part, rest) = data.split_at_mut(range.len() * width);
            parts.push(part);
            data = rest;
        }
    }
    parts
}
