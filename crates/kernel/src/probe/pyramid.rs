//! A picture of a map of any size.

use std::ops::Range;

use super::Probe;
use crate::scores::Scores;
use crate::shape::{QUERY_BLOCK, Shape, Tile};
use crate::simd::multiversion;
use crate::{Error, Result};

/// Each head's map, shrunk to at most `pixels` × `pixels`: the mean of the weights under a pixel, which shows where
/// attention goes on the whole, and the greatest, which keeps a single bright pair visible among millions.
#[derive(Clone, Debug)]
pub struct Pyramid {
    pixels: usize,
    lengths: [usize; 2],
    shape: [usize; 4],
    mean: Vec<f32>,
    max: Vec<f32>,
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
        Ok(Self { pixels, lengths: [0; 2], shape: [0; 4], mean: Vec::new(), max: Vec::new() })
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
        under(pixel, self.lengths[0], self.shape[2])
    }

    /// The keys under a pixel of the horizontal axis.
    pub fn keys(&self, pixel: usize) -> Range<usize> {
        under(pixel, self.lengths[1], self.shape[3])
    }
}

/// The positions under a pixel: those that `p · pixels / length` maps to it.
fn under(pixel: usize, length: usize, pixels: usize) -> Range<usize> {
    (pixel * length).div_ceil(pixels)..((pixel + 1) * length).div_ceil(pixels)
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
        let (rows, columns) = (shape.queries.min(self.pixels), shape.keys.min(self.pixels));
        self.lengths = [shape.queries, shape.keys];
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

    fn tile(&mut self, tile: &Tile, weights: &Scores) {
        let [_, heads, rows, columns] = self.shape;
        let [queries, keys] = self.lengths;
        let first = (tile.batch * heads + tile.head) * rows * columns;
        let mut query_runs = [const { (0, 0..0, 0.0) }; QUERY_BLOCK];
        let mut count = 0;
        for (run, (row, at)) in query_runs.iter_mut().zip(runs(tile.queries.clone(), queries, rows)) {
            let lanes = at.start - tile.queries.start..at.end - tile.queries.start;
            *run = (row, lanes, 1.0 / under(row, queries, rows).len() as f32);
            count += 1;
        }
        for (column, key_run) in runs(tile.keys.clone(), keys, columns) {
            let share = 1.0 / under(column, keys, columns).len() as f32;
            let values = &weights.values()[(key_run.start - tile.keys.start) * weights.lanes()..];
            let (sums, maxima) = sums_and_maxima(values, weights.lanes(), key_run.len());
            for (row, lanes, of_row) in &query_runs[..count] {
                let pixel = first + row * columns + column;
                self.mean[pixel] += sums[lanes.clone()].iter().sum::<f32>() * (of_row * share);
                self.max[pixel] = maxima[lanes.clone()].iter().fold(self.max[pixel], |a, &b| if b > a { b } else { a });
            }
        }
    }
}

multiversion! {
    /// Of each query, over some keys.
    fn sums_and_maxima<I>(values: &[f32], lanes: usize, keys: usize) -> ([f32; QUERY_BLOCK], [f32; QUERY_BLOCK]) {
        let mut sums = [0.0f32; QUERY_BLOCK];
        let mut maxima = [0.0f32; QUERY_BLOCK];
        for row in values.chunks(lanes).take(keys) {
            for ((sum, max), &x) in sums.iter_mut().zip(&mut maxima).zip(row) {
                *sum += x;
                *max = if x > *max { x } else { *max };
            }
        }
        (sums, maxima)
    }
}
