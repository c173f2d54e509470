//! A matrix of any element, and how it becomes one of single precision.

use std::ops::Range;

use half::bf16;

use crate::element::Data;
use crate::scratch;
use crate::simd::{LANES, Lanes, multiversion, pad};
use crate::view::Matrix;

/// A borrowed strided matrix of any element. Its maker keeps every index inside the data, or leaves a side empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored<'a> {
    pub(crate) data: Data<'a>,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
    /// From the scale of one row to that of the next, if there are scales.
    pub(crate) scale_stride: usize,
}

impl<'a> Stored<'a> {
    /// Some of the rows.
    pub(crate) fn slice(self, rows: Range<usize>) -> Self {
        let data = self.data.skip(rows.start * self.row_stride, rows.start * self.scale_stride);
        Self { data, rows: rows.len(), ..self }
    }

    /// Calls `f` with the matrix in single precision: where it lies, or else widened for as long as `f` runs.
    #[inline]
    pub(crate) fn with<R>(self, f: impl FnOnce(Matrix) -> R) -> R {
        let Self { rows, columns, row_stride, column_stride, .. } = self;
        if let Data::F32(data) = self.data {
            return f(Matrix { data, rows, columns, row_stride, column_stride });
        }
        scratch::with([rows * pad(columns)], |[memory]| {
            widen(self, memory);
            f(Matrix::panel(memory, rows, columns, pad(columns)))
        })
    }

    /// Whether every index lies inside the data.
    fn in_bounds(&self) -> bool {
        self.rows == 0
            || self.columns == 0
            || (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride < self.data.len()
    }
}

multiversion! {
    /// Copies a matrix to `[row][column]` in single precision, rows padded with 0 to whole vectors.
    pub(crate) fn widen<I>(from: Stored<'_>, to: &mut [f32]) {
        assert!(from.in_bounds());
        for (row, to) in to.chunks_exact_mut(pad(from.columns).max(1)).take(from.rows).enumerate() {
            let (start, columns, stride) = (row * from.row_stride, from.columns, from.column_stride);
            match from.data {
                Data::F32(x) => widen_row(&x[start..], columns, stride, to, Lanes),
                Data::F16(x) => widen_row(&x[start..], columns, stride, to, |x| I::halves(&x)),
                Data::BF16(x) => widen_row(&x[start..], columns, stride, to, brains),
                Data::I8(x, scales) => {
                    let scale = Lanes::splat(scales[row * from.scale_stride]);
                    widen_row(&x[start..], columns, stride, to, |x| wholes(x).zip(scale, |x, scale| x * scale));
                }
            }
        }
    }
}

/// One row, a vector at a time.
#[inline(always)]
fn widen_row<T: Copy + Default>(
    from: &[T],
    columns: usize,
    stride: usize,
    to: &mut [f32],
    lanes: impl Fn([T; LANES]) -> Lanes,
) {
    let whole = if stride == 1 { columns - columns % LANES } else { 0 };
    let (vectors, rest) = to.split_at_mut(whole);
    for (from, to) in from[..whole].as_chunks::<LANES>().0.iter().zip(vectors.as_chunks_mut::<LANES>().0) {
        *to = lanes(*from).0;
    }
    for (part, to) in rest.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let mut some = [T::default(); LANES];
        let first = whole + part * LANES;
        for (i, x) in some.iter_mut().enumerate().take(columns - first) {
            *x = from[(first + i) * stride];
        }
        *to = lanes(some).0;
    }
}

/// A brain float is the upper half of a single.
#[inline(always)]
fn brains(x: [bf16; LANES]) -> Lanes {
    Lanes(x.map(|x| f32::from_bits(u32::from(x.to_bits()) << 16)))
}

#[inline(always)]
fn wholes(x: [i8; LANES]) -> Lanes {
    Lanes(x.map(f32::from))
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    fn widened(data: Data, columns: usize) -> Vec<f32> {
        let matrix = Stored { data, rows: 1, columns, row_stride: columns, column_stride: 1, scale_stride: 1 };
        matrix.with(|matrix| (0..columns).map(|column| matrix.get(0, column)).collect())
    }

    #[test]
    fn every_half_is_widened_exactly() {
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        for (x, half) in widened(Data::F16(&halves), halves.len()).iter().zip(&halves) {
            assert!(x.to_bits() == half.to_f32().to_bits() || x.is_nan() && half.is_nan(), "{half:?} became {x}");
        }
        let brains: Vec<bf16> = (0..=u16::MAX).map(bf16::from_bits).collect();
        for (x, brain) in widened(Data::BF16(&brains), brains.len()).iter().zip(&brains) {
            assert!(x.to_bits() == brain.to_f32().to_bits() || x.is_nan() && brain.is_nan(), "{brain:?} became {x}");
        }
    }

    #[test]
    fn whole_numbers_are_scaled() {
        let numbers: Vec<i8> = (i8::MIN..=i8::MAX).collect();
        for (x, number) in widened(Data::I8(&numbers, &[0.25]), numbers.len()).iter().zip(&numbers) {
            assert_eq!(*x, f32::from(*number) * 0.25);
        }
    }
}
