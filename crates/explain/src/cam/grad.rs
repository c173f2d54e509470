//! Grad-CAM: a layer's activations, each channel weighted with the mean of its gradient over the image.
//!
//! `M(y, x) = max(0, Σ_k α_k · A_k(y, x))` with `α_k` the mean over places of `∂s/∂A_k`. Selvaraju et al., "Grad-CAM: Visual Explanations
//! from Deep Networks via Gradient-based Localization", ICCV 2017, arXiv:1610.02391.
//!
//! One backward pass to the layer, usually the last that knows places. For a coarse look at any network. The mean over the image can
//! light up places that the network did not use (Draelos and Carin 2020): prefer [`hires_cam`](super::hires_cam) where that matters.

use super::{Saliency, activations, weighted};
use crate::Result;
use crate::error::checked;

/// The map of a class, 0 or more, at the activations' size: `values` are the activations `[channel, height, width]` of the `shape`,
/// `gradients` those of the class's score with respect to them.
///
/// # Errors
/// [`Error::Field`](crate::Error::Field) for a shape with 0, [`Error::Shape`](crate::Error::Shape) and
/// [`Error::Value`](crate::Error::Value) for arrays that do not fit or are not finite.
pub fn grad_cam(values: &[f32], shape: [usize; 3], gradients: &[f32]) -> Result<Saliency> {
    let values = activations(values, shape)?;
    let gradients = checked("gradients", gradients, &shape)?;
    let places = shape[1] * shape[2];
    let mean = |channel: &[f32]| channel.iter().map(|&gradient| f64::from(gradient)).sum::<f64>() / places as f64;
    let means: Vec<f64> = gradients.chunks(places).map(mean).collect();
    Ok(weighted("Grad-CAM", values, shape, |channel, _| means[channel]).rectified())
}
