//! The micro-kernel behind all seven matrix products of attention, forward and backward.

use std::ops::Range;

use super::{Isa, LANES, Lanes, Place, multiversion};
use crate::view::Matrix;

/// What a product is added to.
#[derive(Clone, Copy)]
pub(crate) enum Base<'a> {
    /// Nothing: what C held is forgotten.
    Zero,
    /// What C holds.
    Sum,
    /// What C holds, each lane multiplied with its factor.
    Scaled(&'a [f32]),
    /// A number a lane, the same in all rows; what C held is forgotten.
    Each(&'a [f32]),
}

/// `C = base + alpha · A · B`, all lanes of it; see [`gemm_strided`].
pub(crate) fn gemm(alpha: f32, a: Matrix<'_>, b: &[f32], base: Base<'_>, c: &mut [f32], lanes: usize) {
    gemm_strided(alpha, a, b, base, c, [lanes; 2], 0..lanes);
}

/// `C = base + alpha · A · B` in some of the lanes, whole vectors of them; see [`gemm_strided`].
pub(crate) fn gemm_part(
    alpha: f32,
    a: Matrix<'_>,
    b: &[f32],
    base: Base<'_>,
    c: &mut [f32],
    lanes: usize,
    part: Range<usize>,
) {
    gemm_strided(alpha, a, b, base, c, [lanes; 2], part);
}

/// `C = base + alpha · A · B` in some of the lanes, whole vectors of them.
///
/// A is strided (exchange its strides to transpose it). The rows of B follow each other every `strides[0]` numbers and
/// those of C every `strides[1]`. Each element is summed over A's columns in order, one at a time, so its bits do not
/// depend on how the panels are cut.
pub(crate) fn gemm_strided(
    alpha: f32,
    a: Matrix<'_>,
    b: &[f32],
    base: Base<'_>,
    c: &mut [f32],
    strides: [usize; 2],
    part: Range<usize>,
) {
    let after = |numbers| <[f32]>::get(numbers, part.start..).unwrap_or_default();
    let base = match base {
        Base::Scaled(factors) => Base::Scaled(after(factors)),
        Base::Each(numbers) => Base::Each(after(numbers)),
        _ => base,
    };
    gemm_into(alpha, a, after(b), strides[0], base, &mut Place::of(c, a.rows, part, strides[1]));
}

multiversion! {
    /// As [`gemm_strided`], for all lanes of a place, from the first of B's and of the base's numbers on.
    pub(crate) fn gemm_into<I>(
        alpha: f32, a: Matrix<'_>, b: &[f32], stride: usize, base: Base<'_>, c: &mut Place<'_>,
    ) {
        let lanes = c.columns();
        assert!(lanes.is_multiple_of(LANES) && a.rows <= c.rows() && a.in_bounds());
        assert!(lanes <= stride && (a.columns == 0 || b.len() >= (a.columns - 1) * stride + lanes));
        assert!(!matches!(base, Base::Scaled(numbers) | Base::Each(numbers) if numbers.len() < lanes));
        let (rows, vectors) = I::TILE;
        let mut lane = 0;
        while lane < lanes {
            let left = (lanes - lane) / LANES;
            // With fewer vectors across, more rows keep as many accumulators busy.
            lane += LANES * match left.min(vectors) {
                // SAFETY: B, C and the base have `lanes` numbers a row, of which those at `lane` and after are left.
                0 | 1 => unsafe { columns::<I, 1>(alpha, a, b, stride, base, c, lane, rows * vectors) },
                2 | 3 => unsafe { columns::<I, 2>(alpha, a, b, stride, base, c, lane, rows * vectors / 2) },
                _ => unsafe { columns::<I, 4>(alpha, a, b, stride, base, c, lane, rows) },
            };
        }
    }
}

/// All rows of `N` vectors' worth of columns, at most `tallest` rows at a time. Returns `N`.
///
/// # Safety
/// A is in bounds and has no more rows than C; B, C and the base hold `lane + N * LANES` numbers in each of their rows.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn columns<I: Isa, const N: usize>(
    alpha: f32,
    a: Matrix<'_>,
    b: &[f32],
    stride: usize,
    base: Base<'_>,
    c: &mut Place<'_>,
    lane: usize,
    tallest: usize,
) -> usize {
    let mut row = 0;
    while row < a.rows {
        // SAFETY: `row + M <= a.rows`; the rest is the caller's promise.
        row += unsafe {
            match (a.rows - row).min(tallest) {
                8.. if N <= 2 => micro::<I, 8, N>(alpha, a, row, b, stride, base, c, lane),
                6.. if N != 2 => micro::<I, 6, N>(alpha, a, row, b, stride, base, c, lane),
                4.. => micro::<I, 4, N>(alpha, a, row, b, stride, base, c, lane),
                2 | 3 => micro::<I, 2, N>(alpha, a, row, b, stride, base, c, lane),
                _ => micro::<I, 1, N>(alpha, a, row, b, stride, base, c, lane),
            }
        };
    }
    N
}

/// `M` rows of `N` vectors, accumulated in registers. Returns `M`.
///
/// # Safety
/// As for [`columns`], and `row + M <= a.rows`.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn micro<I: Isa, const M: usize, const N: usize>(
    alpha: f32,
    a: Matrix<'_>,
    row: usize,
    b: &[f32],
    stride: usize,
    base: Base<'_>,
    c: &mut Place<'_>,
    lane: usize,
) -> usize {
    let mut sums = [[Lanes::ZERO; N]; M];
    let a_row = a.data.as_ptr().wrapping_add(row * a.row_stride);
    for p in 0..a.columns {
        let mut b_row = [Lanes::ZERO; N];
        for (n, vector) in b_row.iter_mut().enumerate() {
            // SAFETY: B has `a.columns` rows, and this one `lane + N * LANES` numbers.
            vector.0 = unsafe { b.as_ptr().add(p * stride + lane + n * LANES).cast::<[f32; LANES]>().read_unaligned() };
        }
        for (m, sums) in sums.iter_mut().enumerate() {
            // SAFETY: A is in bounds and `row + m < a.rows`.
            let x = Lanes::splat(unsafe { *a_row.add(m * a.row_stride + p * a.column_stride) });
            for (sum, &vector) in sums.iter_mut().zip(&b_row) {
                *sum = x.fma::<I>(vector, *sum);
            }
        }
    }
    let alpha = Lanes::splat(alpha);
    for (m, sums) in sums.iter().enumerate() {
        let c_row = c.row(row + m).wrapping_add(lane).cast::<[f32; LANES]>();
        for (n, sum) in sums.iter().enumerate() {
            let each = lane + n * LANES;
            let held = match base {
                Base::Zero => Lanes::ZERO,
                Base::Each(numbers) => Lanes::load(&numbers[each..]),
                // SAFETY: C has `a.rows` rows, and this one `lane + N * LANES` numbers.
                Base::Sum | Base::Scaled(_) => Lanes(unsafe { c_row.add(n).read_unaligned() }),
            };
            let held = match base {
                Base::Scaled(factors) => held.zip(Lanes::load(&factors[each..]), |x, factor| x * factor),
                _ => held,
            };
            // SAFETY: as above.
            unsafe { c_row.add(n).write_unaligned(sum.fma::<I>(alpha, held).0) };
        }
    }
    M
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_matches_the_definition() {
        for (rows, columns, lanes) in [(1, 1, 16), (3, 5, 32), (7, 0, 48), (9, 17, 64), (64, 33, 80), (5, 64, 128)] {
            let a: Vec<f32> = (0..rows * columns).map(|i| ((i * 7 + 3) % 11) as f32 - 5.0).collect();
            let b: Vec<f32> = (0..columns * lanes).map(|i| ((i * 5 + 1) % 13) as f32 - 6.0).collect();
            let expected = |row: usize, lane: usize, at: &dyn Fn(usize, usize) -> f32| -> f32 {
                (0..columns).map(|p| at(row, p) * b[p * lanes + lane]).sum()
            };
            let straight = Matrix::panel(&a, rows, columns, columns);
            let crossed = Matrix::panel(&a, columns, rows, rows).transposed();
            for matrix in [straight, crossed] {
                let mut c = vec![1.0; rows * lanes];
                gemm(2.0, matrix, &b, Base::Sum, &mut c, lanes);
                for (i, &c) in c.iter().enumerate() {
                    assert_eq!(c, 1.0 + 2.0 * expected(i / lanes, i % lanes, &|row, p| matrix.get(row, p)));
                }
            }
        }
    }

    #[test]
    fn a_part_leaves_other_lanes_alone() {
        let (a, b) = ([2.0, 3.0], vec![1.0; 2 * 64]);
        let factors: Vec<f32> = (0..64).map(|lane| lane as f32).collect();
        for (base, expected) in [(Base::Zero, 5.0), (Base::Sum, 12.0), (Base::Scaled(&factors), 7.0 * 17.0 + 5.0)] {
            let mut c = vec![7.0; 64];
            gemm_part(1.0, Matrix::panel(&a, 1, 2, 2), &b, base, &mut c, 64, 16..48);
            assert_eq!([c[0], c[15], c[17], c[48]], [7.0, 7.0, expected, 7.0]);
        }
    }
}
