//! A matrix of any element, and how it becomes one of single precision.

use std::ops::Range;

use half::{bf16, f16};

use crate::element::{Data, QUANTIZED};
use crate::scratch;
use crate::simd::{Isa, LANES, Lanes, multiversion, pad};
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

impl<'a> From<Matrix<'a>> for Stored<'a> {
    fn from(Matrix { data, rows, columns, row_stride, column_stride }: Matrix<'a>) -> Self {
        Self { data: Data::F32(data), rows, columns, row_stride, column_stride, scale_stride: 0 }
    }
}

impl<'a> Stored<'a> {
    /// Some of the rows; if they lie in pages, all in one that [`left`](Stored::left) tells the end of.
    pub(crate) fn slice(self, rows: Range<usize>) -> Self {
        if let Data::Pages(pages) = self.data {
            return pages.rows(rows);
        }
        let data = self.data.skip(rows.start * self.row_stride, rows.start * self.scale_stride);
        Self { data, rows: rows.len(), ..self }
    }

    /// Some of the columns, of what does not lie in pages. Where columns share scales, the first of those that do.
    pub(crate) fn columns(self, columns: Range<usize>) -> Self {
        let scale = if let Data::Quantized(..) = self.data { columns.start / QUANTIZED } else { 0 };
        Self { data: self.data.skip(columns.start * self.column_stride, scale), columns: columns.len(), ..self }
    }

    /// The same numbers with rows and columns exchanged; where there are scales, only to be exchanged back.
    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// How many bytes its numbers are.
    pub(crate) fn bytes(&self) -> usize {
        let each = match self.data {
            Data::F32(_) | Data::Pages(_) => 4,
            Data::F16(_) | Data::BF16(_) => 2,
            Data::I8(..) | Data::Quantized(..) => 1,
        };
        self.rows * self.columns * each
    }

    /// How many rows from this one on can be sliced together.
    pub(crate) fn left(&self, row: usize) -> usize {
        let all = self.rows - row;
        if let Data::Pages(pages) = self.data { all.min(pages.left(row)) } else { all }
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

    /// As [`with`](Stored::with), but rows are contiguous and padded with 0 to whole vectors.
    #[inline]
    pub(crate) fn with_padded<R>(self, f: impl FnOnce(Matrix) -> R) -> R {
        let (rows, columns) = (self.rows, pad(self.columns));
        if let (Data::F32(data), 1, true) = (self.data, self.column_stride, columns == self.columns) {
            return f(Matrix::panel(data, rows, columns, self.row_stride));
        }
        scratch::with([rows * columns], |[memory]| {
            widen(self, memory);
            f(Matrix::panel(memory, rows, columns, columns))
        })
    }

    /// Whether every index lies inside the data.
    pub(crate) fn in_bounds(&self) -> bool {
        if self.rows == 0 || self.columns == 0 {
            return true;
        }
        let last = (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride;
        let scaled = match self.data {
            Data::I8(_, scales) => (self.rows - 1) * self.scale_stride < scales.len(),
            Data::Quantized(_, scales) => {
                (self.rows - 1) * self.scale_stride + (self.columns - 1) / QUANTIZED < scales.len()
            }
            _ => true,
        };
        scaled && last < self.data.len()
    }
}

multiversion! {
    /// Copies a matrix to `[row][column]` in single precision, rows padded with 0 to whole vectors.
    pub(crate) fn widen<I>(from: Stored<'_>, to: &mut [f32]) {
        assert!(from.in_bounds());
        match from.data {
            Data::Pages(_) => unreachable!("rows of pages are chosen before they are read"),
            Data::F32(x) => widen_rows(&from, x, to, |x, _, _| Lanes(x)),
            Data::F16(x) => widen_rows(&from, x, to, |x, _, _| I::halves(&x)),
            Data::BF16(x) => widen_rows(&from, x, to, |x, _, _| brains(x)),
            Data::I8(x, scales) => widen_rows(&from, x, to, |x, row, _| scaled(x, scales[row * from.scale_stride])),
            Data::Quantized(x, scales) => widen_rows(&from, x, to, |x, row, column| {
                scaled(x, halved(scales[row * from.scale_stride + column / QUANTIZED]))
            }),
        }
    }
}

/// Widens a vector at a time: `lanes` is given sixteen numbers, their row and the first one's column.
#[inline(always)]
fn widen_rows<T: Copy + Default>(
    from: &Stored,
    numbers: &[T],
    to: &mut [f32],
    lanes: impl Fn([T; LANES], usize, usize) -> Lanes,
) {
    let (columns, padded) = (from.columns, pad(from.columns));
    if columns == 0 {
        return;
    }
    let whole = if from.column_stride == 1 { columns - columns % LANES } else { 0 };
    for (row, to) in to.chunks_exact_mut(padded).take(from.rows).enumerate() {
        let numbers = numbers[row * from.row_stride..][..whole].as_chunks().0;
        for (part, (numbers, to)) in numbers.iter().zip(to.as_chunks_mut().0).enumerate() {
            *to = lanes(*numbers, row, part * LANES).0;
        }
    }
    if whole == columns {
        return;
    }
    // A loop of its own, which leaves the registers of the first one alone.
    for (row, to) in to.chunks_exact_mut(padded).take(from.rows).enumerate() {
        for (part, to) in to[whole..].as_chunks_mut().0.iter_mut().enumerate() {
            let first = whole + part * LANES;
            let mut some = [T::default(); LANES];
            for (i, x) in some.iter_mut().enumerate().take(columns - first) {
                *x = numbers[row * from.row_stride + (first + i) * from.column_stride];
            }
            *to = lanes(some, row, first).0;
        }
    }
}

/// Numbers that are widened as they are loaded.
pub(crate) trait Wide: Copy + Default {
    /// How many of them memory delivers at a time.
    const LINE: usize = 64 / size_of::<Self>();

    /// Sixteen numbers.
    fn lanes<I: Isa>(numbers: [Self; LANES]) -> Lanes;
}

impl Wide for f32 {
    #[inline(always)]
    fn lanes<I: Isa>(numbers: [Self; LANES]) -> Lanes {
        Lanes(numbers)
    }
}

impl Wide for f16 {
    #[inline(always)]
    fn lanes<I: Isa>(numbers: [Self; LANES]) -> Lanes {
        I::halves(&numbers)
    }
}

impl Wide for bf16 {
    #[inline(always)]
    fn lanes<I: Isa>(numbers: [Self; LANES]) -> Lanes {
        brains(numbers)
    }
}

impl Wide for i8 {
    #[inline(always)]
    fn lanes<I: Isa>(numbers: [Self; LANES]) -> Lanes {
        wholes(numbers)
    }
}

/// Sixteen numbers, widened.
///
/// # Safety
/// They can be read.
#[inline(always)]
pub(crate) unsafe fn load<I: Isa, T: Wide>(from: *const T) -> Lanes {
    // SAFETY: the caller's promise.
    T::lanes::<I>(unsafe { from.cast::<[T; LANES]>().read_unaligned() })
}

/// A brain float is the upper half of a single.
#[inline(always)]
fn brains(x: [bf16; LANES]) -> Lanes {
    let mut lanes = Lanes::ZERO;
    for (lane, x) in lanes.0.iter_mut().zip(x) {
        *lane = f32::from_bits(u32::from(x.to_bits()) << 16);
    }
    lanes
}

/// A finite half, which is faster by arithmetic than by a call.
#[inline(always)]
fn halved(half: f16) -> f32 {
    let bits = u32::from(half.to_bits());
    // The exponents' biases differ by 112; to multiply by 2^112 is exact and makes subnormal halves normal.
    let finite = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
    f32::from_bits(finite.to_bits() | (bits & 0x8000) << 16)
}

/// Whole numbers by their scale.
#[inline(always)]
fn scaled(x: [i8; LANES], scale: f32) -> Lanes {
    wholes(x).map(|x| x * scale)
}

/// Whole numbers as they are.
#[inline(always)]
fn wholes(x: [i8; LANES]) -> Lanes {
    let mut lanes = Lanes::ZERO;
    for (lane, x) in lanes.0.iter_mut().zip(x) {
        *lane = f32::from(x);
    }
    lanes
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
