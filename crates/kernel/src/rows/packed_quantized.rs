//! Products of many rows with a weight in blocks of 8-bit numbers, four multiply-adds a lane and instruction (AVX-512 VNNI).
//!
//! Here the processor is the limit, and not memory as in [`stream_quantized`](super::stream_quantized), so rows are rounded to
//! 8 bits, too: each block of 32 to `x ≈ s · n`, n from −127 to 127, as llama.cpp does for its `Q8_0`. The error is that of the
//! weight's own rounding once more. Products of a block are exact whole numbers; as singles, times both scales, they are added
//! block by block in one order, so a row has the same bits in any company.
//!
//! The instruction multiplies numbers without a sign by numbers with one. Weights are packed as `n + 128`, and sums start at
//! `−128 · Σ` of the row's numbers.

use std::arch::x86_64::*;
use std::ops::Range;
use std::sync::LazyLock;

use half::f16;

use super::packed::{Start, by_panels};
use super::rows_a_task;
use crate::element::QUANTIZED;
use crate::problem::run;
use crate::scratch;
use crate::shape::blocks;
use crate::simd::{LANES, Level, Place, level, multiversion};
use crate::stored::Stored;

/// Columns that are multiplied side by side: two vectors, which leaves registers for 4 rows of whole sums and of singles.
const PAIR: usize = 2 * LANES;
/// Groups of four numbers in a block.
const GROUPS: usize = QUANTIZED / 4;
/// Blocks that are packed at a time: with [`PAIR`] columns, they stay in the first cache.
const DEPTH: usize = 24;

/// Whether this processor has the instructions.
pub(super) fn is_fast() -> bool {
    static FOUND: LazyLock<bool> = LazyLock::new(|| level() == Level::Avx512 && is_x86_feature_detected!("avx512vnni"));
    *FOUND
}

/// `rows · weight + bias` of a weight `[feature, width]` with these numbers and scales, contiguous; without a bias, that
/// is empty.
pub(super) fn product(rows: &[f32], weight: Stored<'_>, (numbers, scales): (&[i8], &[f16]), bias: &[f32]) -> Vec<f32> {
    assert!(is_fast(), "the processor lacks the instructions");
    let rounded = Rounded::new(rows, weight.columns);
    let all = weight.columns.div_ceil(QUANTIZED);
    assert!(weight.row_stride == all * QUANTIZED && numbers.len() >= weight.rows * weight.row_stride);
    assert!(weight.scale_stride == all && scales.len() >= weight.rows * all);
    let (count, mut out) = (rows.len() / weight.columns, Vec::new());
    by_panels(weight.columns, Place::after(&mut out, count, weight.rows), |rows, panel, out| {
        scratch::with([DEPTH * GROUPS * PAIR, DEPTH * PAIR], |[packed, factors]| {
            for columns in blocks(panel.clone(), PAIR) {
                // SAFETY: what has been done with the columns before is over.
                let mut out =
                    unsafe { out.part(0..rows.len(), columns.start - panel.start..columns.end - panel.start) };
                let mut start = Start::Bias(bias).of(columns.clone());
                for depth in blocks(0..all, DEPTH) {
                    pack(numbers, scales, all, columns.clone(), depth.clone(), packed, factors);
                    let part = Part { rounded: &rounded, depth, packed, factors, start };
                    // SAFETY: `is_fast`; these rows and blocks are there, and were packed for all columns.
                    unsafe { multiply(&part, rows.start, &mut out) };
                    start = Start::Sum;
                }
            }
        });
    });
    // SAFETY: there was room for them, a row has a block, and the tasks have written every part.
    unsafe { out.set_len(count * weight.rows) };
    out
}

/// What some blocks add to some columns.
struct Part<'a> {
    rounded: &'a Rounded,
    depth: Range<usize>,
    packed: &'a [f32],
    factors: &'a [f32],
    /// A bias is that of these columns.
    start: Start<'a>,
}

/// Rows in blocks of whole numbers.
struct Rounded {
    /// `[row, block, number of the block]`, the last block filled up with 0.
    numbers: Vec<i8>,
    /// `[row, block]`
    scales: Vec<f32>,
    /// −128 times the sum of a block's numbers, `[row, block]`.
    starts: Vec<i32>,
    blocks: usize,
}

impl Rounded {
    /// Rounds rows of so many numbers. What is not finite makes its block's scale NaN.
    fn new(rows: &[f32], width: usize) -> Self {
        let (count, blocks) = (rows.len() / width, width.div_ceil(QUANTIZED));
        let mut numbers = vec![0; count * blocks * QUANTIZED];
        let (mut scales, mut starts) = (vec![0.0; count * blocks], vec![0; count * blocks]);
        let some = rows_a_task(width);
        let parts = rows.chunks(some * width).zip(numbers.chunks_mut(some * blocks * QUANTIZED));
        let tasks = parts.zip(scales.chunks_mut(some * blocks).zip(starts.chunks_mut(some * blocks))).collect();
        run(rows.len() as f64, tasks, |((rows, numbers), (scales, starts))| {
            let rounded = numbers.chunks_exact_mut(blocks * QUANTIZED);
            let others = scales.chunks_exact_mut(blocks).zip(starts.chunks_exact_mut(blocks));
            for ((row, numbers), (scales, starts)) in rows.chunks_exact(width).zip(rounded).zip(others) {
                round(row, numbers, scales, starts);
            }
        });
        Self { numbers, scales, starts, blocks }
    }
}

multiversion! {
    fn round<I>(row: &[f32], numbers: &mut [i8], scales: &mut [f32], starts: &mut [i32]) {
        let blocks = row.chunks(QUANTIZED).zip(numbers.chunks_exact_mut(QUANTIZED));
        for ((from, to), (scale, start)) in blocks.zip(scales.iter_mut().zip(starts)) {
            // Bits of numbers without their sign are in the order of the numbers, and NaN comes after all of them.
            let greatest = f32::from_bits(from.iter().fold(0, |greatest, x| greatest.max(x.abs().to_bits())));
            if !greatest.is_finite() {
                *scale = f32::NAN;
                continue;
            }
            *scale = greatest / 127.0;
            // A scale can be too small for its inverse; the numbers are 0, then.
            let inverse = if *scale >= f32::MIN_POSITIVE { 1.0 / *scale } else { 0.0 };
            // Adding 1.5 · 2^23 leaves the nearest whole number in the low bits.
            const SHIFT: f32 = 12_582_912.0;
            let mut sum = 0;
            for (to, x) in to.iter_mut().zip(from) {
                *to = I::fma(*x, inverse, SHIFT).to_bits() as i8;
                sum += i32::from(*to);
            }
            *start = -128 * sum;
        }
    }

    /// Puts some columns' numbers side by side, `[block, group of four, column]` with four bytes in each number's place, and
    /// their scales, `[block, column]`. Columns that there are not have a scale of 0.
    fn pack<I>(
        numbers: &[i8],
        scales: &[f16],
        all: usize,
        columns: Range<usize>,
        depth: Range<usize>,
        packed: &mut [f32],
        factors: &mut [f32],
    ) {
        for (lane, column) in (columns.start..columns.start + PAIR).enumerate() {
            let there = column < columns.end;
            let column = column.min(columns.end - 1) * all;
            for (i, block) in depth.clone().enumerate() {
                factors[i * PAIR + lane] = if there { scales[column + block].to_f32() } else { 0.0 };
                let groups = numbers[(column + block) * QUANTIZED..][..QUANTIZED].as_chunks().0;
                for (group, bytes) in groups.iter().enumerate() {
                    let bytes: [i8; 4] = *bytes;
                    // The sign's bit turned is 128 added.
                    let bytes = bytes.map(|byte| byte as u8 ^ 0x80);
                    packed[(i * GROUPS + group) * PAIR + lane] = f32::from_bits(u32::from_le_bytes(bytes));
                }
            }
        }
    }
}

/// Adds what some blocks contribute to the columns of `out`, the first of whose rows is `row`.
///
/// # Safety
/// The processor has AVX-512 with VNNI. There are these rows and blocks, packed as [`pack`] does it for as many columns, at most
/// [`PAIR`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")]
unsafe fn multiply(part: &Part, row: usize, out: &mut Place) {
    let mut done = 0;
    while done < out.rows() {
        // SAFETY: no more rows than are left; the rest is the caller's promise.
        done += unsafe {
            match out.rows() - done {
                4.. => tile::<4>(part, row, done, out),
                2.. => tile::<2>(part, row, done, out),
                _ => tile::<1>(part, row, done, out),
            }
        };
    }
}

/// As [`multiply`], `M` rows after those that are done. Returns `M`.
///
/// # Safety
/// As for [`multiply`], and so many rows are left.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")]
unsafe fn tile<const M: usize>(part: &Part, row: usize, done: usize, out: &mut Place) -> usize {
    let (rounded, row) = (part.rounded, row + done);
    let (packed, factors) = (part.packed.as_ptr(), part.factors.as_ptr());
    let numbers = rounded.numbers.as_ptr().cast::<i32>();
    let mut totals = [[_mm512_setzero_ps(); 2]; M];
    for (i, block) in part.depth.clone().enumerate() {
        // SAFETY: every index is one of a row, a block and a column that the caller promises.
        unsafe {
            let at = |m: usize| (row + m) * rounded.blocks + block;
            let mut products = [[_mm512_setzero_si512(); 2]; M];
            for (m, products) in products.iter_mut().enumerate() {
                *products = [_mm512_set1_epi32(*rounded.starts.get_unchecked(at(m))); 2];
            }
            for group in 0..GROUPS {
                let weights = packed.add((i * GROUPS + group) * PAIR);
                let weights = [weights, weights.add(LANES)].map(|at| _mm512_loadu_si512(at.cast()));
                for (m, products) in products.iter_mut().enumerate() {
                    let four = _mm512_set1_epi32(numbers.add(at(m) * GROUPS + group).read_unaligned());
                    for (product, &weights) in products.iter_mut().zip(&weights) {
                        *product = _mm512_dpbusd_epi32(*product, weights, four);
                    }
                }
            }
            let of_weight = [factors.add(i * PAIR), factors.add(i * PAIR + LANES)].map(|at| _mm512_loadu_ps(at));
            for (m, (totals, products)) in totals.iter_mut().zip(&products).enumerate() {
                let of_row = _mm512_set1_ps(*rounded.scales.get_unchecked(at(m)));
                for (n, total) in totals.iter_mut().enumerate() {
                    let factor = _mm512_mul_ps(of_weight[n], of_row);
                    *total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(products[n]), factor, *total);
                }
            }
        }
    }
    for (m, totals) in totals.iter().enumerate() {
        for (n, total) in totals.iter().enumerate() {
            let first = out.columns().min(n * LANES);
            let columns = (out.columns() - first).min(LANES);
            let mask = ((1u32 << columns) - 1) as __mmask16;
            let out = out.row(done + m).wrapping_add(first);
            // SAFETY: the mask leaves out what lies past the columns that there are; what is added to has been written.
            unsafe {
                let held = match part.start {
                    Start::Sum => _mm512_maskz_loadu_ps(mask, out),
                    Start::Bias([]) => _mm512_setzero_ps(),
                    Start::Bias(bias) => _mm512_maskz_loadu_ps(mask, bias[first..][..columns].as_ptr()),
                };
                _mm512_mask_storeu_ps(out, mask, _mm512_add_ps(held, *total));
            }
        }
    }
    M
}
