//! The context of a block's rows while their keys stream by.

use super::few::{self, Places};
use crate::forward::rescale;
use crate::mask::Visible;
use crate::problem::Seen;
use crate::scores::Scores;
use crate::shape::KEY_BLOCK;
use crate::simd::{Base, gemm, pad};
use crate::stored::Stored;
use crate::view::Matrix;
use crate::{pack, scratch};

/// With so few rows, vectors are filled with features; with more, with rows.
pub(super) const FEW: usize = 8;

/// Sums of values: `[row][feature]`, padded to whole vectors, for few rows; `[feature][lane]` for more.
pub(super) struct Context<'a> {
    sums: &'a mut [f32],
    rows: usize,
    width: usize,
}

impl<'a> Context<'a> {
    /// How much memory it takes.
    pub(super) fn size(rows: usize, width: usize) -> usize {
        if rows <= FEW { rows * pad(width) } else { width * pad(rows) }
    }

    /// All zeros.
    pub(super) fn new(memory: &'a mut [f32], rows: usize, width: usize) -> Self {
        let sums = &mut memory[..Self::size(rows, width)];
        sums.fill(0.0);
        Self { sums, rows, width }
    }

    /// Multiplies each row with its factor.
    pub(super) fn rescale(&mut self, factors: &[f32]) {
        if self.rows > FEW {
            return rescale(self.sums, pad(self.rows), &factors[..pad(self.rows)]);
        }
        few::rescale(self.sums, pad(self.width), factors);
    }

    /// Adds the values of a tile by their weights. A value that a row cannot see never meets its weight of 0: 0 · NaN is
    /// NaN.
    pub(super) fn add(&mut self, values: Stored, weights: &Scores, seen: &Seen) {
        let Seen::Some(visible) = seen else { return self.add_all(values, weights) };
        if values.with(pack::finite_matrix) {
            return self.add_all(values, weights);
        }
        values.with(|values| {
            scratch::with([values.rows * pad(self.width)], |[rows]| {
                pack::finite_rows(values, rows);
                self.add_all(Matrix::panel(rows, values.rows, self.width, pad(self.width)).into(), weights);
            });
            self.add_seen(values, weights, visible);
        });
    }

    fn add_all(&mut self, values: Stored, weights: &Scores) {
        let lanes = weights.lanes();
        if self.rows <= FEW {
            let places = Places { rows: self.rows, each: KEY_BLOCK, lanes };
            few::mix(values, weights.values(), self.sums, places);
        } else {
            values.with(|values| gemm(1.0, values.transposed(), weights.values(), Base::Sum, self.sums, lanes));
        }
    }

    /// Adds the values that are not finite to the rows that see them.
    fn add_seen(&mut self, values: Matrix, weights: &Scores, visible: &Visible) {
        let (row_stride, column_stride) = if self.rows <= FEW { (pad(self.width), 1) } else { (1, pad(self.rows)) };
        for (i, key) in weights.keys().enumerate().filter(|&(i, _)| !pack::finite_matrix(values.slice(i..i + 1))) {
            for (row, weight) in weights.row(key).iter().enumerate().filter(|&(row, _)| visible.get(row, i)) {
                for column in 0..self.width {
                    self.sums[row * row_stride + column * column_stride] += weight * values.get(i, column);
                }
            }
        }
    }

    /// The sums of few rows, `[row][feature]`, padded to whole vectors.
    pub(super) fn rows(&mut self) -> &mut [f32] {
        self.sums
    }

    /// Copies the sums to `[row][feature]`, contiguous.
    pub(super) fn write(&self, to: &mut [f32]) {
        if self.rows > FEW {
            return pack::untranspose(self.sums, pad(self.rows), self.rows, to);
        }
        let from = self.sums.chunks_exact(pad(self.width).max(1));
        for (to, from) in to.chunks_exact_mut(self.width.max(1)).zip(from) {
            to.copy_from_slice(&from[..self.width]);
        }
    }
}
