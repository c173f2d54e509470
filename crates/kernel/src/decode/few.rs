//! Both products of attention for few rows: vectors are filled with features, so that keys and values are used in the order
//! in which memory delivers them, and widened on the way.

use half::{bf16, f16};

use crate::element::Data;
use crate::shape::blocks;
use crate::simd::{Isa, LANES, Lanes, multiversion, prefetch};
use crate::stored::{Stored, Wide, load};

/// How many bytes before they are needed memory is asked for numbers. Processors foresee the next line of memory by
/// themselves, but not across the products that come in between.
const AHEAD: usize = 3072;

/// Where the scores of a tile lie. Each row may be split into parts that see different keys: the first part the first `each`
/// keys, the next part those that come after.
#[derive(Clone, Copy)]
pub(super) struct Places {
    /// How many rows there are.
    pub(super) rows: usize,
    /// How many keys a part sees at most.
    pub(super) each: usize,
    /// `[key of a part][lane]`: so many lanes, of which the first are the rows of the first part.
    pub(super) lanes: usize,
}

/// `factor · q · k` for each query, `[row][feature]` padded to whole vectors, and each key.
pub(super) fn products(factor: f32, keys: Stored, queries: &[f32], scores: &mut [f32], places: Places) {
    with_vectors(keys, |keys| match keys.data {
        Data::F32(x) => dots(factor, x, &keys, queries, scores, places),
        Data::F16(x) => dots(factor, x, &keys, queries, scores, places),
        Data::BF16(x) => dots(factor, x, &keys, queries, scores, places),
        Data::I8(x, _) => dots(factor, x, &keys, queries, scores, places),
        Data::Pages(_) => unreachable!("rows of pages are chosen before they are read"),
        Data::Quantized(..) => unreachable!("no view looks at such numbers"),
    });
}

/// Adds each value to each row of its part by its weight. Sums are `[part][row][feature]`, padded to whole vectors.
pub(super) fn mix(values: Stored, weights: &[f32], sums: &mut [f32], places: Places) {
    with_vectors(values, |values| match values.data {
        Data::F32(x) => add(x, &values, weights, sums, places),
        Data::F16(x) => add(x, &values, weights, sums, places),
        Data::BF16(x) => add(x, &values, weights, sums, places),
        Data::I8(x, _) => add(x, &values, weights, sums, places),
        Data::Pages(_) => unreachable!("rows of pages are chosen before they are read"),
        Data::Quantized(..) => unreachable!("no view looks at such numbers"),
    });
}

/// Calls `f` with a matrix whose rows are whole vectors: as it lies, or else widened and padded.
fn with_vectors(matrix: Stored, f: impl FnOnce(Stored)) {
    if matrix.column_stride == 1 && matrix.columns.is_multiple_of(LANES) {
        return f(matrix);
    }
    matrix.with_padded(|padded| f(padded.into()));
}

/// Numbers whose rows may have scales.
trait Scaled: Wide {
    /// What a row of such numbers is to be multiplied with.
    ///
    /// # Safety
    /// The matrix is in bounds and has such a row.
    #[inline(always)]
    unsafe fn scale(_: &Stored, _row: usize) -> f32 {
        1.0
    }
}

impl Scaled for f32 {}
impl Scaled for f16 {}
impl Scaled for bf16 {}

impl Scaled for i8 {
    #[inline(always)]
    unsafe fn scale(matrix: &Stored, row: usize) -> f32 {
        match matrix.data {
            // SAFETY: in bounds, every row has its scale.
            Data::I8(_, scales) => unsafe { *scales.get_unchecked(row * matrix.scale_stride) },
            _ => 1.0,
        }
    }
}

multiversion! {
    /// Multiplies each row with its factor.
    pub(super) fn rescale<I>(sums: &mut [f32], width: usize, factors: &[f32]) {
        for (row, &factor) in sums.chunks_exact_mut(width.max(1)).zip(factors) {
            // Once the greatest score has been seen, nothing is to do.
            if factor != 1.0 {
                row.iter_mut().for_each(|x| *x *= factor);
            }
        }
    }

    /// Adds the rows of `others` to `sums`, each multiplied with its factor.
    pub(super) fn join<I>(sums: &mut [f32], factors: &[f32], others: &[f32], other_factors: &[f32], width: usize) {
        let rows = sums.chunks_exact_mut(width.max(1)).zip(others.chunks_exact(width.max(1)));
        for ((sum, other), (own, others)) in rows.zip(factors.iter().zip(other_factors)) {
            for (sum, x) in sum.iter_mut().zip(other) {
                *sum = *sum * own + x * others;
            }
        }
    }

    fn dots<I, T: Scaled>(
        factor: f32, numbers: &[T], keys: &Stored<'_>, queries: &[f32], scores: &mut [f32], places: Places
    ) {
        let Places { rows, each, lanes } = places;
        assert!(keys.in_bounds() && numbers.len() == keys.data.len() && keys.column_stride == 1);
        assert!(keys.columns.is_multiple_of(LANES) && queries.len() >= rows * keys.columns);
        let many = I::TILE.1 >= 4;
        for (part, range) in blocks(0..keys.rows, each).enumerate() {
            let numbers = &numbers[range.start * keys.row_stride..];
            let keys = &keys.slice(range);
            let scores = &mut scores[part * rows..];
            assert!(scores.len() >= (keys.rows - 1) * lanes + rows);
            let mut row = 0;
            while row < rows {
                // SAFETY: what was asserted, and no more rows than are left.
                row += unsafe {
                    match rows - row {
                        4.. if many => dot_rows::<I, T, 4, 4>(factor, numbers, keys, queries, row, scores, lanes),
                        2.. if many => dot_rows::<I, T, 4, 2>(factor, numbers, keys, queries, row, scores, lanes),
                        _ if many => dot_rows::<I, T, 8, 1>(factor, numbers, keys, queries, row, scores, lanes),
                        _ => dot_rows::<I, T, 4, 1>(factor, numbers, keys, queries, row, scores, lanes),
                    }
                };
            }
        }
    }

    fn add<I, T: Scaled>(numbers: &[T], values: &Stored<'_>, weights: &[f32], sums: &mut [f32], places: Places) {
        let Places { rows, each, lanes } = places;
        assert!(values.in_bounds() && numbers.len() == values.data.len() && values.column_stride == 1);
        assert!(values.columns.is_multiple_of(LANES));
        let many = I::TILE.1 >= 4;
        for (part, range) in blocks(0..values.rows, each).enumerate() {
            let numbers = &numbers[range.start * values.row_stride..];
            let values = &values.slice(range);
            let (weights, sums) = (&weights[part * rows..], &mut sums[part * rows * values.columns..]);
            assert!(weights.len() >= (values.rows - 1) * lanes + rows && sums.len() >= rows * values.columns);
            let mut row = 0;
            while row < rows {
                // SAFETY: what was asserted, and no more rows than are left.
                row += unsafe {
                    match rows - row {
                        4.. if many => add_rows::<I, T, 4, 4>(numbers, values, weights, lanes, row, sums),
                        2.. if many => add_rows::<I, T, 2, 8>(numbers, values, weights, lanes, row, sums),
                        _ if many => add_rows::<I, T, 1, 8>(numbers, values, weights, lanes, row, sums),
                        _ => add_rows::<I, T, 1, 4>(numbers, values, weights, lanes, row, sums),
                    }
                };
            }
        }
    }
}

/// The scores of `N` rows, for `M` keys at a time, a multiple of four. Returns `N`.
///
/// # Safety
/// The numbers are those of the keys, which are in bounds, their rows contiguous and of whole vectors. There are `row + N`
/// queries alike, and as many scores for each key.
#[inline(always)]
unsafe fn dot_rows<I: Isa, T: Scaled, const M: usize, const N: usize>(
    factor: f32,
    numbers: &[T],
    keys: &Stored,
    queries: &[f32],
    row: usize,
    scores: &mut [f32],
    lanes: usize,
) -> usize {
    let mut key = 0;
    while key < keys.rows {
        // SAFETY: the caller's promise, and no more keys than are left.
        key += unsafe {
            if keys.rows - key >= M {
                dot_block::<I, T, M, N>(factor, numbers, keys, key, queries, row, scores, lanes)
            } else {
                dot_block::<I, T, 1, N>(factor, numbers, keys, key, queries, row, scores, lanes)
            }
        };
    }
    N
}

/// The scores of `N` rows and `M` keys. Returns `M`.
///
/// # Safety
/// As for [`dot_rows`], and `key + M <= keys.rows`.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn dot_block<I: Isa, T: Scaled, const M: usize, const N: usize>(
    factor: f32,
    numbers: &[T],
    keys: &Stored,
    key: usize,
    queries: &[f32],
    row: usize,
    scores: &mut [f32],
    lanes: usize,
) -> usize {
    let (width, stride) = (keys.columns, keys.row_stride);
    let keys_at = numbers.as_ptr().wrapping_add(key * stride);
    let queries_at = queries.as_ptr().wrapping_add(row * width);
    let distance = AHEAD / size_of::<T>();
    let mut sums = [[Lanes::ZERO; M]; N];
    // The unrolled part is a line of memory of each key; what comes after it is rare.
    let lines = width - width % T::LINE;
    for first in (0..lines).step_by(T::LINE) {
        for m in 0..M {
            prefetch(keys_at.wrapping_add(m * stride + first + distance));
        }
        for part in 0..T::LINE / LANES {
            // SAFETY: the rows have `width` numbers.
            unsafe { dot_vector::<I, T, M, N>(keys_at, stride, queries_at, width, first + part * LANES, &mut sums) };
        }
    }
    for first in (lines..width).step_by(LANES) {
        // SAFETY: as above.
        unsafe { dot_vector::<I, T, M, N>(keys_at, stride, queries_at, width, first, &mut sums) };
    }
    let scores_at = scores.as_mut_ptr().wrapping_add(key * lanes + row);
    let mut factors = [factor; M];
    for (m, factor) in factors.iter_mut().enumerate() {
        // SAFETY: `key + m` is a row of the keys.
        *factor *= unsafe { T::scale(keys, key + m) };
    }
    for first in (0..M * N).step_by(4) {
        let mut four = [Lanes::ZERO; 4];
        for (i, vector) in four.iter_mut().enumerate().take(M * N - first) {
            *vector = sums[(first + i) % N][(first + i) / N];
        }
        for (i, sum) in I::sums(&four).into_iter().enumerate().take(M * N - first) {
            let (m, n) = ((first + i) / N, (first + i) % N);
            // SAFETY: there are `row + N` scores of the key `key + m`.
            unsafe { *scores_at.add(m * lanes + n) = factors[m] * sum };
        }
    }
    M
}

/// Adds the products of one vector of each row.
///
/// # Safety
/// `M` keys of `width` numbers, `stride` apart, can be read, and `N` queries that follow each other; and
/// `first + LANES <= width`.
#[inline(always)]
unsafe fn dot_vector<I: Isa, T: Scaled, const M: usize, const N: usize>(
    keys: *const T,
    stride: usize,
    queries: *const f32,
    width: usize,
    first: usize,
    sums: &mut [[Lanes; M]; N],
) {
    let mut own = [Lanes::ZERO; N];
    for (n, own) in own.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *own = unsafe { load::<I, f32>(queries.add(n * width + first)) };
    }
    for m in 0..M {
        // SAFETY: the caller's promise.
        let other = unsafe { load::<I, T>(keys.add(m * stride + first)) };
        for (sums, own) in sums.iter_mut().zip(own) {
            sums[m] = I::fma_lanes(other, own, sums[m]);
        }
    }
}

/// Adds values to `N` rows, at most `F` vectors of them at a time. Returns `N`.
///
/// # Safety
/// The numbers are those of the values, which are in bounds, their rows contiguous and of whole vectors. Sums hold `row + N`
/// rows alike, and there are as many weights for each value.
#[inline(always)]
unsafe fn add_rows<I: Isa, T: Scaled, const N: usize, const F: usize>(
    numbers: &[T],
    values: &Stored,
    weights: &[f32],
    lanes: usize,
    row: usize,
    sums: &mut [f32],
) -> usize {
    let vectors = values.columns / LANES;
    let mut vector = 0;
    while vector < vectors {
        let first = vector * LANES;
        // SAFETY: the caller's promise, and no more vectors than are left.
        vector += unsafe {
            if vectors - vector >= F {
                add_block::<I, T, N, F>(numbers, values, weights, lanes, row, sums, first)
            } else {
                add_block::<I, T, N, 1>(numbers, values, weights, lanes, row, sums, first)
            }
        };
    }
    N
}

/// Adds `F` vectors of every value to `N` rows. Returns `F`.
///
/// # Safety
/// As for [`add_rows`], and the values have `first + F * LANES` columns.
#[inline(always)]
unsafe fn add_block<I: Isa, T: Scaled, const N: usize, const F: usize>(
    numbers: &[T],
    values: &Stored,
    weights: &[f32],
    lanes: usize,
    row: usize,
    sums: &mut [f32],
    first: usize,
) -> usize {
    let sums_at = sums.as_mut_ptr().wrapping_add(row * values.columns + first);
    let mut own = [[Lanes::ZERO; F]; N];
    for (n, own) in own.iter_mut().enumerate() {
        for (f, own) in own.iter_mut().enumerate() {
            // SAFETY: the sums hold `row + N` rows of as many numbers as the values have columns.
            *own = unsafe { load::<I, f32>(sums_at.add(n * values.columns + f * LANES)) };
        }
    }
    let distance = AHEAD / size_of::<T>();
    for key in 0..values.rows {
        let value = numbers.as_ptr().wrapping_add(key * values.row_stride + first);
        let weights = weights.as_ptr().wrapping_add(key * lanes + row);
        // SAFETY: `key` is a row of the values.
        let scale = unsafe { T::scale(values, key) };
        let mut each = [Lanes::ZERO; N];
        for (n, each) in each.iter_mut().enumerate() {
            // SAFETY: there are `row + N` weights for each value.
            *each = Lanes::splat(scale * unsafe { *weights.add(n) });
        }
        let mut others = [Lanes::ZERO; F];
        for (f, other) in others.iter_mut().enumerate() {
            if (f * LANES).is_multiple_of(T::LINE) {
                prefetch(value.wrapping_add(f * LANES + distance));
            }
            // SAFETY: `key` is a row of the values.
            *other = unsafe { load::<I, T>(value.add(f * LANES)) };
        }
        for (own, each) in own.iter_mut().zip(each) {
            for (own, other) in own.iter_mut().zip(others) {
                *own = I::fma_lanes(each, other, *own);
            }
        }
    }
    for (n, own) in own.iter().enumerate() {
        for (f, own) in own.iter().enumerate() {
            // SAFETY: as above.
            unsafe { sums_at.add(n * values.columns + f * LANES).cast::<[f32; LANES]>().write_unaligned(own.0) };
        }
    }
    F
}
