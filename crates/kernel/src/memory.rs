//! Memory that caches own: rows of numbers, kept as an element of choice.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::element::Data;
use crate::shape::{KEY_BLOCK, blocks};
use crate::simd::multiversion;
use crate::stored::Stored;

/// What the numbers of a cache are kept as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// As they come, 4 bytes each.
    #[default]
    F32,
    /// Half precision, 2 bytes: a relative error of up to 2⁻¹¹; numbers beyond 65504 become infinite.
    F16,
    /// Brain floats, 2 bytes: a relative error of up to 2⁻⁸.
    BF16,
    /// Whole numbers from −127 to 127, 1 byte, with a scale for each row (4 bytes): an error of up to 1/254 of the row's
    /// greatest number. A row that holds an infinity or a NaN becomes NaN altogether.
    I8,
}

/// Rows of a fixed width.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    numbers: Numbers,
    width: usize,
}

#[derive(Clone, Debug)]
enum Numbers {
    F32(Vec<f32>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
    I8(Vec<i8>, Vec<f32>),
}

impl Memory {
    /// Rows of zeros.
    pub(crate) fn new(precision: Precision, rows: usize, width: usize) -> Self {
        let size = rows * width;
        let numbers = match precision {
            Precision::F32 => Numbers::F32(vec![0.0; size]),
            Precision::F16 => Numbers::F16(vec![f16::ZERO; size]),
            Precision::BF16 => Numbers::BF16(vec![bf16::ZERO; size]),
            Precision::I8 => Numbers::I8(vec![0; size], vec![0.0; rows]),
        };
        Self { numbers, width }
    }

    /// The numbers where they lie, row after row.
    pub(crate) fn data(&self) -> Data<'_> {
        match &self.numbers {
            Numbers::F32(x) => Data::F32(x),
            Numbers::F16(x) => Data::F16(x),
            Numbers::BF16(x) => Data::BF16(x),
            Numbers::I8(x, scales) => Data::I8(x, scales),
        }
    }

    /// Copies rows of another memory of the same kind.
    pub(crate) fn copy(&mut self, to: usize, from: &Self, first: usize, rows: usize) {
        fn copy<T: Copy>(to: &mut [T], from: &[T], places: [usize; 3]) {
            let [to_start, start, size] = places;
            to[to_start..to_start + size].copy_from_slice(&from[start..start + size]);
        }
        let places = [to * self.width, first * self.width, rows * self.width];
        match (&mut self.numbers, &from.numbers) {
            (Numbers::F32(to), Numbers::F32(from)) => copy(to, from, places),
            (Numbers::F16(to), Numbers::F16(from)) => copy(to, from, places),
            (Numbers::BF16(to), Numbers::BF16(from)) => copy(to, from, places),
            (Numbers::I8(to_numbers, scales), Numbers::I8(from, from_scales)) => {
                copy(to_numbers, from, places);
                copy(scales, from_scales, [to, first, rows]);
            }
            _ => unreachable!("a cache keeps all of its numbers alike"),
        }
    }

    /// Writes rows of as many numbers as those here have.
    pub(crate) fn write(&mut self, to: usize, from: Stored) {
        for block in blocks(0..from.rows, KEY_BLOCK) {
            let to = to + block.start;
            from.slice(block).with_padded(|rows| {
                for row in 0..rows.rows() {
                    let numbers = rows.data.get(row * rows.row_stride..).unwrap_or_default();
                    self.write_row(to + row, numbers.get(..self.width).unwrap_or_default());
                }
            });
        }
    }

    fn write_row(&mut self, row: usize, from: &[f32]) {
        let place = row * self.width..row * self.width + from.len();
        match &mut self.numbers {
            Numbers::F32(x) => x[place].copy_from_slice(from),
            Numbers::F16(x) => x[place].convert_from_f32_slice(from),
            Numbers::BF16(x) => x[place].convert_from_f32_slice(from),
            Numbers::I8(x, scales) => scales[row] = quantize(from, &mut x[place]),
        }
    }
}

multiversion! {
    /// Fills `to` with whole numbers and returns what they are to be multiplied with.
    fn quantize<I>(from: &[f32], to: &mut [i8]) -> f32 {
        // Bits of numbers without their sign are in the order of the numbers, and NaN comes after all of them.
        let greatest = f32::from_bits(from.iter().fold(0, |greatest, x| greatest.max(x.abs().to_bits())));
        if !greatest.is_finite() {
            to.fill(0);
            return f32::NAN;
        }
        let scale = greatest / 127.0;
        // A scale can be too small for its inverse; the numbers are 0, then.
        let inverse = if scale >= f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 };
        // Adding 1.5 · 2^23 leaves the nearest whole number in the low bits.
        const SHIFT: f32 = 12_582_912.0;
        for (to, x) in to.iter_mut().zip(from) {
            *to = I::fma(*x, inverse, SHIFT).to_bits() as i8;
        }
        scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantized_numbers_are_within_half_a_step() {
        let row: Vec<f32> = (0..100).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
        let greatest = row.iter().fold(0.0f32, |greatest, x| greatest.max(x.abs()));
        let mut whole = vec![0; 100];
        let scale = quantize(&row, &mut whole);
        for (x, &whole) in row.iter().zip(&whole) {
            assert!((x - f32::from(whole) * scale).abs() <= greatest / 254.0 * 1.0001);
        }
        assert_eq!(whole.iter().map(|x| x.unsigned_abs()).max(), Some(127));
    }

    #[test]
    fn rows_that_have_no_scale() {
        let mut whole = [1; 2];
        assert_eq!(quantize(&[0.0, -0.0], &mut whole), 0.0);
        assert_eq!(whole, [0, 0]);
        assert!(quantize(&[1e-45, 0.0], &mut whole).is_finite());
        assert_eq!(whole, [0, 0]);
        for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(quantize(&[1.0, x], &mut whole).is_nan());
        }
    }
}
