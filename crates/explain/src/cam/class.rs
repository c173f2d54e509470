//! CAM: the activations before global average pooling, weighted as the linear classifier weights their means.
//!
//! `M(y, x) = Σ_k w_k · A_k(y, x)`; the class's score is the mean of it, less the constant. Zhou et al., "Learning Deep Features for
//! Discriminative Localization", CVPR 2016, arXiv:1512.04150.
//!
//! No backward pass, and exact. Only for networks that end in average pooling and one linear layer; for others
//! [`hires_cam`](super::hires_cam), which is the same number there.

use super::{Saliency, activations, weighted};
use crate::Result;
use crate::error::checked;

/// The map of a class: `values` are the activations `[channel, height, width]` of the `shape`, `weights` the classifier's of this class,
/// one a channel. Signed, at the activations' size.
///
/// # Errors
/// [`Error::Field`](crate::Error::Field) for a shape with 0, [`Error::Shape`](crate::Error::Shape) and
/// [`Error::Value`](crate::Error::Value) for arrays that do not fit or are not finite.
pub fn cam(values: &[f32], shape: [usize; 3], weights: &[f32]) -> Result<Saliency> {
    let values = activations(values, shape)?;
    let weights = checked("weights", weights, &shape[..1])?;
    Ok(weighted("CAM", values, shape, |channel, _| f64::from(weights[channel])))
}
