//! Exact attention to fewer pairs: those that are near (`Longformer`), alike by hashing (`Lsh`), in one line of a grid
//! (`Axial`), or in blocks that look promising from afar (`Hybrid`).

mod axial;
mod hybrid;
mod longformer;
mod lsh;

pub use axial::{Axial, AxialAttention, AxialAttentionConfig};
pub use hybrid::{Hybrid, HybridConfig};
pub use longformer::{Longformer, LongformerConfig, LongformerOutput};
pub use lsh::{Lsh, LshConfig};

pub(crate) use axial::CARD as AXIAL;
pub(crate) use hybrid::CARD as HYBRID;
pub(crate) use longformer::CARD as LONGFORMER;
pub(crate) use lsh::CARD as LSH;
