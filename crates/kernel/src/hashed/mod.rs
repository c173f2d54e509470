//! Attention by locality-sensitive hashing: positions are sorted by the bucket that they fall into, and only neighbours in
//! that order meet.
//!
//! [`Hashing`] sorts the queries and the keys of each head, in several rounds. The order of a round is cut into chunks, and a
//! chunk of queries sees the keys of the chunk of the same rank and of the one before; before the first comes the last, of
//! the last round. All that a query sees in all rounds is one softmax.
//!
//! Kitaev, Kaiser & Levskaya, "Reformer", ICLR 2020, arXiv:2001.04451, where one vector is query and key
//! ([`HashedAttention::shared`]); two orders after Daras et al., "SMYRF", NeurIPS 2020, arXiv:2010.05315.
//!
//! A chunk's rows are copied together, worked on in the processor's cache and added to their positions: memory beyond inputs
//! and outputs grows with the length of one head. Each batch and head is a task, so results have the same bits for any number
//! of threads.

mod backward;
mod chunk;
mod sort;

use std::sync::Arc;

use crate::problem::{cut, run};
use crate::view::View;
use crate::{Error, Result};
use chunk::{Meeting, Unit};

pub use backward::HashedGradients;
pub use sort::{Hashing, Order};

/// Attention of chunks of sorted positions; see [the module](self).
#[derive(Clone, Debug)]
pub struct HashedAttention {
    causal: bool,
    /// Of the queries and of the keys.
    orders: [Arc<Order>; 2],
}

/// What attention by hashing gives; all contiguous.
#[derive(Clone, Debug, PartialEq)]
pub struct HashedOutput {
    /// `[batch, head, position, value feature]`
    pub context: Vec<f32>,
    /// The greatest score that a query saw, and the sum of exponentials relative to it, `[batch, head, position, 2]`. Together
    /// they are the log-sum-exp, which for itself would be too coarse where a position sees nothing but itself.
    pub rows: Vec<f32>,
}

impl HashedAttention {
    /// Queries in one order meet keys in another.
    ///
    /// # Errors
    /// If the orders are not of the same sizes.
    pub fn new(queries: Order, keys: Order) -> Result<Self> {
        if queries.sizes() != keys.sizes() {
            let expected = format!("{:?}, as the queries have", queries.sizes());
            return Err(Error::new("order of the keys", format!("{:?}", keys.sizes()), expected));
        }
        Ok(Self { causal: false, orders: [Arc::new(queries), Arc::new(keys)] })
    }

    /// One vector is query and, at length 1, key. A position sees itself only if it sees nothing else.
    pub fn shared(order: Order) -> Self {
        let order = Arc::new(order);
        Self { causal: false, orders: [order.clone(), order] }
    }

    /// A query sees only the keys up to its own position.
    pub fn causal(self) -> Self {
        Self { causal: true, ..self }
    }

    /// Attends: `q` and `k` `[batch, head, L, d]`, `v` `[batch, head, L, dv]`, of the sizes that were sorted; no `k` where one
    /// vector is both.
    ///
    /// # Errors
    /// If the shapes do not fit each other or the orders.
    pub fn forward(&self, q: &View, k: Option<&View>, v: &View) -> Result<HashedOutput> {
        let [batch, heads, length, _] = self.check(q, k, v)?;
        let (units, width) = (batch * heads, v.shape()[3]);
        let mut output =
            HashedOutput { context: vec![0.0; units * length * width], rows: vec![0.0; units * length * 2] };
        let all = std::iter::once(0..length);
        let contexts = cut(&mut output.context, units, all.clone(), width);
        let tasks = contexts.into_iter().zip(cut(&mut output.rows, units, all, 2)).enumerate().collect();
        run(self.work(q, v), tasks, |(unit, (context, rows)): (usize, (&mut [f32], &mut [f32]))| {
            self.with_unit(q, k, v, unit, |unit| unit.forward(context, rows));
        });
        Ok(output)
    }

    /// Calls `f` with what belongs to one batch and head.
    fn with_unit<R>(&self, q: &View, k: Option<&View>, v: &View, unit: usize, f: impl FnOnce(&Unit) -> R) -> R {
        let (batch, head) = (unit / q.shape()[1], unit % q.shape()[1]);
        let [queries, keys] = self.orders.each_ref().map(|order| order.of(unit));
        let meeting = Meeting { queries, keys, chunk: self.orders[0].bucket(), causal: self.causal };
        Unit::with(meeting, q.matrix(batch, head), k.map(|k| k.matrix(batch, head)), v.matrix(batch, head), f)
    }

    /// The shape of the queries, if everything fits.
    fn check(&self, q: &View, k: Option<&View>, v: &View) -> Result<[usize; 4]> {
        let shape @ [batch, heads, length, width] = q.shape();
        let (units, positions) = self.orders[0].sizes();
        if (batch.checked_mul(heads), length) != (Some(units), positions) {
            let expected = format!("{units} batches and heads of {positions} positions, as were sorted");
            return Err(Error::new("queries", format!("{shape:?}"), expected));
        }
        let shared = Arc::ptr_eq(&self.orders[0], &self.orders[1]);
        let fits = k.map_or(shared, |k| !shared && k.shape() == shape);
        if !fits {
            let expected = if shared { "none, since queries are keys".into() } else { format!("{shape:?}") };
            return Err(Error::new("keys", format!("{:?}", k.map(View::shape)), expected));
        }
        if v.shape()[..3] != shape[..3] {
            let expected = format!("{:?}, as the queries have", &shape[..3]);
            return Err(Error::new("values", format!("[batch, head, position] {:?}", &v.shape()[..3]), expected));
        }
        if width == 0 {
            return Err(Error::new("queries", "0 features", "at least 1"));
        }
        Ok(shape)
    }

    /// Multiplications and additions, about.
    fn work(&self, q: &View, v: &View) -> f64 {
        let order = &self.orders[0];
        let pairs = order.places() as f64 * 2.0 * order.bucket() as f64;
        pairs * (q.shape()[3] + v.shape()[3]) as f64
    }
}
