//! What sparsemax and entmax share: weights that end at a threshold, and the search for it.
//!
//! Of a row's numbers x, those above τ have weight `x − τ`, or its square, and τ is such that the weights sum to 1. Sums
//! over the numbers above any l ≤ τ lead closer to τ from below: a step of Newton's method on a function that is convex,
//! and exact as soon as no number is left behind by the step. No row is held for that:
//!
//! 1. The first pass collects each row's candidates. The greatest x has at most the weight 1, so τ ≥ x − 1, and τ is no
//!    less than the threshold of any part of the row: most numbers are out at once, and τ is found among what is left.
//! 2. A row with too many candidates for that, as when all scores are nearly alike, only keeps the best l so far. Each
//!    further pass adds up the numbers above l and takes a step; there are few, since the steps converge quadratically.

use super::{Limits, Rows, Scan, above};
use crate::scores::Scores;
use crate::shape::QUERY_BLOCK;
use crate::simd::{LANES, Lanes, multiversion};

/// How a weight grows with what its number has above the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Power {
    One,
    Two,
}

/// Sums over the numbers above a lower bound of the threshold, each less that bound.
#[derive(Clone, Copy, Debug)]
struct Sums {
    count: f64,
    sum: f64,
    squares: f64,
    least: f64,
}

impl Sums {
    const NONE: Self = Self { count: 0.0, sum: 0.0, squares: 0.0, least: f64::INFINITY };

    /// How far the bound may rise, and whether it then is the threshold.
    fn step(&self, power: Power) -> (f64, bool) {
        let Self { count, sum, squares, least } = *self;
        if count == 0.0 {
            return (0.0, true);
        }
        match power {
            Power::One => {
                let step = (sum - 1.0) / count;
                (step, step <= least)
            }
            Power::Two => {
                // If no number is left behind, the step solves Σ (x − step)² = 1, here without cancellation.
                let root = (sum * sum - count * (squares - 1.0)).sqrt();
                let step = (squares - 1.0) / (sum + root);
                if step <= least {
                    return (step, true);
                }
                // Otherwise Newton's on the norm √Σ (x − step)².
                let norm = squares.sqrt();
                ((norm - 1.0) * norm / sum, false)
            }
        }
    }
}

/// Candidates that a row may have.
const CANDIDATES: usize = 128;
/// Candidates with which a row goes on after all but the necessary ones have been dropped.
const CROWDED: usize = 96;

/// Where a row stands in the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Collecting,
    Crowded,
    Found,
}

/// The search for the thresholds of some rows.
pub(super) struct Search {
    power: Power,
    /// What scores are multiplied with.
    factor: f32,
    first_pass: bool,
    rows: usize,
    stages: [Stage; QUERY_BLOCK],
    /// The greatest number known not to exceed the threshold.
    low: [f32; QUERY_BLOCK],
    /// The scores that a row need not look at.
    limits: [f32; QUERY_BLOCK],
    candidates: Vec<Vec<f32>>,
    sums: [Sums; QUERY_BLOCK],
}

impl Search {
    /// For weights of the given power of scores times `factor`, a power of two.
    pub(super) fn new(power: Power, factor: f32) -> Self {
        Self {
            power,
            factor,
            first_pass: true,
            rows: 0,
            stages: [Stage::Collecting; QUERY_BLOCK],
            low: [f32::NEG_INFINITY; QUERY_BLOCK],
            limits: [f32::NEG_INFINITY; QUERY_BLOCK],
            candidates: Vec::new(),
            sums: [Sums::NONE; QUERY_BLOCK],
        }
    }

    fn collect(&mut self, scores: &Scores) {
        self.candidates.resize_with(self.rows, Vec::new);
        for (key, mut word) in scores.keys().zip(above(scores, &self.limits)) {
            let row = scores.row(key);
            while word != 0 {
                let query = word.trailing_zeros() as usize;
                word &= word - 1;
                let x = row[query] * self.factor;
                if self.stages[query] == Stage::Collecting && x > self.low[query] {
                    self.candidates[query].push(x);
                    self.raise(query, x - 1.0);
                    if self.candidates[query].len() == CANDIDATES {
                        self.tighten(query);
                    }
                }
            }
        }
    }

    /// Drops the candidates that cannot be above the threshold, and gives up collecting if too many are left.
    fn tighten(&mut self, query: usize) {
        let low = among(&self.candidates[query], self.low[query], self.power);
        self.raise(query, low);
        let low = self.low[query];
        let candidates = &mut self.candidates[query];
        candidates.retain(|&x| x > low);
        if candidates.len() > CROWDED {
            candidates.clear();
            self.stages[query] = Stage::Crowded;
            self.limits[query] = f32::INFINITY;
        }
    }

    fn raise(&mut self, query: usize, low: f32) {
        if low > self.low[query] {
            self.low[query] = low;
            self.limits[query] = low / self.factor;
        }
    }
}

/// The threshold of some numbers, known to be at least `low`.
fn among(numbers: &[f32], low: f32, power: Power) -> f32 {
    let mut low = f64::from(low);
    loop {
        let mut sums = Sums::NONE;
        for x in numbers.iter().map(|&x| f64::from(x) - low).filter(|&x| x > 0.0) {
            let Sums { count, sum, squares, least } = sums;
            sums = Sums { count: count + 1.0, sum: sum + x, squares: squares + x * x, least: least.min(x) };
        }
        let (step, found) = sums.step(power);
        let stuck = low + step <= low;
        low += step;
        if found || stuck {
            return low as f32;
        }
    }
}

impl Scan for Search {
    fn tile(&mut self, scores: &Scores) {
        self.rows = scores.queries().len();
        if self.first_pass {
            self.collect(scores);
        } else {
            let lanes = scores.lanes();
            add(scores.values(), lanes, self.factor, &self.low, &mut self.sums);
        }
    }

    fn again(&mut self) -> bool {
        for query in 0..self.rows {
            let low = self.low[query];
            match self.stages[query] {
                Stage::Found => continue,
                // Sums begin with the second pass.
                Stage::Crowded if self.first_pass => continue,
                Stage::Collecting => {
                    self.low[query] = among(&self.candidates[query], low, self.power);
                    self.stages[query] = Stage::Found;
                }
                Stage::Crowded => {
                    let (step, found) = self.sums[query].step(self.power);
                    self.low[query] = (f64::from(low) + step) as f32;
                    if found || self.low[query] <= low {
                        self.stages[query] = Stage::Found;
                    }
                }
            }
        }
        self.first_pass = false;
        self.sums = [Sums::NONE; QUERY_BLOCK];
        self.stages[..self.rows].contains(&Stage::Crowded)
    }

    fn limits(&self) -> Limits {
        Limits { scores: self.low, ..Limits::none() }
    }
}

/// Marks the end of the keys: weights need no more scaling than rounding asks for.
pub(super) fn finish(rows: &mut Rows) {
    for i in 0..rows.count {
        let total = rows.total[i];
        rows.scale[i] = if total == 0.0 { 0.0 } else { 1.0 / total };
        // A threshold passes over a NaN that the weights do not.
        rows.lse[i] = if total.is_nan() { total } else { rows.reference[i] };
    }
}

/// `x` where it is positive, 0 where not; a NaN stays.
#[inline(always)]
pub(super) fn positive(x: f32) -> f32 {
    if x <= 0.0 { 0.0 } else { x }
}

multiversion! {
    fn add<I>(scores: &[f32], lanes: usize, factor: f32, low: &[f32; QUERY_BLOCK], sums: &mut [Sums; QUERY_BLOCK]) {
        for first in (0..lanes).step_by(LANES) {
            let low = Lanes::load(&low[first..]);
            let [mut count, mut sum, mut squares] = [Lanes::ZERO; 3];
            let mut least = Lanes::splat(f32::INFINITY);
            for row in scores.chunks_exact(lanes) {
                let x = Lanes::load(&row[first..]).zip(low, |score, low| score * factor - low);
                count = count.add(x.map(|x| if x > 0.0 { 1.0 } else { 0.0 }));
                least = least.zip(x, |least, x| if x > 0.0 && x < least { x } else { least });
                let x = x.map(|x| if x > 0.0 { x } else { 0.0 });
                sum = sum.add(x);
                squares = x.fma::<I>(x, squares);
            }
            for (lane, sums) in sums[first..][..LANES].iter_mut().enumerate() {
                sums.count += f64::from(count.0[lane]);
                sums.sum += f64::from(sum.0[lane]);
                sums.squares += f64::from(squares.0[lane]);
                sums.least = sums.least.min(f64::from(least.0[lane]));
            }
        }
    }

    /// Replaces scores times `factor` by what `weight` makes of their excess over the reference, and adds it up.
    pub(super) fn absorb<I, F: Fn(f32) -> f32>(scores: &mut [f32], lanes: usize, factor: f32, rows: &mut Rows, weight: F) {
        for first in (0..lanes).step_by(LANES) {
            let reference = Lanes::load(&rows.reference[first..]).map(excluding);
            let mut sum = Lanes::load(&rows.total[first..]);
            for row in scores.chunks_exact_mut(lanes) {
                let x = Lanes::load(&row[first..]).zip(reference, |score, reference| score * factor - reference);
                let weight = x.map(&weight);
                weight.store(&mut row[first..]);
                sum = sum.add(weight);
            }
            sum.store(&mut rows.total[first..]);
            Lanes::splat(1.0).store(&mut rows.rescale[first..]);
        }
    }

    /// As [`absorb`], with what was kept of each row.
    pub(super) fn weights<I, F: Fn(f32) -> f32>(
        scores: &mut [f32], lanes: usize, factor: f32, kept: &[f32; QUERY_BLOCK], weight: F
    ) {
        for first in (0..lanes).step_by(LANES) {
            let kept = Lanes::load(&kept[first..]).map(excluding);
            for row in scores.chunks_exact_mut(lanes) {
                let x = Lanes::load(&row[first..]).zip(kept, |score, kept| score * factor - kept);
                x.map(&weight).store(&mut row[first..]);
            }
        }
    }

    /// Adds `Σ s_ij · grad_ij` and `Σ s_ij`, with s_ij the slope of a weight that is not 0.
    pub(super) fn gather<I, F: Fn(f32) -> f32>(
        weights: &[f32], grad: &[f32], lanes: usize, sums: &mut [[f32; QUERY_BLOCK]; 2], slope: F
    ) {
        let [products, slopes] = sums;
        for first in (0..lanes).step_by(LANES) {
            let (mut product, mut total) = (Lanes::ZERO, Lanes::ZERO);
            for (weights, grad) in weights.chunks_exact(lanes).zip(grad.chunks_exact(lanes)) {
                let weight = Lanes::load(&weights[first..]);
                // Where there is no weight, the gradient may be that of a hidden value: a NaN.
                let grad = Lanes::load(&grad[first..]).zip(weight, |grad, weight| if weight == 0.0 { 0.0 } else { grad });
                let slope = weight.map(|weight| if weight == 0.0 { 0.0 } else { slope(weight) });
                product = slope.fma::<I>(grad, product);
                total = total.add(slope);
            }
            Lanes::load(&products[first..]).add(product).store(&mut products[first..]);
            Lanes::load(&slopes[first..]).add(total).store(&mut slopes[first..]);
        }
    }

    /// Replaces the gradient of weights by that of scores, `s_ij · (grad_ij − inner_i)`.
    pub(super) fn backward<I, F: Fn(f32) -> f32>(
        weights: &[f32], grad: &mut [f32], lanes: usize, inner: &[f32; QUERY_BLOCK], slope: F
    ) {
        for (grad, weights) in grad.chunks_exact_mut(lanes.max(1)).zip(weights.chunks_exact(lanes.max(1))) {
            for ((grad, &weight), &inner) in grad.iter_mut().zip(weights).zip(inner) {
                *grad = if weight == 0.0 { 0.0 } else { slope(weight) * (*grad - inner) };
            }
        }
    }
}

/// The threshold of a row that sees nothing, −∞, must not meet the score −∞ of what it does not see.
#[inline(always)]
fn excluding(threshold: f32) -> f32 {
    if threshold == f32::NEG_INFINITY { 0.0 } else { threshold }
}
