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

use burn::tensor::Tensor;

/// What queries find under keys when likeness is the product of their features, which are positive: the mean of the values
/// so weighted. The keys meet the values first, so that nothing is as large as queries times keys.
fn average(queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>) -> Tensor<4> {
    let mass = keys.clone().sum_dim(2).swap_dims(2, 3);
    let memory = keys.swap_dims(2, 3).matmul(values);
    queries.clone().matmul(memory) / queries.matmul(mass)
}
