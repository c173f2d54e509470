//! Both products of attention for few rows: vectors are filled with features, so that keys and values are used in the order
//! in which memory delivers them, and widened on the way.

use half::{bf16, f16};

use crate::element::Data;
use crate::simd::{Isa, LANES, Lanes, multiversion};
use crate::stored::{Stored, brains, wholes};

/// `factor · q · k` for each of `count` queries, `[row][feature]` padded to whole vectors, and each key. Scores are
/// `[key][lane]`.
pub(super) fn products(factor: f32, keys: Stored, queries: &[f32], count: usize, scores: &mut [f32], lanes: usize) {
    with_vectors(keys, |keys| match keys.data {
        Data::F32(x) => dots(factor, x, &keys, queries, count, scores, lanes),
        Data::F16(x) => dots(factor, x, &keys, queries, count, scores, lanes),
        Data::BF16(x) => dots(factor, x, &keys, queries, count, scores, lanes),
        Data::I8(x, _) => dots(factor, x, &keys, queries, count, scores, lanes),
    });
}

/// Adds each value to each of `count` rows by its weight. Weights are `[key][lane]`, sums `[row][feature]` padded to whole
/// vectors.
pub(super) fn mix(values: Stored, weights: &[f32], lanes: usize, count: usize, sums: &mut [f32]) {
    with_vectors(values, |values| match values.data {
        Data::F32(x) => add(x, &values, weights, lanes, count, sums),
        Data::F16(x) => add(x, &values, weights, lanes, count, sums),
        Data::BF16(x) => add(x, &values, weights, lanes, count, sums),
        Data::I8(x, _) => add(x, &values, weights, lanes, count, sums),
    });
}

/// Calls `f` with a matrix whose rows are whole vectors: as it lies, or else widened and padded.
fn with_vectors(matrix: Stored, f: impl FnOnce(Stored)) {
    if matrix.column_stride == 1 && matrix.columns.is_multiple_of(LANES) {
        return f(matrix);
    }
    matrix.with_padded(|padded| {
        f(Stored {
            data: Data::F32(padded.data),
            rows: padded.rows,
            columns: padded.columns,
            row_stride: padded.row_stride,
            column_stride: 1,
            scale_stride: 0,
        });
    });
}

/// Numbers that are widened as they are loaded.
trait Wide: Copy {
    /// Sixteen numbers.
    fn lanes<I: Isa>(numbers: [Self; LANES]) -> Lanes;

    /// What a row of such numbers is to be multiplied with.
    #[inline(always)]
    fn scale(_: &Stored, _row: usize) -> f32 {
        1.0
    }
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

    #[inline(always)]
    fn scale(matrix: &Stored, row: usize) -> f32 {
        if let Data::I8(_, scales) = matrix.data { scales[row * matrix.scale_stride] } else { 1.0 }
    }
}

/// Sixteen numbers, widened.
///
/// # Safety
/// They can be read.
#[inline(always)]
unsafe fn load<I: Isa, T: Wide>(from: *const T) -> Lanes {
    // SAFETY: the caller's promise.
    T::lanes::<I>(unsafe { from.cast::<[T; LANES]>().read_unaligned() })
}

multiversion! {
    fn dots<I, T: Wide>(
        factor: f32, numbers: &[T], keys: &Stored<'_>, queries: &[f32], count: usize, scores: &mut [f32], lanes: usize
    ) {
        assert!(keys.in_bounds() && numbers.len() == keys.data.len() && keys.column_stride == 1);
        assert!(keys.columns.is_multiple_of(LANES) && queries.len() >= count * keys.columns);
        let mut row = 0;
        while row < count {
            // SAFETY: what was asserted, and no more rows than are left.
            row += unsafe {
                match count - row {
                    4.. if I::TILE.1 >= 4 => dot_rows::<I, T, 4>(factor, numbers, keys, queries, row, scores, lanes),
                    2.. if I::TILE.1 >= 4 => dot_rows::<I, T, 2>(factor, numbers, keys, queries, row, scores, lanes),
                    _ => dot_rows::<I, T, 1>(factor, numbers, keys, queries, row, scores, lanes),
                }
            };
        }
    }

    fn add<I, T: Wide>(
        numbers: &[T], values: &Stored<'_>, weights: &[f32], lanes: usize, count: usize, sums: &mut [f32]
    ) {
        assert!(values.in_bounds() && numbers.len() == values.data.len() && values.column_stride == 1);
        assert!(values.columns.is_multiple_of(LANES) && sums.len() >= count * values.columns);
        let mut row = 0;
        while row < count {
            // SAFETY: what was asserted, and no more rows than are left.
            row += unsafe {
                match count - row {
                    4.. if I::TILE.1 >= 4 => add_rows::<I, T, 4>(numbers, values, weights, lanes, row, sums),
                    2.. if I::TILE.1 >= 4 => add_rows::<I, T, 2>(numbers, values, weights, lanes, row, sums),
                    _ => add_rows::<I, T, 1>(numbers, values, weights, lanes, row, sums),
                }
            };
        }
    }
}

/// The scores of `N` rows. Returns `N`.
///
/// # Safety
/// The numbers are those of the keys, which are in bounds, their rows contiguous and of whole vectors; queries hold
/// `row + N` rows alike.
#[inline(always)]
unsafe fn dot_rows<I: Isa, T: Wide, const N: usize>(
    factor: f32,
    numbers: &[T],
    keys: &Stored,
    queries: &[f32],
    row: usize,
    scores: &mut [f32],
    lanes: usize,
) -> usize {
    for key in (0..keys.rows).step_by(4) {
        // SAFETY: the caller's promise.
        let sums = unsafe {
            if keys.rows - key >= 4 {
                dot_block::<I, T, 4, N>(numbers, keys, key, queries, row)
            } else {
                let mut sums = [[0.0; 4]; N];
                for m in 0..keys.rows - key {
                    let one = dot_block::<I, T, 1, N>(numbers, keys, key + m, queries, row);
                    sums.iter_mut().zip(one).for_each(|(sums, one)| sums[m] = one[0]);
                }
                sums
            }
        };
        for m in 0..(keys.rows - key).min(4) {
            let factor = factor * T::scale(keys, key + m);
            let scores = &mut scores[(key + m) * lanes + row..][..N];
            scores.iter_mut().zip(sums).for_each(|(score, sums)| *score = factor * sums[m]);
        }
    }
    N
}

/// The products of `N` rows with `M` keys, at most four.
///
/// # Safety
/// As for [`dot_rows`], and `key + M <= keys.rows`.
#[inline(always)]
unsafe fn dot_block<I: Isa, T: Wide, const M: usize, const N: usize>(
    numbers: &[T],
    keys: &Stored,
    key: usize,
    queries: &[f32],
    row: usize,
) -> [[f32; 4]; N] {
    let (width, stride) = (keys.columns, keys.row_stride);
    let keys_at = numbers.as_ptr().wrapping_add(key * stride);
    let queries_at = queries.as_ptr().wrapping_add(row * width);
    let mut sums = [[Lanes::ZERO; 4]; N];
    for first in (0..width).step_by(LANES) {
        for m in 0..M {
            // SAFETY: `key + m` is a row of the keys, of `width` numbers, whole vectors.
            let other = unsafe { load::<I, T>(keys_at.add(m * stride + first)) };
            for (n, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the queries hold `row + N` rows of `width` numbers, whole vectors.
                let own = unsafe { load::<I, f32>(queries_at.add(n * width + first)) };
                sums[m] = other.fma::<I>(own, sums[m]);
            }
        }
    }
    let mut scores = [[0.0; 4]; N];
    for (scores, sums) in scores.iter_mut().zip(&sums) {
        *scores = I::sums(sums);
    }
    scores
}

/// Adds values to `N` rows. Returns `N`.
///
/// # Safety
/// The numbers are those of the values, which are in bounds, their rows contiguous and of whole vectors; sums hold `row + N`
/// rows alike.
#[inline(always)]
unsafe fn add_rows<I: Isa, T: Wide, const N: usize>(
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
            match vectors - vector {
                4.. => add_block::<I, T, N, 4>(numbers, values, weights, lanes, row, sums, first),
                2.. => add_block::<I, T, N, 2>(numbers, values, weights, lanes, row, sums, first),
                _ => add_block::<I, T, N, 1>(numbers, values, weights, lanes, row, sums, first),
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
unsafe fn add_block<I: Isa, T: Wide, const N: usize, const F: usize>(
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
    for key in 0..values.rows {
        let value = numbers.as_ptr().wrapping_add(key * values.row_stride + first);
        let scale = T::scale(values, key);
        let weights = &weights[key * lanes + row..][..N];
        let mut others = [Lanes::ZERO; F];
        for (f, other) in others.iter_mut().enumerate() {
            // SAFETY: `key` is a row of the values.
            *other = unsafe { load::<I, T>(value.add(f * LANES)) };
        }
        for (own, weight) in own.iter_mut().zip(weights) {
            let weight = Lanes::splat(scale * weight);
            for (own, other) in own.iter_mut().zip(others) {
                *own = weight.fma::<I>(other, *own);
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
