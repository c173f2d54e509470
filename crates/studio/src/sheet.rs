//! A picture of millions of weights, computed strip by strip in an order that soon shows the whole.
//!
//! A pixel covers `stride` × `stride` pairs. Strips of queries are taken in bit-reversed order, so that those done at any moment are
//! spread evenly; a pixel row that is not done looks like the nearest that is. Where a pixel row is many queries high, a first round
//! takes a few queries of each. Such a picture is a preview; it is exact when every row that it shows is.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use regard_explain::{Error, Head, Map, Region, Trace};

use crate::background::{Asked, Errand, lock};

/// Queries in a strip, and in the first look at a row of pixels: one block of the kernel.
const STRIP: usize = 64;

/// Some queries by some keys, a growing picture.
pub(crate) struct Sheet {
    trace: Arc<Trace>,
    site: usize,
    head: Head,
    within: [Range<usize>; 2],
    stride: usize,
    rows: usize,
    columns: usize,
    pixels: Mutex<Pixels>,
    asked: Asked,
}

#[derive(Clone, Copy, PartialEq)]
enum Known {
    Nothing,
    Some,
    All,
}

struct Pixels {
    mean: Vec<f32>,
    max: Vec<f32>,
    known: Vec<Known>,
    /// Strips that have been taken, of both rounds.
    taken: usize,
    failed: Option<Arc<Error>>,
}

impl Sheet {
    pub(crate) fn new(trace: Arc<Trace>, site: usize, head: Head, within: [Range<usize>; 2], stride: usize) -> Self {
        let [rows, columns] = within.clone().map(|part| part.len().div_ceil(stride));
        let pixels = Pixels {
            mean: vec![0.0; rows * columns],
            max: vec![0.0; rows * columns],
            known: vec![Known::Nothing; rows],
            taken: 0,
            failed: None,
        };
        Self { trace, site, head, within, stride, rows, columns, pixels: Mutex::new(pixels), asked: Asked::new() }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.rows * self.columns * 2 * size_of::<f32>() + 1024
    }

    pub(crate) fn forget(&self) {
        self.asked.drop_it();
    }

    /// Rows of pixels in a strip.
    fn strip(&self) -> usize {
        STRIP.div_ceil(self.stride)
    }

    fn strips(&self) -> usize {
        self.rows.div_ceil(self.strip())
    }

    /// Rounds over all strips: two where a few queries of a row can be seen long before all of them.
    fn rounds(&self) -> usize {
        if self.stride > 2 * STRIP { 2 } else { 1 }
    }

    /// Of some rows and columns of the sheet, pooled by `factor`: the picture, whether it is exact, and how much of it is.
    ///
    /// # Errors
    /// When a strip could not be computed.
    pub(crate) fn part(&self, within: [Range<usize>; 2], factor: usize) -> Result<(Region, f32), Arc<Error>> {
        let pixels = lock(&self.pixels);
        if let Some(error) = &pixels.failed {
            return Err(error.clone());
        }
        let [rows, columns] = within.clone().map(|part| part.len().div_ceil(factor));
        let under = |pixel: usize, part: &Range<usize>| {
            part.start + pixel * factor..(part.start + (pixel + 1) * factor).min(part.end)
        };
        // Pairs along a side of a pixel of the sheet; the last may have fewer.
        let length = |pixel: usize, side: usize| (self.within[side].len() - pixel * self.stride).min(self.stride);
        let shown: Vec<usize> = within[0].clone().map(|row| pixels.nearest(row)).collect();
        let (mut mean, mut max) = (Vec::with_capacity(rows * columns), Vec::with_capacity(rows * columns));
        for y in 0..rows {
            for x in 0..columns {
                let (mut sum, mut pairs, mut most) = (0.0, 0, 0.0f32);
                for row in under(y, &within[0]) {
                    for column in under(x, &within[1]) {
                        let area = length(row, 0) * length(column, 1);
                        let at = shown[row - within[0].start] * self.columns + column;
                        sum += f64::from(pixels.mean[at]) * area as f64;
                        pairs += area;
                        most = most.max(pixels.max[at]);
                    }
                }
                mean.push((sum / pairs as f64) as f32);
                max.push(most);
            }
        }
        let exact = within[0].clone().filter(|&row| pixels.known[row] == Known::All).count();
        let share = if within[0].is_empty() { 1.0 } else { exact as f32 / within[0].len() as f32 };
        let map = |weights| Map { rows, columns, weights };
        Ok((Region { mean: map(mean), max: map(max) }, share))
    }

    /// Whether some rows are exact, or cannot be.
    pub(crate) fn settled(&self, rows: Range<usize>) -> bool {
        let pixels = lock(&self.pixels);
        pixels.failed.is_some() || pixels.known[rows].iter().all(|&known| known == Known::All)
    }
}

impl Pixels {
    /// The row that a row is shown as.
    fn nearest(&self, row: usize) -> usize {
        let known = |row: &usize| self.known.get(*row).is_some_and(|&known| known != Known::Nothing);
        let away =
            (0..self.known.len()).find_map(|by| row.checked_sub(by).filter(known).or(Some(row + by).filter(known)));
        away.unwrap_or(row)
    }
}

impl Errand for Sheet {
    fn asked(&self) -> &Asked {
        &self.asked
    }

    fn piece(&self) -> bool {
        let taken = {
            let mut pixels = lock(&self.pixels);
            if pixels.failed.is_some() || pixels.taken >= self.strips() * self.rounds() {
                return false;
            }
            pixels.taken += 1;
            pixels.taken - 1
        };
        let first = taken / self.strips() == 0 && self.rounds() == 2;
        let strip = reversed(taken % self.strips(), self.strips());
        let rows = strip * self.strip()..((strip + 1) * self.strip()).min(self.rows);
        let from = self.within[0].start + rows.start * self.stride;
        let end = (self.within[0].start + rows.end * self.stride).min(self.within[0].end);
        let queries = from..if first { end.min(from + STRIP) } else { end };
        let found = self.trace.tile(self.site, self.head, [queries, self.within[1].clone()], self.stride);
        let mut pixels = lock(&self.pixels);
        match found {
            Ok(region) => {
                let part = rows.start * self.columns..rows.end * self.columns;
                pixels.mean[part.clone()].copy_from_slice(&region.mean.weights);
                pixels.max[part].copy_from_slice(&region.max.weights);
                let known = if first && end - from > STRIP { Known::Some } else { Known::All };
                pixels.known[rows].fill(known);
                true
            }
            Err(error) => {
                pixels.failed = Some(Arc::new(error));
                false
            }
        }
    }
}

/// The `index`-th of `count` numbers in bit-reversed order: each once, and any first few far apart.
fn reversed(index: usize, count: usize) -> usize {
    let bits = count.next_power_of_two().trailing_zeros();
    let flip = |number: usize| if bits == 0 { 0 } else { number.reverse_bits() >> (usize::BITS - bits) };
    // Those past the end are left out; counting them is cheap beside a strip.
    (0..1 << bits).map(flip).filter(|&number| number < count).nth(index).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use regard_explain::{Evidence, Rule, Site, States};

    use super::*;

    fn trace(length: usize) -> Arc<Trace> {
        let mut trace = Trace::new("", "");
        let axis = trace.add_axis("text", vec![String::new(); length]);
        let states = States {
            q: vec![0.0; length].into(),
            k: vec![1.0; length].into(),
            lse: (1..=length).map(|seen| (seen as f32).ln()).collect::<Vec<_>>().into(),
            key_heads: 1,
            width: 1,
            scale: 1.0,
            rules: vec![Rule::CAUSAL],
            biases: vec![],
        };
        let evidence = Evidence::States(states);
        trace.add_site(Site { name: "s".into(), layer: 0, queries: axis, keys: axis, heads: 1, evidence }).unwrap();
        Arc::new(trace)
    }

    #[test]
    fn every_strip_comes_once() {
        for count in [1, 2, 3, 7, 64, 100] {
            let mut order: Vec<_> = (0..count).map(|index| reversed(index, count)).collect();
            order.sort();
            assert_eq!(order, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_sheet_ends_as_the_tile_that_it_stands_for() {
        for (length, stride) in [(1000, 16), (1000, 200), (1, 4), (130, 256)] {
            let trace = trace(length);
            let sheet = Sheet::new(trace.clone(), 0, Head::One(0), [0..length, 0..length], stride);
            let all = [0..sheet.rows, 0..sheet.columns];
            let mut pieces = 0;
            while sheet.piece() {
                pieces += 1;
                let (_, exact) = sheet.part(all.clone(), 1).unwrap();
                assert_eq!(exact == 1.0, sheet.settled(0..sheet.rows));
            }
            assert_eq!(pieces, sheet.strips() * sheet.rounds());
            // Pooled once more, with an odd end.
            for factor in [1, 4] {
                let (found, _) = sheet.part(all.clone(), factor).unwrap();
                let whole = trace.tile(0, Head::One(0), [0..length, 0..length], factor * stride).unwrap();
                assert_eq!(found.max, whole.max, "{length} by {stride}");
                assert_eq!(found.mean.weights.len(), whole.mean.weights.len());
                // Blocks of queries begin elsewhere, so that sums are rounded otherwise.
                for (a, b) in found.mean.weights.iter().zip(&whole.mean.weights) {
                    assert!((a - b).abs() <= 1e-6 * b, "{a} {b}");
                }
            }
        }
    }
}
