//! One batch and head, a block of positions at a time.
//!
//! The memory `M = Σ_j φ(k_j) v_jᵀ` and the mass `z = Σ_j φ(k_j)` are what queries read. Causal, a block of queries reads what
//! the blocks before it have written, and meets the keys of its own block one to one.

use std::ops::Range;

use super::map::{BLOCK, FeatureMap};
use crate::pack;
use crate::scratch;
use crate::shape::blocks;
use crate::simd::{Base, LANES, Lanes, gemm, multiversion, pad};
use crate::stored::Stored;
use crate::view::Matrix;

/// The matrices `[position, feature]` of one batch and head.
pub(super) struct Unit<'a> {
    map: &'a FeatureMap,
    pub(super) causal: bool,
    pub(super) queries: Stored<'a>,
    pub(super) keys: Stored<'a>,
    pub(super) values: Stored<'a>,
    reference: f32,
    /// Features of a query, and the width of a value, padded.
    pub(super) sizes: [usize; 2],
}

/// What keys have left: `M` `[feature][lane]` and `z` `[feature]`.
pub(super) struct Memory<'a> {
    pub(super) held: &'a mut [f32],
    pub(super) mass: &'a mut [f32],
}

impl<'a> Unit<'a> {
    pub(super) fn new(map: &'a FeatureMap, causal: bool, [queries, keys, values]: [Stored<'a>; 3]) -> Self {
        let sizes = [map.count(queries.columns), pad(values.columns)];
        Self { map, causal, queries, keys, values, reference: map.reference(keys), sizes }
    }

    /// Fills `context` `[query, value feature]` and `totals` `[query]`.
    pub(super) fn forward(&self, context: &mut [f32], totals: &mut [f32]) {
        let [count, lanes] = self.sizes;
        let width = self.values.columns;
        let panel = count * BLOCK;
        let room = [count * lanes, count, panel, panel, BLOCK * lanes, BLOCK * lanes, BLOCK * BLOCK, BLOCK];
        scratch::with(room, |[held, mass, of_queries, of_keys, values, found, alike, sums]| {
            let mut memory = Memory { held, mass: &mut mass[..count] };
            self.remember(&mut memory, of_keys, values);
            for block in blocks(0..self.queries.rows, BLOCK) {
                let (rows, across) = (block.len(), pad(block.len()));
                let of_queries = &mut of_queries[..count * across];
                self.features(true, block.clone(), of_queries);
                let each = Matrix::panel(of_queries, count, rows, across).transposed();
                gemm(1.0, each, memory.held, Base::Zero, found, lanes);
                let sums = &mut sums[..across];
                gemm(1.0, Matrix::panel(memory.mass, 1, count, count), of_queries, Base::Zero, sums, across);
                if self.causal {
                    let of_keys = &mut of_keys[..count * across];
                    self.load(block.clone(), of_keys, values);
                    gemm(1.0, each, of_keys, Base::Zero, alike, across);
                    for (row, alike) in alike.chunks_exact_mut(across).take(rows).enumerate() {
                        alike[row + 1..].fill(0.0);
                        sums[row] += alike.iter().sum::<f32>();
                    }
                    add_seen(Matrix::panel(alike, rows, rows, across), &values[..rows * lanes], found, lanes);
                    memory.write(of_keys, values, rows, lanes);
                }
                let found = found.chunks_exact(lanes.max(1)).zip(&*sums);
                let places = context[block.start * width..].chunks_exact_mut(width.max(1)).zip(found).take(rows);
                for (context, (found, &total)) in places {
                    let share = share(total);
                    context.iter_mut().zip(found).for_each(|(context, found)| *context = share * found);
                }
                totals[block].copy_from_slice(&sums[..rows]);
            }
        });
    }

    /// Empties the memory; unless it is causal, all keys write to it.
    pub(super) fn remember(&self, memory: &mut Memory, of_keys: &mut [f32], values: &mut [f32]) {
        let [count, lanes] = self.sizes;
        memory.held.fill(0.0);
        memory.mass.fill(0.0);
        if self.causal {
            return;
        }
        for block in blocks(0..self.keys.rows, BLOCK) {
            let of_keys = &mut of_keys[..count * pad(block.len())];
            self.load(block.clone(), of_keys, values);
            memory.write(of_keys, values, block.len(), lanes);
        }
    }

    /// Fills the features of some keys and, as padded rows, their values.
    pub(super) fn load(&self, block: Range<usize>, of_keys: &mut [f32], values: &mut [f32]) {
        self.features(false, block.clone(), of_keys);
        self.values.slice(block).with(|rows| pack::rows(rows, values));
    }

    /// Fills `[feature][lane]` with the features of some queries, or keys.
    pub(super) fn features(&self, queries: bool, block: Range<usize>, features: &mut [f32]) {
        let rows = if queries { self.queries } else { self.keys }.slice(block);
        rows.with(|rows| self.map.apply(rows, (!queries).then_some(self.reference), features));
    }

    /// The gradient of some queries, or keys, `[position, feature]`, from that of their features.
    pub(super) fn chain(
        &self,
        queries: bool,
        block: Range<usize>,
        features: &[f32],
        grad: &mut [f32],
        out: &mut [f32],
    ) {
        let rows = if queries { self.queries } else { self.keys }.slice(block);
        rows.with(|rows| self.map.chain(rows, features, grad, out));
    }
}

impl Memory<'_> {
    /// Adds what some positions write: features `[feature][lane]`, and rows as wide as the memory.
    pub(super) fn write(&mut self, features: &[f32], rows: &[f32], count: usize, lanes: usize) {
        let of = self.mass.len();
        let across = pad(count);
        gemm(1.0, Matrix::panel(features, of, count, across), rows, Base::Sum, self.held, lanes);
        add_sums(features, &[1.0; BLOCK][..across], self.mass);
    }
}

/// What a weight is multiplied with so that they sum to 1; 0 if none of them is more than 0.
pub(super) fn share(total: f32) -> f32 {
    if total == 0.0 { 0.0 } else { total.recip() }
}

/// Adds the values, `[position][lane]`, to those that see them. Later ones never meet their weight of 0, if that matters.
fn add_seen(alike: Matrix, values: &[f32], found: &mut [f32], lanes: usize) {
    if pack::all_finite(values) {
        return gemm(1.0, alike, values, Base::Sum, found, lanes);
    }
    for (row, found) in found.chunks_exact_mut(lanes.max(1)).enumerate().take(alike.rows) {
        let seen = Matrix { columns: row + 1, ..alike.slice(row..row + 1) };
        gemm(1.0, seen, values, Base::Sum, found, lanes);
    }
}

multiversion! {
    /// Adds to each number the sum over the lanes of its row, each lane with its factor.
    pub(super) fn add_sums<I>(rows: &[f32], factors: &[f32], sums: &mut [f32]) {
        let lanes = factors.len();
        for (row, sum) in rows.chunks_exact(lanes).zip(sums) {
            let mut total = Lanes::ZERO;
            for (x, &factor) in row.as_chunks().0.iter().zip(factors.as_chunks().0) {
                total = Lanes(*x).fma::<I>(Lanes(factor), total);
            }
            *sum += total.sum();
        }
    }
}

const _: () = assert!(BLOCK.is_multiple_of(LANES));
