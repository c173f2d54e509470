//! Squares of numbers, turned about their diagonal in registers.

use super::{Isa, LANES};

/// The side of a small square.
const SIDE: usize = 4;

/// Turns a matrix of `rows` by `columns` that lies in `from`, `stride` numbers from row to row, and puts it into `to`
/// likewise: by squares of sixteen, then by small squares, then one by one.
///
/// # Panics
/// If a matrix does not lie in its slice.
#[inline(always)]
pub(crate) fn turn<I: Isa>(from: &[f32], stride: usize, [rows, columns]: [usize; 2], to: &mut [f32], to_stride: usize) {
    let (large, wide) = (rows - rows % LANES, columns - columns % LANES);
    let (squares, across) = (rows - rows % SIDE, columns - columns % SIDE);
    // A square takes whole cache lines, each once: rows whose distance is a power of two fall into the same few places of
    // the cache, which cannot keep them for a second visit.
    for row in (0..large).step_by(LANES) {
        for column in (0..wide).step_by(LANES) {
            I::turn_square(&from[row * stride + column..], stride, &mut to[column * to_stride + row..], to_stride);
        }
    }
    for row in (0..squares).step_by(SIDE) {
        for column in (if row < large { wide } else { 0 }..across).step_by(SIDE) {
            turn_small_square(&from[row * stride + column..], stride, &mut to[column * to_stride + row..], to_stride);
        }
    }
    for row in 0..rows {
        for column in if row < squares { across } else { 0 }..columns {
            to[column * to_stride + row] = from[row * stride + column];
        }
    }
}

/// A square of sixteen as small ones.
#[inline(always)]
pub(super) fn portable(from: &[f32], stride: usize, to: &mut [f32], to_stride: usize) {
    for row in (0..LANES).step_by(SIDE) {
        for column in (0..LANES).step_by(SIDE) {
            turn_small_square(&from[row * stride + column..], stride, &mut to[column * to_stride + row..], to_stride);
        }
    }
}

#[inline(always)]
fn turn_small_square(from: &[f32], stride: usize, to: &mut [f32], to_stride: usize) {
    assert!(from.len() >= 3 * stride + SIDE && to.len() >= 3 * to_stride + SIDE);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the squares lie in their slices, and every x86-64 processor has these instructions.
    unsafe {
        use std::arch::x86_64::{_MM_TRANSPOSE4_PS, _mm_loadu_ps, _mm_storeu_ps};
        let (from, to) = (from.as_ptr(), to.as_mut_ptr());
        let (mut a, mut b) = (_mm_loadu_ps(from), _mm_loadu_ps(from.add(stride)));
        let (mut c, mut d) = (_mm_loadu_ps(from.add(2 * stride)), _mm_loadu_ps(from.add(3 * stride)));
        _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
        _mm_storeu_ps(to, a);
        _mm_storeu_ps(to.add(to_stride), b);
        _mm_storeu_ps(to.add(2 * to_stride), c);
        _mm_storeu_ps(to.add(3 * to_stride), d);
    }
    #[cfg(not(target_arch = "x86_64"))]
    for row in 0..SIDE {
        for column in 0..SIDE {
            to[row * to_stride + column] = from[column * stride + row];
        }
    }
}

/// A square of sixteen in sixteen registers: pairs of rows are woven number by number, then two by two, then by fours.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn avx512(from: &[f32], stride: usize, to: &mut [f32], to_stride: usize) {
    use std::arch::x86_64::*;
    assert!(from.len() >= (LANES - 1) * stride + LANES && to.len() >= (LANES - 1) * to_stride + LANES);
    // SAFETY: the squares lie in their slices; only `Avx512` calls this, where these instructions exist.
    unsafe {
        let mut fours = [[_mm512_setzero_ps(); SIDE]; SIDE];
        for (four, columns) in fours.iter_mut().enumerate() {
            let row = |i: usize| _mm512_loadu_ps(from.as_ptr().add((four * SIDE + i) * stride));
            let (a, b, c, d) = (row(0), row(1), row(2), row(3));
            let (ab_low, ab_high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let (cd_low, cd_high) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            // Quarter q of the i-th holds column 4q + i of these four rows.
            *columns = [
                _mm512_shuffle_ps::<0x44>(ab_low, cd_low),
                _mm512_shuffle_ps::<0xee>(ab_low, cd_low),
                _mm512_shuffle_ps::<0x44>(ab_high, cd_high),
                _mm512_shuffle_ps::<0xee>(ab_high, cd_high),
            ];
        }
        let [a, b, c, d] = fours;
        let to = to.as_mut_ptr();
        for i in 0..SIDE {
            let (ab_even, ab_odd) =
                (_mm512_shuffle_f32x4::<0x88>(a[i], b[i]), _mm512_shuffle_f32x4::<0xdd>(a[i], b[i]));
            let (cd_even, cd_odd) =
                (_mm512_shuffle_f32x4::<0x88>(c[i], d[i]), _mm512_shuffle_f32x4::<0xdd>(c[i], d[i]));
            let column = |quarter: usize| to.add((quarter * SIDE + i) * to_stride);
            _mm512_storeu_ps(column(0), _mm512_shuffle_f32x4::<0x88>(ab_even, cd_even));
            _mm512_storeu_ps(column(1), _mm512_shuffle_f32x4::<0x88>(ab_odd, cd_odd));
            _mm512_storeu_ps(column(2), _mm512_shuffle_f32x4::<0xdd>(ab_even, cd_even));
            _mm512_storeu_ps(column(3), _mm512_shuffle_f32x4::<0xdd>(ab_odd, cd_odd));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::multiversion;

    multiversion! {
        fn turn<I>(from: &[f32], stride: usize, size: [usize; 2], to: &mut [f32], to_stride: usize) {
            super::turn::<I>(from, stride, size, to, to_stride);
        }
    }

    #[test]
    fn every_size_is_turned() {
        for rows in [1, 3, 4, 15, 16, 37, 64] {
            for columns in [1, 2, 4, 7, 16, 40] {
                let (stride, to_stride) = (columns + 3, rows + 1);
                let from: Vec<f32> = (0..rows * stride).map(|i| i as f32).collect();
                let mut to = vec![-1.0; columns * to_stride];
                turn(&from, stride, [rows, columns], &mut to, to_stride);
                for (i, &x) in to.iter().enumerate() {
                    let (column, row) = (i / to_stride, i % to_stride);
                    assert_eq!(x, if row < rows { from[row * stride + column] } else { -1.0 });
                }
            }
        }
    }
}
