//! One batch and head: chunks of sorted queries, each with the keys of two chunks.

use crate::pack;
use crate::scratch;
use crate::simd::{Base, LANES, Lanes, gemm, multiversion, pad};
use crate::stored::Stored;
use crate::view::Matrix;

/// What a position's score for itself is lowered by when it is its own key: it looks at itself if nothing else is there.
const SELF: f32 = 5e4;
/// Vectors shorter than this are taken as they are, instead of divided by 0.
const SHORT: f32 = 1e-12;

/// Who meets whom.
#[derive(Clone, Copy)]
pub(super) struct Meeting<'a> {
    /// All rounds, one after the other.
    pub(super) queries: &'a [u32],
    pub(super) keys: &'a [u32],
    pub(super) chunk: usize,
    pub(super) causal: bool,
}

/// The matrices of one batch and head, rows padded to whole vectors.
pub(super) struct Unit<'a> {
    pub(super) meeting: Meeting<'a>,
    pub(super) queries: Matrix<'a>,
    pub(super) keys: Matrix<'a>,
    pub(super) values: Matrix<'a>,
    /// Features of a query, and of a value.
    pub(super) widths: [usize; 2],
    /// The lengths of the queries, if they are the keys.
    pub(super) norms: Option<&'a [f32]>,
}

/// What one chunk works with.
pub(super) struct Chunk<'a> {
    /// `[query][feature]`
    pub(super) queries: &'a mut [f32],
    /// `[feature][query]`
    pub(super) across: &'a mut [f32],
    /// `[key][feature]`
    pub(super) keys: &'a mut [f32],
    /// `[key][value feature]`
    pub(super) values: &'a mut [f32],
    /// `[key][query]`
    pub(super) scores: &'a mut [f32],
}

impl<'m> Meeting<'m> {
    /// The positions of each chunk's queries, and of its keys: of its own rank, and of the one before.
    pub(super) fn chunks(&self) -> impl Iterator<Item = (&'m [u32], [&'m [u32]; 2])> + use<'m> {
        let Meeting { queries, keys, chunk, .. } = *self;
        let mut before = &keys[keys.len() - chunk..];
        queries
            .chunks_exact(chunk)
            .zip(keys.chunks_exact(chunk))
            .map(move |(queries, keys)| (queries, [keys, std::mem::replace(&mut before, keys)]))
    }
}

impl Unit<'_> {
    /// Calls `f` with the unit of these matrices; without keys, the queries are keys at length 1.
    pub(super) fn with<R>(
        meeting: Meeting,
        queries: Stored,
        keys: Option<Stored>,
        values: Stored,
        f: impl FnOnce(&Unit) -> R,
    ) -> R {
        let widths = [queries.columns, values.columns];
        queries.with_padded(|queries| {
            values.with_padded(|values| match keys {
                Some(keys) => keys.with_padded(|keys| f(&Unit { meeting, queries, keys, values, widths, norms: None })),
                None => scratch::with([queries.rows * queries.columns, queries.rows], |[unit, norms]| {
                    pack::rows(queries, unit);
                    for (row, norm) in unit.chunks_exact_mut(queries.columns).zip(&mut *norms) {
                        *norm = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(SHORT);
                        row.iter_mut().for_each(|x| *x /= *norm);
                    }
                    let keys = Matrix::panel(unit, queries.rows, queries.columns, queries.columns);
                    f(&Unit { meeting, queries, keys, values, widths, norms: Some(norms) })
                }),
            })
        })
    }

    /// Fills `context` `[position, value feature]` and `rows` `[position, 2]`.
    pub(super) fn forward(&self, context: &mut [f32], rows: &mut [f32]) {
        let (lanes, padded) = (pad(self.meeting.chunk), self.values.columns);
        let length = self.queries.rows;
        let sizes = [length * padded, self.meeting.chunk * padded, lanes, lanes];
        self.with_chunk(|chunk| {
            scratch::with(sizes, |[sums, found, greatest, totals]| {
                sums.fill(0.0);
                rows.as_chunks_mut().0.iter_mut().for_each(|row| *row = [f32::NEG_INFINITY, 0.0]);
                for (queries, keys) in self.meeting.chunks() {
                    self.meet(chunk, queries, keys);
                    absorb(chunk.scores, greatest, totals);
                    let weights = Matrix::panel(chunk.scores, 2 * queries.len(), queries.len(), lanes).transposed();
                    gemm(1.0, weights, chunk.values, Base::Zero, found, padded);
                    if self.meeting.causal && !pack::all_finite(&found[..queries.len() * padded]) {
                        self.mix_seen(chunk, queries, keys, found);
                    }
                    merge(queries, greatest, totals, found, rows, sums);
                }
                let width = self.widths[1];
                for (at, row) in rows.as_chunks::<2>().0.iter().enumerate() {
                    let share = if row[1] == 0.0 { 0.0 } else { row[1].recip() };
                    let context = &mut context[at * width..][..width];
                    context.iter_mut().zip(&sums[at * padded..]).for_each(|(context, sum)| *context = share * sum);
                }
            });
        });
    }

    /// Fills what a chunk's queries find, where a value that is hidden is not finite: it must not meet its weight of 0.
    fn mix_seen(&self, chunk: &Chunk, queries: &[u32], keys: [&[u32]; 2], found: &mut [f32]) {
        let (lanes, padded) = (pad(queries.len()), self.values.columns.max(1));
        found.fill(0.0);
        let rows =
            keys.into_iter().flatten().zip(chunk.scores.chunks_exact(lanes)).zip(chunk.values.chunks_exact(padded));
        for ((&key, weights), value) in rows {
            for ((&query, &weight), found) in queries.iter().zip(weights).zip(found.chunks_exact_mut(padded)) {
                if key <= query {
                    found.iter_mut().zip(value).for_each(|(found, x)| *found += weight * x);
                }
            }
        }
    }

    /// Calls `f` with room for a chunk.
    pub(super) fn with_chunk<R>(&self, f: impl FnOnce(&mut Chunk) -> R) -> R {
        let (lanes, width, padded) = (pad(self.meeting.chunk), self.queries.columns, self.values.columns);
        let sizes =
            [lanes * width, width * lanes, 2 * lanes * width, 2 * lanes * padded, 2 * self.meeting.chunk * lanes];
        scratch::with(sizes, |[queries, across, keys, values, scores]| {
            f(&mut Chunk { queries, across, keys, values, scores: &mut scores[..2 * self.meeting.chunk * lanes] })
        })
    }

    /// Copies the rows of a chunk together, and fills their scores; −∞ where hidden.
    pub(super) fn meet(&self, chunk: &mut Chunk, queries: &[u32], keys: [&[u32]; 2]) {
        let (width, lanes) = (self.queries.columns, pad(queries.len()));
        gather(self.queries, queries, chunk.queries);
        pack::transpose(Matrix::panel(chunk.queries, queries.len(), width, width), chunk.across);
        for (half, keys) in keys.iter().enumerate() {
            gather(self.keys, keys, &mut chunk.keys[half * keys.len() * width..]);
            gather(self.values, keys, &mut chunk.values[half * keys.len() * self.values.columns..]);
        }
        let scale = (self.widths[0] as f32).sqrt().recip();
        let rows = Matrix::panel(chunk.keys, 2 * queries.len(), width, width);
        gemm(scale, rows, chunk.across, Base::Zero, chunk.scores, lanes);
        for (half, scores) in keys.into_iter().zip(chunk.scores.chunks_exact_mut(queries.len() * lanes)) {
            if self.meeting.causal {
                hide_later(queries, half, scores);
            }
            if self.norms.is_some() {
                lower_own(queries, half, scores);
            }
        }
    }
}

/// Copies some rows of a matrix, whose rows are whole vectors.
pub(super) fn gather(from: Matrix, positions: &[u32], to: &mut [f32]) {
    for (&position, to) in positions.iter().zip(to.chunks_exact_mut(from.columns.max(1))) {
        to.copy_from_slice(&from.data[position as usize * from.row_stride..][..from.columns]);
    }
}

multiversion! {
    /// Hides keys that come after a query; scores are `[key][query]`.
    fn hide_later<I>(queries: &[u32], keys: &[u32], scores: &mut [f32]) {
        for (&key, scores) in keys.iter().zip(scores.chunks_exact_mut(pad(queries.len()))) {
            for (score, &query) in scores.iter_mut().zip(queries) {
                *score = if key > query { f32::NEG_INFINITY } else { *score };
            }
        }
    }

    /// Lowers the scores of positions for themselves.
    fn lower_own<I>(queries: &[u32], keys: &[u32], scores: &mut [f32]) {
        for (&key, scores) in keys.iter().zip(scores.chunks_exact_mut(pad(queries.len()))) {
            for (score, &query) in scores.iter_mut().zip(queries) {
                *score -= if key == query { SELF } else { 0.0 };
            }
        }
    }

    /// Adds what the queries of a chunk found to what they found before: each a greatest score, a sum of exponentials relative
    /// to it, and a sum of values.
    fn merge<I>(
        queries: &[u32], greatest: &[f32], totals: &[f32], found: &[f32], rows: &mut [f32], sums: &mut [f32]
    ) {
        let rows = rows.as_chunks_mut::<2>().0;
        let padded = sums.len() / rows.len();
        for (i, &query) in queries.iter().enumerate() {
            let row = &mut rows[query as usize];
            if totals[i] == 0.0 {
                continue;
            }
            let most = row[0].max(greatest[i]);
            // One of the two is the greatest.
            let factor = |greatest: f32| if greatest == most { 1.0 } else { (greatest - most).exp() };
            let (before, here) = (factor(row[0]), factor(greatest[i]));
            *row = [most, row[1] * before + totals[i] * here];
            let sum = &mut sums[query as usize * padded..][..padded];
            for (sum, &found) in sum.iter_mut().zip(&found[i * padded..]) {
                *sum = I::fma(*sum, before, found * here);
            }
        }
    }

    /// Turns scores `[key][query]` into exponentials relative to the greatest of each query, and sums them.
    fn absorb<I>(scores: &mut [f32], greatest: &mut [f32], totals: &mut [f32]) {
        let lanes = greatest.len();
        for at in (0..lanes).step_by(LANES) {
            // Finite, so that a query that sees nothing gets sums of 0 and not of NaN.
            let mut max = Lanes::splat(f32::MIN);
            for row in scores.chunks_exact(lanes) {
                max = max.max(Lanes::load(&row[at..]));
            }
            let mut total = Lanes::ZERO;
            for row in scores.chunks_exact_mut(lanes) {
                let x = Lanes::load(&row[at..]).zip(max, |x, max| x - max).exp::<I>();
                total = total.add(x);
                x.store(&mut row[at..]);
            }
            max.store(&mut greatest[at..]);
            total.store(&mut totals[at..]);
        }
    }
}
