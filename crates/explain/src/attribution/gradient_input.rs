//! Gradient × input: how fast the number changes with a place, times the place itself.
//!
//! `score_i = Σ_d x_id · ∂f/∂x_id`, the first-order estimate of what the place adds over zeros. Exact for a linear function without a
//! constant. Shrikumar et al., "Not just a black box", 2016, arXiv:1605.01713; for text Denil et al. 2014, arXiv:1412.6815.
//!
//! One backward pass. For a first look, and for many inputs. Not where the function saturates: a place that matters may have a
//! gradient near 0, which integrated gradients repairs.

use super::{by_place, ends, gradients};
use crate::{Differentiable, Explanation, Result};

/// Scores the places of a subject by gradient × input.
///
/// # Errors
/// [`Error::Field`](crate::Error::Field) for no places or features, [`Error::Shape`](crate::Error::Shape) and
/// [`Error::Value`](crate::Error::Value) for an input or gradients that do not fit or are not finite,
/// [`Error::Given`](crate::Error::Given) for what the subject says.
pub fn gradient_input(subject: &dyn Differentiable) -> Result<Explanation> {
    let (input, _, width) = ends(subject)?;
    let (_, gradients) = gradients(subject, &[input.to_vec()])?;
    let products = input.iter().zip(&gradients[0]).map(|(&x, &gradient)| f64::from(x) * f64::from(gradient));
    Ok(Explanation {
        method: "gradient × input".to_owned(),
        scores: by_place(products, width),
        note: "the gradient at the input".to_owned(),
        completeness: None,
    })
}
