//! Attention to a place that is chosen, instead of a little to every place.

mod local;

pub use local::{HardLocal, HardLocalConfig};

pub(crate) use local::CARD as LOCAL;
