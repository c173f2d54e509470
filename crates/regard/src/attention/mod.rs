//! Attention as modules: projections around the fused operation, and what they let one see.

mod additive;
mod cache;
mod general;
mod latent;
mod look;
mod multi_head;
mod query_key_norm;
mod talking_heads;

pub use additive::{AdditiveAttention, AdditiveAttentionConfig};
pub use cache::Cache;
pub use general::{GeneralAttention, GeneralAttentionConfig};
pub use latent::{LatentAttention, LatentAttentionConfig, LatentCache};
pub use look::Look;
pub use multi_head::{MultiHeadAttention, MultiHeadAttentionConfig, MultiHeadOutput};
pub use query_key_norm::{HeadNorm, QueryKeyNorm};
pub use talking_heads::{TalkingHeads, TalkingHeadsConfig};

use burn::tensor::Tensor;

use crate::catalogue::Card;
use crate::error::{Error, Result};
use crate::projection::Linear;

pub(crate) use multi_head::{check_dropout, split};

/// The cards of this module.
pub(crate) const CARDS: [Card; 8] = [
    additive::CARD,
    general::CARD,
    multi_head::CARD,
    multi_head::GROUPED_QUERY,
    multi_head::GATED_OUTPUT,
    latent::CARD,
    query_key_norm::CARD,
    talking_heads::CARD,
];

/// Refuses an input that `linear` cannot take.
pub(crate) fn check_width(argument: &'static str, input: &Tensor<3>, linear: &Linear) -> Result<()> {
    let (given, width) = (input.dims(), linear.weight.dims()[0]);
    if given[2] == width { Ok(()) } else { Err(Error::shape(argument, &given, format!("a last axis of {width}"))) }
}
