//! A filter along the positions: each row becomes a weighted sum of those around it, with the weights of its head (a
//! depthwise convolution).
//!
//! `y_t = Σ_s w_s · x_{t + s − n/2}` for an odd number n of weights; what is past the ends is 0.

use std::ops::Range;

use super::rows_a_task;
use crate::error::check_len;
use crate::problem::{cut, run};
use crate::shape::blocks;
use crate::simd::{LANES, Lanes, multiversion};
use crate::view::{Matrix, View};
use crate::{Error, Result};

/// Vectors of a row that are summed side by side.
const SIDE: usize = 4;

/// What a gradient of [`filter`]'s result means for what led to it; both contiguous.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterGradients {
    /// In the shape of x.
    pub x: Vec<f32>,
    /// `[head, tap]`
    pub weights: Vec<f32>,
}

/// Filters x `[batch, head, position, feature]` with the weights `[head, tap]`, contiguous; `out` is as large as x, and
/// contiguous.
///
/// # Errors
/// If the lengths do not fit each other, or the number of weights is not odd.
pub fn filter(x: &View, weights: &[f32], out: &mut [f32]) -> Result<()> {
    let taps = check(x, weights)?;
    check_len("out", out.len(), x.shape().iter().product())?;
    apply(x, |head| weights[head * taps..][..taps].to_vec(), taps, out);
    Ok(())
}

/// The gradients, given that of [`filter`]'s result, in the shape of x.
///
/// # Errors
/// As [`filter`].
pub fn filter_backward(x: &View, weights: &[f32], grad: &View) -> Result<FilterGradients> {
    let taps = check(x, weights)?;
    if grad.shape() != x.shape() {
        return Err(Error::new("grad", format!("{:?}", grad.shape()), format!("{:?}, as x has", x.shape())));
    }
    let [batch, _, length, width] = x.shape();
    let mut gradients = FilterGradients { x: vec![0.0; x.shape().iter().product()], weights: vec![0.0; weights.len()] };
    // What reached a row from another goes back there: the filter the other way round.
    let turned = |head: usize| weights[head * taps..][..taps].iter().rev().copied().collect();
    apply(grad, turned, taps, &mut gradients.x);
    let work = taps as f64 * gradients.x.len() as f64;
    let tasks = gradients.weights.chunks_exact_mut(taps).enumerate().collect();
    run(work, tasks, |(head, sums): (usize, &mut [f32])| {
        for batch in 0..batch {
            x.matrix(batch, head).with_padded(|x| {
                grad.matrix(batch, head).with_padded(|grad| {
                    for rows in blocks(0..length, rows_a_task(width)) {
                        correlate(x, grad, rows, sums);
                    }
                });
            });
        }
    });
    Ok(gradients)
}

/// How many weights a head has.
fn check(x: &View, weights: &[f32]) -> Result<usize> {
    let heads = x.shape()[1];
    let taps = weights.len().checked_div(heads).unwrap_or(1);
    if taps.is_multiple_of(2) || heads * taps != weights.len() {
        let expected = format!("an odd number for each of {heads} heads");
        return Err(Error::new("weights of a filter", format!("{} numbers", weights.len()), expected));
    }
    Ok(taps)
}

/// Filters every row with what `weights` has for its head.
fn apply(x: &View, weights: impl Fn(usize) -> Vec<f32> + Sync, taps: usize, out: &mut [f32]) {
    let [batch, heads, length, width] = x.shape();
    if out.is_empty() {
        return;
    }
    let ranges = blocks(0..length, rows_a_task(width));
    let places = (0..batch * heads).flat_map(|unit| ranges.clone().map(move |rows| (unit, rows)));
    let work = taps as f64 * out.len() as f64;
    let tasks = places.zip(cut(out, batch * heads, ranges.clone(), width)).collect();
    run(work, tasks, |((unit, rows), out): ((usize, Range<usize>), &mut [f32])| {
        let weights = weights(unit % heads);
        // Only what the rows are made of, since it may have to be copied.
        let reach = rows.start.saturating_sub(taps / 2)..length.min(rows.end + taps / 2);
        let first = rows.start - reach.start;
        let near = x.matrix(unit / heads, unit % heads).slice(reach);
        near.with_padded(|near| filter_rows(near, &weights, first, out, width));
    });
}

multiversion! {
    /// Fills rows as wide as given with sums over those of x, of which `first` is the first one's own.
    fn filter_rows<I>(x: Matrix<'_>, weights: &[f32], first: usize, out: &mut [f32], width: usize) {
        let before = weights.len() / 2;
        for (row, out) in (first..).zip(out.chunks_exact_mut(width)) {
            let skipped = before.saturating_sub(row);
            let end = weights.len().min(x.rows + before - row);
            let start = x.data.get((row + skipped - before) * x.row_stride..).unwrap_or_default();
            for (part, out) in out.chunks_mut(SIDE * LANES).enumerate() {
                let rows = start.get(part * SIDE * LANES..).unwrap_or_default();
                if out.len() > (SIDE - 1) * LANES {
                    sum_rows::<I, SIDE>(rows, x.row_stride, &weights[skipped..end], out);
                } else {
                    for (part, out) in out.chunks_mut(LANES).enumerate() {
                        sum_rows::<I, 1>(&rows[part * LANES..], x.row_stride, &weights[skipped..end], out);
                    }
                }
            }
        }
    }

    /// Adds to each weight's sum the products of the rows of `grad` with those of x that it reaches.
    fn correlate<I>(x: Matrix<'_>, grad: Matrix<'_>, rows: Range<usize>, sums: &mut [f32]) {
        let before = sums.len() / 2;
        for (tap, sum) in sums.iter_mut().enumerate() {
            let mut total = [Lanes::ZERO; SIDE];
            for row in rows.clone() {
                let Some(other) = (row + tap).checked_sub(before).filter(|&other| other < x.rows) else { continue };
                let [grad, x] = [(grad, row), (x, other)]
                    .map(|(matrix, row)| matrix.data[row * matrix.row_stride..][..matrix.columns].as_chunks::<LANES>().0);
                for (i, (grad, x)) in grad.iter().zip(x).enumerate() {
                    total[i % SIDE] = Lanes(*grad).fma::<I>(Lanes(*x), total[i % SIDE]);
                }
            }
            *sum += total[0].add(total[1]).add(total[2].add(total[3])).sum();
        }
    }
}

/// Fills `out` with the weighted sum of rows, `N` vectors across.
#[inline(always)]
fn sum_rows<I: crate::simd::Isa, const N: usize>(rows: &[f32], stride: usize, weights: &[f32], out: &mut [f32]) {
    let mut sums = [Lanes::ZERO; N];
    for (tap, &weight) in weights.iter().enumerate() {
        for (x, sum) in rows[tap * stride..][..N * LANES].as_chunks().0.iter().zip(&mut sums) {
            *sum = Lanes(*x).fma::<I>(Lanes::splat(weight), *sum);
        }
    }
    for (out, sum) in out.chunks_mut(LANES).zip(&sums) {
        out.copy_from_slice(&sum.0[..out.len()]);
    }
}
