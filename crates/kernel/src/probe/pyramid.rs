//! A picture of a map of any size.

use std::any::Any;
use std::ops::Range;

use super::{Page, Probe, page_of};
use crate::scores::Scores;
use crate::shape::{QUERY_BLOCK, Shape, Tile};
use crate::simd::{LANES, Lanes, floats_mut, multiversion};
use crate::{Error, Result};

/// Each head's map, shrunk to at most `pixels` × `pixels`: the mean of the weights under a pixel, which shows where
/// attention goes on the whole, and the greatest, which keeps a single bright pair visible among millions.
#[derive(Clone, Debug)]
pub struct Pyramid {
    grid: Grid,
    ends: [usize; 2],
    /// As long as its pixels would be if the last one were whole.
    lengths: [usize; 2],
    shape: [usize; 4],
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
        Self { grid, ends: [0; 2], lengths: [0; 2], shape: [0; 4], mean: Vec::new(), max: Vec::new() }
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
        let [queries, keys] = self.lengths;
        let first = (block.batch * heads + block.head) * rows * columns;
        let Strip { sums, maxima, .. } = page_of(page);
        for (run, (row, _)) in runs(block.queries.clone(), queries, rows).enumerate() {
            let of_row = shown(row, queries, rows, self.ends[0]).len();
            for column in 0..columns {
                let (pixel, noted) = (first + row * columns + column, run * columns + column);
                self.mean[pixel] += sums[noted] / (of_row * shown(column, keys, columns, self.ends[1]).len()) as f32;
                self.max[pixel] = greater(self.max[pixel], maxima[noted]);
            }
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
        for (column, keys) in runs(tile.keys.clone(), self.keys, self.columns) {
            let rows = keys.start - tile.keys.start..keys.end - tile.keys.start;
            let values = &weights.values()[rows.start * lanes..rows.end * lanes];
            let (sums, maxima) = (&mut self.sums[column..], &mut self.maxima[column..]);
            shrink(values, lanes, &self.runs, self.columns, sums, maxima);
        }
    }
}

/// The greater of two numbers; a NaN in `b` is passed over.
#[inline(always)]
fn greater(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

multiversion! {
    /// Adds weights up, and finds the greatest, over some keys and then over each run of queries; a run's result is the first
    /// of every `columns`.
    fn shrink<I>(
        values: &[f32], lanes: usize, runs: &[Range<usize>], columns: usize, sums: &mut [f32], maxima: &mut [f32],
    ) {
        let (mut of_keys, mut most) = ([Lanes::ZERO; QUERY_BLOCK / LANES], [Lanes::ZERO; QUERY_BLOCK / LANES]);
        for row in values.chunks_exact(lanes.max(1)) {
            for ((sum, max), &weights) in of_keys.iter_mut().zip(&mut most).zip(row.as_chunks().0) {
                *sum = sum.add(Lanes(weights));
                *max = max.max(Lanes(weights));
            }
        }
        let (of_keys, most) = (floats_mut(&mut of_keys), floats_mut(&mut most));
        for (i, run) in runs.iter().enumerate() {
            let (whole, rest) = of_keys[run.clone()].as_chunks();
            let sum = whole.iter().fold(Lanes::load_or(rest, 0.0), |sum, &more| sum.add(Lanes(more)));
            sums[i * columns] += sum.sum();
            let (whole, rest) = most[run.clone()].as_chunks();
            let max = whole.iter().fold(Lanes::load_or(rest, 0.0), |max, &more| max.max(Lanes(more)));
            maxima[i * columns] = max.0.iter().fold(maxima[i * columns], |a, &b| greater(a, b));
        }
    }
}
