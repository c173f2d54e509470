//! Integrated gradients: the gradient's mean on the way from a baseline to the input, times that way.
//!
//! `score_i = Σ_d (x_id − x'_id) · ∫₀¹ ∂f/∂x_id (x' + t·(x − x')) dt`. The scores add up to `f(x) − f(x')` (completeness); how nearly
//! they do with the steps taken is part of the result. Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML
//! 2017, arXiv:1703.01365. The integral is by Gauss–Legendre's rule, exact for polynomials of degree `2·steps − 1`.
//!
//! A backward pass a step: 50 is usual, more where the gap is large beside the scores. For a model that can be differentiated and has a
//! baseline that means nothing in particular. Every score is against that baseline: where none is neutral, leave places out instead.

use super::{by_place, ends, gradients};
use crate::error::field;
use crate::progress::tell;
use crate::{Completeness, Differentiable, Explanation, Progress, Result};

/// Inputs that are differentiated in one call.
const BATCH: usize = 16;
const WORK: &str = "integrated gradients";

/// Scores the places of a subject by integrated gradients with so many steps.
///
/// # Errors
/// [`Error::Field`](crate::Error::Field) for no places, no features or no steps, or over 10,000 of them;
/// [`Error::Shape`](crate::Error::Shape) and [`Error::Value`](crate::Error::Value) for an input or gradients that do not fit or are
/// not finite, [`Error::Given`](crate::Error::Given) for what the subject says, [`Error::Cancelled`](crate::Error::Cancelled).
pub fn integrated_gradients(subject: &dyn Differentiable, steps: usize, progress: Progress) -> Result<Explanation> {
    if !(1..=10_000).contains(&steps) {
        return field("steps", steps, "1 to 10,000");
    }
    let (input, baseline, width) = ends(subject)?;
    let way: Vec<f64> = input.iter().zip(baseline).map(|(&to, &from)| f64::from(to) - f64::from(from)).collect();
    let total = steps + 2;
    tell(progress, WORK, 0, total)?;
    let (numbers, _) = gradients(subject, &[input.to_vec(), baseline.to_vec()])?;

    let mut mean = vec![0.0f64; input.len()];
    let mut done = 2;
    for points in legendre(steps).chunks(BATCH) {
        tell(progress, WORK, done, total)?;
        let at =
            |share: f64| baseline.iter().zip(&way).map(|(&from, way)| (f64::from(from) + share * way) as f32).collect();
        let inputs: Vec<Vec<f32>> = points.iter().map(|&(share, _)| at(share)).collect();
        let (_, gradients) = gradients(subject, &inputs)?;
        for (gradient, &(_, weight)) in gradients.iter().zip(points) {
            mean.iter_mut().zip(gradient).for_each(|(mean, &gradient)| *mean += weight * f64::from(gradient));
        }
        done += points.len();
    }
    tell(progress, WORK, done, total)?;
    let scores = by_place(mean.iter().zip(&way).map(|(mean, way)| mean * way), width);
    let sum = scores.iter().map(|&score| f64::from(score)).sum::<f64>() as f32;
    Ok(Explanation {
        method: WORK.to_owned(),
        scores,
        note: format!("{steps} steps from {}", subject.baseline()),
        completeness: Some(Completeness { total: sum, difference: numbers[0] - numbers[1] }),
    })
}

/// Points from 0 to 1 and their weights, which add up to 1: the roots of the Legendre polynomial by Newton's method.
fn legendre(points: usize) -> Vec<(f64, f64)> {
    let n = points as f64;
    // The polynomial of this degree and its derivative at x, by Bonnet's recursion.
    let polynomial = |x: f64| {
        let (mut before, mut now) = (1.0, x);
        for degree in 1..points {
            let k = degree as f64;
            (before, now) = (now, ((2.0 * k + 1.0) * x * now - k * before) / (k + 1.0));
        }
        (now, n * (x * now - before) / (x * x - 1.0))
    };
    let point = |index: usize| {
        // Near enough to its root for Newton's steps to end there.
        let mut x = (std::f64::consts::PI * (index as f64 + 0.75) / (n + 0.5)).cos();
        for _ in 0..20 {
            let (value, slope) = polynomial(x);
            x -= value / slope;
        }
        let (_, slope) = polynomial(x);
        ((1.0 - x) / 2.0, 1.0 / ((1.0 - x * x) * slope * slope))
    };
    (0..points).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_exact_for_polynomials() {
        for points in [1, 2, 5, 64, 1000] {
            let rule = legendre(points);
            for degree in [0, 1, 2 * points as i32 - 1] {
                let sum: f64 = rule.iter().map(|(x, weight)| weight * x.powi(degree)).sum();
                let integral = 1.0 / f64::from(degree + 1);
                assert!((sum - integral).abs() < 1e-12, "{points} points, degree {degree}: {sum} for {integral}");
            }
        }
    }
}
