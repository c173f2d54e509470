//! The threshold τ of [α-entmax](super::Entmax), for weights `(x − τ)^p` with any p.
//!
//! For p ≥ 1 the norm `(Σ (x − τ)^p)^(1/p)` is convex in τ, and Newton's method on it comes from below without ever passing
//! the threshold. For p < 1 weights are infinitely steep where they end, which leads Newton astray: the range in which τ is
//! known to lie is halved.

/// Where a threshold is, and the sums over the numbers above a place that is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bracket {
    low: f32,
    high: f32,
    /// Σ (x − tried)^p
    sum: f64,
    /// Σ (x − tried)^(p − 1)
    slope: f64,
}

impl Bracket {
    /// A threshold that is at least `low`, which no number exceeds by more than 1.
    pub(super) fn above(low: f32) -> Self {
        Self { low, high: low + 1.0, sum: 0.0, slope: 0.0 }
    }

    /// The place that is tried.
    fn tried(&self, power: f32) -> f64 {
        let low = f64::from(self.low);
        if power < 1.0 { (low + f64::from(self.high)) / 2.0 } else { low }
    }

    /// Adds numbers to the sums.
    pub(super) fn add(&mut self, numbers: impl Iterator<Item = f32>, power: f32) {
        let tried = self.tried(power);
        for x in numbers.map(|x| f64::from(x) - tried).filter(|&x| x > 0.0) {
            let slope = x.powf(f64::from(power) - 1.0);
            self.sum += slope * x;
            self.slope += slope;
        }
    }

    /// Comes nearer, given the sums over all numbers. Returns a place that the threshold is not below, and whether it is
    /// the threshold.
    pub(super) fn step(&mut self, power: f32) -> (f32, bool) {
        let (tried, sum, slope) = (self.tried(power), self.sum, self.slope);
        (self.sum, self.slope) = (0.0, 0.0);
        if power < 1.0 {
            let place = tried as f32;
            if sum >= 1.0 {
                self.low = place
            } else {
                self.high = place
            }
            let middle = self.tried(power) as f32;
            return (self.low, middle <= self.low || middle >= self.high);
        }
        let exponent = 1.0 / f64::from(power);
        let step = if slope > 0.0 { (sum - sum.powf(1.0 - exponent)) / slope } else { 0.0 };
        let next = (tried + step) as f32;
        // Where nothing is left above it, or rounding is all that moves it.
        let found = next.is_nan() || next <= self.low;
        if !found {
            self.low = next;
        }
        (self.low, found)
    }
}

/// The threshold of these numbers, which is at least `low`.
pub(super) fn threshold(numbers: &[f32], low: f32, power: f32) -> f32 {
    let mut bracket = Bracket::above(low);
    loop {
        bracket.add(numbers.iter().copied(), power);
        if let (low, true) = bracket.step(power) {
            return low;
        }
    }
}
