//! One tile of numbers, a score for each pair of a query and a key.

use std::ops::Range;

use crate::mask::Needed;
use crate::problem::Seen;
use crate::shape::Tile;
use crate::simd::{LANES, multiversion, pad};

/// The scores (or weights, or gradients) of a tile.
///
/// Queries lie side by side in vector lanes and keys follow each other, so that everything that runs along a row of the
/// attention matrix (maximum, sum, rescaling, masks) is vertical and needs no shuffling. [`each`](Scores::each) hides the
/// layout.
#[derive(Debug)]
pub struct Scores<'a> {
    values: &'a mut [f32],
    lanes: usize,
    batch: usize,
    head: usize,
    queries: Range<usize>,
    keys: Range<usize>,
    needed: Needed,
}

impl<'a> Scores<'a> {
    /// The tile's numbers in `buffer`, which holds at least [`Scores::size`] of them.
    pub(crate) fn new(tile: &Tile, buffer: &'a mut [f32]) -> Self {
        Self {
            values: &mut buffer[..Self::size(tile)],
            lanes: pad(tile.queries.len()),
            batch: tile.batch,
            head: tile.head,
            queries: tile.queries.clone(),
            keys: tile.keys.clone(),
            needed: [(0, tile.keys.len() as u8); _],
        }
    }

    /// As [`new`](Scores::new), of which only what is seen has to be computed.
    pub(crate) fn of(tile: &Tile, seen: &Seen, buffer: &'a mut [f32]) -> Self {
        let scores = Self::new(tile, buffer);
        match seen {
            Seen::Some(visible) => Self { needed: visible.needed(), ..scores },
            _ => scores,
        }
    }

    /// The same numbers as a tile in another place.
    pub(crate) fn renumbered(self, tile: &Tile) -> Self {
        Self { queries: tile.queries.clone(), keys: tile.keys.clone(), ..self }
    }

    /// The parts of the tile that have to be computed: ranges of lanes, with the keys (counted within the tile) that one of
    /// their queries sees. Together the lanes are all there are.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + use<> {
        let (needed, vectors) = (self.needed, self.lanes / LANES);
        let mut next = 0;
        std::iter::from_fn(move || {
            let first = next;
            let &(start, end) = needed[..vectors].get(first)?;
            next += needed[first..vectors].iter().take_while(|&&other| other == (start, end)).count();
            Some((first * LANES..next * LANES, usize::from(start)..usize::from(end)))
        })
    }

    /// How many numbers a tile takes, padding included.
    pub(crate) fn size(tile: &Tile) -> usize {
        pad(tile.queries.len()) * tile.keys.len()
    }

    /// The batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The query head.
    pub fn head(&self) -> usize {
        self.head
    }

    /// The queries, as positions in the sequence.
    pub fn queries(&self) -> Range<usize> {
        self.queries.clone()
    }

    /// The keys, as positions in the sequence.
    pub fn keys(&self) -> Range<usize> {
        self.keys.clone()
    }

    /// Numbers from one key to the next: the queries, padded to whole vectors.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// All numbers: `lanes` for each key. Those past the queries mean nothing.
    pub fn values(&self) -> &[f32] {
        self.values
    }

    /// As [`values`](Scores::values), to be changed.
    pub fn values_mut(&mut self) -> &mut [f32] {
        self.values
    }

    /// The numbers of one key (a position in the sequence) for each query of the tile.
    ///
    /// # Panics
    /// If the key is not in the tile.
    #[inline(always)]
    pub fn row(&self, key: usize) -> &[f32] {
        let start = (key - self.keys.start) * self.lanes;
        &self.values[start..start + self.queries.len()]
    }

    /// As [`row`](Scores::row), to be changed.
    ///
    /// # Panics
    /// If the key is not in the tile.
    #[inline(always)]
    pub fn row_mut(&mut self, key: usize) -> &mut [f32] {
        let start = (key - self.keys.start) * self.lanes;
        &mut self.values[start..start + self.queries.len()]
    }

    /// Replaces every score by `f(query, key, score)`; positions are those in the sequence.
    ///
    /// The loop is compiled for each instruction set, so a plain closure vectorises.
    pub fn each(&mut self, f: impl Fn(usize, usize, f32) -> f32) {
        each(self.values, self.lanes, self.queries.clone(), self.keys.start, f);
    }

    /// Replaces every number by `f(number, other)`, where `other` is the one in the same place of another tile.
    pub fn zip(&mut self, other: &Scores, f: impl Fn(f32, f32) -> f32) {
        zip(self.values, other.values, f);
    }

    /// A copy in `buffer`, which holds at least as many numbers.
    pub(crate) fn copy_in<'b>(&self, buffer: &'b mut [f32]) -> Scores<'b> {
        let values = &mut buffer[..self.values.len()];
        values.copy_from_slice(self.values);
        let Self { lanes, batch, head, needed, .. } = *self;
        Scores { values, lanes, batch, head, queries: self.queries(), keys: self.keys(), needed }
    }

    /// Copies another tile of the same place.
    pub(crate) fn copy_from(&mut self, other: &Scores) {
        self.values.copy_from_slice(other.values);
    }
}

multiversion! {
    fn each<I, F: Fn(usize, usize, f32) -> f32>(
        values: &mut [f32], lanes: usize, queries: Range<usize>, first_key: usize, f: F
    ) {
        for (key, row) in values.chunks_exact_mut(lanes.max(1)).enumerate() {
            for (query, score) in row[..queries.len()].iter_mut().enumerate() {
                *score = f(queries.start + query, first_key + key, *score);
            }
        }
    }

    fn zip<I, F: Fn(f32, f32) -> f32>(values: &mut [f32], others: &[f32], f: F) {
        for (value, &other) in values.iter_mut().zip(others) {
            *value = f(*value, other);
        }
    }
}
