//! Normalizers: how scores become weights.
//!
//! A normalizer sees a row of scores in pieces, from the first key to the last, and keeps what it must know in
//! [`Rows`]. What it leaves behind for each row is one number, the log-sum-exp, from which any weight can be made again.

use std::fmt::Debug;
use std::ops::Range;

use crate::scores::Scores;
use crate::shape::{QUERY_BLOCK, Shape};
use crate::simd::{LANES, Lanes, exp, multiversion};
use crate::{Error, Result};

/// What is known about each row (query) of a block while its keys stream by.
#[derive(Clone, Debug)]
pub struct Rows {
    /// How many rows there are; what follows is meaningless after them.
    pub count: usize,
    /// The number that exponents are taken relative to: the greatest score so far.
    pub reference: [f32; QUERY_BLOCK],
    /// The sum of all weights so far, relative to the reference.
    pub total: [f32; QUERY_BLOCK],
    /// What the context summed so far must be multiplied with, since the reference has moved.
    pub rescale: [f32; QUERY_BLOCK],
    /// Once finished: what the context is multiplied with, usually 1 / total.
    pub scale: [f32; QUERY_BLOCK],
    /// Once finished: the row's log-sum-exp.
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

    /// Replaces scores (−∞ where hidden) by weights relative to `rows.reference`, which may move, and adds them up.
    fn absorb(&self, scores: &mut Scores, rows: &mut Rows);

    /// Joins what another part of the keys left. Afterwards the context so far is to be multiplied with
    /// `rows.rescale`, that of the other part with `other.rescale`.
    fn merge(&self, rows: &mut Rows, other: &mut Rows);

    /// All keys were seen: sets `rows.scale` and `rows.lse`.
    fn finish(&self, head: usize, rows: &mut Rows);

    /// Replaces scores (−∞ where hidden) by weights, given each row's log-sum-exp.
    fn weights(&self, lse: &[f32; QUERY_BLOCK], scores: &mut Scores);

    /// Replaces the gradient of the weights by that of the scores. `inner[i]` is Σ_j weight_ij · gradient_ij.
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

/// `a_ij = exp(e_ij / T - lse_i)`, with an optional sink: one more logit a head that takes weight and gives no value.
///
/// The log-sum-exp runs over the scores divided by the temperature T and includes the sink.
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax {
    temperature: f32,
    sink: Vec<f32>,
}

impl Default for Softmax {
    /// Temperature 1 and no sink.
    fn default() -> Self {
        Self { temperature: 1.0, sink: Vec::new() }
    }
}

impl Softmax {
    /// Divides the scores by `temperature`.
    ///
    /// # Errors
    /// If the temperature is not a positive, finite number.
    pub fn temperature(mut self, temperature: f32) -> Result<Self> {
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(Error::new("softmax temperature", temperature, "a positive, finite number"));
        }
        self.temperature = temperature;
        Ok(self)
    }

    /// Adds a sink: a logit for each query head, compared with the scores after the temperature. Zeros make the "quiet"
    /// softmax, which can look at nothing.
    pub fn sink(mut self, logits: impl Into<Vec<f32>>) -> Self {
        self.sink = logits.into();
        self
    }
}

impl Normalizer for Softmax {
    fn check(&self, shape: &Shape) -> Result<()> {
        if self.sink.is_empty() || self.sink.len() == shape.heads {
            return Ok(());
        }
        let given = format!("{} logits", self.sink.len());
        Err(Error::new("softmax sink", given, format!("one for each of {} heads", shape.heads)))
    }

    fn absorb(&self, scores: &mut Scores, rows: &mut Rows) {
        let lanes = scores.lanes();
        absorb(scores.values_mut(), lanes, 1.0 / self.temperature, rows);
    }

    fn merge(&self, rows: &mut Rows, other: &mut Rows) {
        for i in 0..rows.count {
            let reference = rows.reference[i].max(other.reference[i]);
            // Where neither part saw anything, both totals are 0 and any finite reference will do.
            let finite = if reference == f32::NEG_INFINITY { 0.0 } else { reference };
            rows.rescale[i] = (rows.reference[i] - finite).exp();
            other.rescale[i] = (other.reference[i] - finite).exp();
            rows.total[i] = rows.total[i] * rows.rescale[i] + other.total[i] * other.rescale[i];
            rows.reference[i] = reference;
        }
    }

    fn finish(&self, head: usize, rows: &mut Rows) {
        for i in 0..rows.count {
            if let Some(&sink) = self.sink.get(head) {
                let seen = rows.reference[i];
                let reference = if sink > seen { sink } else { seen };
                rows.rescale[i] = if reference == f32::NEG_INFINITY { 0.0 } else { (seen - reference).exp() };
                rows.total[i] = rows.total[i] * rows.rescale[i] + (sink - reference).exp();
                rows.reference[i] = reference;
            } else {
                rows.rescale[i] = 1.0;
            }
            let total = rows.total[i];
            let nothing = total == 0.0;
            rows.scale[i] = if nothing { 0.0 } else { rows.rescale[i] / total };
            rows.lse[i] = if nothing { f32::NEG_INFINITY } else { rows.reference[i] + total.ln() };
        }
    }

    fn weights(&self, lse: &[f32; QUERY_BLOCK], scores: &mut Scores) {
        let lanes = scores.lanes();
        weights(scores.values_mut(), lanes, 1.0 / self.temperature, lse);
    }

    fn backward(&self, weights: &Scores, inner: &[f32; QUERY_BLOCK], grad: &mut Scores) {
        let lanes = grad.lanes();
        backward(weights.values(), grad.values_mut(), lanes, 1.0 / self.temperature, inner);
    }

    fn parameters(&self) -> &[f32] {
        &self.sink
    }

    fn backward_parameters(&self, head: usize, lse: f32, inner: f32, parameters: &mut [f32]) {
        // The sink's weight, whose own value is 0. A row that sees nothing has inner = 0.
        if let (Some(&sink), Some(grad)) = (self.sink.get(head), parameters.get_mut(head)) {
            *grad -= (sink - lse).exp() * inner;
        }
    }
}

multiversion! {
    fn absorb<I>(scores: &mut [f32], lanes: usize, inverse_temperature: f32, rows: &mut Rows) {
        let factor = Lanes::splat(inverse_temperature);
        for first in (0..lanes).step_by(LANES) {
            let old = Lanes::load(&rows.reference[first..]);
            let mut max = Lanes::splat(f32::NEG_INFINITY);
            for row in scores.chunks_exact(lanes) {
                max = max.max(Lanes::load(&row[first..]));
            }
            let reference = old.max(max.zip(factor, |max, factor| max * factor));
            // A row that sees nothing yet must not compute −∞ − −∞.
            let minus = reference.map(|x| if x == f32::NEG_INFINITY { 0.0 } else { -x });
            let rescale = old.add(minus).map(exp::<I>);
            let mut sum = Lanes::ZERO;
            for row in scores.chunks_exact_mut(lanes) {
                let weight = Lanes::load(&row[first..]).fma::<I>(factor, minus).map(exp::<I>);
                weight.store(&mut row[first..]);
                sum = sum.add(weight);
            }
            Lanes::load(&rows.total[first..]).fma::<I>(rescale, sum).store(&mut rows.total[first..]);
            rescale.store(&mut rows.rescale[first..]);
            reference.store(&mut rows.reference[first..]);
        }
    }

    fn weights<I>(scores: &mut [f32], lanes: usize, inverse_temperature: f32, lse: &[f32; QUERY_BLOCK]) {
        let factor = Lanes::splat(inverse_temperature);
        for first in (0..lanes).step_by(LANES) {
            // A row that sees nothing has only −∞, which is to become 0.
            let minus = Lanes::load(&lse[first..]).map(|x| if x == f32::NEG_INFINITY { 0.0 } else { -x });
            for row in scores.chunks_exact_mut(lanes) {
                Lanes::load(&row[first..]).fma::<I>(factor, minus).map(exp::<I>).store(&mut row[first..]);
            }
        }
    }

    fn backward<I>(
        weights: &[f32], grad: &mut [f32], lanes: usize, inverse_temperature: f32, inner: &[f32; QUERY_BLOCK]
    ) {
        for (grad, weights) in grad.chunks_exact_mut(lanes.max(1)).zip(weights.chunks_exact(lanes.max(1))) {
            for ((grad, &weight), &inner) in grad.iter_mut().zip(weights).zip(inner) {
                *grad = weight * (*grad - inner) * inverse_temperature;
            }
        }
    }
}
