//! Copies between strided matrices and the panels that products run on.

use crate::simd::{multiversion, pad};
use crate::view::Matrix;

multiversion! {
    /// Copies a matrix to `[column][lane]`, a lane for each row; lanes past the rows become 0.
    pub(crate) fn transpose<I>(from: Matrix<'_>, to: &mut [f32]) {
        assert!(from.in_bounds());
        let lanes = pad(from.rows);
        for (column, to) in to.chunks_exact_mut(lanes.max(1)).take(from.columns).enumerate() {
            let (filled, padding) = to.split_at_mut(from.rows);
            for (row, x) in filled.iter_mut().enumerate() {
                // SAFETY: the matrix is in bounds, checked above.
                *x = unsafe { *from.data.get_unchecked(row * from.row_stride + column * from.column_stride) };
            }
            padding.fill(0.0);
        }
    }

    /// Copies a matrix to `[row][column]`, rows padded with 0 to whole vectors. A row that is not finite becomes all zeros.
    /// Returns whether every row was finite.
    pub(crate) fn finite_rows<I>(from: Matrix<'_>, to: &mut [f32]) -> bool {
        assert!(from.in_bounds());
        let width = pad(from.columns);
        let mut all = true;
        for (row, to) in to.chunks_exact_mut(width.max(1)).take(from.rows).enumerate() {
            let (filled, padding) = to.split_at_mut(from.columns);
            if from.column_stride == 1 {
                filled.copy_from_slice(&from.data[row * from.row_stride..][..from.columns]);
            } else {
                for (column, x) in filled.iter_mut().enumerate() {
                    *x = from.get(row, column);
                }
            }
            if !finite(filled) {
                filled.fill(0.0);
                all = false;
            }
            padding.fill(0.0);
        }
        all
    }

    /// Copies `[column][lane]` to contiguous rows, each multiplied with its scale.
    pub(crate) fn untranspose<I>(from: &[f32], lanes: usize, scale: &[f32], rows: usize, to: &mut [f32]) {
        let columns = to.len().checked_div(rows).unwrap_or(0);
        for (row, to) in to.chunks_exact_mut(columns.max(1)).enumerate() {
            for (column, x) in to.iter_mut().enumerate() {
                *x = from[column * lanes + row] * scale[row];
            }
        }
    }
}

/// Whether no number is infinite or NaN.
#[inline(always)]
pub(crate) fn finite(numbers: &[f32]) -> bool {
    // The difference of a number to itself is 0 unless it is infinite or NaN; adding up lets this vectorise.
    numbers.iter().fold(0u32, |bad, x| bad | u32::from(x.abs().to_bits() >= f32::INFINITY.to_bits())) == 0
}
