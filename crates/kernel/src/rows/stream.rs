//! A linear layer for few rows, whose features are dot products: memory delivers the weight once, in order, and each vector
//! of it meets every row.
//!
//! Features are worked on a few at a time, which keeps enough sums apart for the processor to be busy; the sum over lanes
//! comes once a feature. Memory is asked for numbers ahead of their use. Each dot product is summed in an order that its
//! width decides, so a row has the same bits in the company of any few others.

use half::f16;

use crate::element::{Data, QUANTIZED};
use crate::problem::{READ, run};
use crate::scratch;
use crate::simd::{Isa, LANES, Lanes, multiversion, prefetch};
use crate::stored::{Stored, Wide, load, scaled};

/// The most rows for which this is faster than packing the weight.
pub(super) const MOST: usize = 16;
/// How many bytes of a task arrive, at least, before the next one is dealt.
const TASK: usize = 1 << 16;
/// How many bytes before they are needed memory is asked for numbers.
const AHEAD: usize = 8192;
/// Numbers whose scales are looked at together.
const SPAN: usize = LANES * QUANTIZED;

/// `out += rows · weightᵀ`: rows `[row, width]`, a contiguous row of the weight for each feature, out `[row, feature]`.
pub(super) fn add_dots(rows: &[f32], weight: Stored<'_>, out: &mut [f32]) {
    let (features, width) = (weight.rows, weight.columns);
    let count = rows.len() / width;
    scratch::with([features * count], |[sums]| {
        let sums = &mut sums[..features * count];
        let each = (TASK * features).div_ceil(weight.bytes().max(1)).next_multiple_of(8);
        let tasks = sums.chunks_mut(each * count).enumerate().collect();
        run(READ * weight.bytes() as f64, tasks, |(task, sums): (usize, &mut [f32])| {
            let first = task * each;
            let weight = weight.slice(first..first + sums.len() / count);
            match weight.data {
                Data::F32(x) => dots(Plain { numbers: x, stride: weight.row_stride }, &weight, rows, sums),
                Data::F16(x) => dots(Plain { numbers: x, stride: weight.row_stride }, &weight, rows, sums),
                Data::BF16(x) => dots(Plain { numbers: x, stride: weight.row_stride }, &weight, rows, sums),
                Data::Quantized(numbers, scales) => {
                    let strides = [weight.row_stride, weight.scale_stride];
                    dots(Blocks { numbers, scales, strides }, &weight, rows, sums);
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

/// Rows of numbers that are widened as they are loaded.
trait Numbers: Copy {
    /// Scales of a row's numbers, as far as they are needed soon.
    type Scales: Copy + Default;

    /// Bytes of a number.
    const SIZE: usize;

    /// The scales of a span of a row's numbers.
    fn scales<I: Isa>(self, row: usize, first: usize) -> Self::Scales;

    /// Sixteen numbers of a row. `first` is where they begin, of whose span the scales are.
    ///
    /// # Safety
    /// There is such a row, and it has these numbers.
    unsafe fn lanes<I: Isa>(self, row: usize, first: usize, scales: &Self::Scales) -> Lanes;

    /// The last numbers of a row, and 0 after them.
    fn rest<I: Isa>(self, row: usize, first: usize, width: usize, scales: &Self::Scales) -> Lanes;

    /// Asks memory for a number, which need not exist.
    fn ask(self, row: usize, first: usize);
}

/// Numbers without scales.
#[derive(Clone, Copy)]
struct Plain<'a, T> {
    numbers: &'a [T],
    stride: usize,
}

impl<T: Wide> Numbers for Plain<'_, T> {
    type Scales = ();
    const SIZE: usize = size_of::<T>();

    #[inline(always)]
    fn scales<I: Isa>(self, _: usize, _: usize) {}

    #[inline(always)]
    unsafe fn lanes<I: Isa>(self, row: usize, first: usize, (): &()) -> Lanes {
        // SAFETY: the caller's promise.
        unsafe { load::<I, T>(self.numbers.as_ptr().add(row * self.stride + first)) }
    }

    #[inline(always)]
    fn rest<I: Isa>(self, row: usize, first: usize, width: usize, (): &()) -> Lanes {
        let mut some = [T::default(); LANES];
        some[..width - first].copy_from_slice(&self.numbers[row * self.stride..][first..width]);
        T::lanes::<I>(some)
    }

    #[inline(always)]
    fn ask(self, row: usize, first: usize) {
        prefetch(self.numbers.as_ptr().wrapping_add(row * self.stride + first));
    }
}

/// Whole numbers in blocks.
#[derive(Clone, Copy)]
struct Blocks<'a> {
    numbers: &'a [i8],
    scales: &'a [f16],
    strides: [usize; 2],
}

impl Numbers for Blocks<'_> {
    type Scales = [f32; LANES];
    const SIZE: usize = 1;

    #[inline(always)]
    fn scales<I: Isa>(self, row: usize, first: usize) -> [f32; LANES] {
        let scales = &self.scales[row * self.strides[1] + first / QUANTIZED..];
        // Those of the next row may come along.
        if let Some(some) = scales.first_chunk() {
            return I::halves(some).0;
        }
        let mut some = [f16::ZERO; LANES];
        some[..scales.len()].copy_from_slice(scales);
        I::halves(&some).0
    }

    #[inline(always)]
    unsafe fn lanes<I: Isa>(self, row: usize, first: usize, scales: &[f32; LANES]) -> Lanes {
        // SAFETY: the caller's promise.
        let numbers = unsafe { self.numbers.as_ptr().add(row * self.strides[0] + first).cast::<[i8; LANES]>().read() };
        scaled(numbers, scales[first / QUANTIZED % LANES])
    }

    #[inline(always)]
    fn rest<I: Isa>(self, row: usize, first: usize, width: usize, scales: &[f32; LANES]) -> Lanes {
        let mut some = [0; LANES];
        some[..width - first].copy_from_slice(&self.numbers[row * self.strides[0]..][first..width]);
        scaled(some, scales[first / QUANTIZED % LANES])
    }

    #[inline(always)]
    fn ask(self, row: usize, first: usize) {
        prefetch(self.numbers.as_ptr().wrapping_add(row * self.strides[0] + first));
    }
}

multiversion! {
    /// `sums = weight · rowsᵀ`, `[feature, row]`. The numbers are those of the weight.
    fn dots<I, W: Numbers>(numbers: W, weight: &Stored<'_>, rows: &[f32], sums: &mut [f32]) {
        let (features, width) = (weight.rows, weight.columns);
        let count = rows.len() / width;
        assert!(weight.in_bounds() && weight.column_stride == 1);
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
                        (8, _) => block::<I, W, 8, 1>(numbers, feature, rows, row, width, sums, count),
                        (4, 4..) if many => block::<I, W, 4, 4>(numbers, feature, rows, row, width, sums, count),
                        (4, 2..) if many => block::<I, W, 4, 2>(numbers, feature, rows, row, width, sums, count),
                        (4, _) => block::<I, W, 4, 1>(numbers, feature, rows, row, width, sums, count),
                        _ => block::<I, W, 1, 1>(numbers, feature, rows, row, width, sums, count),
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
/// There are `feature + M` features and `row + N` rows of this width, and a sum for each feature and row, `count` to a feature.
#[inline(always)]
unsafe fn block<I: Isa, W: Numbers, const M: usize, const N: usize>(
    numbers: W,
    feature: usize,
    rows: &[f32],
    row: usize,
    width: usize,
    sums: &mut [f32],
    count: usize,
) -> usize {
    let rows_at = rows.as_ptr().wrapping_add(row * width);
    let whole = width - width % LANES;
    // What comes after the end of these features is needed M features later.
    let ahead = AHEAD / (M * W::SIZE);
    let (next, ahead) = (feature + ahead / width * M, ahead % width);
    let mut products = [[Lanes::ZERO; M]; N];
    for span in (0..width).step_by(SPAN) {
        let mut scales = [W::Scales::default(); M];
        for (m, scales) in scales.iter_mut().enumerate() {
            *scales = numbers.scales::<I>(feature + m, span);
        }
        for first in (span..whole.min(span + SPAN)).step_by(LANES) {
            // Once a line of memory is enough, and for the first of the rows.
            if row == 0 && (first * W::SIZE).is_multiple_of(64) {
                let (next, column) =
                    if first + ahead < width { (next, first + ahead) } else { (next + M, first + ahead - width) };
                for m in 0..M {
                    numbers.ask(next + m, column);
                }
            }
            let mut own = [Lanes::ZERO; N];
            for (n, own) in own.iter_mut().enumerate() {
                // SAFETY: the row has `whole` numbers.
                *own = unsafe { load::<I, f32>(rows_at.add(n * width + first)) };
            }
            for m in 0..M {
                // SAFETY: so has the feature.
                let other = unsafe { numbers.lanes::<I>(feature + m, first, &scales[m]) };
                for (products, own) in products.iter_mut().zip(own) {
                    products[m] = I::fma_lanes(other, own, products[m]);
                }
            }
        }
        if span + SPAN > whole && whole < width {
            for (n, products) in products.iter_mut().enumerate() {
                let own = Lanes::load_or(&rows[(row + n) * width + whole..(row + n + 1) * width], 0.0);
                for (m, product) in products.iter_mut().enumerate() {
                    let other = numbers.rest::<I>(feature + m, whole, width, &scales[m]);
                    *product = I::fma_lanes(other, own, *product);
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
            sums[(feature + m) * count + row + n] = sum;
        }
    }
    N
}
