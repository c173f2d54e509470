//! Attention whose time grows with the length and not with its square: by features of queries and keys (`Linear`,
//! `Performer`), by fewer keys (`Linformer`), by fewer of both (`Nystrom`).

mod features;
mod linformer;
mod nystrom;
mod performer;

pub use features::Linear;
pub use linformer::{Linformer, LinformerConfig};
pub use nystrom::{Nystrom, NystromConfig};
pub use performer::{Performer, PerformerConfig};

pub(crate) use features::CARD as LINEAR;
pub(crate) use linformer::CARD as LINFORMER;
pub(crate) use nystrom::CARD as NYSTROM;
pub(crate) use performer::CARD as PERFORMER;
