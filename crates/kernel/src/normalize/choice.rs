//! What normalizers share that give all weight to one key.
//!
//! The choice streams: a row's best key so far has the weight 1, and when a better one comes, what was summed is forgotten.
//! Of equal keys the first is chosen. Beside it the log-sum-exp of the row is kept, from which the softmax can be made
//! again. Where weights are needed a second time, a scan finds the chosen keys.

use super::{Limits, Rows, Scan, noise};
use crate::scores::Scores;
use crate::scratch;
use crate::shape::{KEY_BLOCK, QUERY_BLOCK};
use crate::simd::{LANES, Lanes, multiversion};

/// Replaces scores by the weights of a choice among them: 1 for the best key so far of a row, 0 for the others. `logits`
/// are what the log-sum-exp runs over, times `factor`; the scores themselves if there are none.
pub(super) fn absorb(scores: &mut Scores, logits: Option<&[f32]>, factor: f32, rows: &mut Rows) {
    let lanes = scores.lanes();
    choose(scores.values_mut(), logits, lanes, factor, rows);
}

/// Marks the end of the keys.
pub(super) fn finish(factor: f32, rows: &mut Rows) {
    for i in 0..rows.count {
        let total = rows.total[i];
        // A choice passes over a NaN that the row is to show.
        rows.scale[i] = if total.is_nan() { total } else { 1.0 };
        rows.lse[i] = if total == 0.0 { f32::NEG_INFINITY } else { rows.reference[i] * factor + total.ln() };
    }
}

/// Hides all but the chosen keys.
pub(super) fn select(limits: &Limits, scores: &mut Scores) {
    let first = scores.queries().start;
    scores.each(|query, key, score| {
        let chosen = limits.keys[query - first] == key;
        // A NaN stays, to be seen.
        if chosen || score.is_nan() { score } else { f32::NEG_INFINITY }
    });
}

/// Replaces the scores that a selection has left by 1, others by 0.
pub(super) fn weights(lse: &[f32; QUERY_BLOCK], scores: &mut Scores) {
    let first = scores.queries().start;
    scores.each(|query, _, score| {
        if score == f32::NEG_INFINITY {
            0.0
        } else {
            1.0 + 0.0 * (if score.is_nan() { score } else { lse[query - first] })
        }
    });
}

/// A search for the best key of each row.
pub(super) struct Argmax {
    /// The noise that comes first, if any.
    seed: Option<u64>,
    best: [f32; QUERY_BLOCK],
    keys: [usize; QUERY_BLOCK],
}

impl Argmax {
    pub(super) fn new(seed: Option<u64>) -> Self {
        Self { seed, best: [f32::NEG_INFINITY; QUERY_BLOCK], keys: [usize::MAX; QUERY_BLOCK] }
    }
}

impl Scan for Argmax {
    fn tile(&mut self, scores: &Scores) {
        with_noise(scores, self.seed, |noisy| {
            let mut places = [u32::MAX; QUERY_BLOCK];
            raise(noisy, scores.lanes(), &mut self.best, &mut places);
            for (key, place) in self.keys.iter_mut().zip(places).filter(|&(_, place)| place != u32::MAX) {
                *key = scores.keys().start + place as usize;
            }
        });
    }

    fn again(&mut self) -> bool {
        false
    }

    fn limits(&mut self) -> Limits {
        Limits { scores: self.best, keys: self.keys }
    }
}

/// Calls `f` with a tile's numbers after the noise.
fn with_noise(scores: &Scores, seed: Option<u64>, f: impl FnOnce(&[f32])) {
    let Some(seed) = seed else { return f(scores.values()) };
    scratch::with([QUERY_BLOCK * KEY_BLOCK], |[memory]| {
        let mut noisy = scores.copy_in(memory);
        noise::add(seed, &mut noisy);
        f(noisy.values());
    });
}

multiversion! {
    fn choose<I>(scores: &mut [f32], logits: Option<&[f32]>, lanes: usize, factor: f32, rows: &mut Rows) {
        let factor = Lanes::splat(factor);
        for first in (0..lanes).step_by(LANES) {
            let old = Lanes::load(&rows.reference[first..]);
            let mut best = old;
            for row in scores.chunks_exact(lanes) {
                best = best.max(Lanes::load(&row[first..]));
            }
            let moved = old.zip(best, |old, best| if best > old { 1.0 } else { 0.0 });
            moved.map(|moved| 1.0 - moved).store(&mut rows.rescale[first..]);
            // A row that sees nothing yet must not compute −∞ − −∞.
            let reference = best.map(|x| if x == f32::NEG_INFINITY { 0.0 } else { x });
            let less = |x: Lanes| x.zip(reference, |x, reference| x - reference).zip(factor, |x, factor| x * factor);
            let faded = Lanes::load(&rows.total[first..]).zip(less(old).exp::<I>(), |total, fade| total * fade);
            // A tile is summed on its own: in one long sum of equal numbers every rounding would go the same way.
            let mut sum = Lanes::splat(0.0);
            let summed = logits.unwrap_or(scores);
            for row in summed.chunks_exact(lanes) {
                sum = sum.add(less(Lanes::load(&row[first..])).exp::<I>());
            }
            sum.add(faded).store(&mut rows.total[first..]);
            best.store(&mut rows.reference[first..]);
            let mut open = moved;
            for row in scores.chunks_exact_mut(lanes) {
                let same = Lanes::load(&row[first..]).zip(best, |x, best| if x == best { 1.0 } else { 0.0 });
                let weight = same.zip(open, |same, open| same * open);
                open = open.zip(weight, |open, weight| open - weight);
                weight.store(&mut row[first..]);
            }
        }
    }

    fn raise<I>(scores: &[f32], lanes: usize, best: &mut [f32; QUERY_BLOCK], places: &mut [u32; QUERY_BLOCK]) {
        for (key, row) in scores.chunks_exact(lanes.max(1)).enumerate() {
            for ((&x, best), place) in row.iter().zip(best.iter_mut()).zip(places.iter_mut()) {
                let better = x > *best;
                *place = if better { key as u32 } else { *place };
                *best = if better { x } else { *best };
            }
        }
    }
}
