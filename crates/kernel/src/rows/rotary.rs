//! Rotary position embedding (Su et al. 2021, arXiv:2104.09864).

use std::ops::Range;

use super::rows_a_task;
use crate::problem::{cut, run};
use crate::shape::blocks;
use crate::simd::multiversion;
use crate::view::{Matrix, View};
use crate::{Error, Result};

/// Which two features of a row are turned together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pairs {
    /// Feature i and feature i + w/2, of the w that are turned.
    #[default]
    Halves,
    /// Features 2i and 2i + 1.
    Neighbours,
}

/// Turns pairs of features by the angles whose cosines and sines are given: `(a, b)` becomes
/// `(a·cos − b·sin, a·sin + b·cos)`. With an angle that grows with the position, the product of a query and a key depends
/// on their distance alone.
///
/// `x` is `[batch, head, position, d]`, and `out` takes as many numbers, contiguous. `cos` and `sin` are
/// `[batch or 1, head or 1, position, w/2]`: the first w features are turned, the others copied. With `positions`
/// (`[batch, position]`, contiguous), `cos` and `sin` are a table instead, and each number says which of its rows to take.
///
/// # Errors
/// If the shapes do not fit each other, or a position lies outside the table.
pub fn rotate(
    x: &View,
    cos: &View,
    sin: &View,
    positions: Option<&[usize]>,
    pairs: Pairs,
    out: &mut [f32],
) -> Result<()> {
    let [batch, heads, length, width] = x.shape();
    let [cos, sin] = check(x, cos, sin, positions)?;
    let [_, _, _, half] = cos.shape();
    let size = [batch, heads, length, width].iter().try_fold(1usize, |size, &n| size.checked_mul(n));
    if size != Some(out.len()) {
        return Err(Error::new("out", format!("{} numbers", out.len()), format!("the product of {:?}", x.shape())));
    }
    let ranges = blocks(0..length, rows_a_task(width));
    let places = (0..batch * heads).flat_map(|unit| ranges.clone().map(move |rows| (unit, rows)));
    let tasks = places.zip(cut(out, batch * heads, ranges.clone(), width)).collect();
    run(4.0 * size.unwrap_or(0) as f64, tasks, |((unit, rows), out): ((usize, Range<usize>), &mut [f32])| {
        let (batch, head) = (unit / heads, unit % heads);
        let from = x.matrix(batch, head).slice(rows.clone());
        let angles = [cos.matrix(batch, head), sin.matrix(batch, head)];
        from.with(|from| match positions {
            None => angles[0].slice(rows.clone()).with(|cos| {
                angles[1].slice(rows).with(|sin| turn(from, cos, sin, 0..from.rows(), pairs, half, out));
            }),
            Some(positions) => {
                let positions = &positions[batch * length..][rows];
                for (row, (out, &at)) in out.chunks_exact_mut(width.max(1)).zip(positions).enumerate() {
                    let from = from.slice(row..row + 1);
                    angles[0].slice(at..at + 1).with(|cos| {
                        angles[1].slice(at..at + 1).with(|sin| turn(from, cos, sin, 0..1, pairs, half, out));
                    });
                }
            }
        });
    });
    Ok(())
}

/// The cosines and sines for every batch and head, if they fit.
fn check<'a>(x: &View, cos: &View<'a>, sin: &View<'a>, positions: Option<&[usize]>) -> Result<[View<'a>; 2]> {
    let [batch, heads, length, width] = x.shape();
    let [_, _, rows, half] = cos.shape();
    if half > width / 2 {
        return Err(Error::new("cosines", format!("{half} features"), format!("at most half of the {width} of x")));
    }
    let expected_rows = if positions.is_some() { rows } else { length };
    let check = |argument: &str, view: &View<'a>| {
        let broadcast = view.broadcast(0, batch).broadcast(1, heads);
        if broadcast.shape() == [batch, heads, expected_rows, half] {
            return Ok(broadcast);
        }
        let expected = format!("[{batch} or 1, {heads} or 1, {expected_rows}, {half}]");
        Err(Error::new(argument, format!("{:?}", view.shape()), expected))
    };
    let both = [check("cosines", cos)?, check("sines", sin)?];
    if let Some(positions) = positions {
        crate::error::check_len("positions", positions.len(), batch.saturating_mul(length))?;
        if let Some(at) = positions.iter().find(|&&at| at >= rows) {
            return Err(Error::new("position", at, format!("less than the {rows} rows of the table")));
        }
    }
    Ok(both)
}

multiversion! {
    /// Turns some rows.
    fn turn<I>(
        from: Matrix<'_>, cos: Matrix<'_>, sin: Matrix<'_>, rows: Range<usize>, pairs: Pairs, half: usize, out: &mut [f32]
    ) {
        let width = from.columns();
        for (row, out) in rows.zip(out.chunks_exact_mut(width.max(1))) {
            for i in 0..half {
                let [first, second] = match pairs {
                    Pairs::Halves => [i, half + i],
                    Pairs::Neighbours => [2 * i, 2 * i + 1],
                };
                let (a, b) = (from.get(row, first), from.get(row, second));
                let (cos, sin) = (cos.get(row, i), sin.get(row, i));
                out[first] = I::fma(a, cos, -(b * sin));
                out[second] = I::fma(a, sin, b * cos);
            }
            for (i, out) in out.iter_mut().enumerate().skip(2 * half) {
                *out = from.get(row, i);
            }
        }
    }
}
