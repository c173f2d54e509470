//! Deletion and insertion: the number as places go, or come, the highest first, and the area under it.
//!
//! Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018, arXiv:1806.07421.

use super::Curve;
use super::erasure::{Number, first};

impl Curve {
    /// Whether it has two points or more, each with all its numbers.
    pub(super) fn is_whole(&self) -> bool {
        let points = self.shares.len();
        points >= 2 && [self.values.len(), self.random.len()] == [points; 2]
    }
}

/// How many places went at each point of a curve.
pub(super) fn counts(places: usize, steps: usize) -> Vec<usize> {
    let steps = steps.min(places);
    (0..=steps).map(|step| (step * places + steps / 2) / steps).collect()
}

pub(super) fn deletion(order: &[usize], counts: &[usize], number: Number) -> Vec<f32> {
    counts.iter().map(|&count| number(first(order, count, false))).collect()
}

pub(super) fn insertion(order: &[usize], counts: &[usize], number: Number) -> Vec<f32> {
    counts.iter().map(|&count| number(first(order, count, true))).collect()
}

/// By the trapezoid rule.
pub(super) fn area(shares: &[f32], values: &[f32]) -> f32 {
    let pieces = shares.windows(2).zip(values.windows(2));
    pieces.map(|(share, value)| (share[1] - share[0]) * (value[0] + value[1]) / 2.0).sum()
}

/// The curve's value at a share from 0 to 1, on the line between the points beside it.
pub(super) fn at(shares: &[f32], values: &[f32], share: f32) -> f32 {
    let after = shares.partition_point(|&point| point < share).clamp(1, shares.len() - 1);
    let [from, to] = [shares[after - 1], shares[after]];
    let part = ((share - from) / (to - from)).clamp(0.0, 1.0);
    values[after - 1] + (values[after] - values[after - 1]) * part
}
