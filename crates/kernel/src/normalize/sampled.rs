//! Stochastic hard attention: each query looks at one key, drawn from the softmax of its scores.
//!
//! Xu et al., "Show, Attend and Tell", ICML 2015, arXiv:1502.03044; the gradient is that of Williams 1992 (REINFORCE).

use super::choice::{self, Argmax};
use super::{Limits, Normalizer, Rows, Scan, Softmax, noise};
use crate::scores::Scores;
use crate::scratch;
use crate::shape::{KEY_BLOCK, QUERY_BLOCK, Shape};

/// `a_ij = 1` for one key, drawn with the probability `p_ij = softmax_j(e_ij)`; 0 for all others.
///
/// The draw is the greatest of `e_ij + g_ij`, with the noise of [`gumbel`](super::gumbel): the same seed draws the same keys
/// again, whatever the tiling. Give each step of training a seed of its own. What is kept is the log-sum-exp of the scores,
/// so that `ln p_ij = e_ij − lse_i`.
///
/// # Gradients
/// A draw has no slope, but its probability has. Scores get the score function, weighed with what the row is to answer for:
///
/// ```text
/// de_ij = r_i · ∂ ln p_i(drawn key) / ∂e_ij = r_i · (a_ij − p_ij)          r_i = dc_i · c_i
/// ```
///
/// `r_i` is how the loss changes if the row's context, the drawn value, counts for more. So the mean of the gradient over
/// draws is exact where the loss is linear in the context. For any other loss, REINFORCE says that `r_i` must be the row's
/// cost less a baseline that does not depend on the draw. To say so, attend a second time with values of one feature that is
/// 1 everywhere: the same seed draws the same keys, the context is 1, and whatever is given as its gradient is `r_i`. In the
/// first attention, that trains the values, gradients of queries and keys are then left out.
///
/// ```
/// use regard_kernel::{Attention, Dot, Sampled, View};
///
/// # fn main() -> regard_kernel::Result<()> {
/// let (q, k) = (View::new(&[1.0], [1, 1, 1, 1])?, View::new(&[0.0, 0.0], [1, 1, 2, 1])?);
/// let attention = Attention::new(Dot).normalizer(Sampled::new(7));
/// let ones = View::new(&[1.0, 1.0], [1, 1, 2, 1])?;
/// let choice = attention.forward(&q, &k, &ones)?;
/// assert_eq!(choice.context, [1.0]);
/// // The drawn key had the probability 1/2. It cost 3 more than was expected, so the loss falls with its score.
/// let cost = View::new(&[3.0], [1, 1, 1, 1])?;
/// let gradients = attention.backward(&q, &k, &ones, &choice.context, &choice.lse, &cost)?;
/// let mut of_keys = gradients.keys;
/// of_keys.sort_by(f32::total_cmp);
/// assert!((of_keys[0] + 1.5).abs() < 1e-6 && (of_keys[1] - 1.5).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampled {
    seed: u64,
}

impl Sampled {
    /// Draws that are a function of the seed and of their place.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }
}

impl Normalizer for Sampled {
    fn scan(&self, _: &Shape, kept: bool) -> Option<Box<dyn Scan>> {
        kept.then(|| Box::new(Argmax::new(Some(self.seed))) as Box<dyn Scan>)
    }

    fn select(&self, limits: &Limits, scores: &mut Scores) {
        choice::select(limits, scores);
    }

    fn absorb(&self, scores: &mut Scores, rows: &mut Rows) {
        scratch::with([QUERY_BLOCK * KEY_BLOCK], |[logits]| {
            let logits = scores.copy_in(logits);
            noise::add(self.seed, scores);
            // No score is more than 2.8 above the greatest with its noise, so their exponentials cannot overflow.
            choice::absorb(scores, Some(logits.values()), 1.0, rows);
        });
    }

    // The noise depends on the head, and parts hold rows of several.
    fn joins(&self) -> bool {
        false
    }

    fn finish(&self, _: usize, rows: &mut Rows) {
        choice::finish(1.0, rows);
    }

    fn weights(&self, lse: &[f32; QUERY_BLOCK], scores: &mut Scores) {
        choice::weights(lse, scores);
    }

    fn straight_through(&self) -> bool {
        true
    }

    fn surrogate(&self, lse: &[f32; QUERY_BLOCK], weights: &Scores, scores: &mut Scores) {
        Softmax::default().weights(lse, scores);
        scores.zip(weights, |probability, weight| weight - probability);
    }

    fn backward(&self, weights: &Scores, inner: &[f32; QUERY_BLOCK], grad: &mut Scores) {
        let first = grad.queries().start;
        grad.each(|query, _, _| inner[query - first]);
        grad.zip(weights, |inner, change| inner * change);
    }
}
