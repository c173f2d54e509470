//! One memory, from the last position to the first: what the gradient of what was read means for everything that was written.
//!
//! In the letters of [`chunk`](super::chunk), with dX the gradient of any X, `P` and `w` the products of decays, and S′ the
//! memory after a chunk:
//!
//! ```text
//! du_s = Σ_{t≥s} (q_t · (w_ts ⊙ k_s)) dc_t + Σ_{t>s} (k_t · (w_ts ⊙ k_s)) df_t + dS′ᵀ (w_s ⊙ k_s)
//! dv_t = β_t · du_t        dβ_t = du_t · (v_t − f_t)        df_t = −β_t · du_t
//! dq_t = P_t ⊙ S dc_t + Σ_{s≤t} (dc_t · u_s) (w_ts ⊙ k_s)
//! dk_s = w_s ⊙ dS′ u_s + Σ_{t≥s} (dc_t · u_s) (w_ts ⊙ q_t)     and, with beta, what it got as a reader and from readers
//! dS   = P ⊙ dS′ + Σ_t (P_t ⊙ q_t) ⊗ dc_t + Σ_t (P_t ⊙ k_t) ⊗ df_t
//! ```
//!
//! A decay multiplies everything that passes it, so its gradient is a sum over what comes later: of `q_t ⊙ dq_t`, what is
//! read, less `k_t ⊙ dk_t`, what is first written later (Yang et al. 2023, arXiv:2312.06635). It is begun anew at the end of
//! each chunk, with `S′ ⊙ dS′`, so that long sequences do not add up rounding errors.
//!
//! The memory at the beginning of each chunk is needed again. It is kept every [`SPAN`] positions on a first way through,
//! and within a span on a second one, so that it takes little room beside the sequence itself.

use std::ops::Range;

use super::chunk::{CHUNK, Chunk, Stream, remember, scale_rows};
use super::room::{Room, decays, exponentials, inner_products, multiply, narrow};
use crate::pack;
use crate::scratch;
use crate::shape::blocks;
use crate::simd::{Base, gemm, pad};
use crate::stored::Stored;
use crate::view::Matrix;

/// Positions from one memory that is kept to the next.
const SPAN: usize = 16 * CHUNK;

/// Where a stream's gradients go.
pub(super) struct Into<'a> {
    /// `[head][position][feature]`
    pub(super) queries: &'a mut [f32],
    /// `[position][feature]`
    pub(super) keys: &'a mut [f32],
    /// `[position][value feature]`
    pub(super) values: &'a mut [f32],
    /// `[position][feature]`, if there is a decay.
    pub(super) decay: &'a mut [f32],
    /// `[position]`, if there is a beta.
    pub(super) beta: &'a mut [f32],
    /// `[feature][value feature]`: that of the memory in the beginning.
    pub(super) state: &'a mut [f32],
}

impl Stream<'_> {
    /// Fills `into`, given the gradients of the context `[position, value feature]` of each head and of the memory in the
    /// end. Gates that are not there get nothing.
    pub(super) fn reverse(&self, state: Option<Stored>, grad: &[Stored], grad_state: Option<Stored>, mut into: Into) {
        let (width, value_width) = (self.keys.columns, self.values.columns);
        let lanes = pad(value_width);
        let size = width * lanes;
        let spans: Vec<_> = blocks(0..self.keys.rows, SPAN).collect();
        let writer = Stream { queries: Vec::new(), ..*self };
        let (mut borders, mut states) = (vec![0.0; (spans.len() + 1) * size], vec![0.0; SPAN / CHUNK * size]);
        remember(state, &mut borders[..size]);
        for (i, span) in spans.iter().enumerate() {
            let (before, after) = borders[i * size..].split_at_mut(size);
            writer.pass(span.clone(), before, |held, _| after[..size].copy_from_slice(held));
        }
        self.with_room(|room| {
            remember(grad_state, room.memory);
            if self.decay.is_some() {
                inner_products(&borders[spans.len() * size..], room.memory, lanes, &mut room.through[..width]);
            }
            for (i, span) in spans.iter().enumerate().rev() {
                let border = &borders[i * size..][..size];
                states[..size].copy_from_slice(border);
                writer.pass(span.clone(), border, |held, next| {
                    if let Some(state) = states.chunks_exact_mut(size.max(1)).nth(next) {
                        state.copy_from_slice(held);
                    }
                });
                self.with_chunk(|chunk, _| {
                    for (i, positions) in blocks(span.clone(), CHUNK).collect::<Vec<_>>().into_iter().enumerate().rev()
                    {
                        self.meet(chunk, positions.clone(), &states[i * size..][..size]);
                        self.back(chunk, room, positions, &states[i * size..][..size], grad, &mut into);
                    }
                });
            }
            for (row, held) in
                into.state.chunks_exact_mut(value_width.max(1)).zip(room.memory.chunks_exact(lanes.max(1)))
            {
                row.copy_from_slice(&held[..value_width]);
            }
        });
    }

    /// Goes through a span and shows the memory after each of its chunks, with how many there were.
    fn pass(&self, span: Range<usize>, before: &[f32], mut show: impl FnMut(&[f32], usize)) {
        self.with_chunk(|chunk, held| {
            let held = &mut held[..before.len()];
            held.copy_from_slice(before);
            for (i, positions) in blocks(span, CHUNK).enumerate() {
                self.meet(chunk, positions, held);
                self.advance(chunk, held);
                show(held, i + 1);
            }
        });
    }

    /// The gradients of one chunk, that has met the memory before it, `held`.
    fn back(
        &self,
        chunk: &Chunk,
        room: &mut Room,
        positions: Range<usize>,
        held: &[f32],
        grad: &[Stored],
        into: &mut Into,
    ) {
        let (width, value_width, count, lanes) = (self.keys.columns, self.values.columns, chunk.count, chunk.lanes);
        let (padded, rows) = (pad(width), self.readers() * count);
        for (grad, found) in grad.iter().zip(room.found.chunks_exact_mut((count * lanes).max(1))) {
            grad.slice(positions.clone()).with(|grad| pack::rows(grad, found));
            found.iter_mut().for_each(|x| *x *= self.scale);
        }
        self.written(chunk, room, positions.clone(), into);

        // What readers and keys got by way of the memory.
        let found = Matrix::panel(room.found, rows, value_width, lanes);
        pack::transpose(Matrix::panel(held, width, value_width, lanes), room.turned);
        gemm(1.0, found, room.turned, Base::Zero, room.readers, padded);
        pack::transpose(Matrix::panel(room.memory, width, value_width, lanes), room.turned);
        let written = Matrix::panel(chunk.written, count, value_width, lanes);
        gemm(1.0, written, room.turned, Base::Zero, room.keys, padded);
        // And from each other.
        pack::transpose(written, room.written_turned);
        gemm(1.0, found, room.written_turned, Base::Zero, room.alike, CHUNK);
        self.raw(room, positions.clone(), count);
        if let Some(gate) = self.decay {
            gate.slice(positions.clone()).with(|gate| pack::rows(gate, room.kept));
            exponentials(&mut room.kept[..count * padded]);
            for readers in room.readers[..rows * padded].chunks_exact_mut((count * padded).max(1)) {
                multiply(readers, &chunk.decay[..count * padded]);
            }
        }
        self.among(room, count, padded);
        self.raw(room, positions.clone(), count);
        if self.decay.is_some() {
            let decay = &mut into.decay[positions.start * width..][..count * width];
            decays(room, [count, rows, width, padded], decay);
        }

        let readers = room.readers.chunks_exact((count * padded).max(1)).enumerate();
        for (reader, readers) in readers.take(self.readers()) {
            if reader < self.queries.len() {
                let first = (reader * self.keys.rows + positions.start) * width;
                narrow(readers, padded, width, &mut into.queries[first..][..count * width]);
            } else {
                room.keys.iter_mut().zip(readers).for_each(|(key, reader)| *key += reader);
            }
        }
        narrow(room.keys, padded, width, &mut into.keys[positions.start * width..][..count * width]);

        if self.decay.is_some() {
            scale_rows(room.memory, lanes, &chunk.decay[(count - 1) * padded..][..width]);
        }
        let readers = Matrix::panel(chunk.readers, rows, width, padded).transposed();
        gemm(1.0, readers, room.found, Base::Sum, room.memory, lanes);
        if self.decay.is_some() {
            inner_products(held, room.memory, lanes, &mut room.through[..width]);
        }
    }

    /// The gradients of what is written, and by way of it of values and betas, and of what keys found.
    fn written(&self, chunk: &Chunk, room: &mut Room, positions: Range<usize>, into: &mut Into) {
        let (width, value_width, count, lanes) = (self.keys.columns, self.values.columns, chunk.count, chunk.lanes);
        let keys = Matrix::panel(chunk.keys, width, count, CHUNK).transposed();
        gemm(1.0, keys, room.memory, Base::Zero, room.written, lanes);
        // Those of a later position that have `position` in common with a reader.
        let later = |reader: usize, position: usize, first: usize| {
            let start = (reader * count + first) * CHUNK + position;
            Matrix::panel(chunk.alike.get(start..).unwrap_or_default(), count - first, 1, CHUNK).transposed()
        };
        let row = |reader: usize, position: usize| (reader * count + position) * lanes;
        for position in 0..count {
            let written = &mut room.written[position * lanes..][..lanes];
            for head in 0..self.queries.len() {
                gemm(
                    1.0,
                    later(head, position, position),
                    &room.found[row(head, position)..],
                    Base::Sum,
                    written,
                    lanes,
                );
            }
        }
        let Some(beta) = self.beta else {
            let into = &mut into.values[positions.start * value_width..][..count * value_width];
            return narrow(room.written, lanes, value_width, into);
        };
        let reader = self.queries.len();
        scratch::with([CHUNK * lanes], |[missed]| {
            // What was missing of each value under its key.
            self.values.slice(positions.clone()).with(|values| pack::rows(values, missed));
            beta.slice(positions.clone()).with(|beta| {
                for position in (0..count).rev() {
                    let (before, missed) =
                        (&chunk.written[..position * lanes], &mut missed[position * lanes..][..lanes]);
                    let alike = Matrix::panel(&chunk.alike[(reader * count + position) * CHUNK..], 1, position, CHUNK);
                    gemm(-1.0, alike, before, Base::Sum, missed, lanes);
                    let found = &chunk.found[row(reader, position)..][..lanes];
                    missed.iter_mut().zip(found).for_each(|(x, found)| *x -= found);

                    let written = &mut room.written[position * lanes..][..lanes];
                    let finds = room.found.get(row(reader, position + 1)..).unwrap_or_default();
                    gemm(1.0, later(reader, position, position + 1), finds, Base::Sum, written, lanes);
                    let place = positions.start + position;
                    let rate = beta.get(position, 0);
                    into.beta[place] = written.iter().zip(missed).map(|(x, missed)| x * *missed).sum();
                    let values = &mut into.values[place * value_width..][..value_width];
                    values.iter_mut().zip(&*written).for_each(|(to, x)| *to = rate * x);
                    let found = &mut room.found[row(reader, position)..][..lanes];
                    found.iter_mut().zip(&*written).for_each(|(to, x)| *to = -rate * x);
                }
            });
        });
    }

    /// Copies keys and readers as they came.
    fn raw(&self, room: &mut Room, positions: Range<usize>, count: usize) {
        self.keys.slice(positions.clone()).with(|keys| pack::rows(keys, room.fading));
        let readers = self.queries.iter().chain(self.beta.is_some().then_some(&self.keys));
        let size = (count * pad(self.keys.columns)).max(1);
        for (reader, rows) in readers.zip(room.raw.chunks_exact_mut(size)) {
            reader.slice(positions.clone()).with(|reader| pack::rows(reader, rows));
        }
    }
}
