//! Where the gradients of a chunk lie, and what its positions owe to each other.

use super::chunk::{CHUNK, Stream};
use crate::scratch;
use crate::simd::{Base, LANES, Lanes, gemm, multiversion, pad};
use crate::view::Matrix;

/// Gradients and working memory of a chunk; `[row]` is `[reader][position]`.
pub(super) struct Room<'a> {
    /// `[feature][lane]`: of the memory after the chunk, and then of that before it.
    pub(super) memory: &'a mut [f32],
    /// `[value feature][feature]`: a memory, turned.
    pub(super) turned: &'a mut [f32],
    /// `[row][lane]`: of what is read.
    pub(super) found: &'a mut [f32],
    /// `[position][lane]`: of what is written.
    pub(super) written: &'a mut [f32],
    /// `[value feature][position]`: what is written, turned.
    pub(super) written_turned: &'a mut [f32],
    /// `[row][position]`
    pub(super) alike: &'a mut [f32],
    /// `[row][feature]`
    pub(super) readers: &'a mut [f32],
    /// `[position][feature]`: of the keys as they write.
    pub(super) keys: &'a mut [f32],
    /// `[position][feature]`: keys as they fade.
    pub(super) fading: &'a mut [f32],
    /// `[row][feature]`: readers as they fade, going back.
    pub(super) raw: &'a mut [f32],
    /// `[position][feature]`: what is kept at each position.
    pub(super) kept: &'a mut [f32],
    /// `[feature]`: Σ memory · gradient, at the end of the chunk.
    pub(super) through: &'a mut [f32],
}

impl Stream<'_> {
    /// Calls `f` with room for the gradients of a chunk.
    pub(super) fn with_room<R>(&self, f: impl FnOnce(&mut Room) -> R) -> R {
        let (width, value_width) = (self.keys.columns, self.values.columns);
        let (padded, lanes) = (pad(width), pad(value_width));
        let (rows, memory) = (CHUNK * self.readers(), [width * lanes, value_width * padded]);
        let values = [rows * lanes, CHUNK * lanes, value_width * CHUNK];
        let keys = [rows * CHUNK, rows * padded, CHUNK * padded, CHUNK * padded, rows * padded, CHUNK * padded, padded];
        scratch::with(
            [
                memory[0], memory[1], values[0], values[1], values[2], keys[0], keys[1], keys[2], keys[3], keys[4],
                keys[5], keys[6],
            ],
            |[memory, turned, found, written, written_turned, alike, readers, keys, fading, raw, kept, through]| {
                f(&mut Room {
                    memory,
                    turned,
                    found,
                    written,
                    written_turned,
                    alike,
                    readers,
                    keys,
                    fading,
                    raw,
                    kept,
                    through,
                })
            },
        )
    }

    /// What readers and keys of a chunk got from each other, and keys faded as they wrote.
    pub(super) fn among(&self, room: &mut Room, count: usize, padded: usize) {
        let decays = self.decay.is_some();
        let reader_of_keys = self.queries.len();
        for position in 0..count {
            let kept = &room.kept[position * padded..][..padded];
            if decays {
                room.fading[..position * padded].chunks_exact_mut(padded.max(1)).for_each(|key| multiply(key, kept));
            }
            for reader in 0..self.readers() {
                let row = reader * count + position;
                let seen = position + usize::from(reader < reader_of_keys);
                let alike = Matrix::panel(&room.alike[row * CHUNK..], 1, seen, CHUNK);
                gemm(1.0, alike, room.fading, Base::Sum, &mut room.readers[row * padded..][..padded], padded);
            }
        }
        for position in (0..count).rev() {
            let key = &mut room.keys[position * padded..][..padded];
            for reader in 0..self.readers() {
                let first = reader * count + position + usize::from(reader == reader_of_keys);
                let readers = (reader + 1) * count - first;
                let alike = room.alike.get(first * CHUNK + position..).unwrap_or_default();
                let alike = Matrix::panel(alike, readers, 1, CHUNK).transposed();
                gemm(1.0, alike, room.raw.get(first * padded..).unwrap_or_default(), Base::Sum, key, padded);
            }
            if decays {
                let kept = &room.kept[position * padded..][..padded];
                room.keys[..position * padded].chunks_exact_mut(padded.max(1)).for_each(|key| multiply(key, kept));
                for reader in 0..self.readers() {
                    let rows = (reader * count + position) * padded..(reader + 1) * count * padded;
                    room.raw[rows].chunks_exact_mut(padded.max(1)).for_each(|row| multiply(row, kept));
                }
            }
        }
    }
}

/// The gradients of decays, from the last position of a chunk to the first.
pub(super) fn decays(room: &mut Room, [count, rows, width, padded]: [usize; 4], into: &mut [f32]) {
    for position in (0..count).rev() {
        let key = position * padded..position * padded + width;
        let sum = &mut room.through[..width];
        add_products(-1.0, &room.keys[key.clone()], &room.fading[key.clone()], sum);
        for row in (position..rows).step_by(count) {
            let reader = row * padded..row * padded + width;
            add_products(1.0, &room.readers[reader.clone()], &room.raw[reader], sum);
        }
        for (into, (sum, &kept)) in
            into[position * width..][..width].iter_mut().zip(sum.iter_mut().zip(&room.kept[key]))
        {
            // Where nothing is kept, nothing that came before can matter.
            if kept == 0.0 {
                *sum = 0.0;
            }
            *into = *sum;
        }
    }
}

multiversion! {
    /// `e^x` of each number.
    pub(super) fn exponentials<I>(numbers: &mut [f32]) {
        for x in numbers.as_chunks_mut::<LANES>().0 {
            *x = Lanes(*x).exp::<I>().0;
        }
    }

    /// Multiplies each number with the one in its place.
    pub(super) fn multiply<I>(numbers: &mut [f32], factors: &[f32]) {
        numbers.iter_mut().zip(factors).for_each(|(x, factor)| *x *= factor);
    }

    /// The inner product of each row with the other in its place.
    pub(super) fn inner_products<I>(rows: &[f32], others: &[f32], lanes: usize, products: &mut [f32]) {
        let pairs = rows.chunks_exact(lanes.max(1)).zip(others.chunks_exact(lanes.max(1)));
        products.fill(0.0);
        for (product, (row, other)) in products.iter_mut().zip(pairs) {
            let mut sum = Lanes::ZERO;
            for (x, y) in row.as_chunks::<LANES>().0.iter().zip(other.as_chunks::<LANES>().0) {
                sum = Lanes(*x).fma::<I>(Lanes(*y), sum);
            }
            *product = sum.sum();
        }
    }

    /// `sums += factor · x ⊙ y`
    fn add_products<I>(factor: f32, x: &[f32], y: &[f32], sums: &mut [f32]) {
        sums.iter_mut().zip(x).zip(y).for_each(|((sum, x), y)| *sum += factor * x * y);
    }
}

/// Copies rows without their padding.
pub(super) fn narrow(rows: &[f32], padded: usize, width: usize, to: &mut [f32]) {
    for (to, row) in to.chunks_exact_mut(width.max(1)).zip(rows.chunks_exact(padded.max(1))) {
        to.copy_from_slice(&row[..width]);
    }
}
