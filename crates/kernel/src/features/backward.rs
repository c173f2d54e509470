//! The gradients of attention by features.
//!
//! With `c = N / D`, the gradients of a query's row of N and of its D are `dN = dC / D` and `dD = −(dC · c) / D`; from there on
//! everything is sums and products. One pass over the queries needs what keys have written, one over the keys what queries
//! have asked of it: causal, the first goes forward and the second backward, so that nothing has to be kept.
//!
//! ```text
//! dφ(q) = M dN + z dD        dM = Σ_i φ(q_i) dN_iᵀ        dφ(k) = dM v + dz        dv = dMᵀ φ(k)
//!                            dz = Σ_i φ(q_i) dD_i
//! ```

use std::iter::once;
use std::ops::Range;

use super::FeatureAttention;
use super::map::BLOCK;
use super::unit::{Memory, Unit, add_sums, share};
use crate::error::check_len;
use crate::pack;
use crate::problem::{cut, run};
use crate::scratch;
use crate::shape::blocks;
use crate::simd::{Base, gemm, pad};
use crate::stored::Stored;
use crate::view::{Matrix, View};
use crate::{Error, Result};

/// What a gradient of the context means for what led to it, each in its shape and contiguous.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureGradients {
    /// Of the queries.
    pub queries: Vec<f32>,
    /// Of the keys.
    pub keys: Vec<f32>,
    /// Of the values.
    pub values: Vec<f32>,
}

impl FeatureAttention {
    /// Gradients, given what [`forward`](FeatureAttention::forward) was given and returned, and the gradient of the context.
    /// What exponents are relative to has none: it cancels, but for the small number that is added.
    ///
    /// # Errors
    /// If the shapes do not fit each other.
    pub fn backward(
        &self,
        q: &View,
        k: &View,
        v: &View,
        context: &[f32],
        totals: &[f32],
        grad_context: &View,
    ) -> Result<FeatureGradients> {
        let [batch, heads, queries, width] = self.check(q.shape(), k.shape(), v.shape())?;
        let (units, [_, _, keys, value_width]) = (batch * heads, v.shape());
        let expected = [batch, heads, queries, value_width];
        if grad_context.shape() != expected {
            let given = format!("{:?}", grad_context.shape());
            return Err(Error::new("gradient of the context", given, format!("{expected:?}")));
        }
        check_len("context", context.len(), units * queries * value_width)?;
        check_len("totals", totals.len(), units * queries)?;
        let mut gradients = FeatureGradients {
            queries: vec![0.0; units * queries * width],
            keys: vec![0.0; units * keys * width],
            values: vec![0.0; units * keys * value_width],
        };
        if keys == 0 {
            return Ok(gradients);
        }
        let of_queries = cut(&mut gradients.queries, units, once(0..queries), width);
        let of_keys = cut(&mut gradients.keys, units, once(0..keys), width);
        let of_values = cut(&mut gradients.values, units, once(0..keys), value_width);
        let tasks = of_queries.into_iter().zip(of_keys).zip(of_values).enumerate().collect();
        run(3.0 * self.work(q, k, v), tasks, |(unit, ((of_queries, of_keys), of_values))| {
            let (batch, head) = (unit / heads, unit % heads);
            let upstream = Upstream {
                unit: self.unit([q, k, v], batch, head),
                context: &context[unit * queries * value_width..][..queries * value_width],
                totals: &totals[unit * queries..][..queries],
                grad: grad_context.matrix(batch, head),
            };
            upstream.run([of_queries, of_keys, of_values]);
        });
        Ok(gradients)
    }
}

/// A unit and what is known about its output.
struct Upstream<'a> {
    unit: Unit<'a>,
    context: &'a [f32],
    totals: &'a [f32],
    grad: Stored<'a>,
}

/// dN of a block as rows `[query][lane]` and across `[value feature][query]`, and dD.
struct Asked<'a> {
    rows: &'a mut [f32],
    across: &'a mut [f32],
    totals: &'a mut [f32],
}

impl Upstream<'_> {
    fn run(&self, [of_queries, of_keys, of_values]: [&mut [f32]; 3]) {
        let Unit { causal, queries, keys, sizes: [count, lanes], .. } = self.unit;
        let (width, value_width) = (queries.columns, self.unit.values.columns);
        let (memory, panel, side) = (count * lanes, count * BLOCK, BLOCK * lanes);
        let room =
            [memory, count, memory, count, panel, panel, panel, side, side, side, side, side, BLOCK, BLOCK * BLOCK];
        scratch::with(room, |room| {
            let [
                held,
                mass,
                d_held,
                d_mass,
                features,
                others,
                grad,
                values,
                turned,
                found,
                rows,
                across,
                totals,
                alike,
            ] = room;
            let (mass, d_mass) = (&mut mass[..count], &mut d_mass[..count]);
            let mut memory = Memory { held, mass };
            let mut asked = Asked { rows, across, totals };
            self.unit.remember(&mut memory, others, values);
            d_held.fill(0.0);
            d_mass.fill(0.0);
            for block in blocks(0..queries.rows, BLOCK) {
                let (here, long) = (block.len(), pad(block.len()));
                let (features, grad) = (&mut features[..count * long], &mut grad[..count * long]);
                self.unit.features(true, block.clone(), features);
                self.ask(block.clone(), &mut asked);
                let asked_totals = &asked.totals[..long];
                gemm(1.0, Matrix::panel(memory.held, count, value_width, lanes), asked.across, Base::Zero, grad, long);
                gemm(1.0, Matrix::panel(memory.mass, count, 1, 1), asked_totals, Base::Sum, grad, long);
                if causal {
                    let others = &mut others[..count * long];
                    self.unit.load(block.clone(), others, values);
                    // What the likeness of a key and a later query is worth, `[key][query]`.
                    gemm(1.0, Matrix::panel(values, here, value_width, lanes), asked.across, Base::Zero, alike, long);
                    for (key, worth) in alike.chunks_exact_mut(long).take(here).enumerate() {
                        worth.iter_mut().zip(asked_totals).for_each(|(worth, total)| *worth += total);
                        worth[..key].fill(0.0);
                    }
                    gemm(1.0, Matrix::panel(others, count, here, long), alike, Base::Sum, grad, long);
                    memory.write(others, values, here, lanes);
                } else {
                    write(features, &asked, here, [&mut *d_held, &mut *d_mass], lanes);
                }
                let out = &mut of_queries[block.start * width..block.end * width];
                self.unit.chain(true, block, features, grad, out);
            }
            for block in blocks(0..keys.rows, BLOCK).collect::<Vec<_>>().into_iter().rev() {
                let (here, long) = (block.len(), pad(block.len()));
                let (features, grad) = (&mut features[..count * long], &mut grad[..count * long]);
                self.unit.load(block.clone(), features, values);
                self.unit.values.slice(block.clone()).with(|rows| pack::transpose(rows, turned));
                gemm(1.0, Matrix::panel(d_held, count, value_width, lanes), turned, Base::Zero, grad, long);
                for (grad, mass) in grad.chunks_exact_mut(long).zip(&*d_mass) {
                    grad.iter_mut().for_each(|grad| *grad += mass);
                }
                let each = Matrix::panel(features, count, here, long).transposed();
                gemm(1.0, each, d_held, Base::Zero, found, lanes);
                if causal {
                    let others = &mut others[..count * long];
                    self.unit.features(true, block.clone(), others);
                    self.ask(block.clone(), &mut asked);
                    // `[key][query]`
                    gemm(1.0, each, others, Base::Zero, alike, long);
                    alike.chunks_exact_mut(long).take(here).enumerate().for_each(|(key, alike)| alike[..key].fill(0.0));
                    gemm(1.0, Matrix::panel(alike, here, here, long), asked.rows, Base::Sum, found, lanes);
                    // What the likeness is worth, `[query][key]`.
                    gemm(1.0, Matrix::panel(asked.rows, here, value_width, lanes), turned, Base::Zero, alike, long);
                    for (query, worth) in alike.chunks_exact_mut(long).take(here).enumerate() {
                        worth[..=query].iter_mut().for_each(|worth| *worth += asked.totals[query]);
                        worth[query + 1..].fill(0.0);
                    }
                    gemm(1.0, Matrix::panel(others, count, here, long), alike, Base::Sum, grad, long);
                    write(others, &asked, here, [&mut *d_held, &mut *d_mass], lanes);
                }
                let out = of_values[block.start * value_width..].chunks_exact_mut(value_width.max(1));
                for (out, found) in out.zip(found.chunks_exact(lanes.max(1))).take(here) {
                    out.copy_from_slice(&found[..value_width]);
                }
                let out = &mut of_keys[block.start * width..block.end * width];
                self.unit.chain(false, block, features, grad, out);
            }
        });
    }

    /// Fills what the gradient of some queries' context asks for.
    fn ask(&self, block: Range<usize>, asked: &mut Asked) {
        let [_, lanes] = self.unit.sizes;
        let width = self.unit.values.columns;
        let count = block.len();
        asked.totals.fill(0.0);
        self.grad.slice(block.clone()).with(|grad| {
            pack::rows(grad, asked.rows);
            pack::row_products(grad, &self.context[block.start * width..], &mut asked.totals[..count]);
        });
        let rows = asked.rows.chunks_exact_mut(lanes.max(1)).zip(&mut *asked.totals);
        for ((row, product), total) in rows.zip(&self.totals[block]) {
            let share = share(*total);
            row.iter_mut().for_each(|x| *x *= share);
            *product *= -share;
        }
        pack::transpose(Matrix::panel(asked.rows, count, width, lanes), asked.across);
    }
}

/// Adds what some queries have asked of the memory and the mass.
fn write(features: &[f32], asked: &Asked, count: usize, [held, mass]: [&mut [f32]; 2], lanes: usize) {
    let of = mass.len();
    let across = pad(count);
    gemm(1.0, Matrix::panel(features, of, count, across), asked.rows, Base::Sum, held, lanes);
    add_sums(features, &asked.totals[..across], mass);
}
