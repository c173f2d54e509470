//! Kernels that run along rows: linear layers, activations, the cross-entropy of a linear classifier over a vocabulary and
//! norms, where a model spends its time beside attention, and rotary position embedding; products of
//! many matrices and filters along the positions, of which approximations of attention are made.
//!
//! Rows are dealt to the threads of the current pool in fixed chunks, and sums over rows are added up chunk by chunk, so
//! results have the same bits for any number of threads.

mod activation;
mod filter;
mod layer_norm;
mod linear;
mod linear_cross_entropy;
mod packed;
#[cfg(target_arch = "x86_64")]
mod packed_quantized;
mod product;
mod quantized;
mod rms_norm;
mod rotary;
mod stream;
mod stream_quantized;
mod weight;

pub use activation::{Activation, activate, activate_backward};
pub use filter::{FilterGradients, filter, filter_backward};
pub use layer_norm::{layer_norm, layer_norm_backward};
pub use linear::{linear, linear_backward, linear_backward_rows};
pub use linear_cross_entropy::{LinearCrossEntropy, LinearGradients};
pub use product::{ProductGradients, product, product_backward};
pub use quantized::Quantized;
pub use rms_norm::{rms_norm, rms_norm_backward};
pub use rotary::{Pairs, rotate};
pub use weight::Weight;

/// Numbers that one task handles, about.
const CHUNK: usize = 1 << 14;

/// Rows of a task.
fn rows_a_task(width: usize) -> usize {
    CHUNK.div_ceil(width.max(1)).max(1)
}
