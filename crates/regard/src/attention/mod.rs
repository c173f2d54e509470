//! Attention as modules: projections around the fused operation, and what they let one see.

mod additive;
mod cache;
mod general;
mod look;
mod multi_head;

pub use additive::{AdditiveAttention, AdditiveAttentionConfig};
pub use cache::Cache;
pub use general::{GeneralAttention, GeneralAttentionConfig};
pub use look::Look;
pub use multi_head::{MultiHeadAttention, MultiHeadAttentionConfig, MultiHeadOutput};

use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::projection::Linear;

pub(crate) use additive::CARD as ADDITIVE;
pub(crate) use general::CARD as GENERAL;
pub(crate) use multi_head::CARD as MULTI_HEAD;
pub(crate) use multi_head::split;

/// Refuses an input that `linear` cannot take.
pub(crate) fn check_width(argument: &'static str, input: &Tensor<3>, linear: &Linear) -> Result<()> {
    let (given, width) = (input.dims(), linear.weight.dims()[0]);
    if given[2] == width { Ok(()) } else { Err(Error::shape(argument, &given, format!("a last axis of {width}"))) }
}
