//! The gradients of attention by hashing: as those of any attention ([`backward`](crate::backward)), a chunk at a time, with
//! each query's greatest score and total over all rounds.

use std::iter::once;

use super::HashedAttention;
use super::chunk::{Unit, gather};
use crate::error::check_len;
use crate::pack;
use crate::problem::{cut, run};
use crate::scratch;
use crate::simd::{Base, LANES, Lanes, gemm, multiversion, pad};
use crate::stored::Stored;
use crate::view::{Matrix, View};
use crate::{Error, Result};

/// What a gradient of the context means for what led to it, each in its shape and contiguous.
#[derive(Clone, Debug, PartialEq)]
pub struct HashedGradients {
    /// Of the queries.
    pub queries: Vec<f32>,
    /// Of the keys; nothing if the queries are the keys.
    pub keys: Vec<f32>,
    /// Of the values.
    pub values: Vec<f32>,
}

impl HashedAttention {
    /// Gradients, given what [`forward`](HashedAttention::forward) was given and returned, and the gradient of the context. The
    /// order has none.
    ///
    /// # Errors
    /// If the shapes do not fit each other.
    pub fn backward(
        &self,
        q: &View,
        k: Option<&View>,
        v: &View,
        context: &[f32],
        rows: &[f32],
        grad_context: &View,
    ) -> Result<HashedGradients> {
        let shape @ [batch, heads, length, width] = self.check(q, k, v)?;
        let (units, value_width) = (batch * heads, v.shape()[3]);
        if grad_context.shape() != v.shape() {
            let given = format!("{:?}", grad_context.shape());
            return Err(Error::new("gradient of the context", given, format!("{:?}", v.shape())));
        }
        check_len("context", context.len(), units * length * value_width)?;
        check_len("rows", rows.len(), units * length * 2)?;
        let size = shape.iter().product();
        let mut gradients = HashedGradients {
            queries: vec![0.0; size],
            keys: vec![0.0; if k.is_some() { size } else { 0 }],
            values: vec![0.0; units * length * value_width],
        };
        let of_queries = cut(&mut gradients.queries, units, once(0..length), width);
        let of_keys = cut(&mut gradients.keys, units, once(0..if k.is_some() { length } else { 0 }), width);
        let of_values = cut(&mut gradients.values, units, once(0..length), value_width);
        let tasks = of_queries.into_iter().zip(of_keys).zip(of_values).enumerate().collect();
        run(3.0 * self.work(q, v), tasks, |(at, ((of_queries, of_keys), of_values))| {
            let upstream = Upstream {
                context: &context[at * length * value_width..][..length * value_width],
                rows: &rows[at * length * 2..][..length * 2],
                grad: grad_context.matrix(at / heads, at % heads),
            };
            self.with_unit(q, k, v, at, |unit| unit.backward(&upstream, [of_queries, of_keys, of_values]));
        });
        Ok(gradients)
    }
}

/// What is known about the output of one batch and head.
struct Upstream<'a> {
    context: &'a [f32],
    rows: &'a [f32],
    grad: Stored<'a>,
}

impl Unit<'_> {
    fn backward(&self, upstream: &Upstream, [of_queries, of_keys, of_values]: [&mut [f32]; 3]) {
        let (size, lanes) = (self.meeting.chunk, pad(self.meeting.chunk));
        let (length, [width, value_width]) = (self.queries.rows, [self.queries.columns, self.values.columns]);
        let scale = (self.widths[0] as f32).sqrt().recip();
        let sums = [length * width, length * width, length * value_width, length];
        let widest = width.max(value_width);
        let sizes = [lanes * value_width, value_width * lanes, 2 * size * lanes, 2 * size * widest, 3 * lanes];
        self.with_chunk(|chunk| {
            scratch::with(sums, |[d_queries, d_keys, d_values, deltas]| {
                for gradient in [&mut *d_queries, &mut *d_keys, &mut *d_values] {
                    gradient.fill(0.0);
                }
                upstream.grad.with(|grad| pack::row_products(grad, upstream.context, deltas));
                upstream.grad.with_padded(|grad| {
                    scratch::with(sizes, |[rows, across, worth, found, notes]| {
                        let worth = &mut worth[..2 * size * lanes];
                        let (greatest, rest) = notes.split_at_mut(lanes);
                        let (shares, delta) = rest.split_at_mut(lanes);
                        let delta = &mut delta[..lanes];
                        shares.fill(0.0);
                        for (queries, keys) in self.meeting.chunks() {
                            self.meet(chunk, queries, keys);
                            gather(grad, queries, rows);
                            pack::transpose(Matrix::panel(rows, size, value_width, value_width), across);
                            for (i, &position) in queries.iter().enumerate() {
                                let at = position as usize;
                                greatest[i] = upstream.rows[2 * at];
                                let total = upstream.rows[2 * at + 1];
                                shares[i] = if total == 0.0 { 0.0 } else { total.recip() };
                                delta[i] = deltas[at];
                            }
                            let values = Matrix::panel(chunk.values, 2 * size, value_width, value_width);
                            gemm(1.0, values, across, Base::Zero, worth, lanes);
                            weigh(chunk.scores, worth, greatest, shares, delta);
                            let weights = Matrix::panel(chunk.scores, 2 * size, size, lanes);
                            gemm(1.0, weights, rows, Base::Zero, found, value_width);
                            scatter(found, &keys, value_width, d_values);
                            let scores = Matrix::panel(worth, 2 * size, size, lanes);
                            gemm(scale, scores, chunk.queries, Base::Zero, found, width);
                            scatter(found, &keys, width, d_keys);
                            if self.meeting.causal {
                                // A hidden key must not meet its gradient of 0 if it is not finite.
                                let rows = chunk.keys.chunks_exact_mut(width).take(2 * size);
                                rows.filter(|row| !pack::all_finite(row)).for_each(|row| row.fill(0.0));
                            }
                            gemm(scale, scores.transposed(), chunk.keys, Base::Zero, found, width);
                            scatter(found, &[queries], width, d_queries);
                        }
                    });
                });
                if let Some(norms) = self.norms {
                    self.through_norms(norms, d_keys, d_queries);
                } else {
                    unpad(d_keys, width, self.widths[0], of_keys);
                }
                unpad(d_queries, width, self.widths[0], of_queries);
                unpad(d_values, value_width, self.widths[1], of_values);
            });
        });
    }

    /// Adds the gradient of keys `x / ‖x‖` to that of x: what is along the key has no say.
    fn through_norms(&self, norms: &[f32], d_keys: &[f32], d_queries: &mut [f32]) {
        let width = self.queries.columns;
        let rows = d_keys.chunks_exact(width).zip(d_queries.chunks_exact_mut(width)).zip(norms);
        for (row, ((d_key, d_query), norm)) in rows.take(self.queries.rows).enumerate() {
            let key = &self.keys.data[row * self.keys.row_stride..][..width];
            let along: f32 = key.iter().zip(d_key).map(|(x, d)| x * d).sum();
            for ((d_query, d_key), x) in d_query.iter_mut().zip(d_key).zip(key) {
                *d_query += (d_key - along * x) / norm;
            }
        }
    }
}

/// Copies padded rows to contiguous ones.
fn unpad(rows: &[f32], padded: usize, width: usize, to: &mut [f32]) {
    for (row, to) in rows.chunks_exact(padded.max(1)).zip(to.chunks_exact_mut(width.max(1))) {
        to.copy_from_slice(&row[..width]);
    }
}

multiversion! {
    /// Adds rows to those of the given positions.
    fn scatter<I>(rows: &[f32], positions: &[&[u32]], width: usize, sums: &mut [f32]) {
        for (&position, row) in positions.iter().copied().flatten().zip(rows.chunks_exact(width.max(1))) {
            let sum = &mut sums[position as usize * width..][..width];
            sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
    }

    /// Scores become weights, and what the weights are worth becomes the gradient of the scores; all `[key][query]`.
    fn weigh<I>(scores: &mut [f32], worth: &mut [f32], greatest: &[f32], shares: &[f32], delta: &[f32]) {
        let lanes = greatest.len();
        for (scores, worth) in scores.chunks_exact_mut(lanes).zip(worth.chunks_exact_mut(lanes)) {
            for at in (0..lanes).step_by(LANES) {
                let [greatest, share, delta] = [greatest, shares, delta].map(|of| Lanes::load(&of[at..]));
                let raised = Lanes::load(&scores[at..]).zip(greatest, |x, greatest| x - greatest).exp::<I>();
                // A share of 0 is that of a query that sees nothing, or of none.
                let weight = raised.zip(share, |x, share| if share == 0.0 { 0.0 } else { x * share });
                let worth = &mut worth[at..];
                let grad = Lanes::load(worth).zip(delta, |worth, delta| worth - delta);
                grad.zip(weight, |grad, weight| if weight == 0.0 { 0.0 } else { grad * weight }).store(worth);
                weight.store(&mut scores[at..]);
            }
        }
    }
}
