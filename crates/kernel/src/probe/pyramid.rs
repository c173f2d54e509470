//! A picture of a map of any size.

use std::any::Any;
use std::ops::Range;

use super::{Page, Probe, page_of};
use crate::scores::Scores;
use crate::shape::{KEY_BLOCK, QUERY_BLOCK, Shape, Tile};
use crate::simd::{LANES, Lanes, multiversion, pad, turn};
use crate::{Error, Result, scratch};

/// Each head's map, shrunk to at most `pixels` × `pixels`: the mean of the weights under a pixel, which shows where
/// attention goes on the whole, and the greatest, which keeps a single bright pair visible among millions.
#[derive(Clone, Debug)]
pub struct Pyramid {
    grid: Grid,
    ends: [usize; 2],
    /// As long as its pixels would be if the last one were whole.
    lengths: [usize; 2],
    shape: [usize; 4],
    /// How many positions lie under each pixel of either axis.
    covered: [Vec<f32>; 2],
    mean: Vec<f32>,
    max: Vec<f32>,
}

/// What decides how many positions a pixel covers.
#[derive(Clone, Copy, Debug)]
enum Grid {
    /// At most so many pixels.
    Pixels(usize),
    /// So many positions under each.
    Stride(usize),
}

impl Pyramid {
    /// At most `pixels` along each side.
    ///
    /// # Errors
    /// If `pixels` is not between 1 and 65536.
    pub fn new(pixels: usize) -> Result<Self> {
        if !(1..=65536).contains(&pixels) {
            return Err(Error::new("pixels", pixels, "between 1 and 65536"));
        }
        Ok(Self::of(Grid::Pixels(pixels)))
    }

    /// Exactly `stride` positions under a pixel, along each side; fewer only under the last. Pixels of parts of a map that begin at
    /// multiples of `stride` are those of the whole map.
    ///
    /// # Errors
    /// If `stride` is 0.
    pub fn strided(stride: usize) -> Result<Self> {
        if stride == 0 {
            return Err(Error::new("stride", stride, "at least 1"));
        }
        Ok(Self::of(Grid::Stride(stride)))
    }

    fn of(grid: Grid) -> Self {
        Self {
            grid,
            ends: [0; 2],
            lengths: [0; 2],
            shape: [0; 4],
            covered: [vec![], vec![]],
            mean: vec![],
            max: vec![],
        }
    }

    /// `[batch, head, pixel of queries, pixel of keys]`.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// The mean weight under each pixel, contiguous in that shape.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The greatest weight under each pixel, contiguous in that shape.
    pub fn max(&self) -> &[f32] {
        &self.max
    }

    /// The queries under a pixel of the vertical axis.
    pub fn queries(&self, pixel: usize) -> Range<usize> {
        shown(pixel, self.lengths[0], self.shape[2], self.ends[0])
    }

    /// The keys under a pixel of the horizontal axis.
    pub fn keys(&self, pixel: usize) -> Range<usize> {
        shown(pixel, self.lengths[1], self.shape[3], self.ends[1])
    }
}

/// The positions under a pixel: those that `p · pixels / length` maps to it.
fn under(pixel: usize, length: usize, pixels: usize) -> Range<usize> {
    if pixels == 0 {
        return 0..0;
    }
    (pixel * length).div_ceil(pixels)..((pixel + 1) * length).div_ceil(pixels)
}

/// Those of them that there are.
fn shown(pixel: usize, length: usize, pixels: usize, end: usize) -> Range<usize> {
    let under = under(pixel, length, pixels);
    under.start.min(end)..under.end.min(end)
}

/// Cuts a range of positions where the pixel changes.
fn runs(range: Range<usize>, length: usize, pixels: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let pixel = (start < range.end).then(|| start * pixels / length)?;
        let run = start..under(pixel, length, pixels).end.min(range.end);
        start = run.end;
        Some((pixel, run))
    })
}

impl Probe for Pyramid {
    fn begin(&mut self, shape: &Shape) -> Result<()> {
        self.ends = [shape.queries, shape.keys];
        let [rows, columns] = self.ends.map(|length| match self.grid {
            Grid::Pixels(most) => length.min(most),
            Grid::Stride(stride) => length.div_ceil(stride),
        });
        self.lengths = match self.grid {
            Grid::Pixels(_) => self.ends,
            Grid::Stride(stride) => [rows, columns].map(|pixels| pixels.saturating_mul(stride)),
        };
        self.shape = [shape.batch, shape.heads, rows, columns];
        let size = self.shape.iter().try_fold(1usize, |size, &n| size.checked_mul(n));
        let Some(size) = size.filter(|&size| size <= super::Weights::LIMIT) else {
            let given = format!("{:?}", self.shape);
            return Err(Error::new("pixels", given, format!("at most {} in all", super::Weights::LIMIT)));
        };
        for values in [&mut self.mean, &mut self.max] {
            values.clear();
            values.resize(size, 0.0);
        }
        self.covered = [
            (0..rows).map(|pixel| self.queries(pixel).len() as f32).collect(),
            (0..columns).map(|pixel| self.keys(pixel).len() as f32).collect(),
        ];
        Ok(())
    }

    fn page(&self, block: &Tile) -> Box<dyn Page> {
        let [_, _, rows, columns] = self.shape;
        let [queries, keys] = self.lengths;
        let runs: Vec<_> = runs(block.queries.clone(), queries, rows)
            .map(|(_, at)| at.start - block.queries.start..at.end - block.queries.start)
            .collect();
        let size = runs.len() * columns;
        Box::new(Strip { runs, keys, columns, sums: vec![0.0; size], maxima: vec![0.0; size] })
    }

    fn file(&mut self, block: &Tile, page: Box<dyn Any>) {
        let [_, heads, rows, columns] = self.shape;
        let [of_rows, of_columns] = &self.covered;
        let first = (block.batch * heads + block.head) * rows * columns;
        let Strip { sums, maxima, .. } = page_of(page);
        for (run, (row, _)) in runs(block.queries.clone(), self.lengths[0], rows).enumerate() {
            let (pixels, noted) = (first + row * columns.., run * columns..);
            let mean = self.mean[pixels.clone()].iter_mut().zip(&sums[noted.clone()]);
            mean.zip(of_columns).for_each(|((mean, sum), of_column)| *mean += sum / (of_rows[row] * of_column));
            let max = self.max[pixels].iter_mut().zip(&maxima[noted]).take(columns);
            max.for_each(|(max, &noted)| *max = greater(*max, noted));
        }
    }
}

/// The part of a picture that a block of queries makes.
struct Strip {
    /// The queries of the block, cut where the pixel changes.
    runs: Vec<Range<usize>>,
    keys: usize,
    columns: usize,
    /// `[run, column]`
    sums: Vec<f32>,
    /// `[run, column]`
    maxima: Vec<f32>,
}

impl Page for Strip {
    fn tile(&mut self, tile: &Tile, weights: &Scores) {
        let lanes = weights.lanes();
        let Self { runs: of_queries, columns, sums, maxima, .. } = self;
        // Keys are shrunk first, which is vertical. What remains is turned, so that queries are, too.
        scratch::with([KEY_BLOCK * lanes, KEY_BLOCK * lanes, QUERY_BLOCK * KEY_BLOCK], |[sum, max, turned]| {
            let (mut first, mut count) = (*columns, 0);
            for (column, keys) in runs(tile.keys.clone(), self.keys, *columns) {
                let rows = (keys.start - tile.keys.start) * lanes..(keys.end - tile.keys.start) * lanes;
                let place = count * lanes..(count + 1) * lanes;
                shrink_keys(&weights.values()[rows], &mut sum[place.clone()], &mut max[place]);
                (first, count) = (first.min(column), count + 1);
            }
            let place = [first, count, *columns];
            shrink_queries(sum, lanes, of_queries, turned, sums, place, |a, b| a + b);
            shrink_queries(max, lanes, of_queries, turned, maxima, place, greater);
        });
    }
}

/// The greater of two numbers; a NaN in `b` is passed over.
#[inline(always)]
fn greater(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

multiversion! {
    /// The sum and the greatest of some keys' weights, for each lane.
    fn shrink_keys<I>(weights: &[f32], sum: &mut [f32], max: &mut [f32]) {
        let lanes = sum.len();
        for first in (0..lanes).step_by(LANES) {
            let (mut total, mut most) = (Lanes::ZERO, Lanes::ZERO);
            for row in weights.chunks_exact(lanes) {
                let weights = Lanes::load(&row[first..]);
                (total, most) = (total.add(weights), most.max(weights));
            }
            total.store(&mut sum[first..]);
            most.store(&mut max[first..]);
        }
    }

    /// Joins `[column][lane]` numbers over each run of lanes, and the result with that noted as `[run][column]`. `place` is the
    /// first column, how many there are, and how many a noted row has.
    fn shrink_queries<I, F: Fn(f32, f32) -> f32>(
        numbers: &[f32],
        lanes: usize,
        runs: &[Range<usize>],
        turned: &mut [f32],
        noted: &mut [f32],
        place: [usize; 3],
        join: F,
    ) {
        let [first, count, columns] = place;
        let (queries, width) = (runs.last().map_or(0, |run| run.end), pad(count));
        turn::<I>(numbers, lanes, [count, queries], turned, width);
        for (run, noted) in runs.iter().zip(noted.chunks_exact_mut(columns.max(1))) {
            for (vector, noted) in noted[first..first + count].chunks_mut(LANES).enumerate() {
                let rows = turned[run.start * width..run.end * width].chunks_exact(width);
                let joined = rows.fold(Lanes::ZERO, |joined, row| {
                    joined.zip(Lanes::load(&row[vector * LANES..]), &join)
                });
                noted.iter_mut().zip(joined.0).for_each(|(noted, more)| *noted = join(*noted, more));
            }
        }
    }
}
