//! Sorting positions by the bucket that their direction falls into.

use crate::problem::run;
use crate::scratch;
use crate::shape::blocks;
use crate::simd::{Base, LANES, gemm, multiversion, pad};
use crate::stored::Stored;
use crate::view::{Matrix, View};
use crate::{Error, Result, pack};

/// Positions that are hashed together.
const BLOCK: usize = 64;
/// With more buckets than this, their number is a product of two, hashed one by one.
const MANY: usize = 128;

/// Rounds of hashing: `bucket(x) = argmax([xR; −xR])` with random R, a bucket for so many positions on average.
///
/// Of many buckets, the number is taken as the product of two even ones, a·b, and a bucket is a pair of smaller ones, each with
/// an R of its own, as in the authors' code: time then grows with L·√L instead of L².
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashing {
    bucket: usize,
    rounds: usize,
    length: usize,
    /// Buckets of a round, as one number or a product of two; all even.
    factors: Vec<usize>,
}

/// For each head and round all positions, sorted by bucket and, within one, as they come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// `[batch · head, round, place]`
    positions: Vec<u32>,
    units: usize,
    length: usize,
    bucket: usize,
}

impl Order {
    /// `[batch · head, round, place]`: which position comes to a place.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// Batches and heads, and positions.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.units, self.length)
    }

    pub(super) fn bucket(&self) -> usize {
        self.bucket
    }

    /// Places in all rounds of all heads.
    pub(super) fn places(&self) -> usize {
        self.positions.len()
    }

    /// All rounds of one batch and head.
    pub(super) fn of(&self, unit: usize) -> &[u32] {
        let size = self.positions.len() / self.units.max(1);
        &self.positions[unit * size..][..size]
    }
}

impl Hashing {
    /// For so many positions.
    ///
    /// # Errors
    /// If a bucket is empty, two of them do not divide the length, there are no rounds, or positions are more than 2³².
    pub fn new(length: usize, bucket: usize, rounds: usize) -> Result<Self> {
        if bucket == 0 || rounds == 0 {
            let expected = "at least 1 position a bucket and 1 round";
            return Err(Error::new("hashing", format!("buckets of {bucket} and {rounds} rounds"), expected));
        }
        if length == 0 || !length.is_multiple_of(2 * bucket) || u32::try_from(length).is_err() {
            let expected = format!("a multiple of two buckets, {} positions", 2 * bucket);
            return Err(Error::new("length", length, expected));
        }
        let count = length / bucket;
        let even = |factor: &usize| factor.is_multiple_of(2) && count.is_multiple_of(2 * factor);
        let factors = match (2..=count.isqrt()).rev().find(even) {
            Some(factor) if count > MANY => vec![factor, count / factor],
            _ => vec![count],
        };
        Ok(Self { bucket, rounds, length, factors })
    }

    /// How many columns R has in all: `[d, round · this]`, those of a round together.
    pub fn columns(&self) -> usize {
        self.factors.iter().map(|factor| factor / 2).sum()
    }

    /// Sorts x `[batch, head, position, d]` by the buckets that the rotations, `[d, round · column]`, contiguous, put them in.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn sort(&self, x: &View, rotations: &[f32]) -> Result<Order> {
        let [batch, heads, length, width] = x.shape();
        if length != self.length {
            return Err(Error::new("positions to sort", length, self.length));
        }
        crate::error::check_len("rotations", rotations.len(), width * self.rounds * self.columns())?;
        let units = batch * heads;
        let mut positions = vec![0; units * self.rounds * length];
        let work = units as f64 * (length * width * self.rounds * self.columns()) as f64;
        let tasks = positions.chunks_exact_mut(self.rounds * length).enumerate().collect();
        run(work, tasks, |(unit, order): (usize, &mut [u32])| {
            self.sort_one(x.matrix(unit / heads, unit % heads), rotations, order);
        });
        Ok(Order { positions, units, length, bucket: self.bucket })
    }

    /// Fills the order of one batch and head.
    fn sort_one(&self, x: Stored, rotations: &[f32], order: &mut [u32]) {
        let (width, columns) = (x.columns, self.rounds * self.columns());
        let mut buckets = vec![0u32; self.rounds * x.rows];
        scratch::with([width * BLOCK, columns * BLOCK], |[across, rotated]| {
            for block in blocks(0..x.rows, BLOCK) {
                let (count, lanes) = (block.len(), pad(block.len()));
                let rotated = &mut rotated[..columns * lanes];
                x.slice(block.clone()).with(|x| pack::transpose(x, across));
                let turned = Matrix::panel(rotations, width, columns, columns).transposed();
                gemm(1.0, turned, across, Base::Zero, rotated, lanes);
                for (round, rotated) in rotated.chunks_exact(self.columns() * lanes).enumerate() {
                    let found = &mut buckets[round * x.rows + block.start..][..count];
                    let (mut start, mut step) = (0, 1);
                    for &factor in &self.factors {
                        let part = &rotated[start * lanes..][..factor / 2 * lanes];
                        let mut farthest = [0u32; BLOCK];
                        directions(part, &mut farthest[..lanes]);
                        found.iter_mut().zip(farthest).for_each(|(found, one)| *found += step * one);
                        (start, step) = (start + factor / 2, step * factor as u32);
                    }
                }
            }
        });
        // Sorting by counting keeps the order within a bucket.
        let mut places = vec![0; x.rows / self.bucket + 1];
        for (buckets, order) in buckets.chunks_exact(x.rows).zip(order.chunks_exact_mut(x.rows)) {
            places.fill(0);
            buckets.iter().for_each(|&bucket| places[bucket as usize + 1] += 1);
            for at in 1..places.len() {
                places[at] += places[at - 1];
            }
            for (position, &bucket) in buckets.iter().enumerate() {
                let place = &mut places[bucket as usize];
                order[*place] = position as u32;
                *place += 1;
            }
        }
    }
}

multiversion! {
    /// For each lane the index of the greatest of `[x; −x]`, the first of equals; x is `[direction][lane]`.
    fn directions<I>(rotated: &[f32], farthest: &mut [u32]) {
        let lanes = farthest.len();
        let count = (rotated.len() / lanes) as u32;
        for (at, farthest) in farthest.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let mut best = [f32::NEG_INFINITY; LANES];
            for (sign, first) in [(1.0, 0), (-1.0, count)] {
                for (row, index) in rotated.chunks_exact(lanes).zip(first..) {
                    let x = &row[at * LANES..][..LANES];
                    for lane in 0..LANES {
                        let (x, better) = (sign * x[lane], sign * x[lane] > best[lane]);
                        best[lane] = if better { x } else { best[lane] };
                        farthest[lane] = if better { index } else { farthest[lane] };
                    }
                }
            }
        }
    }
}
