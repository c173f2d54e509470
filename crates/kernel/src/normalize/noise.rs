//! Gumbel noise: the greatest of scores with this noise is a sample of their softmax.
//!
//! `g = −ln(−ln u)` with u uniform between 0 and 1 (Gumbel 1954; Maddison et al. 2014, arXiv:1411.0030). As with
//! [`dropout`](crate::dropout), u is a hash of a seed and a place. The same noise comes in every pass and for any tiling, and
//! nothing is kept. Dropout of the same seed draws other numbers.

use crate::dropout::{hash, mix, weight_keys};
use crate::scores::Scores;
use crate::shape::QUERY_BLOCK;
use crate::simd::{LANES, Lanes, ln, multiversion};

/// Tells the numbers of this noise from those of dropout.
const STREAM: u64 = 0x6775_6d62_656c_2121;

/// The noise that `seed` gives the score of `key` for `query`, from about −2.8 to 16.6.
pub fn gumbel(seed: u64, batch: usize, head: usize, query: usize, key: usize) -> f32 {
    let (queries, keys) = weight_keys(seed ^ STREAM, batch, head);
    let u = uniform(mix(hash(query, queries) ^ hash(key, keys), keys.1));
    -(-u.ln()).ln()
}

/// A number between 0 and 1, neither of them.
#[inline(always)]
fn uniform(bits: u32) -> f32 {
    ((bits >> 9) as f32 + 0.5) * (1.0 / 8_388_608.0)
}

/// Adds the noise to scores; one that is −∞ stays.
pub(super) fn add(seed: u64, scores: &mut Scores) {
    let (queries, keys) = weight_keys(seed ^ STREAM, scores.batch(), scores.head());
    let (lanes, first_query, first_key) = (scores.lanes(), scores.queries().start, scores.keys().start);
    add_hashed(scores.values_mut(), lanes, first_query, first_key, queries, keys);
}

multiversion! {
    fn add_hashed<I>(
        scores: &mut [f32], lanes: usize, first_query: usize, first_key: usize, queries: (u32, u32), keys: (u32, u32)
    ) {
        let mut hashes = [0u32; QUERY_BLOCK];
        for (lane, slot) in hashes.iter_mut().enumerate() {
            *slot = hash(first_query + lane, queries);
        }
        for (key, row) in scores.chunks_exact_mut(lanes.max(1)).enumerate() {
            let key = hash(first_key + key, keys);
            for (scores, hashes) in row.as_chunks_mut::<LANES>().0.iter_mut().zip(hashes.as_chunks::<LANES>().0) {
                let mut noise = Lanes::ZERO;
                for (x, &query) in noise.0.iter_mut().zip(hashes) {
                    *x = uniform(mix(query ^ key, keys.1));
                }
                let noise = noise.map(ln::<I>).map(|x| -x).map(ln::<I>);
                *scores = Lanes(*scores).zip(noise, |score, noise| score - noise).0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::gumbel;

    #[test]
    fn moments_are_those_of_the_distribution() {
        let draws: Vec<f64> = (0..300).flat_map(|i| (0..300).map(move |j| f64::from(gumbel(7, 1, 2, i, j)))).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        // Euler's constant and π²/6.
        assert!((mean - 0.577_215_66).abs() < 0.02, "mean {mean}");
        assert!((variance - 1.644_934).abs() < 0.05, "variance {variance}");
    }
}
