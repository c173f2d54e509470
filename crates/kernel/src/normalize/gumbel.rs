//! The Gumbel-softmax: a softmax that is shaken, and comes near a sample as it cools down.
//!
//! Jang, Gu and Poole, "Categorical Reparameterization with Gumbel-Softmax", ICLR 2017, arXiv:1611.01144; Maddison, Mnih and
//! Teh, "The Concrete Distribution", ICLR 2017, arXiv:1611.00712.

use super::choice::{self, Argmax};
use super::{Limits, Normalizer, Rows, Scan, Softmax, noise, threshold};
use crate::Result;
use crate::scores::Scores;
use crate::shape::{QUERY_BLOCK, Shape};

/// `a_ij = softmax_j((e_ij + g_ij) / τ)` with g Gumbel noise ([`gumbel`](super::gumbel)), keyed by seed, batch, head, query
/// and key; [`hard`](Gumbel::hard) gives the greatest of them all weight.
///
/// Give each step of training a seed of its own. The lower τ, the nearer to a choice, and the larger the gradients'
/// variance. What is kept is the log-sum-exp of what is normalised. The noise costs two logarithms a pair. Where nothing is
/// to be left to chance, after training, take [`Softmax`] or [`Hard`](super::Hard).
#[derive(Clone, Debug, PartialEq)]
pub struct Gumbel {
    seed: u64,
    softmax: Softmax,
    /// 1/τ
    factor: f32,
    hard: bool,
}

impl Gumbel {
    /// Weights that are soft.
    ///
    /// # Errors
    /// If the temperature is not a positive, finite number.
    pub fn new(temperature: f32, seed: u64) -> Result<Self> {
        let softmax = Softmax::default().temperature(temperature)?;
        Ok(Self { seed, softmax, factor: 1.0 / temperature, hard: false })
    }

    /// Looks at one key, a sample of the softmax of the scores, whatever the temperature; gradients are those of the soft
    /// weights (straight-through).
    pub fn hard(self) -> Self {
        Self { hard: true, ..self }
    }
}

impl Normalizer for Gumbel {
    fn scan(&self, _: &Shape, kept: bool) -> Option<Box<dyn Scan>> {
        (self.hard && kept).then(|| Box::new(Argmax::new(Some(self.seed))) as Box<dyn Scan>)
    }

    fn select(&self, limits: &Limits, scores: &mut Scores) {
        choice::select(limits, scores);
    }

    fn absorb(&self, scores: &mut Scores, rows: &mut Rows) {
        noise::add(self.seed, scores);
        if self.hard {
            choice::absorb(scores, None, self.factor, rows);
        } else {
            self.softmax.absorb(scores, rows);
        }
    }

    // The noise depends on the head, and parts hold rows of several.
    fn joins(&self) -> bool {
        false
    }

    fn finish(&self, head: usize, rows: &mut Rows) {
        if self.hard {
            choice::finish(self.factor, rows);
        } else {
            self.softmax.finish(head, rows);
        }
    }

    fn weights(&self, lse: &[f32; QUERY_BLOCK], scores: &mut Scores) {
        if self.hard {
            choice::weights(lse, scores);
        } else {
            noise::add(self.seed, scores);
            self.softmax.weights(lse, scores);
        }
    }

    fn straight_through(&self) -> bool {
        self.hard
    }

    fn surrogate(&self, lse: &[f32; QUERY_BLOCK], _: &Scores, scores: &mut Scores) {
        noise::add(self.seed, scores);
        self.softmax.weights(lse, scores);
    }

    fn gathers(&self) -> bool {
        self.hard
    }

    fn gather(&self, weights: &Scores, grad: &Scores, sums: &mut [[f32; QUERY_BLOCK]; 2]) {
        threshold::gather(weights.values(), grad.values(), grad.lanes(), sums, |weight| weight);
    }

    fn backward(&self, weights: &Scores, inner: &[f32; QUERY_BLOCK], grad: &mut Scores) {
        self.softmax.backward(weights, inner, grad);
    }
}
