//! Attention you can see through, as [burn](https://burn.dev) modules.
//!
//! A query compares itself with keys, the scores become weights, the weights mix the values. Which comparison, which
//! bias, who may see whom and how scores become weights are four nouns ([`Score`], [`Bias`], [`Mask`], [`Normalizer`])
//! that combine freely; every combination is one fused operation with a backward of its own, and none of them ever holds
//! the L×S weights. What comes back beside the result, the log-sum-exp of each row, is enough to recompute any weight
//! exactly, later, if somebody wants to look: see [`attention::Look`] and the [`Probe`]s.
//!
//! ```
//! use regard::attention::MultiHeadAttentionConfig;
//! use regard::{Attention, Causal, Mode, ScaledDot};
//! use burn::tensor::{Device, Distribution, Tensor};
//!
//! let device = Device::default();
//! let layer = MultiHeadAttentionConfig::new(64, 4).init(&device)?;
//! let x = Tensor::<3>::random([1, 10, 64], Distribution::Default, &device);
//!
//! let causal = Attention::new(ScaledDot::default()).mask(Causal::default());
//! let out = layer.forward(x.clone(), x, &causal, Mode::Evaluate)?;
//! assert_eq!(out.output.dims(), [1, 10, 64]);
//!
//! // Nothing was stored, and yet every weight is there when asked for.
//! let weights = out.look.weights()?;
//! assert_eq!(weights.dims(), [1, 4, 10, 10]);
//! # Ok::<(), regard::Error>(())
//! ```

mod adapter;
pub mod attention;
pub mod cache;
pub mod catalogue;
mod error;
pub mod graph;
pub mod hard;
pub mod linear;
pub mod mechanism;
pub mod memory;
mod noise;
mod norm;
pub mod ops;
pub mod position;
mod projection;
mod random;
pub mod sparse;
mod stage;

pub use error::{Error, Result};
pub use mechanism::Mechanism;
pub use noise::{Mode, Noise, mix};
pub use norm::{LayerNorm, LayerNormConfig, RmsNorm, RmsNormConfig};
pub use projection::{Linear, LinearConfig};
pub use regard_kernel::*;
pub use stage::{Act, Stage};
