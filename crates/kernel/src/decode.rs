//! Generating one position after another: a cache of keys and values, and attention split over it.

use std::ops::Range;

use crate::error::Error;
use crate::forward::{self, rescale, stream};
use crate::normalize::Rows;
use crate::pack;
use crate::problem::{Problem, cut, run as run_tasks};
use crate::shape::{Shape, blocks};
use crate::simd::pad;
use crate::view::View;
use crate::{KEY_BLOCK, Result};

/// Keys and values of everything so far, `[batch, key head, position, feature]`, each head's positions contiguous.
///
/// Room for positions doubles when it runs out, so that appending costs the same on average however long the cache grows.
#[derive(Clone, Debug)]
pub struct KeyValueCache {
    keys: Store,
    values: Store,
}

impl KeyValueCache {
    /// An empty cache.
    pub fn new(batch: usize, key_heads: usize, key_width: usize, value_width: usize) -> Self {
        let store = |width| Store { units: [batch, key_heads], width, len: 0, capacity: 0, data: Vec::new() };
        Self { keys: store(key_width), values: store(value_width) }
    }

    /// How many positions are held.
    pub fn len(&self) -> usize {
        self.keys.len
    }

    /// Whether no position is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds positions after those held: `k` `[batch, key head, n, key width]` and `v` `[batch, key head, n, value width]`.
    ///
    /// # Errors
    /// If the shapes do not fit the cache or each other; the cache is then as it was.
    pub fn append(&mut self, k: &View, v: &View) -> Result<()> {
        self.keys.check("keys", k, k.shape()[2])?;
        self.values.check("values", v, k.shape()[2])?;
        self.keys.append(k);
        self.values.append(v);
        Ok(())
    }

    /// Forgets every position after the first `len`, as when a search steps back.
    pub fn truncate(&mut self, len: usize) {
        self.keys.len = self.keys.len.min(len);
        self.values.len = self.values.len.min(len);
    }

    /// The keys held, `[batch, key head, position, key width]`.
    pub fn keys(&self) -> View<'_> {
        self.keys.view()
    }

    /// The values held, `[batch, key head, position, value width]`.
    pub fn values(&self) -> View<'_> {
        self.values.view()
    }
}

/// `[batch, head, capacity, width]`, of which the first `len` positions are in use.
#[derive(Clone, Debug)]
struct Store {
    units: [usize; 2],
    width: usize,
    len: usize,
    capacity: usize,
    data: Vec<f32>,
}

impl Store {
    fn check(&self, argument: &str, new: &View, positions: usize) -> Result<()> {
        let expected = [self.units[0], self.units[1], positions, self.width];
        if new.shape() == expected {
            return Ok(());
        }
        Err(Error::new(argument, format!("{:?}", new.shape()), format!("{expected:?}")))
    }

    fn append(&mut self, new: &View) {
        let added = new.shape()[2];
        self.reserve(self.len + added);
        let [batch, heads] = self.units;
        for unit in 0..batch * heads {
            let from = new.matrix(unit / heads, unit % heads);
            let start = (unit * self.capacity + self.len) * self.width;
            let to = &mut self.data[start..start + added * self.width];
            for (i, to) in to.chunks_exact_mut(self.width.max(1)).enumerate() {
                from.slice(i..i + 1).with(|row| to.iter_mut().enumerate().for_each(|(f, x)| *x = row.get(0, f)));
            }
        }
        self.len += added;
    }

    fn reserve(&mut self, needed: usize) {
        if needed <= self.capacity {
            return;
        }
        let capacity = needed.next_power_of_two().max(16);
        let units = self.units[0] * self.units[1];
        let mut data = vec![0.0; units * capacity * self.width];
        let used = self.len * self.width;
        for unit in 0..units {
            let (to, from) = (unit * capacity * self.width, unit * self.capacity * self.width);
            data[to..to + used].copy_from_slice(&self.data[from..from + used]);
        }
        (self.capacity, self.data) = (capacity, data);
    }

    fn view(&self) -> View<'_> {
        let [batch, heads] = self.units;
        let head = self.capacity * self.width;
        View::strided(&self.data, [batch, heads, self.len, self.width], [heads * head, head, self.width, 1])
            .expect("the data holds `capacity` positions of every head, and `len` is no more")
    }
}

/// Keys that one task sees; fixed, so that results do not depend on the number of threads.
const SPAN: usize = 8 * KEY_BLOCK;

/// As the forward pass, but the parts of a row may be computed by different threads and are joined in order. A normalizer
/// that must know all keys before it weighs any leaves nothing to be joined: then this is the forward pass.
pub(crate) fn run(problem: &Problem, values: &View, context: &mut [f32], lse: &mut [f32]) {
    if problem.attention.normalizer.scan(&problem.shape, false).is_some() {
        return forward::run(problem, values, context, lse);
    }
    let Shape { batch, heads, keys, value_width, .. } = problem.shape;
    let units: Vec<(usize, Range<usize>)> =
        (0..batch * heads).flat_map(|unit| problem.shape.query_blocks().map(move |queries| (unit, queries))).collect();
    let contexts = cut(context, batch * heads, problem.shape.query_blocks(), value_width);
    let lses = cut(lse, batch * heads, problem.shape.query_blocks(), 1);
    let spans = blocks(0..keys, SPAN);

    let mut parts: Vec<(Rows, Vec<f32>)> = units
        .iter()
        .flat_map(|(_, queries)| {
            spans.clone().map(|_| (Rows::new(queries.len()), vec![0.0; value_width * pad(queries.len())]))
        })
        .collect();
    let places = units.iter().flat_map(|unit| spans.clone().map(move |keys| (unit, keys)));
    let tasks = places.zip(&mut parts).collect();
    run_tasks(2.0 * problem.work(), tasks, |(((unit, queries), keys), (rows, sum))| {
        *rows = stream(problem, values, unit / heads, unit % heads, queries.clone(), keys, sum);
    });

    let mut parts = parts.into_iter();
    for (((unit, queries), context), lse) in units.iter().zip(contexts).zip(lses) {
        let lanes = pad(queries.len());
        let mut rows = Rows::new(queries.len());
        let mut sum = vec![0.0; value_width * lanes];
        for (mut other, mut other_sum) in parts.by_ref().take(spans.clone().count()) {
            problem.attention.normalizer.merge(&mut rows, &mut other);
            rescale(&mut sum, lanes, &rows.rescale[..lanes]);
            rescale(&mut other_sum, lanes, &other.rescale[..lanes]);
            sum.iter_mut().zip(&other_sum).for_each(|(sum, x)| *sum += x);
        }
        problem.attention.normalizer.finish(unit % heads, &mut rows);
        rescale(&mut sum, lanes, &rows.scale[..lanes]);
        pack::untranspose(&sum, lanes, queries.len(), context);
        lse.copy_from_slice(&rows.lse[..queries.len()]);
    }
}
