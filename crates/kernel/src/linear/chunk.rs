//! One memory and those who share it, sixteen positions at a time.
//!
//! Let P be the product of the decays since the chunk began and `w_ts` the product of those after position s up to
//! position t, feature by feature. What a position reads is what the memory held before the chunk, and what the positions
//! of the chunk have written since:
//!
//! ```text
//! u_t = β_t · (v_t − (P_t ⊙ k_t)ᵀ S − Σ_{s<t} (k_t · (w_ts ⊙ k_s)) u_s)
//! c_t = scale · ((P_t ⊙ q_t)ᵀ S + Σ_{s≤t} (q_t · (w_ts ⊙ k_s)) u_s)
//! S'  = P ⊙ S + Σ_s (w_s ⊙ k_s) ⊗ u_s
//! ```

use std::ops::Range;

use crate::pack;
use crate::scratch;
use crate::shape::blocks;
use crate::simd::{Base, LANES, Lanes, gemm, multiversion, pad};
use crate::stored::Stored;
use crate::view::Matrix;

/// Positions that are worked on together: each is a lane.
pub(super) const CHUNK: usize = LANES;

/// What passes by one memory, as matrices `[position, feature]`.
pub(super) struct Stream<'a> {
    /// One for each head that reads.
    pub(super) queries: Vec<Stored<'a>>,
    pub(super) keys: Stored<'a>,
    pub(super) values: Stored<'a>,
    pub(super) decay: Option<Stored<'a>>,
    pub(super) beta: Option<Stored<'a>>,
    pub(super) scale: f32,
}

/// The numbers of one chunk. Rows are padded with 0 to whole vectors; a *reader* is one who reads the memory: the queries of
/// each head, and then the keys if there is a beta.
pub(super) struct Chunk<'a> {
    /// How many positions there are.
    pub(super) count: usize,
    /// The width of a value, padded.
    pub(super) lanes: usize,
    /// `[feature][position]`, `CHUNK` positions: keys, each faded by the decays that have come since.
    pub(super) keys: &'a mut [f32],
    /// `[reader][position][feature]`, faded by the decays since the chunk began.
    pub(super) readers: &'a mut [f32],
    /// `[reader][position][position]`, `CHUNK` of the latter: what a reader has in common with each that wrote.
    pub(super) alike: &'a mut [f32],
    /// `[reader][position][lane]`: what a reader finds.
    pub(super) found: &'a mut [f32],
    /// `[position][lane]`: what is written.
    pub(super) written: &'a mut [f32],
    /// `[position][feature]`: the product of the decays up to a position, if there are any.
    pub(super) decay: &'a mut [f32],
}

impl Stream<'_> {
    /// Fills `context` `[head, position, value feature]`, and `memory` `[feature, value feature]` with what is in the end.
    pub(super) fn run(&self, state: Option<Stored>, context: &mut [f32], memory: &mut [f32]) {
        let (width, value_width) = (self.keys.columns, self.values.columns);
        self.with_chunk(|chunk, held| {
            remember(state, held);
            for positions in blocks(0..self.keys.rows, CHUNK) {
                self.meet(chunk, positions.clone(), held);
                self.read(chunk, positions, context);
                self.advance(chunk, held);
            }
            let lanes = chunk.lanes.max(1);
            for (row, held) in memory.chunks_exact_mut(value_width.max(1)).zip(held.chunks_exact(lanes)).take(width) {
                row.copy_from_slice(&held[..value_width]);
            }
        });
    }

    /// Calls `f` with room for a chunk and for the memory, `[feature][lane]`.
    pub(super) fn with_chunk<R>(&self, f: impl FnOnce(&mut Chunk, &mut [f32]) -> R) -> R {
        let (width, lanes) = (self.keys.columns, pad(self.values.columns));
        let padded = pad(width);
        let readers = CHUNK * self.readers();
        let sizes = [
            width * lanes,
            padded * CHUNK,
            readers * padded,
            readers * CHUNK,
            readers * lanes,
            CHUNK * lanes,
            CHUNK * padded,
        ];
        scratch::with(sizes, |[held, keys, readers, alike, found, written, decay]| {
            keys.fill(0.0);
            f(&mut Chunk { count: 0, lanes, keys, readers, alike, found, written, decay }, held)
        })
    }

    /// Lets the positions of a chunk meet the memory and each other: everything of it but what the heads read.
    pub(super) fn meet(&self, chunk: &mut Chunk, positions: Range<usize>, held: &[f32]) {
        let (width, count, lanes) = (self.keys.columns, positions.len(), chunk.lanes);
        let (padded, rows) = (pad(width), self.readers() * count);
        chunk.count = count;
        self.load(chunk, positions.clone());
        if let Some(gate) = self.decay {
            let decay = &mut chunk.decay[..count * padded];
            gate.slice(positions.clone()).with(|gate| pack::rows(gate, decay));
            fade(decay, chunk.keys, &mut chunk.readers[..rows * padded], chunk.alike);
        } else {
            let readers = Matrix::panel(chunk.readers, rows, width, padded);
            gemm(1.0, readers, chunk.keys, Base::Zero, chunk.alike, CHUNK);
        }
        let readers = Matrix::panel(chunk.readers, rows, width, padded);
        gemm(1.0, readers, held, Base::Zero, chunk.found, lanes);
        self.write(chunk, positions);
    }

    /// Writes to the memory what a chunk that has met it writes.
    pub(super) fn advance(&self, chunk: &Chunk, held: &mut [f32]) {
        let (width, count, lanes) = (self.keys.columns, chunk.count, chunk.lanes);
        if self.decay.is_some() {
            scale_rows(held, lanes, &chunk.decay[(count - 1) * pad(width)..][..width]);
        }
        gemm(1.0, Matrix::panel(chunk.keys, width, count, CHUNK), chunk.written, Base::Sum, held, lanes);
    }

    /// How many read the memory at each position.
    pub(super) fn readers(&self) -> usize {
        self.queries.len() + usize::from(self.beta.is_some())
    }

    /// Copies keys and readers, not faded yet.
    fn load(&self, chunk: &mut Chunk, positions: Range<usize>) {
        self.keys.slice(positions.clone()).with(|keys| pack::transpose(keys, chunk.keys));
        let readers = self.queries.iter().chain(self.beta.is_some().then_some(&self.keys));
        let size = (chunk.count * pad(self.keys.columns)).max(1);
        for (reader, rows) in readers.zip(chunk.readers.chunks_exact_mut(size)) {
            reader.slice(positions.clone()).with(|reader| pack::rows(reader, rows));
        }
    }

    /// Works out what each position writes, which by the delta rule depends on those before it.
    fn write(&self, chunk: &mut Chunk, positions: Range<usize>) {
        let (lanes, first) = (chunk.lanes, self.queries.len() * chunk.count);
        self.values.slice(positions.clone()).with(|values| pack::rows(values, chunk.written));
        let Some(beta) = self.beta else { return };
        beta.slice(positions).with(|beta| {
            for position in 0..chunk.count {
                let (before, row) = chunk.written.split_at_mut(position * lanes);
                let row = &mut row[..lanes];
                let alike = Matrix::panel(&chunk.alike[(first + position) * CHUNK..], 1, position, CHUNK);
                gemm(-1.0, alike, before, Base::Sum, row, lanes);
                move_by(beta.get(position, 0), row, &chunk.found[(first + position) * lanes..][..lanes]);
            }
        });
    }

    /// Adds what was written in the chunk itself to what was found, and hands it out.
    fn read(&self, chunk: &mut Chunk, positions: Range<usize>, context: &mut [f32]) {
        let (lanes, width) = (chunk.lanes, self.values.columns);
        for head in 0..self.queries.len() {
            for position in 0..chunk.count {
                let row = head * chunk.count + position;
                let found = &mut chunk.found[row * lanes..][..lanes];
                // No more than those who wrote already: 0 · NaN of a later one would be NaN.
                let alike = Matrix::panel(&chunk.alike[row * CHUNK..], 1, position + 1, CHUNK);
                gemm(1.0, alike, chunk.written, Base::Sum, found, lanes);
                let place = head * self.keys.rows + positions.start + position;
                for (out, found) in context[place * width..][..width].iter_mut().zip(found) {
                    *out = self.scale * *found;
                }
            }
        }
    }
}

/// Copies a state to a memory; without one it is empty.
pub(super) fn remember(state: Option<Stored>, held: &mut [f32]) {
    match state {
        Some(state) => state.with(|state| pack::rows(state, held)),
        None => held.fill(0.0),
    }
}

multiversion! {
    /// Fades keys and readers by the decays, and compares them on the way: each reader with the keys as they are faded by
    /// then. `decay` `[position][feature]` becomes the product of all up to each position.
    fn fade<I>(decay: &mut [f32], keys: &mut [f32], readers: &mut [f32], alike: &mut [f32]) {
        let padded = keys.len() / CHUNK;
        if padded == 0 {
            alike.fill(0.0);
            return;
        }
        let count = decay.len() / padded;
        for kept in decay.as_chunks_mut::<LANES>().0 {
            *kept = Lanes(*kept).exp::<I>().0;
        }
        for position in 0..count {
            let kept = &decay[position * padded..][..padded];
            // Those that have written yet fade; the others are multiplied with 1.
            let (mut wrote, mut will) = (Lanes::ZERO, Lanes::splat(1.0));
            wrote.0[..position].fill(1.0);
            will.0[..position].fill(0.0);
            for (key, &kept) in keys.as_chunks_mut::<CHUNK>().0.iter_mut().zip(kept) {
                let factor = I::fma_lanes(Lanes::splat(kept), wrote, will);
                *key = I::fma_lanes(Lanes(*key), factor, Lanes::ZERO).0;
            }
            let rows = readers.chunks_exact(padded).zip(alike.as_chunks_mut::<CHUNK>().0);
            for (reader, alike) in rows.skip(position).step_by(count) {
                // Four sums, so that none waits for another.
                let mut sums = [Lanes::ZERO; 4];
                for (reader, keys) in reader.as_chunks::<4>().0.iter().zip(keys.chunks_exact(4 * CHUNK)) {
                    for ((sum, &x), key) in sums.iter_mut().zip(reader).zip(keys.as_chunks::<CHUNK>().0) {
                        *sum = I::fma_lanes(Lanes::splat(x), Lanes(*key), *sum);
                    }
                }
                *alike = sums[0].add(sums[1]).add(sums[2].add(sums[3])).0;
            }
        }
        for position in 1..count {
            let (before, kept) = decay.split_at_mut(position * padded);
            for (kept, before) in kept.iter_mut().zip(&before[(position - 1) * padded..]) {
                *kept *= before;
            }
        }
        for rows in readers.chunks_exact_mut(count * padded) {
            rows.iter_mut().zip(&*decay).for_each(|(x, kept)| *x *= kept);
        }
    }

    /// `row = rate · (row − found)`
    fn move_by<I>(rate: f32, row: &mut [f32], found: &[f32]) {
        row.iter_mut().zip(found).for_each(|(x, found)| *x = rate * (*x - found));
    }

    /// Multiplies each row with its factor.
    pub(super) fn scale_rows<I>(rows: &mut [f32], lanes: usize, factors: &[f32]) {
        for (row, factor) in rows.chunks_exact_mut(lanes.max(1)).zip(factors) {
            row.iter_mut().for_each(|x| *x *= factor);
        }
    }
}
