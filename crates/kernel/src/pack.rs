//! Copies between strided matrices and the panels that products run on.

use crate::simd::{LANES, Lanes, multiversion, pad, turn};
use crate::view::Matrix;

multiversion! {
    /// Copies a matrix to `[column][lane]`, a lane for each row; lanes past the rows become 0.
    pub(crate) fn transpose<I>(from: Matrix<'_>, to: &mut [f32]) {
        assert!(from.in_bounds());
        let lanes = pad(from.rows);
        if from.rows < lanes {
            to.chunks_exact_mut(lanes).for_each(|to| to[from.rows..].fill(0.0));
        }
        if from.column_stride == 1 {
            turn::<I>(from.data, from.row_stride, [from.rows, from.columns], to, lanes);
        } else {
            for row in 0..from.rows {
                for column in 0..from.columns {
                    to[column * lanes + row] = from.get(row, column);
                }
            }
        }
    }

    /// Copies a matrix to `[row][column]`, rows padded with 0 to whole vectors.
    pub(crate) fn rows<I>(from: Matrix<'_>, to: &mut [f32]) {
        assert!(from.in_bounds());
        for (row, to) in to.chunks_exact_mut(pad(from.columns).max(1)).take(from.rows).enumerate() {
            let (filled, padding) = to.split_at_mut(from.columns);
            if from.column_stride == 1 {
                filled.copy_from_slice(&from.data[row * from.row_stride..][..from.columns]);
            } else {
                for (column, x) in filled.iter_mut().enumerate() {
                    *x = from.get(row, column);
                }
            }
            padding.fill(0.0);
        }
    }

    /// Whether no number is infinite or NaN.
    pub(crate) fn all_finite<I>(numbers: &[f32]) -> bool {
        finite(numbers)
    }

    /// Whether no number of a matrix is infinite or NaN.
    pub(crate) fn finite_matrix<I>(matrix: Matrix<'_>) -> bool {
        (0..matrix.rows).all(|row| {
            if matrix.column_stride == 1 {
                finite(&matrix.data[row * matrix.row_stride..][..matrix.columns])
            } else {
                (0..matrix.columns).all(|column| matrix.get(row, column).is_finite())
            }
        })
    }

    /// As [`rows`], but a row that is not finite becomes all zeros.
    /// Returns whether every row was finite.
    pub(crate) fn finite_rows<I>(from: Matrix<'_>, to: &mut [f32]) -> bool {
        rows(from, to);
        let mut all = true;
        for row in to.chunks_exact_mut(pad(from.columns).max(1)).take(from.rows) {
            if !finite(row) {
                row.fill(0.0);
                all = false;
            }
        }
        all
    }

    /// Copies `[column][lane]` to contiguous rows.
    pub(crate) fn untranspose<I>(from: &[f32], lanes: usize, rows: usize, to: &mut [f32]) {
        let width = to.len().checked_div(rows).unwrap_or(0);
        turn::<I>(from, lanes, [width, rows], to, width);
    }

    /// Copies a panel to rows that follow each other every `stride` numbers, a row for each of its columns.
    pub(crate) fn untransposed<I>(from: Matrix<'_>, to: &mut [f32], stride: usize) {
        turn::<I>(from.data, from.row_stride, [from.rows, from.columns], to, stride);
    }

    /// The product of each row of a matrix with the row of `others`, contiguous, in the same place. Where the other number
    /// is 0, the matrix has no say, whatever it holds.
    pub(crate) fn row_products<I>(matrix: Matrix<'_>, others: &[f32], products: &mut [f32]) {
        for (row, product) in products.iter_mut().enumerate().take(matrix.rows) {
            let other = &others[row * matrix.columns..][..matrix.columns];
            let numbers = matrix.data.get(row * matrix.row_stride..).unwrap_or_default();
            let mut sum = Lanes::ZERO;
            for (chunk, other) in other.chunks(LANES).enumerate() {
                let start = chunk * LANES;
                let x = if matrix.column_stride == 1 && other.len() == LANES {
                    Lanes::load(&numbers[start..])
                } else {
                    let mut x = Lanes::ZERO;
                    for (i, x) in x.0[..other.len()].iter_mut().enumerate() {
                        *x = numbers[(start + i) * matrix.column_stride];
                    }
                    x
                };
                let other = if other.len() == LANES { Lanes::load(other) } else { Lanes::load_or(other, 0.0) };
                sum = x.zip(other, |x, other| if other == 0.0 { 0.0 } else { x }).fma::<I>(other, sum);
            }
            *product = sum.sum();
        }
    }
}

/// Whether no number is infinite or NaN.
#[inline(always)]
fn finite(numbers: &[f32]) -> bool {
    // The difference of a number to itself is 0 unless it is infinite or NaN; adding up lets this vectorise.
    numbers.iter().fold(0u32, |bad, x| bad | u32::from(x.abs().to_bits() >= f32::INFINITY.to_bits())) == 0
}
