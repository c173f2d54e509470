//! Linear layers: `y = x · W + b`, and what its gradient means for x, W and b.
//!
//! The weight is used as it is stored ([`Weight`]). With many rows, it is packed into panels that fit the cache, and
//! attention's micro-kernel does the products; with a few, as when a text is written token by token, it is streamed once, as
//! fast as memory delivers it, and each feature is a dot product.

use super::packed::{Right, filled, product};
#[cfg(target_arch = "x86_64")]
use super::packed_quantized;
use super::stream::{self, add_dots};
use super::{LinearGradients, Weight};
#[cfg(target_arch = "x86_64")]
use crate::element::Data;
use crate::problem::{READ, run};
use crate::simd::{LANES, Lanes, multiversion};
use crate::view::Matrix;
use crate::{Error, Result};

/// Columns that are summed side by side.
const STRIP: usize = 8 * LANES;

/// `rows · weight + bias`: rows `[row, width]`, bias `[feature]` or empty for none, result `[row, feature]`, all contiguous.
///
/// The result has the same bits for any number of threads. A row of it has the same bits in any company where the weight lies
/// as `[width, feature]`; otherwise among few rows, and among many.
///
/// # Errors
/// If the lengths do not fit each other.
pub fn linear(rows: &[f32], weight: &Weight, bias: &[f32]) -> Result<Vec<f32>> {
    let [width, features] = weight.sizes();
    let count = check("rows", rows, width)?;
    if !bias.is_empty() && bias.len() != features {
        return Err(Error::new("bias", format!("{} numbers", bias.len()), format!("none or {features}")));
    }
    if count == 0 {
        return Ok(vec![]);
    }
    if weight.matrix.column_stride == 1 && weight.matrix.row_stride != 1 && count <= stream::MOST {
        let mut out = filled(bias, count, features);
        add_dots(rows, weight.matrix, &mut out);
        return Ok(out);
    }
    #[cfg(target_arch = "x86_64")]
    if let (Data::Quantized(numbers, scales), true) = (weight.matrix.data, packed_quantized::is_fast()) {
        return Ok(packed_quantized::product(rows, weight.matrix, (numbers, scales), bias));
    }
    Ok(product(Matrix::panel(rows, count, width, width), Right::of(weight.matrix.transposed()), bias))
}

/// The gradients by rows, weight (`[width, feature]`, whatever the weight's type and direction) and, where the layer has one,
/// bias, given that of [`linear`]'s result, `[row, feature]`. With `biased` false, that of the bias is empty.
///
/// # Errors
/// As [`linear`].
pub fn linear_backward(rows: &[f32], weight: &Weight, biased: bool, grad: &[f32]) -> Result<LinearGradients> {
    let [width, features] = weight.sizes();
    let count = check("rows", rows, width)?;
    let states = linear_backward_rows(weight, grad)?;
    if states.len() != rows.len() {
        let expected = format!("{count} rows of {features} features");
        return Err(Error::new("grad", format!("{} numbers", grad.len()), expected));
    }
    let upstream = Matrix::panel(grad, count, features, features);
    let rows = Matrix::panel(rows, count, width, width).transposed();
    let weight = product(rows, Right::Straight(upstream.into()), &[]);
    Ok(LinearGradients { states, weight, bias: if biased { sum_of_rows(grad, features) } else { vec![] } })
}

/// The gradient by the rows alone, `[row, width]`: what goes through a layer whose weight is not to be changed.
///
/// # Errors
/// If the gradient of the result is not one of whole rows.
pub fn linear_backward_rows(weight: &Weight, grad: &[f32]) -> Result<Vec<f32>> {
    let [_, features] = weight.sizes();
    let count = check("grad", grad, features)?;
    Ok(product(Matrix::panel(grad, count, features, features), Right::of(weight.matrix), &[]))
}

/// How many rows there are.
fn check(argument: &str, rows: &[f32], width: usize) -> Result<usize> {
    if !rows.len().is_multiple_of(width) {
        return Err(Error::new(argument, format!("{} numbers", rows.len()), format!("rows of width {width}")));
    }
    Ok(rows.len() / width)
}

/// Each task adds up a strip of columns.
fn sum_of_rows(rows: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0; width];
    let tasks = sums.chunks_mut(STRIP).enumerate().collect();
    run(READ * size_of_val(rows) as f64, tasks, |(i, sums)| add_rows(rows, width, i * STRIP, sums));
    sums
}

multiversion! {
    /// Adds some columns of all rows, from `first` on; as many as may be are kept in registers.
    fn add_rows<I>(rows: &[f32], width: usize, first: usize, sums: &mut [f32]) {
        let columns = first..first + sums.len();
        if sums.len() == STRIP {
            let mut strip = [Lanes::ZERO; STRIP / LANES];
            for row in rows.chunks_exact(width) {
                for (sum, &x) in strip.iter_mut().zip(row[columns.clone()].as_chunks().0) {
                    *sum = sum.add(Lanes(x));
                }
            }
            strip.iter().zip(sums.chunks_exact_mut(LANES)).for_each(|(strip, sums)| strip.store(sums));
        } else {
            for row in rows.chunks_exact(width) {
                sums.iter_mut().zip(&row[columns.clone()]).for_each(|(sum, x)| *sum += x);
            }
        }
    }
}
