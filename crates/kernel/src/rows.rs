//! Two kernels that run along rows and, beside attention, are where training a small model spends its time: cross-entropy
//! over a vocabulary, and layer normalisation.
//!
//! Rows are dealt to the threads of the current pool in fixed chunks, and sums over rows are added up chunk by chunk, so
//! results have the same bits for any number of threads.

mod cross_entropy;
mod layer_norm;

pub use cross_entropy::{CrossEntropy, cross_entropy, cross_entropy_backward};
pub use layer_norm::{layer_norm, layer_norm_backward};

/// Numbers that one task handles, about.
const CHUNK: usize = 1 << 14;

/// Rows of a task.
fn rows_a_task(width: usize) -> usize {
    CHUNK.div_ceil(width.max(1)).max(1)
}
