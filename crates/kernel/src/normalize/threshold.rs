//! What sparsemax and entmax share: weights that end at a threshold, and the search for it.
//!
//! Of a row's numbers x, those above τ have weight `x − τ`, or a power of it, and τ is such that the weights sum to 1. Sums
//! over the numbers above any l ≤ τ lead closer to τ from below: a step of Newton's method on a function that is convex,
//! and exact as soon as no number is left behind by the step. No row is held for that:
//!
//! 1. The first pass collects each row's candidates. The greatest x has at most the weight 1, so τ ≥ x − 1, and τ is no
//!    less than the threshold of any part of the row: most numbers are out at once, and τ is found among what is left.
//! 2. A row with too many candidates for that, as when all scores are nearly alike, only keeps the best l so far. Each
//!    further pass adds up the numbers above l and takes a step. One step does if all of them have weight; between that
//!    and a few hundred weights of very many keys, it takes up to about six.

use super::powers::{self, Bracket};
use super::{Limits, Rows, Scan, above};
use crate::scores::Scores;
use crate::shape::QUERY_BLOCK;
use crate::simd::{Isa, LANES, Lanes, multiversion};

/// How a weight grows with what its number has above the threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Power {
    One,
    Two,
    Any(f32),
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

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares,
            least: self.least.min(other.least),
        }
    }

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
            Power::Any(_) => unreachable!("other powers have sums of their own"),
        }
    }
}

/// Sixteen [`Sums`] in single precision, for a tile's worth of numbers.
struct LaneSums {
    count: Lanes,
    sum: Lanes,
    squares: Lanes,
    least: Lanes,
}

impl LaneSums {
    const NONE: Self =
        Self { count: Lanes::ZERO, sum: Lanes::ZERO, squares: Lanes::ZERO, least: Lanes([f32::INFINITY; LANES]) };

    /// Adds the numbers that are positive.
    #[inline(always)]
    fn add<I: Isa>(&mut self, x: Lanes) {
        self.count = self.count.add(x.map(|x| if x > 0.0 { 1.0 } else { 0.0 }));
        self.least = self.least.zip(x, |least, x| if x > 0.0 && x < least { x } else { least });
        let x = x.map(|x| if x > 0.0 { x } else { 0.0 });
        self.sum = self.sum.add(x);
        self.squares = x.fma::<I>(x, self.squares);
    }

    #[inline(always)]
    fn lane(&self, lane: usize) -> Sums {
        let [count, sum, squares, least] =
            [self.count, self.sum, self.squares, self.least].map(|lanes| f64::from(lanes.0[lane]));
        Sums { count, sum, squares, least }
    }
}

/// Candidates that a row may have: 128 KiB for a block of rows.
const CANDIDATES: usize = 512;
/// Candidates with which a row goes on after all but the necessary ones have been dropped.
const CROWDED: usize = 384;
/// Candidates after which it is worth while to look for the first time which of them are necessary.
const FIRST: usize = 32;

/// Where a row stands in the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Collecting,
    Crowded,
    Found,
}

/// Numbers of a row that may be above its threshold.
#[derive(Clone, Debug)]
struct Candidates {
    numbers: Vec<f32>,
    /// When to look again which of them are necessary.
    enough: usize,
}

impl Candidates {
    const NONE: Self = Self { numbers: Vec::new(), enough: FIRST };

    /// The threshold of these numbers, known to be at least `low`.
    fn threshold(&self, mut low: f32, power: Power) -> f32 {
        if let Power::Any(power) = power {
            return powers::threshold(&self.numbers, low, power);
        }
        loop {
            let (step, found) = sums(&self.numbers, low).step(power);
            let next = (f64::from(low) + step) as f32;
            if found || next <= low {
                return next;
            }
            low = next;
        }
    }

    /// Drops what is not above `low`.
    fn drop_below(&mut self, low: f32) {
        self.numbers.retain(|&x| x > low);
        self.enough = (2 * self.numbers.len()).clamp(FIRST, CANDIDATES);
    }
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
    candidates: Vec<Candidates>,
    sums: [Sums; QUERY_BLOCK],
    brackets: Vec<Bracket>,
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
            candidates: Vec::new(),
            brackets: Vec::new(),
            sums: [Sums::NONE; QUERY_BLOCK],
        }
    }

    fn collect(&mut self, scores: &Scores) {
        self.candidates.resize(self.rows, Candidates::NONE);
        raise(scores.values(), scores.lanes(), self.factor, &mut self.low);
        let limits = std::array::from_fn(|query| match self.stages[query] {
            Stage::Collecting => self.low[query] / self.factor,
            _ => f32::INFINITY,
        });
        for (key, mut word) in scores.keys().zip(above(scores, &limits)) {
            let row = scores.row(key);
            while word != 0 {
                let query = word.trailing_zeros() as usize;
                word &= word - 1;
                let x = row[query] * self.factor;
                let candidates = &mut self.candidates[query];
                // Much may have changed since the tile was compared with the limits.
                if self.stages[query] == Stage::Collecting && x > self.low[query] {
                    candidates.numbers.push(x);
                    if candidates.numbers.len() == candidates.enough {
                        self.tighten(query);
                    }
                }
            }
        }
    }

    /// Drops the candidates that cannot be above the threshold, and gives up collecting if too many are left.
    fn tighten(&mut self, query: usize) {
        let candidates = &mut self.candidates[query];
        self.low[query] = candidates.threshold(self.low[query], self.power);
        candidates.drop_below(self.low[query]);
        if candidates.numbers.len() > CROWDED {
            self.stages[query] = Stage::Crowded;
        }
    }
}

impl Scan for Search {
    fn tile(&mut self, scores: &Scores) {
        self.rows = scores.queries().len();
        if self.first_pass {
            self.collect(scores);
        } else if let Power::Any(power) = self.power {
            self.brackets.iter_mut().enumerate().for_each(|(query, bracket)| {
                if self.stages[query] == Stage::Crowded {
                    bracket.add(scores.keys().map(|key| scores.row(key)[query] * self.factor), power);
                }
            });
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
                    self.low[query] = self.candidates[query].threshold(low, self.power);
                    self.stages[query] = Stage::Found;
                }
                Stage::Crowded => {
                    let found = if let Power::Any(power) = self.power {
                        let (low, found) = self.brackets[query].step(power);
                        self.low[query] = low;
                        found
                    } else {
                        let (step, found) = self.sums[query].step(self.power);
                        self.low[query] = (f64::from(low) + step) as f32;
                        found || self.low[query] <= low
                    };
                    if found {
                        self.stages[query] = Stage::Found;
                    }
                }
            }
        }
        if self.first_pass && matches!(self.power, Power::Any(_)) {
            self.brackets = self.low[..self.rows].iter().map(|&low| Bracket::above(low)).collect();
        }
        self.first_pass = false;
        self.sums = [Sums::NONE; QUERY_BLOCK];
        self.stages[..self.rows].contains(&Stage::Crowded)
    }

    fn limits(&mut self) -> Limits {
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
    /// Raises what is known of the thresholds: the greatest number of a row weighs no more than 1.
    fn raise<I>(scores: &[f32], lanes: usize, factor: f32, low: &mut [f32; QUERY_BLOCK]) {
        for first in (0..lanes).step_by(LANES) {
            let mut max = Lanes::splat(f32::NEG_INFINITY);
            for row in scores.chunks_exact(lanes) {
                max = max.max(Lanes::load(&row[first..]));
            }
            let low = &mut low[first..];
            Lanes::load(low).max(max.map(|max| max * factor - 1.0)).store(low);
        }
    }

    /// The sums over some numbers.
    fn sums<I>(numbers: &[f32], low: f32) -> Sums {
        let low = Lanes::splat(low);
        let mut sums = LaneSums::NONE;
        let (whole, rest) = numbers.as_chunks::<LANES>();
        let rest = [Lanes::load_or(rest, f32::NEG_INFINITY)];
        for numbers in whole.iter().map(|&numbers| Lanes(numbers)).chain(rest) {
            sums.add::<I>(numbers.zip(low, |x, low| x - low));
        }
        (0..LANES).fold(Sums::NONE, |all, lane| all.and(sums.lane(lane)))
    }

    /// Adds a tile's scores to the sums of its rows.
    fn add<I>(scores: &[f32], lanes: usize, factor: f32, low: &[f32; QUERY_BLOCK], rows: &mut [Sums; QUERY_BLOCK]) {
        for first in (0..lanes).step_by(LANES) {
            let low = Lanes::load(&low[first..]);
            let mut sums = LaneSums::NONE;
            for row in scores.chunks_exact(lanes) {
                sums.add::<I>(Lanes::load(&row[first..]).zip(low, |score, low| score * factor - low));
            }
            for (lane, row) in rows[first..][..LANES].iter_mut().enumerate() {
                *row = row.and(sums.lane(lane));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{Shape, Tile};

    /// How many passes the thresholds of a block take, whose rows are more and more spread out.
    fn passes(power: Power, factor: f32, keys: usize, spread: impl Fn(usize) -> f32) -> usize {
        let [batch, heads, key_heads, query_width, key_width, value_width] = [1; 6];
        let shape = Shape { batch, heads, key_heads, queries: 64, keys, query_width, key_width, value_width };
        let mut search = Search::new(power, factor);
        let mut passes = 0;
        loop {
            passes += 1;
            for keys in shape.key_blocks() {
                let tile = Tile { shape: &shape, batch: 0, head: 0, queries: 0..64, keys };
                let mut buffer = vec![0.0; Scores::size(&tile)];
                let mut scores = Scores::new(&tile, &mut buffer);
                scores.each(|query, key, _| spread(query) * ((key * 7919 % 10_007) as f32 / 10_007.0 - 0.5));
                search.tile(&scores);
            }
            if !search.again() {
                return passes;
            }
        }
    }

    #[test]
    fn passes_are_few() {
        for (power, factor) in [(Power::One, 1.0), (Power::Two, 0.5), (Power::Any(1.6), 0.625)] {
            for keys in [1, 300, 1000, 10_000] {
                // Scores as attention has them; then all between those and scores that are all alike.
                assert_eq!(passes(power, factor, keys, |query| 5.0 + query as f32), 1);
                let most = passes(power, factor, keys, |query| 1e-5 * 1.2f32.powi(query as i32));
                assert!(most <= if keys <= 300 { 1 } else { 8 }, "{most} passes over {keys} keys, {power:?}");
            }
        }
    }
}
