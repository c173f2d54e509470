//! Normalizers: how scores become weights.
//!
//! A normalizer sees a row of scores in pieces, from the first key to the last, and keeps what it must know in
//! [`Rows`]. What it leaves behind for each row is one number, from which any weight can be made again: for
//! [`Softmax`] the log-sum-exp, for [`Sigmoid`] the score that weighs one half, for [`Sparsemax`] the threshold.
//!
//! Some cannot weigh a key before they know all the others: they ask for a [`Scan`], passes over all keys that come
//! first. Scores are computed anew in each pass, so that no row is ever held.
//!
//! Some give all weight to one key, by [`Hard`] choice or by chance ([`Gumbel`], [`Sampled`]). Their weights have no slope,
//! and others that have stand in for them in the backward pass ([`Normalizer::surrogate`]).

mod choice;
mod entmax;
mod entmax15;
mod gumbel;
mod hard;
mod noise;
mod powers;
mod sampled;
mod sigmoid;
mod softmax;
mod sparsemax;
mod threshold;
mod top_k;

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use crate::Result;
use crate::mask::low_bits;
use crate::scores::Scores;
use crate::shape::{KEY_BLOCK, QUERY_BLOCK, Shape};
use crate::simd::{LANES, Lanes, multiversion};

pub use entmax::Entmax;
pub use entmax15::Entmax15;
pub use gumbel::Gumbel;
pub use hard::Hard;
pub use noise::gumbel;
pub use sampled::Sampled;
pub use sigmoid::Sigmoid;
pub use softmax::Softmax;
pub use sparsemax::Sparsemax;
pub use top_k::TopK;

/// What is known about each row (query) of a block while its keys stream by.
#[derive(Clone, Debug)]
pub struct Rows {
    /// How many rows there are; what follows is meaningless after them.
    pub count: usize,
    /// The number that weights are taken relative to: for a softmax the greatest score so far.
    pub reference: [f32; QUERY_BLOCK],
    /// The sum of all weights so far, relative to the reference.
    pub total: [f32; QUERY_BLOCK],
    /// What the context summed so far must be multiplied with, since the reference has moved.
    pub rescale: [f32; QUERY_BLOCK],
    /// Once finished: what the context is multiplied with.
    pub scale: [f32; QUERY_BLOCK],
    /// Once finished: the number that is kept of the row; −∞ if it saw no key.
    pub lse: [f32; QUERY_BLOCK],
}

impl Rows {
    /// Rows that have seen nothing.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            count,
            reference: [f32::NEG_INFINITY; QUERY_BLOCK],
            total: [0.0; QUERY_BLOCK],
            rescale: [0.0; QUERY_BLOCK],
            scale: [0.0; QUERY_BLOCK],
            lse: [f32::NEG_INFINITY; QUERY_BLOCK],
        }
    }

    /// Some of the rows.
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        let mut part = Self::new(range.len());
        for (to, from) in [
            (&mut part.reference, &self.reference),
            (&mut part.total, &self.total),
            (&mut part.rescale, &self.rescale),
            (&mut part.scale, &self.scale),
            (&mut part.lse, &self.lse),
        ] {
            to[..range.len()].copy_from_slice(&from[range.clone()]);
        }
        part
    }
}

/// Passes over the scores of a block of rows.
pub trait Scan {
    /// Looks at a tile (−∞ where hidden). In each pass, tiles come in the order of their keys; those that are hidden
    /// altogether do not come.
    fn tile(&mut self, scores: &Scores);

    /// Ends a pass over all keys: whether another one is needed.
    fn again(&mut self) -> bool;

    /// What was found.
    fn limits(&mut self) -> Limits;
}

/// What a scan has found about each row of a block.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The score at which weights end.
    pub scores: [f32; QUERY_BLOCK],
    /// Among keys of just that score, the last that counts.
    pub keys: [usize; QUERY_BLOCK],
}

impl Limits {
    /// No limits.
    pub(crate) fn none() -> Self {
        Self { scores: [f32::NEG_INFINITY; QUERY_BLOCK], keys: [usize::MAX; QUERY_BLOCK] }
    }
}

/// How scores become weights.
pub trait Normalizer: Debug + Send + Sync {
    /// Refuses a problem whose sizes do not fit.
    ///
    /// # Errors
    /// If the normalizer was made for other sizes.
    fn check(&self, shape: &Shape) -> Result<()> {
        let _ = shape;
        Ok(())
    }

    /// What must pass over all keys before the first weight is made: nothing, for most. With `kept`, the rows' kept
    /// numbers are known already and weights are to be made again.
    fn scan(&self, shape: &Shape, kept: bool) -> Option<Box<dyn Scan>> {
        let _ = (shape, kept);
        None
    }

    /// Hides (−∞) the scores that lie beyond the limits a scan has found.
    fn select(&self, limits: &Limits, scores: &mut Scores) {
        let _ = (limits, scores);
    }

    /// Prepares rows that have seen nothing. After a scan, `rows.reference` holds the limits' scores.
    fn begin(&self, shape: &Shape, rows: &mut Rows) {
        let _ = (shape, rows);
    }

    /// Replaces scores (−∞ where hidden) by weights relative to `rows.reference`, which may move, and adds them up.
    fn absorb(&self, scores: &mut Scores, rows: &mut Rows);

    /// Whether parts of the keys can be seen apart and be joined, rows of several heads side by side.
    fn joins(&self) -> bool {
        true
    }

    /// Joins what another part of the keys left. Afterwards the context so far is to be multiplied with
    /// `rows.rescale`, that of the other part with `other.rescale`. Unless overridden, the reference does not move.
    fn merge(&self, rows: &mut Rows, other: &mut Rows) {
        (rows.rescale, other.rescale) = ([1.0; QUERY_BLOCK], [1.0; QUERY_BLOCK]);
        for i in 0..rows.count {
            // A part that no key has reached yet has no reference.
            rows.reference[i] = rows.reference[i].max(other.reference[i]);
            rows.total[i] += other.total[i];
        }
    }

    /// All keys were seen: sets `rows.scale` and `rows.lse`.
    fn finish(&self, head: usize, rows: &mut Rows);

    /// Replaces scores (−∞ where hidden) by weights, given the number that was kept of each row.
    fn weights(&self, lse: &[f32; QUERY_BLOCK], scores: &mut Scores);

    /// Whether others stand in for the weights when gradients go back, as those of a choice have no slope.
    fn straight_through(&self) -> bool {
        false
    }

    /// Replaces scores (−∞ where hidden) by what stands in for `weights`, given the number that was kept of each row.
    /// [`gather`](Normalizer::gather) and [`backward`](Normalizer::backward) see it in their place; values do not.
    fn surrogate(&self, lse: &[f32; QUERY_BLOCK], weights: &Scores, scores: &mut Scores) {
        let _ = (lse, weights, scores);
    }

    /// Whether the gradients of a row have more in common than Σ_j weight_ij · gradient_ij, which the context knows. Then
    /// a pass of its own comes before the backward pass.
    fn gathers(&self) -> bool {
        false
    }

    /// Adds what a tile's weights and their gradient (which may be anything where the weight is 0) have to say about
    /// each row, as a numerator and a denominator.
    fn gather(&self, weights: &Scores, grad: &Scores, sums: &mut [[f32; QUERY_BLOCK]; 2]) {
        let _ = (weights, grad, sums);
    }

    /// Replaces the gradient of the weights by that of the scores. `inner[i]` is Σ_j weight_ij · gradient_ij, or the
    /// quotient of what was gathered.
    fn backward(&self, weights: &Scores, inner: &[f32; QUERY_BLOCK], grad: &mut Scores);

    /// The learned numbers, flat.
    fn parameters(&self) -> &[f32] {
        &[]
    }

    /// Adds the gradient of the parameters that a row causes.
    fn backward_parameters(&self, head: usize, lse: f32, inner: f32, parameters: &mut [f32]) {
        let _ = (head, lse, inner, parameters);
    }
}

impl<N: Normalizer + ?Sized> Normalizer for Arc<N> {
    fn check(&self, shape: &Shape) -> Result<()> {
        (**self).check(shape)
    }

    fn scan(&self, shape: &Shape, kept: bool) -> Option<Box<dyn Scan>> {
        (**self).scan(shape, kept)
    }

    fn select(&self, limits: &Limits, scores: &mut Scores) {
        (**self).select(limits, scores);
    }

    fn begin(&self, shape: &Shape, rows: &mut Rows) {
        (**self).begin(shape, rows);
    }

    fn absorb(&self, scores: &mut Scores, rows: &mut Rows) {
        (**self).absorb(scores, rows);
    }

    fn joins(&self) -> bool {
        (**self).joins()
    }

    fn merge(&self, rows: &mut Rows, other: &mut Rows) {
        (**self).merge(rows, other);
    }

    fn finish(&self, head: usize, rows: &mut Rows) {
        (**self).finish(head, rows);
    }

    fn weights(&self, lse: &[f32; QUERY_BLOCK], scores: &mut Scores) {
        (**self).weights(lse, scores);
    }

    fn straight_through(&self) -> bool {
        (**self).straight_through()
    }

    fn surrogate(&self, lse: &[f32; QUERY_BLOCK], weights: &Scores, scores: &mut Scores) {
        (**self).surrogate(lse, weights, scores);
    }

    fn gathers(&self) -> bool {
        (**self).gathers()
    }

    fn gather(&self, weights: &Scores, grad: &Scores, sums: &mut [[f32; QUERY_BLOCK]; 2]) {
        (**self).gather(weights, grad, sums);
    }

    fn backward(&self, weights: &Scores, inner: &[f32; QUERY_BLOCK], grad: &mut Scores) {
        (**self).backward(weights, inner, grad);
    }

    fn parameters(&self) -> &[f32] {
        (**self).parameters()
    }

    fn backward_parameters(&self, head: usize, lse: f32, inner: f32, parameters: &mut [f32]) {
        (**self).backward_parameters(head, lse, inner, parameters);
    }
}

/// For each key of a tile, which queries' scores are above a limit, one bit a query.
fn above(scores: &Scores, limits: &[f32; QUERY_BLOCK]) -> [u64; KEY_BLOCK] {
    let mut words = [0; KEY_BLOCK];
    fill_above(scores.values(), scores.lanes(), limits, &mut words);
    let rows = low_bits(scores.queries().len());
    words.map(|word| word & rows)
}

multiversion! {
    fn fill_above<I>(scores: &[f32], lanes: usize, limits: &[f32; QUERY_BLOCK], words: &mut [u64; KEY_BLOCK]) {
        for first in (0..lanes).step_by(LANES) {
            let limits = Lanes::load(&limits[first..]);
            for (word, row) in words.iter_mut().zip(scores.chunks_exact(lanes)) {
                *word |= u64::from(I::above(Lanes::load(&row[first..]), limits)) << first;
            }
        }
    }
}
