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

pub(crate) use additive::CARD as ADDITIVE;
pub(crate) use general::CARD as GENERAL;
pub(crate) use multi_head::CARD as MULTI_HEAD;
