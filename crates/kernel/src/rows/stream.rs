//! A linear layer for few rows, whose features are dot products: memory delivers the weight once, in order, and each vector
//! of it meets every row.
//!
//! Features are worked on a few at a time, which keeps enough sums apart for the processor to be busy; the sum over lanes
//! comes once a feature. Memory is asked for numbers ahead of their use. Each dot product is summed in an order that its
//! width decides, so a row has the same bits in the company of any few others.

use super::stream_quantized::{self, Rounded};
use crate::element::Data;
use crate::problem::{READ, run};
use crate::scratch;
use crate::simd::{Isa, LANES, Lanes, multiversion, prefetch};
use crate::stored::{Stored, Wide, load};

/// The most rows for which this is faster than packing the weight.
pub(super) const MOST: usize = 16;
/// How many bytes of a task arrive, at least, before the next one is dealt.
const TASK: usize = 1 << 16;
/// How many bytes before they are needed memory is asked for numbers.
const AHEAD: usize = 8192;

/// `out += rows · weightᵀ`: rows `[row, width]`, a contiguous row of the weight for each feature, out `[row, feature]`.
pub(super) fn add_dots(rows: &[f32], weight: Stored<'_>, out: &mut [f32]) {
    let (features, width) = (weight.rows, weight.columns);
    let count = rows.len() / width;
    let rounded = matches!(weight.data, Data::Quantized(..)).then(|| Rounded::new(rows, width));
    scratch::with([features * count], |[sums]| {
        let sums = &mut sums[..features * count];
        let each = (TASK * features).div_ceil(weight.bytes().max(1)).next_multiple_of(8);
        let tasks = sums.chunks_mut(each * count).enumerate().collect();
        run(READ * weight.bytes() as f64, tasks, |(task, sums): (usize, &mut [f32])| {
            let first = task * each;
            let weight = weight.slice(first..first + sums.len() / count);
            match weight.data {
                Data::F32(x) => dots(x, &weight, rows, sums),
                Data::F16(x) => dots(x, &weight, rows, sums),
                Data::BF16(x) => dots(x, &weight, rows, sums),
                Data::Quantized(numbers, scales) => {
                    let rounded = rounded.as_ref().expect("rounded where the weight is in blocks");
                    stream_quantized::dots(numbers, scales, &weight, rounded, sums);
                }
                Data::I8(..) | Data::Pages(_) => unreachable!("no weight is made of them"),
            }
        });
        for (row, out) in out.chunks_exact_mut(features).enumerate() {
            for (out, sums) in out.iter_mut().zip(sums.chunks_exact(count)) {
                *out += sums[row];
            }
        }
    });
}

multiversion! {
    /// `sums = weight · rowsᵀ`, `[feature, row]`. The numbers are those of the weight.
    fn dots<I, T: Wide>(numbers: &[T], weight: &Stored<'_>, rows: &[f32], sums: &mut [f32]) {
        let (features, width) = (weight.rows, weight.columns);
        let count = rows.len() / width;
        assert!(weight.in_bounds() && numbers.len() == weight.data.len() && weight.column_stride == 1);
        assert!(rows.len() == count * width && sums.len() == features * count);
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
                        (8, _) => block::<I, T, 8, 1>(numbers, weight, feature, rows, row, sums),
                        (4, 4..) if many => block::<I, T, 4, 4>(numbers, weight, feature, rows, row, sums),
                        (4, 2..) if many => block::<I, T, 4, 2>(numbers, weight, feature, rows, row, sums),
                        (4, _) => block::<I, T, 4, 1>(numbers, weight, feature, rows, row, sums),
                        _ => block::<I, T, 1, 1>(numbers, weight, feature, rows, row, sums),
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
/// The numbers are those of the weight, which is in bounds, its rows contiguous. There are `feature + M` features and `row + N`
/// rows, and a sum for each of both.
#[inline(always)]
unsafe fn block<I: Isa, T: Wide, const M: usize, const N: usize>(
    numbers: &[T],
    weight: &Stored,
    feature: usize,
    rows: &[f32],
    row: usize,
    sums: &mut [f32],
) -> usize {
    let (width, stride) = (weight.columns, weight.row_stride);
    let (numbers_at, rows_at) =
        (numbers.as_ptr().wrapping_add(feature * stride), rows.as_ptr().wrapping_add(row * width));
    let whole = width - width % LANES;
    let mut products = [[Lanes::ZERO; M]; N];
    for first in (0..whole).step_by(LANES) {
        // Once a line of memory is enough, and for the first of the rows. The features that come next lie behind these.
        if row == 0 && first.is_multiple_of(T::LINE) {
            for m in 0..M {
                prefetch(numbers_at.wrapping_add(AHEAD / size_of::<T>() + first * M + m * T::LINE));
            }
        }
        let mut own = [Lanes::ZERO; N];
        for (n, own) in own.iter_mut().enumerate() {
            // SAFETY: the row has `whole` numbers.
            *own = unsafe { load::<I, f32>(rows_at.add(n * width + first)) };
        }
        for m in 0..M {
            // SAFETY: so has the feature.
            let other = unsafe { load::<I, T>(numbers_at.add(m * stride + first)) };
            for (products, own) in products.iter_mut().zip(own) {
                products[m] = I::fma_lanes(other, own, products[m]);
            }
        }
    }
    if whole < width {
        for m in 0..M {
            let mut some = [T::default(); LANES];
            some[..width - whole].copy_from_slice(&numbers[(feature + m) * stride..][whole..width]);
            for (n, products) in products.iter_mut().enumerate() {
                let own = Lanes::load_or(&rows[(row + n) * width + whole..(row + n + 1) * width], 0.0);
                products[m] = I::fma_lanes(T::lanes::<I>(some), own, products[m]);
            }
        }
    }
    let count = rows.len() / width;
    for first in (0..M * N).step_by(4) {
        let mut four = [Lanes::ZERO; 4];
        for (i, vector) in four.iter_mut().enumerate().take(M * N - first) {
            *vector = products[(first + i) % N][(first + i) / N];
        }
        for (i, sum) in I::sums(&four).into_iter().enumerate().take(M * N - first) {
            let (m, n) = ((first + i) / N, (first + i) % N);
            sums[(feature + m) * count + row + n] = sum;
        }
    }
    N
}
