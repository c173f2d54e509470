//! Cross-entropy with label smoothing.

use super::rows_a_task;
use crate::error::check_len;
use crate::problem::run;
use crate::simd::{LANES, Lanes, exp, multiversion};
use crate::{Error, Result};

/// What [`cross_entropy`] gives.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossEntropy {
    /// The sum of the losses of all rows that are not ignored, in nats.
    pub sum: f64,
    /// How many rows are not ignored.
    pub count: usize,
    /// Each row's log-sum-exp, which the backward pass needs; 0 for ignored rows.
    pub lse: Vec<f32>,
}

/// The loss of each row of `logits` `[row, class]`, summed:
/// `(1 - ε) · (-log p_target) + ε · mean over all classes of (-log p)`.
///
/// This is label smoothing as PyTorch defines it: the mean runs over every class, the target included. Rows whose target
/// equals `ignore` count nothing.
///
/// # Errors
/// If the lengths do not fit `classes`, if `smoothing` is not in [0, 1], or if a target is no class.
pub fn cross_entropy(
    logits: &[f32],
    targets: &[usize],
    classes: usize,
    smoothing: f32,
    ignore: Option<usize>,
) -> Result<CrossEntropy> {
    check(logits, targets, classes, smoothing, ignore)?;
    let rows = rows_a_task(classes);
    let mut lse = vec![0.0; targets.len()];
    let mut losses = vec![0.0; targets.len()];
    let tasks = lse
        .chunks_mut(rows)
        .zip(losses.chunks_mut(rows))
        .zip(targets.chunks(rows))
        .zip(logits.chunks((rows * classes).max(1)));
    run(10.0 * logits.len() as f64, tasks.collect(), |(((lse, losses), targets), logits)| {
        forward(logits, targets, smoothing, ignore, lse, losses);
    });
    let count = targets.iter().filter(|&&target| Some(target) != ignore).count();
    Ok(CrossEntropy { sum: losses.iter().map(|&loss| f64::from(loss)).sum(), count, lse })
}

/// Writes `scale` times the gradient of the summed loss into `grad` `[row, class]`; 0 for ignored rows. `lse` is what
/// [`cross_entropy`] returned.
///
/// # Errors
/// As [`cross_entropy`], and if `lse` or `grad` have not the right length.
#[allow(clippy::too_many_arguments)]
pub fn cross_entropy_backward(
    logits: &[f32],
    targets: &[usize],
    classes: usize,
    smoothing: f32,
    ignore: Option<usize>,
    lse: &[f32],
    scale: f32,
    grad: &mut [f32],
) -> Result<()> {
    check(logits, targets, classes, smoothing, ignore)?;
    check_len("lse", lse.len(), targets.len())?;
    check_len("gradient of the logits", grad.len(), logits.len())?;
    let rows = rows_a_task(classes);
    let size = (rows * classes).max(1);
    let tasks = grad.chunks_mut(size).zip(logits.chunks(size)).zip(targets.chunks(rows)).zip(lse.chunks(rows));
    run(10.0 * logits.len() as f64, tasks.collect(), |(((grad, logits), targets), lse)| {
        backward(logits, targets, smoothing, ignore, lse, scale, grad);
    });
    Ok(())
}

fn check(logits: &[f32], targets: &[usize], classes: usize, smoothing: f32, ignore: Option<usize>) -> Result<()> {
    let given = format!("{} numbers", logits.len());
    if targets.len().checked_mul(classes) != Some(logits.len()) {
        return Err(Error::new("logits", given, format!("{} rows of {classes} classes", targets.len())));
    }
    if !(0.0..=1.0).contains(&smoothing) {
        return Err(Error::new("label smoothing", smoothing, "between 0 and 1"));
    }
    match targets.iter().find(|&&target| target >= classes && Some(target) != ignore) {
        Some(target) => Err(Error::new("target", target, format!("less than {classes} classes"))),
        None => Ok(()),
    }
}

multiversion! {
    fn forward<I>(
        logits: &[f32], targets: &[usize], smoothing: f32, ignore: Option<usize>, lse: &mut [f32], losses: &mut [f32]
    ) {
        let classes = logits.len().checked_div(targets.len()).unwrap_or(0);
        let rows = logits.chunks_exact(classes.max(1)).zip(targets);
        for ((row, &target), (lse, loss)) in rows.zip(lse.iter_mut().zip(losses)) {
            if Some(target) == ignore {
                continue;
            }
            let (vectors, rest) = row.as_chunks::<LANES>();
            let (mut max, mut sum) = (Lanes::load_or(rest, f32::NEG_INFINITY), Lanes::load_or(rest, 0.0));
            for vector in vectors {
                max = max.max(Lanes(*vector));
                sum = sum.add(Lanes(*vector));
            }
            let max = max.greatest();
            let total = |vector: Lanes| vector.map(|x| exp::<I>(x - max));
            let mut totals = total(Lanes::load_or(rest, f32::NEG_INFINITY));
            for vector in vectors {
                totals = totals.add(total(Lanes(*vector)));
            }
            *lse = max + totals.sum().ln();
            let mean = sum.sum() / classes as f32;
            *loss = (1.0 - smoothing) * (*lse - row[target]);
            if smoothing > 0.0 {
                *loss += smoothing * (*lse - mean);
            }
        }
    }

    fn backward<I>(
        logits: &[f32], targets: &[usize], smoothing: f32, ignore: Option<usize>,
        lse: &[f32], scale: f32, grad: &mut [f32]
    ) {
        let classes = logits.len().checked_div(targets.len()).unwrap_or(0);
        let each = scale * smoothing / classes as f32;
        let rows = logits.chunks_exact(classes.max(1)).zip(grad.chunks_exact_mut(classes.max(1)));
        for ((row, grad), (&target, &lse)) in rows.zip(targets.iter().zip(lse)) {
            if Some(target) == ignore {
                grad.fill(0.0);
                continue;
            }
            for (grad, &x) in grad.iter_mut().zip(row) {
                *grad = I::fma(scale, exp::<I>(x - lse), -each);
            }
            grad[target] -= scale * (1.0 - smoothing);
        }
    }
}
