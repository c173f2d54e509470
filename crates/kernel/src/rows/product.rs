//! Products of many matrices at once, on attention's micro-kernel; see [`linear`](super::linear) for how one is cut.

use super::packed::{Right, add_product};
use crate::problem::run;
use crate::view::View;
use crate::{Error, Result};

/// What a gradient of a product means for what was multiplied, each in its shape and contiguous.
#[derive(Clone, Debug, PartialEq)]
pub struct ProductGradients {
    /// Of the left matrices, summed where one was used more than once.
    pub left: Vec<f32>,
    /// Of the right ones, likewise.
    pub right: Vec<f32>,
}

/// `out = left · right` for each batch and head: left `[batch or 1, head or 1, i, k]`, right `[batch or 1, head or 1, k, j]`,
/// out `[batch, head, i, j]`, contiguous. Both sides are f32, with any strides: a transposed matrix is as good as any.
///
/// # Errors
/// If the shapes do not fit each other.
pub fn product(left: &View, right: &View, out: &mut [f32]) -> Result<()> {
    let shape = check(left, right)?;
    crate::error::check_len("out", out.len(), shape.iter().product())?;
    out.fill(0.0);
    add(left, right, [shape[0], shape[1]], shape, out);
    Ok(())
}

/// The gradients by both sides, given that of [`product`]'s result, `[batch, head, i, j]`.
///
/// # Errors
/// As [`product`].
pub fn product_backward(left: &View, right: &View, grad: &View) -> Result<ProductGradients> {
    let shape = check(left, right)?;
    if grad.shape() != shape {
        return Err(Error::new("grad", format!("{:?}", grad.shape()), format!("{shape:?}")));
    }
    let [of_left, of_right] = [left, right].map(View::shape);
    let mut gradients =
        ProductGradients { left: vec![0.0; of_left.iter().product()], right: vec![0.0; of_right.iter().product()] };
    let units = [shape[0], shape[1]];
    add(grad, &right.transposed(), units, of_left, &mut gradients.left);
    add(&left.transposed(), grad, units, of_right, &mut gradients.right);
    Ok(gradients)
}

/// The shape of the product, if the sides fit.
fn check(left: &View, right: &View) -> Result<[usize; 4]> {
    for (side, view) in [("left", left), ("right", right)] {
        if view.data::<f32>().is_none() {
            return Err(Error::new(format!("{side} side of a product"), "numbers of another kind", "f32"));
        }
    }
    let ([batch, heads, rows, depth], [others, other_heads, height, columns]) = (left.shape(), right.shape());
    let both = |a: usize, b: usize| if a == 1 { Some(b) } else { (a == b || b == 1).then_some(a) };
    let (Some(batch), Some(heads), true) = (both(batch, others), both(heads, other_heads), depth == height) else {
        let expected = format!("[{batch} or 1, {heads} or 1, {depth}, column]");
        return Err(Error::new("right side of a product", format!("{:?}", right.shape()), expected));
    };
    Ok([batch, heads, rows, columns])
}

/// Adds to each matrix of `out` `[batch or 1, head or 1, i, j]`; an axis of 1 takes the sum over so many batches or heads.
fn add(left: &View, right: &View, [batch, heads]: [usize; 2], into: [usize; 4], out: &mut [f32]) {
    let [out_batch, out_heads, rows, columns] = into;
    if out.is_empty() {
        return;
    }
    let [left, right] = [left, right].map(|view| view.broadcast(0, batch).broadcast(1, heads));
    let work = [batch, heads, rows, columns, left.shape()[3]].iter().map(|&n| n as f64).product();
    let tasks = out.chunks_exact_mut(rows * columns).enumerate().collect();
    run(work, tasks, |(unit, out): (usize, &mut [f32])| {
        let summed = |all: usize, kept: usize, at: usize| if kept == all { at..at + 1 } else { 0..all };
        for batch in summed(batch, out_batch, unit / out_heads) {
            for head in summed(heads, out_heads, unit % out_heads) {
                left.matrix(batch, head).with(|left| {
                    add_product(left, Right::of(right.matrix(batch, head)), out);
                });
            }
        }
    });
}
