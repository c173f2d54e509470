//! One query against its pairs of keys, a tile at a time.

use std::ops::Range;

use super::Problem;
use crate::pack;
use crate::simd::{Base, LANES, Lanes, gemm, multiversion, pad};
use crate::view::Matrix;

/// Most keys of either kind in a tile.
pub(super) const SIDE: usize = 64;

/// The keys and values of both kinds that one key head has, `[position][feature]`, rows padded with 0 to whole vectors.
pub(super) struct Panels {
    pub(super) keys: [Vec<f32>; 2],
    pub(super) values: [Vec<f32>; 2],
}

impl Panels {
    /// Copies those of a key head.
    pub(super) fn new(problem: &Problem, batch: usize, key_head: usize) -> Self {
        let copy = |view: &crate::View, width| {
            let mut rows = vec![0.0; problem.keys * pad(width)];
            view.matrix(batch, key_head).with(|matrix| pack::rows(matrix, &mut rows));
            rows
        };
        let [first, second] = &problem.sides;
        Self {
            keys: [&first.keys, &second.keys].map(|keys| copy(keys, problem.width)),
            values: [&first.values, &second.values].map(|values| copy(values, problem.value_width)),
        }
    }
}

/// Some rows of a panel as a matrix.
pub(super) fn rows(panel: &[f32], range: Range<usize>, width: usize) -> Matrix<'_> {
    let padded = pad(width);
    Matrix::panel(panel.get(range.start * padded..).unwrap_or_default(), range.len(), width, padded)
}

/// `[key'][feature]` and its transpose `[feature][lane]`, `SIDE` lanes: the product of each second key (or value) with `by`.
pub(super) fn products(
    factor: f32,
    panel: &[f32],
    range: Range<usize>,
    by: &[f32],
    width: usize,
    to: &mut [f32],
    turned: &mut [f32],
) {
    let padded = pad(width);
    let count = range.len();
    let from = &panel[range.start * padded..range.end * padded];
    multiply(factor, from, by, padded, to);
    pack::transpose(Matrix::panel(to, count, width, padded), turned);
}

/// The scores of a tile, `[key][lane]`; those past the second keys are −∞. `queries` are `q ∘ k'`, turned.
pub(super) fn scores(keys: Matrix, queries: &[f32], count: usize, scores: &mut [f32]) {
    let lanes = pad(count);
    let size = keys.rows() * lanes;
    gemm(1.0, keys, queries, Base::Zero, scores, lanes);
    if count < lanes {
        scores[..size].chunks_exact_mut(lanes).for_each(|row| row[count..].fill(f32::NEG_INFINITY));
    }
}

multiversion! {
    /// `to = factor · rows ∘ by`, row by row.
    fn multiply<I>(factor: f32, rows: &[f32], by: &[f32], padded: usize, to: &mut [f32]) {
        for (to, row) in to.chunks_exact_mut(padded.max(1)).zip(rows.chunks_exact(padded.max(1))) {
            to.iter_mut().zip(row).zip(by).for_each(|((to, x), by)| *to = factor * x * by);
        }
    }

    /// The greatest number; a NaN is passed over.
    pub(super) fn greatest<I>(numbers: &[f32]) -> f32 {
        let mut max = Lanes::splat(f32::NEG_INFINITY);
        for numbers in numbers.as_chunks::<LANES>().0 {
            max = max.max(Lanes(*numbers));
        }
        max.0.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a })
    }

    /// Replaces scores by `e^(score − reference)` and adds them up.
    pub(super) fn exponentials<I>(scores: &mut [f32], reference: f32) -> f32 {
        let mut sum = Lanes::ZERO;
        for scores in scores.as_chunks_mut::<LANES>().0 {
            let weight = Lanes(*scores).map(|x| x - reference).exp::<I>();
            *scores = weight.0;
            sum = sum.add(weight);
        }
        sum.sum()
    }

    /// `grad = weight · (grad − inner)`
    pub(super) fn of_scores<I>(weights: &[f32], inner: f32, grad: &mut [f32]) {
        grad.iter_mut().zip(weights).for_each(|(grad, weight)| *grad = weight * (*grad - inner));
    }

    /// `sum += Σ rows ∘ others`, column by column.
    pub(super) fn add_products<I>(factor: f32, rows: &[f32], others: &[f32], padded: usize, sum: &mut [f32]) {
        for (row, other) in rows.chunks_exact(padded.max(1)).zip(others.chunks_exact(padded.max(1))) {
            for ((sum, &x), &y) in sum.iter_mut().zip(row).zip(other) {
                *sum = I::fma(factor * x, y, *sum);
            }
        }
    }

    /// `to += factor · rows ∘ by`, row by row.
    pub(super) fn add_multiplied<I>(factor: f32, rows: &[f32], by: &[f32], padded: usize, to: &mut [f32]) {
        for (to, row) in to.chunks_exact_mut(padded.max(1)).zip(rows.chunks_exact(padded.max(1))) {
            to.iter_mut().zip(row).zip(by).for_each(|((to, &x), &by)| *to = I::fma(factor * x, by, *to));
        }
    }
}
