//! HiResCAM: a layer's activations times their gradients, place by place.
//!
//! `M(y, x) = Σ_k ∂s/∂A_k(y, x) · A_k(y, x)`. Draelos and Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of
//! convolutional neural networks", 2020, arXiv:2011.08891.
//!
//! One backward pass to the layer. Where one linear layer follows the activations, the map adds up to the class's score less the
//! constant. Signed, as the equation is; [`Saliency::rectified`] keeps what speaks for the class. Deeper below the answer it is gradient
//! × input of a layer, with that method's limits.

use super::{Saliency, activations, weighted};
use crate::Result;
use crate::error::checked;

/// The map of a class, signed, at the activations' size: `values` are the activations `[channel, height, width]` of the `shape`,
/// `gradients` those of the class's score with respect to them.
///
/// # Errors
/// [`Error::Field`](crate::Error::Field) for a shape with 0, [`Error::Shape`](crate::Error::Shape) and
/// [`Error::Value`](crate::Error::Value) for arrays that do not fit or are not finite.
pub fn hires_cam(values: &[f32], shape: [usize; 3], gradients: &[f32]) -> Result<Saliency> {
    let values = activations(values, shape)?;
    let gradients = checked("gradients", gradients, &shape)?;
    let places = shape[1] * shape[2];
    Ok(weighted("HiResCAM", values, shape, |channel, place| f64::from(gradients[channel * places + place])))
}
