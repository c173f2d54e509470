//! The softmax, streamed: Milakov and Gimelshein 2018 (arXiv:1805.02867).

use super::{Normalizer, Rows};
use crate::scores::Scores;
use crate::shape::{QUERY_BLOCK, Shape};
use crate::simd::{Isa, LANES, Lanes, multiversion};
use crate::{Error, Result};

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
        let mut first = 0;
        while first < lanes {
            first += LANES * match (lanes - first) / LANES {
                0 | 1 => absorb_lanes::<I, 1>(scores, lanes, first, inverse_temperature, rows),
                2 | 3 => absorb_lanes::<I, 2>(scores, lanes, first, inverse_temperature, rows),
                _ => absorb_lanes::<I, 4>(scores, lanes, first, inverse_temperature, rows),
            };
        }
    }

    fn weights<I>(scores: &mut [f32], lanes: usize, inverse_temperature: f32, lse: &[f32; QUERY_BLOCK]) {
        let factor = Lanes::splat(inverse_temperature);
        for first in (0..lanes).step_by(LANES) {
            // A row that sees nothing has only −∞, which is to become 0.
            let minus = Lanes::load(&lse[first..]).map(|x| if x == f32::NEG_INFINITY { 0.0 } else { -x });
            for row in scores.chunks_exact_mut(lanes) {
                Lanes::load(&row[first..]).fma::<I>(factor, minus).exp::<I>().store(&mut row[first..]);
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

/// `N` vectors side by side, so that their maxima and sums do not wait for one another. Returns `N`.
#[inline(always)]
fn absorb_lanes<I: Isa, const N: usize>(
    scores: &mut [f32],
    lanes: usize,
    first: usize,
    inverse_temperature: f32,
    rows: &mut Rows,
) -> usize {
    let factor = Lanes::splat(inverse_temperature);
    let mut max = [Lanes::splat(f32::NEG_INFINITY); N];
    for row in scores.chunks_exact(lanes) {
        for (n, max) in max.iter_mut().enumerate() {
            *max = max.max(Lanes::load(&row[first + n * LANES..]));
        }
    }
    let mut minus = [Lanes::ZERO; N];
    for (n, minus) in minus.iter_mut().enumerate() {
        let first = first + n * LANES;
        let old = Lanes::load(&rows.reference[first..]);
        let reference = old.max(max[n].zip(factor, |max, factor| max * factor));
        // A row that sees nothing yet must not compute −∞ − −∞.
        *minus = reference.map(|x| if x == f32::NEG_INFINITY { 0.0 } else { -x });
        old.add(*minus).exp::<I>().store(&mut rows.rescale[first..]);
        reference.store(&mut rows.reference[first..]);
    }
    let mut sum = [Lanes::ZERO; N];
    for row in scores.chunks_exact_mut(lanes) {
        for n in 0..N {
            let place = &mut row[first + n * LANES..];
            let weight = Lanes::load(place).fma::<I>(factor, minus[n]).exp::<I>();
            weight.store(place);
            sum[n] = sum[n].add(weight);
        }
    }
    for (n, sum) in sum.into_iter().enumerate() {
        let total = &mut rows.total[first + n * LANES..];
        let rescale = Lanes::load(&rows.rescale[first + n * LANES..]);
        Lanes::load(total).fma::<I>(rescale, sum).store(total);
    }
    N
}
