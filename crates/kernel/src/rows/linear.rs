//! Linear layers: `y = x · W + b`, and what its gradient means for x, W and b.
//!
//! The weight is used as it is stored ([`Weight`]). With many rows, it is packed into panels that fit the cache, and
//! attention's micro-kernel does the products; with a few, as when a text is written token by token, it is streamed once, as
//! fast as memory delivers it, and each feature is a dot product.

use super::packed::{Right, add_product, fill, product};
#[cfg(target_arch = "x86_64")]
use super::packed_quantized;
use super::stream::{self, add_dots};
use super::{LinearGradients, Weight};
#[cfg(target_arch = "x86_64")]
use crate::element::Data;
use crate::simd::{Lanes, multiversion};
use crate::view::Matrix;
use crate::{Error, Result};

/// `out = rows · weight + bias`: rows `[row, width]`, bias `[feature]` or empty for none, out `[row, feature]`, all
/// contiguous.
///
/// The result has the same bits for any number of threads. A row of it has the same bits in any company where the weight lies
/// as `[width, feature]`; otherwise among few rows, and among many.
///
/// # Errors
/// If the lengths do not fit each other.
pub fn linear(rows: &[f32], weight: &Weight, bias: &[f32], out: &mut [f32]) -> Result<()> {
    let [width, features] = weight.sizes();
    let count = check("rows", rows, width)?;
    if !bias.is_empty() && bias.len() != features {
        return Err(Error::new("bias", format!("{} numbers", bias.len()), format!("none or {features}")));
    }
    if Some(out.len()) != count.checked_mul(features) {
        let expected = format!("{count} rows of {features} features");
        return Err(Error::new("out", format!("{} numbers", out.len()), expected));
    }
    if count == 0 {
        return Ok(());
    }
    if weight.matrix.column_stride == 1 && weight.matrix.row_stride != 1 && count <= stream::MOST {
        fill(bias, features, out);
        add_dots(rows, weight.matrix, out);
    } else {
        #[cfg(target_arch = "x86_64")]
        if let (Data::Quantized(numbers, scales), true) = (weight.matrix.data, packed_quantized::is_fast()) {
            packed_quantized::product(rows, weight.matrix, (numbers, scales), bias, out);
            return Ok(());
        }
        product(Matrix::panel(rows, count, width, width), Right::of(weight.matrix.transposed()), bias, out);
    }
    Ok(())
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
    let mut gradients = LinearGradients {
        states,
        weight: vec![0.0; width * features],
        bias: vec![0.0; if biased { features } else { 0 }],
    };
    let upstream = Matrix::panel(grad, count, features, features);
    add_product(
        Matrix::panel(rows, count, width, width).transposed(),
        Right::Straight(upstream.into()),
        &mut gradients.weight,
    );
    if biased {
        grad.chunks_exact(features).for_each(|grad| add(grad, &mut gradients.bias));
    }
    Ok(gradients)
}

/// The gradient by the rows alone, `[row, width]`: what goes through a layer whose weight is not to be changed.
///
/// # Errors
/// If the gradient of the result is not one of whole rows.
pub fn linear_backward_rows(weight: &Weight, grad: &[f32]) -> Result<Vec<f32>> {
    let [width, features] = weight.sizes();
    let count = check("grad", grad, features)?;
    let mut gradient = vec![0.0; count * width];
    add_product(Matrix::panel(grad, count, features, features), Right::of(weight.matrix), &mut gradient);
    Ok(gradient)
}

/// How many rows there are.
fn check(argument: &str, rows: &[f32], width: usize) -> Result<usize> {
    if !rows.len().is_multiple_of(width) {
        return Err(Error::new(argument, format!("{} numbers", rows.len()), format!("rows of width {width}")));
    }
    Ok(rows.len() / width)
}

multiversion! {
    /// `sum += x`
    fn add<I>(x: &[f32], sum: &mut [f32]) {
        let (vectors, tail) = sum.as_chunks_mut();
        let (numbers, tail_numbers) = x.as_chunks();
        for (sum, &x) in vectors.iter_mut().zip(numbers) {
            *sum = Lanes(*sum).add(Lanes(x)).0;
        }
        tail.iter_mut().zip(tail_numbers).for_each(|(sum, x)| *sum += x);
    }
}
