//! Dropout without a generator's state: whether a number is kept is a hash of the seed and its place.
//!
//! Any part of a mask can be made again in any order, by any thread, with the same bits: the backward pass stores nothing,
//! and tiles need not agree on who draws first. The hash is a 32-bit finaliser with two multiplications, keyed twice.

use crate::scores::Scores;
use crate::shape::Tile;
use crate::simd::multiversion;
use crate::{Error, Result};

/// Scrambles 32 bits; every input bit flips every output bit half of the time (constants: Wellons, "hash prospector").
#[inline(always)]
pub(crate) fn mix(x: u32, key: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d) ^ key;
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// Scrambles 64 bits (the finaliser of SplitMix64).
#[inline(always)]
pub(crate) fn mix_long(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Two 32-bit keys for one seed and stream.
#[inline(always)]
fn keys(seed: u64, stream: u64) -> (u32, u32) {
    let key = mix_long(mix_long(seed) ^ stream);
    (key as u32, (key >> 32) as u32)
}

/// A number is dropped if its hash is below this.
#[inline(always)]
fn threshold(probability: f32) -> u32 {
    // 2^32 · p, rounded down, fits because p < 1; `as` saturates should the caller have skipped `check`.
    (f64::from(probability) * 4_294_967_296.0) as u32
}

/// What a kept number is multiplied with, so that the mean stays.
#[inline(always)]
fn scale(probability: f32) -> f32 {
    1.0 / (1.0 - probability)
}

/// Refuses a probability outside [0, 1).
///
/// # Errors
/// If `probability` is negative, 1 or more, or not a number.
pub fn check(probability: f32) -> Result<()> {
    if (0.0..1.0).contains(&probability) {
        Ok(())
    } else {
        Err(Error::new("dropout probability", probability, "at least 0 and less than 1"))
    }
}

/// Whether the number at `index` is kept, which happens with probability `1 - probability`.
#[inline(always)]
pub fn keep(seed: u64, index: u64, probability: f32) -> bool {
    let (first, second) = keys(seed, index >> 32);
    mix(index as u32 ^ first, second) >= threshold(probability)
}

multiversion! {
    /// Fills `out` with `1 / (1 - probability)` where [`keep`] says so for the indices from `start` on, 0 elsewhere.
    pub fn scale_mask<I>(seed: u64, start: u64, probability: f32, out: &mut [f32]) {
        let (threshold, scale) = (threshold(probability), scale(probability));
        let mut index = start;
        let mut rest = out;
        while !rest.is_empty() {
            // The keys change with the upper half of the index.
            let run = ((1u64 << 32) - (index & 0xffff_ffff)).min(rest.len() as u64);
            let (now, later) = rest.split_at_mut(run as usize);
            let (first, second) = keys(seed, index >> 32);
            for (i, x) in now.iter_mut().enumerate() {
                let hash = mix((index as u32).wrapping_add(i as u32) ^ first, second);
                *x = if hash >= threshold { scale } else { 0.0 };
            }
            index = index.wrapping_add(run);
            rest = later;
        }
    }
}

/// Dropout of attention weights, keyed by seed, batch, head, query and key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropout {
    probability: f32,
    seed: u64,
}

/// Whether the weight of `key` for `query` is kept by an [`Attention`](crate::Attention) with this dropout.
pub fn keep_weight(seed: u64, batch: usize, head: usize, query: usize, key: usize, probability: f32) -> bool {
    let (queries, keys) = weight_keys(seed, batch, head);
    mix(hash(query, queries) ^ hash(key, keys), keys.1) >= threshold(probability)
}

/// The keys of queries and of keys in one batch and head.
pub(crate) fn weight_keys(seed: u64, batch: usize, head: usize) -> ((u32, u32), (u32, u32)) {
    let stream = mix_long(batch as u64) ^ (head as u64);
    (keys(seed, mix_long(stream)), keys(!seed, mix_long(stream)))
}

/// A position under two keys.
#[inline(always)]
pub(crate) fn hash(position: usize, (first, second): (u32, u32)) -> u32 {
    mix(position as u32 ^ first, second)
}

impl Dropout {
    pub(crate) fn new(probability: f32, seed: u64) -> Result<Self> {
        check(probability)?;
        Ok(Self { probability, seed })
    }

    /// Multiplies what belongs to one query `[batch, head, query]` and some keys with what their weights are multiplied with.
    pub(crate) fn apply(&self, [batch, head, query]: [usize; 3], keys: &[u32], numbers: &mut [f32]) {
        let (queries, others) = weight_keys(self.seed, batch, head);
        let query = hash(query, queries);
        let (threshold, scale) = (threshold(self.probability), scale(self.probability));
        for (x, &key) in numbers.iter_mut().zip(keys) {
            *x *= if mix(query ^ hash(key as usize, others), others.1) >= threshold { scale } else { 0.0 };
        }
    }

    /// Fills a tile with what its weights are multiplied with: 0 or `1 / (1 - p)`.
    pub(crate) fn fill(&self, tile: &Tile, mask: &mut Scores) {
        let (queries, keys) = weight_keys(self.seed, tile.batch, tile.head);
        let (lanes, first_key) = (mask.lanes(), tile.keys.start);
        fill(mask.values_mut(), lanes, tile.queries.start, first_key, queries, keys, self.probability);
    }
}

multiversion! {
    fn fill<I>(
        mask: &mut [f32], lanes: usize, first_query: usize, first_key: usize,
        queries: (u32, u32), keys: (u32, u32), probability: f32
    ) {
        let (threshold, scale) = (threshold(probability), scale(probability));
        let mut hashes = [0u32; crate::shape::QUERY_BLOCK];
        for (lane, slot) in hashes.iter_mut().enumerate() {
            *slot = hash(first_query + lane, queries);
        }
        for (key, row) in mask.chunks_exact_mut(lanes.max(1)).enumerate() {
            let key = hash(first_key + key, keys);
            for (x, &query) in row.iter_mut().zip(&hashes) {
                *x = if mix(query ^ key, keys.1) >= threshold { scale } else { 0.0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slice_is_the_sequence_of_keeps_across_the_32_bit_border() {
        let start = (1u64 << 32) - 20;
        let mut mask = vec![0.0; 50];
        scale_mask(7, start, 0.25, &mut mask);
        for (i, &x) in mask.iter().enumerate() {
            assert_eq!(x, if keep(7, start + i as u64, 0.25) { 1.0 / 0.75 } else { 0.0 });
        }
    }

    #[test]
    fn the_mean_stays_and_seeds_do_not_correlate() {
        let masks: Vec<Vec<f32>> = (0..4)
            .map(|seed| {
                let mut mask = vec![0.0; 100_000];
                scale_mask(seed, 0, 0.3, &mut mask);
                mask
            })
            .collect();
        for (i, a) in masks.iter().enumerate() {
            let mean = a.iter().sum::<f32>() / 1e5;
            assert!((mean - 1.0).abs() < 0.01, "mean {mean}");
            for b in &masks[..i] {
                let both = a.iter().zip(b).map(|(a, b)| (a - 1.0) * (b - 1.0)).sum::<f32>() / 1e5;
                assert!(both.abs() < 0.01, "correlation {both}");
            }
            for lag in [1, 2, 16, 64, 1024] {
                let both = a.iter().zip(&a[lag..]).map(|(a, b)| (a - 1.0) * (b - 1.0)).sum::<f32>() / 1e5;
                assert!(both.abs() < 0.01, "correlation {both} at lag {lag}");
            }
        }
    }
}
