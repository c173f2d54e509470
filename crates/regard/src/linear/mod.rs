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

use crate::error::Result;
use crate::ops;

/// What queries find under keys when likeness is the product of their features, which are positive: the mean of the values
/// so weighted, of all or, if `causal`, of those up to each query. The keys meet the values first, so that nothing is as
/// large as queries times keys.
fn average(queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>, causal: bool) -> Result<Tensor<4>> {
    if !causal {
        let mass = keys.clone().sum_dim(2).swap_dims(2, 3);
        let memory = keys.swap_dims(2, 3).matmul(values);
        return Ok(queries.clone().matmul(memory) / queries.matmul(mass));
    }
    // What the weights sum to is what a value of 1 everywhere comes to.
    let [batch, heads, length, width] = values.dims();
    let ones = Tensor::ones([batch, heads, length, 1], &ops::constants(&values.device()));
    let values = Tensor::cat(vec![values, ones], 3);
    let sums = ops::linear_attention(queries, keys, values, None, None, 1.0)?;
    Ok(sums.clone().narrow(3, 0, width) / sums.narrow(3, width, 1))
}
