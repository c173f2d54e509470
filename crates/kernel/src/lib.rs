//! Exact fused attention on slices: no tensor framework, no L×L matrix.
//!
//! Attention lets every query look at every key and carry home a mixture of values:
//!
//! ```text
//! e_ij = score(q_i, k_j) + bias(i, j)      hidden where the mask says so
//! a_ij = normalize(e_i)_j
//! c_i  = Σ_j a_ij · v_j
//! ```
//!
//! Each factor is a trait with small implementations ([`Score`], [`Bias`], [`Mask`], [`Normalizer`]), and an [`Attention`]
//! is put together from them. Whatever the combination, forward and backward are fused: the matrix of weights is never
//! held, so memory grows with the length and not with its square.
//!
//! ```
//! use regard_kernel::{Alibi, Attention, Causal, ScaledDot, View, probe::Entropy};
//!
//! # fn main() -> regard_kernel::Result<()> {
//! // One batch, two heads, three positions, four features.
//! let shape = [1, 2, 3, 4];
//! let (q, k, v) = (vec![0.1; 24], vec![0.2; 24], (0..24).map(|i| i as f32).collect::<Vec<_>>());
//! let (q, k, v) = (View::new(&q, shape)?, View::new(&k, shape)?, View::new(&v, shape)?);
//!
//! let attention = Attention::new(ScaledDot::default()).mask(Causal::default()).bias(Alibi::new(2));
//! let output = attention.forward(&q, &k, &v)?;
//! assert_eq!(output.context[..4], [0.0, 1.0, 2.0, 3.0]); // the first query sees the first key only
//!
//! // Looking is free until you look: any weight can be made again from q, k and the log-sum-exp.
//! let mut entropy = Entropy::new();
//! attention.observe(&q, &k, &output.lse, &mut [&mut entropy])?;
//! assert_eq!(entropy.values()[0], 0.0);
//!
//! let gradients = attention.backward(&q, &k, &v, &output.context, &output.lse, &v)?;
//! assert_eq!(gradients.queries.len(), 24);
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! Softmax needs a row's greatest score and the sum of its exponentials before the first weight is known, which seems to
//! ask for the whole row. It does not (Milakov and Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022, arXiv:2205.14135).
//! The forward pass takes a block of 64 queries and lets the keys stream by, 64 at a time. For each such *tile* it
//!
//! 1. asks the mask whether anything is visible at all, and goes on to the next tile if not;
//! 2. computes the scores by one matrix product, lets biases change them, and puts −∞ where the mask hides;
//! 3. takes exponentials relative to the greatest score *so far*; if that has grown, what was summed before is scaled down;
//! 4. adds the tile's weights to the running total and, by a second product, its values to the running context.
//!
//! The tiles of a causal attention, and one of them:
//!
#![doc = include_str!("../docs/tiles.svg")]
//!
//! After the last key the context is divided by the total. What is kept of a row is one number, its log-sum-exp
//! `lse_i = log Σ_j exp e_ij`, because `a_ij = exp(e_ij − lse_i)` gives back any weight. The backward pass and the
//! [probes](probe) do just that, tile by tile. Other normalizers keep another number; those whose weights end at a
//! threshold find it first, in passes of their own ([`normalize`]).
//!
//! Queries lie side by side in vector lanes and keys follow one another, so maxima, sums, rescaling and masks need no
//! shuffling, and one small matrix kernel serves all seven products. Modifiers are trait objects that are called once a
//! tile: inside, the loop is straight-line code, compiled for each instruction set and chosen at run time. (The environment
//! variable `REGARD_ISA`, set to `avx2` or `baseline`, asks for a lesser one, to test or to compare.)
//!
//! # Where to read on
//!
//! As a course in fast attention, in this order:
//!
//! 1. [`score`], [`bias`] and [`mask`]: what is computed of a tile, and how a mask saves whole ones.
//! 2. [`normalize`]: the softmax as it streams, and what to do where a weight depends on the whole row.
//! 3. [`backward`]: seven products where a textbook has six, and why that is the faster way.
//! 4. [`probe`]: looking at attention of any length.
//! 5. [`decode`]: a query or a few against a long past, when memory is what one waits for.
//! 6. [`dropout`] without a generator's state, and [`rows`]: what else a training step spends its time on, done likewise.
//!
//! # Numbers
//!
//! - Queries, keys and values are `f32`, `f16`, `bf16`, or whole numbers of 8 bits with a scale for each row; each may be of
//!   another type. They are read where they lie and widened a tile at a time; sums and results are `f32`.
//! - Query heads may be a multiple of key heads; the width of values may differ from that of keys; any length, 0 and 1
//!   included; any strides.
//! - A query that sees no key gets zeros, `lse = −∞` and no gradient. What hides behind a mask cannot leak, not even a NaN;
//!   a NaN that is seen comes out.
//! - Rounding moves the context no farther from the exact one than it moves the plain computation in single precision, and
//!   much less where rows are long. Gradients may be off by up to 1.75 times as much: a log-sum-exp of single precision
//!   knows a row's scale to within 2⁻²⁴ of its greatest score. It tells where scores go into the thousands
//!   (`tests/accuracy.rs` has the bounds).
//! - Sums run in an order that the tiles fix: the same inputs give the same bits for any number of threads and any batch.
//!   Work runs on the current rayon pool, or on the calling thread if there is little of it.

mod attention;
pub mod backward;
pub mod bias;
pub mod decode;
pub mod dropout;
mod element;
mod error;
pub mod features;
mod forward;
pub mod graph;
pub mod hashed;
pub mod linear;
pub mod local;
pub mod mask;
mod memory;
pub mod normalize;
mod pack;
pub mod probe;
mod problem;
pub mod rows;
mod scan;
pub mod score;
mod scores;
mod scratch;
mod shape;
mod simd;
mod stored;
pub mod trilinear;
mod view;

pub use attention::{Attention, Gradients, Output};
pub use bias::{Alibi, Bias, DenseBias, LentBias, RelativeBuckets, SoftCap};
pub use decode::{KeyValueCache, PagedCache, Past};
pub use element::Element;
pub use error::{Error, Result};
pub use features::{FeatureAttention, FeatureMap};
pub use graph::{EdgeAttention, Graph};
pub use half::{bf16, f16};
pub use hashed::{HashedAttention, Hashing};
pub use linear::LinearAttention;
pub use local::LocalAttention;
pub use mask::{
    BigBird, Blocks, Causal, Corner, DenseMask, Dilated, Documents, Global, KeyMask, Mask, Padding, Prefix, SharedMask,
    Window,
};
pub use memory::Precision;
pub use normalize::{Entmax, Entmax15, Gumbel, Hard, Normalizer, Sampled, Sigmoid, Softmax, Sparsemax, TopK};
pub use probe::Probe;
pub use score::{Additive, Bilinear, Cosine, Distance, Dot, ScaledDot, Score};
pub use scores::Scores;
pub use shape::{KEY_BLOCK, QUERY_BLOCK, Shape, Tile};
pub use trilinear::Trilinear;
pub use view::{Matrix, View};
