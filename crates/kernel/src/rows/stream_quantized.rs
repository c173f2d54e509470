//! Dot products of a few rows with a weight in blocks of 8-bit numbers; see [`stream`](super::stream) for how it is read.
//!
//! Widening every weight to a single takes a processor longer than memory takes to deliver it. So the rows are rounded instead,
//! each block to 16-bit numbers with a scale of its own, `x ≈ s · n` with n up to 32767: an error of 1/65534 of the block's
//! greatest number, 256 times less than the weight's own. Products of whole numbers are exact, and a block's 32 of them become
//! one vector of singles, which both scales are multiplied with.

use half::f16;

use crate::element::QUANTIZED;
use crate::simd::{Isa, LANES, Lanes, multiversion, pad, prefetch};
use crate::stored::Stored;

/// How many bytes before they are needed memory is asked for numbers.
const AHEAD: usize = 8192;

/// Rows in blocks of whole numbers.
pub(super) struct Rounded {
    /// `[row, block, number of the block]`, the last block filled up with 0.
    numbers: Vec<i16>,
    /// `[row, block]`, a row filled up to whole vectors.
    scales: Vec<f32>,
    count: usize,
}

impl Rounded {
    /// Rounds rows of so many numbers. What is not finite makes its block's scale NaN.
    pub(super) fn new(rows: &[f32], width: usize) -> Self {
        let (count, blocks) = (rows.len() / width, width.div_ceil(QUANTIZED));
        let mut numbers = vec![0; count * blocks * QUANTIZED];
        let mut scales = vec![0.0; count * pad(blocks)];
        let rounded = numbers.chunks_exact_mut(blocks * QUANTIZED).zip(scales.chunks_exact_mut(pad(blocks)));
        for (row, (numbers, scales)) in rows.chunks_exact(width).zip(rounded) {
            round(row, numbers, scales);
        }
        Self { numbers, scales, count }
    }
}

multiversion! {
    fn round<I>(row: &[f32], numbers: &mut [i16], scales: &mut [f32]) {
        for ((from, to), scale) in row.chunks(QUANTIZED).zip(numbers.chunks_exact_mut(QUANTIZED)).zip(scales) {
            // Bits of numbers without their sign are in the order of the numbers, and NaN comes after all of them.
            let greatest = f32::from_bits(from.iter().fold(0, |greatest, x| greatest.max(x.abs().to_bits())));
            if !greatest.is_finite() {
                *scale = f32::NAN;
                continue;
            }
            *scale = greatest / 32767.0;
            // A scale can be too small for its inverse; the numbers are 0, then.
            let inverse = if *scale >= f32::MIN_POSITIVE { 1.0 / *scale } else { 0.0 };
            // Adding 1.5 · 2^23 leaves the nearest whole number in the low bits.
            const SHIFT: f32 = 12_582_912.0;
            for (to, x) in to.iter_mut().zip(from) {
                *to = I::fma(*x, inverse, SHIFT).to_bits() as i16;
            }
        }
    }

    /// `sums = weight · rowsᵀ`, `[feature, row]`, of a weight with these numbers and scales.
    pub(super) fn dots<I>(numbers: &[i8], scales: &[f16], weight: &Stored<'_>, rows: &Rounded, sums: &mut [f32]) {
        let (features, blocks) = (weight.rows, weight.columns.div_ceil(QUANTIZED));
        let count = rows.count;
        assert!(weight.row_stride == blocks * QUANTIZED && numbers.len() >= features * weight.row_stride);
        assert!(weight.scale_stride == blocks && scales.len() >= features * blocks);
        assert!(rows.numbers.len() == count * blocks * QUANTIZED && rows.scales.len() == count * pad(blocks));
        assert!(sums.len() == features * count);
        let many = I::TILE.1 >= 4;
        let mut feature = 0;
        while feature < features {
            // A single row asks little of the registers, and then more features keep the processor busy.
            let group = match features - feature {
                8.. if many && count == 1 => 8,
                4.. => 4,
                _ => 1,
            };
            let mut row = 0;
            while row < count {
                // SAFETY: what was asserted, and no more features and rows than are left.
                row += unsafe {
                    match (group, count - row) {
                        (8, _) => block::<I, 8, 1>(numbers, scales, feature, blocks, rows, row, sums),
                        (4, 4..) if many => block::<I, 4, 4>(numbers, scales, feature, blocks, rows, row, sums),
                        (4, 2..) if many => block::<I, 4, 2>(numbers, scales, feature, blocks, rows, row, sums),
                        (4, _) => block::<I, 4, 1>(numbers, scales, feature, blocks, rows, row, sums),
                        _ => block::<I, 1, 1>(numbers, scales, feature, blocks, rows, row, sums),
                    }
                };
            }
            feature += group;
        }
    }
}

/// The dot products of `M` features and `N` rows. Returns `N`.
///
/// # Safety
/// There are `feature + M` features and `row + N` rows of so many blocks, and a sum for each of both.
#[inline(always)]
unsafe fn block<I: Isa, const M: usize, const N: usize>(
    numbers: &[i8],
    scales: &[f16],
    feature: usize,
    blocks: usize,
    rows: &Rounded,
    row: usize,
    sums: &mut [f32],
) -> usize {
    let width = blocks * QUANTIZED;
    let numbers_at = numbers.as_ptr().wrapping_add(feature * width);
    let rows_at = rows.numbers.as_ptr().wrapping_add(row * width);
    let mut products = [[Lanes::ZERO; M]; N];
    for span in (0..blocks).step_by(LANES) {
        let mut factors = [[Lanes::ZERO; M]; N];
        for m in 0..M {
            let of_weight = some_scales::<I>(&scales[(feature + m) * blocks + span..]);
            for (n, factors) in factors.iter_mut().enumerate() {
                let of_row = Lanes::load(&rows.scales[(row + n) * pad(blocks) + span..]);
                factors[m] = of_weight.zip(of_row, |a, b| a * b);
            }
        }
        for at in span..blocks.min(span + LANES) {
            // Two blocks are a line of memory. The features that come next lie behind these.
            if row == 0 && at.is_multiple_of(2) {
                for m in 0..M {
                    prefetch(numbers_at.wrapping_add(AHEAD + (at * M + 2 * m) * QUANTIZED));
                }
            }
            for m in 0..M {
                // SAFETY: the feature has so many blocks.
                let weight = unsafe { numbers_at.add(m * width + at * QUANTIZED).cast::<[i8; QUANTIZED]>().read() };
                for n in 0..N {
                    // SAFETY: so has the row.
                    let row = unsafe { rows_at.add(n * width + at * QUANTIZED).cast::<[i16; QUANTIZED]>().read() };
                    let factor = Lanes::splat(factors[n][m].0[at - span]);
                    products[n][m] = I::fma_lanes(I::pairs(&weight, &row), factor, products[n][m]);
                }
            }
        }
    }
    for first in (0..M * N).step_by(4) {
        let mut four = [Lanes::ZERO; 4];
        for (i, vector) in four.iter_mut().enumerate().take(M * N - first) {
            *vector = products[(first + i) % N][(first + i) / N];
        }
        for (i, sum) in I::sums(&four).into_iter().enumerate().take(M * N - first) {
            let (m, n) = ((first + i) / N, (first + i) % N);
            sums[(feature + m) * rows.count + row + n] = sum;
        }
    }
    N
}

/// The first sixteen; 0 where there are fewer.
#[inline(always)]
fn some_scales<I: Isa>(scales: &[f16]) -> Lanes {
    if let Some(scales) = scales.first_chunk() {
        return I::halves(scales);
    }
    let mut some = [f16::ZERO; LANES];
    some[..scales.len()].copy_from_slice(scales);
    I::halves(&some)
}
