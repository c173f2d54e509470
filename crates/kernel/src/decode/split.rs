//! Few rows leave most lanes of a tile empty, so lanes are filled with keys: each row is split into parts that see different
//! keys and are joined at the end, as those of different threads are.

use std::ops::Range;

use super::few::{self, Places};
use super::{fresh, join};
use crate::normalize::{Normalizer, Rows};
use crate::problem::Problem;
use crate::scores::Scores;
use crate::shape::Tile;
use crate::simd::{LANES, pad};
use crate::stored::Stored;

/// The most keys that a part takes of a tile.
const EACH: usize = 32;

/// The parts of some rows: those of the first part, then those of the next.
pub(super) struct Split<'a> {
    factor: f32,
    queries: &'a [f32],
    count: usize,
    parts: usize,
    known: Rows,
    /// `[key of a part][lane]`
    scores: &'a mut [f32],
    /// `[row][value feature]`, padded to whole vectors
    sums: &'a mut [f32],
    width: usize,
    used: bool,
}

impl<'a> Split<'a> {
    /// How much memory it takes.
    pub(super) fn size(value_width: usize) -> usize {
        EACH * LANES + LANES * pad(value_width)
    }

    /// Parts that have seen nothing. Queries are `[row][feature]`, padded to whole vectors; a score is `factor · q · k`.
    pub(super) fn new(problem: &Problem, factor: f32, queries: &'a [f32], count: usize, memory: &'a mut [f32]) -> Self {
        let parts = LANES / count.next_power_of_two();
        let (scores, sums) = memory.split_at_mut(EACH * LANES);
        // Nothing is written to lanes past the parts, and what is left over there could be slow numbers.
        scores.fill(0.0);
        sums.fill(0.0);
        let known = fresh(problem, parts * count);
        Self { factor, queries, count, parts, known, scores, sums, width: pad(problem.shape.value_width), used: false }
    }

    /// How many of the next keys a tile takes, the same number for each part: `seen` are seen by every row, and `left` lie
    /// together in memory.
    pub(super) fn keys(&self, next: usize, seen: usize, left: usize) -> usize {
        // A whole tile that starts at a part's start can lie in several pages: each part lies in one.
        if seen >= self.most() && next.is_multiple_of(EACH) {
            return self.most();
        }
        seen.min(left).min(self.most()) / self.parts * self.parts
    }

    /// The most keys of a tile.
    pub(super) fn most(&self) -> usize {
        EACH * self.parts
    }

    /// All rows see all keys of a tile, which are some of those given.
    pub(super) fn absorb(&mut self, normalizer: &dyn Normalizer, tile: &Tile, keys: Stored, values: Stored) {
        let places = Places { rows: self.count, each: tile.keys.len() / self.parts, lanes: LANES };
        for (part, keys) in pieces(keys, tile.keys.clone(), places.each) {
            few::products(self.factor, keys, self.queries, &mut self.scores[part * self.count..], places);
        }
        let parts = Tile { queries: 0..self.parts * self.count, keys: 0..places.each, ..tile.clone() };
        normalizer.absorb(&mut Scores::new(&parts, self.scores), &mut self.known);
        if self.used {
            few::rescale(self.sums, self.width, &self.known.rescale);
        }
        for (part, values) in pieces(values, tile.keys.clone(), places.each) {
            let sums = &mut self.sums[part * self.count * self.width..];
            few::mix(values, &self.scores[part * self.count..], sums, places);
        }
        self.used = true;
    }

    /// Joins all parts with what is known of the rows; `sums` are `[row][value feature]`, padded to whole vectors.
    pub(super) fn join(self, normalizer: &dyn Normalizer, rows: &mut Rows, sums: &mut [f32]) {
        if !self.used {
            return;
        }
        let (mut known, mut parts) = (self.known, self.parts);
        while parts > 1 {
            parts /= 2;
            let half = parts * self.count;
            let (mut low, mut high) = (known.part(0..half), known.part(half..2 * half));
            let (low_sums, high_sums) = self.sums.split_at_mut(half * self.width);
            join(normalizer, (&mut low, low_sums), (&mut high, high_sums), self.width);
            known = low;
        }
        join(normalizer, (rows, sums), (&mut known, self.sums), self.width);
    }
}

/// Cuts keys where memory does: the first part of each piece, and its rows.
fn pieces<'a>(rows: Stored<'a>, keys: Range<usize>, each: usize) -> impl Iterator<Item = (usize, Stored<'a>)> {
    let mut next = keys.start;
    std::iter::from_fn(move || {
        let piece = next..keys.end.min(next + rows.left(next));
        next = piece.end;
        (!piece.is_empty()).then(|| ((piece.start - keys.start) / each, rows.slice(piece)))
    })
}
