//! Local attention around positions that are given for each query, and learned (local-p).
//!
//! ```text
//! a_ij = softmax_j(q_i · k_j / √d) · exp(−(j − p_i)² / 2σ²)      over |j − p_i| ≤ D, with σ = D/2
//! ```
//!
//! Luong, Pham & Manning, "Effective Approaches to Attention-based Neural Machine Translation", EMNLP 2015, arXiv:1508.04025.
//! The curve is applied to weights that sum to 1 already, and it is what the positions have their gradient from.
//!
//! Time grows with L·D·d and not with the number of keys. Windows are read where they lie, a query at a time, since no two
//! queries need have one in common.

use std::iter::once;
use std::ops::Range;

use crate::problem::{cut, run};
use crate::scratch;
use crate::shape::blocks;
use crate::simd::{Isa, LANES, Lanes, multiversion, pad};
use crate::view::{Matrix, View};
use crate::{Error, Result};

/// Queries of a task.
const BLOCK: usize = 256;

/// Attention to the keys around given positions; see [the module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAttention {
    reach: usize,
}

/// What a gradient of the context means for what led to it, each in its shape and contiguous.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalGradients {
    /// Of the queries.
    pub queries: Vec<f32>,
    /// Of the keys.
    pub keys: Vec<f32>,
    /// Of the values.
    pub values: Vec<f32>,
    /// Of the positions.
    pub positions: Vec<f32>,
}

/// The matrices of one batch and head, rows padded to whole vectors.
struct Unit<'a> {
    queries: Matrix<'a>,
    keys: Matrix<'a>,
    values: Matrix<'a>,
    positions: Matrix<'a>,
    reach: usize,
    scale: f32,
}

/// The window of one query, padded to whole vectors: softmax weights and the curve's heights.
struct Window<'a> {
    weights: &'a mut [f32],
    heights: &'a mut [f32],
}

impl LocalAttention {
    /// Keys up to so far from the position are seen, D.
    ///
    /// # Errors
    /// If it is 0, or more than half of what memory can hold.
    pub fn new(reach: usize) -> Result<Self> {
        if reach == 0 || reach > u32::MAX as usize {
            return Err(Error::new("reach", reach, "from 1 to 2³²"));
        }
        Ok(Self { reach })
    }

    /// Attends: `q` `[batch, head, L, d]`, `k` `[batch, head, S, d]`, `v` `[batch, head, S, dv]`, `positions`
    /// `[batch, head, L, 1]`, counted in keys from 0. The context is `[batch, head, L, dv]`, contiguous; 0 where no key is near.
    ///
    /// ```
    /// use regard_kernel::{View, local::LocalAttention};
    ///
    /// # fn main() -> regard_kernel::Result<()> {
    /// let queries = View::new(&[0.0], [1, 1, 1, 1])?;
    /// let keys = View::new(&[0.0; 9], [1, 1, 9, 1])?;
    /// let numbers: Vec<f32> = (0..9).map(|i| i as f32).collect();
    /// let values = View::new(&numbers, [1, 1, 9, 1])?;
    /// let near = View::new(&[6.0], [1, 1, 1, 1])?;
    /// let context = LocalAttention::new(1)?.forward(&queries, &keys, &values, &near)?;
    /// let edge = (-2.0f32).exp(); // σ = ½
    /// assert!((context[0] - (5.0 * edge + 6.0 + 7.0 * edge) / 3.0).abs() < 1e-5);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the shapes do not fit each other.
    pub fn forward(&self, q: &View, k: &View, v: &View, positions: &View) -> Result<Vec<f32>> {
        let [batch, heads, queries, _] = check(q, k, v, positions)?;
        let (units, width) = (batch * heads, v.shape()[3]);
        let mut context = vec![0.0; units * queries * width];
        let ranges = blocks(0..queries, BLOCK);
        let places = (0..units).flat_map(|unit| ranges.clone().map(move |rows| (unit, rows)));
        let tasks = places.zip(cut(&mut context, units, ranges.clone(), width)).collect();
        run(self.work(q, v), tasks, |((unit, rows), context): ((usize, Range<usize>), &mut [f32])| {
            self.with_unit([q, k, v, positions], unit, |unit, window| {
                scratch::with([unit.values.columns], |[sum]| attend(unit, window, rows, context, sum, width));
            });
        });
        Ok(context)
    }

    /// Gradients, given what [`forward`](LocalAttention::forward) was given, and that of the context.
    ///
    /// # Errors
    /// If the shapes do not fit each other.
    pub fn backward(&self, q: &View, k: &View, v: &View, positions: &View, grad: &View) -> Result<LocalGradients> {
        let [batch, heads, queries, width] = check(q, k, v, positions)?;
        let (units, [_, _, keys, value_width]) = (batch * heads, v.shape());
        if grad.shape() != [batch, heads, queries, value_width] {
            let expected = format!("{:?}", [batch, heads, queries, value_width]);
            return Err(Error::new("gradient of the context", format!("{:?}", grad.shape()), expected));
        }
        let mut gradients = LocalGradients {
            queries: vec![0.0; units * queries * width],
            keys: vec![0.0; units * keys * width],
            values: vec![0.0; units * keys * value_width],
            positions: vec![0.0; units * queries],
        };
        let of_queries = cut(&mut gradients.queries, units, once(0..queries), width);
        let of_keys = cut(&mut gradients.keys, units, once(0..keys), width);
        let of_values = cut(&mut gradients.values, units, once(0..keys), value_width);
        let of_positions = cut(&mut gradients.positions, units, once(0..queries), 1);
        let outs = of_queries.into_iter().zip(of_keys).zip(of_values.into_iter().zip(of_positions));
        run(3.0 * self.work(q, v), outs.enumerate().collect(), |(at, ((queries, keys), (values, positions_into)))| {
            let sums = [queries.len() / width.max(1) * pad(width), keys.len() / width.max(1) * pad(width)];
            let sums = [sums[0], sums[1], v.shape()[2] * pad(value_width)];
            scratch::with(sums, |[d_queries, d_keys, d_values]| {
                for gradient in [&mut *d_queries, &mut *d_keys, &mut *d_values] {
                    gradient.fill(0.0);
                }
                self.with_unit([q, k, v, positions], at, |unit, window| {
                    grad.matrix(at / heads, at % heads).with_padded(|grad| {
                        differentiate(unit, window, grad, d_queries, d_keys, d_values, positions_into);
                    });
                });
                for (from, to, width) in
                    [(d_queries, queries, width), (d_keys, keys, width), (d_values, values, value_width)]
                {
                    let rows = from.chunks_exact(pad(width).max(1)).zip(to.chunks_exact_mut(width.max(1)));
                    rows.for_each(|(from, to)| to.copy_from_slice(&from[..width]));
                }
            });
        });
        Ok(gradients)
    }

    /// Calls `f` with what belongs to one batch and head, and room for a window.
    fn with_unit(&self, views: [&View; 4], unit: usize, f: impl FnOnce(&Unit, &mut Window)) {
        let heads = views[0].shape()[1];
        let [q, k, v, positions] = views.map(|view| view.matrix(unit / heads, unit % heads));
        // No more of it is ever used than there are keys.
        let size = pad((2 * self.reach + 1).min(k.rows));
        let scale = (q.columns.max(1) as f32).sqrt().recip();
        q.with_padded(|queries| {
            k.with_padded(|keys| {
                v.with_padded(|values| {
                    positions.with(|positions| {
                        let unit = Unit { queries, keys, values, positions, reach: self.reach, scale };
                        scratch::with([size, size], |[weights, heights]| f(&unit, &mut Window { weights, heights }));
                    });
                });
            });
        });
    }

    /// Multiplications and additions, about.
    fn work(&self, q: &View, v: &View) -> f64 {
        let [batch, heads, queries, width] = q.shape();
        let each = (2 * self.reach + 1).min(v.shape()[2]) * (width + v.shape()[3]);
        // One key at a time, they are slower than in a product.
        4.0 * [batch, heads, queries, each].iter().map(|&n| n as f64).product::<f64>()
    }
}

/// The shape of the queries, if everything fits.
fn check(q: &View, k: &View, v: &View, positions: &View) -> Result<[usize; 4]> {
    let shape @ [batch, heads, queries, width] = q.shape();
    let [keys, value_width] = [v.shape()[2], v.shape()[3]];
    for (argument, given, expected) in [
        ("keys", k.shape(), [batch, heads, keys, width]),
        ("values", v.shape(), [batch, heads, keys, value_width]),
        ("positions", positions.shape(), [batch, heads, queries, 1]),
    ] {
        if given != expected {
            return Err(Error::new(argument, format!("{given:?}"), format!("{expected:?}")));
        }
    }
    Ok(shape)
}

impl Unit<'_> {
    /// The keys near a position.
    fn near(&self, position: f32) -> Range<usize> {
        let reach = self.reach as f32;
        let first = (position - reach).ceil().max(0.0) as usize;
        // That of a NaN is the first key, so that the NaN comes out.
        let end = ((position + reach).floor() as i64).saturating_add(1).clamp(0, self.keys.rows as i64) as usize;
        first.min(end)..end.min(first.saturating_add(2 * self.reach + 1))
    }
}

/// Row `at` of a matrix whose rows are whole vectors.
#[inline(always)]
fn row<'a>(matrix: &Matrix<'a>, at: usize) -> &'a [[f32; LANES]] {
    matrix.data[at * matrix.row_stride..][..matrix.columns].as_chunks().0
}

#[inline(always)]
fn dot<I: Isa>(a: &[[f32; LANES]], b: &[[f32; LANES]]) -> f32 {
    a.iter().zip(b).fold(Lanes::ZERO, |sum, (&a, &b)| I::fma_lanes(Lanes(a), Lanes(b), sum)).sum()
}

/// `sum += factor · x`
#[inline(always)]
fn add<I: Isa>(factor: f32, x: &[[f32; LANES]], sum: &mut [f32]) {
    for (sum, &x) in sum.as_chunks_mut().0.iter_mut().zip(x) {
        *sum = I::fma_lanes(Lanes(x), Lanes::splat(factor), Lanes(*sum)).0;
    }
}

/// Fills the window of a query, and says which keys it shows.
#[inline(always)]
fn weigh<I: Isa>(unit: &Unit, window: &mut Window, query: usize) -> Range<usize> {
    let position = unit.positions.get(query, 0);
    let keys = unit.near(position);
    let count = keys.len();
    let padded = pad(count);
    let (weights, heights) = (&mut window.weights[..padded], &mut window.heights[..padded]);
    let width = 0.5 * unit.reach as f32;
    let mut greatest = f32::MIN;
    for (i, key) in keys.clone().enumerate() {
        weights[i] = unit.scale * dot::<I>(row(&unit.queries, query), row(&unit.keys, key));
        greatest = greatest.max(weights[i]);
        let away = (key as f32 - position) / width;
        heights[i] = -0.5 * away * away;
    }
    weights[count..].fill(f32::NEG_INFINITY);
    heights[count..].fill(f32::NEG_INFINITY);
    let mut total = Lanes::ZERO;
    let vectors = weights.as_chunks_mut::<LANES>().0.iter_mut().zip(heights.as_chunks_mut::<LANES>().0);
    for (weights, heights) in vectors {
        *weights = Lanes(*weights).map(|x| x - greatest).exp::<I>().0;
        *heights = Lanes(*heights).exp::<I>().0;
        total = total.add(Lanes(*weights));
    }
    let share = total.sum().recip();
    weights.iter_mut().for_each(|weight| *weight *= share);
    keys
}

multiversion! {
    /// Fills the context of some queries.
    fn attend<I>(
        unit: &Unit<'_>, window: &mut Window<'_>, rows: Range<usize>, context: &mut [f32], sum: &mut [f32],
        width: usize,
    ) {
        if width == 0 {
            return;
        }
        for (query, context) in rows.zip(context.chunks_exact_mut(width)) {
            sum.fill(0.0);
            let keys = weigh::<I>(unit, window, query);
            for (key, (weight, height)) in keys.zip(window.weights.iter().zip(&*window.heights)) {
                add::<I>(weight * height, row(&unit.values, key), sum);
            }
            context.copy_from_slice(&sum[..width]);
        }
    }

    /// Adds the gradients of all queries to rows that are whole vectors.
    fn differentiate<I>(
        unit: &Unit<'_>, window: &mut Window<'_>, grad: Matrix<'_>, d_queries: &mut [f32], d_keys: &mut [f32],
        d_values: &mut [f32], d_positions: &mut [f32],
    ) {
        let (width, value_width) = (unit.queries.columns, unit.values.columns);
        let deviation = 0.5 * unit.reach as f32;
        for (query, d_position) in d_positions.iter_mut().enumerate() {
            let keys = weigh::<I>(unit, window, query);
            let position = unit.positions.get(query, 0);
            let grad = row(&grad, query);
            // What a weight is worth, in the place of the height that it needs no more.
            let mut mean = 0.0;
            for (key, (weight, height)) in keys.clone().zip(window.weights.iter().zip(window.heights.iter_mut())) {
                add::<I>(weight * *height, grad, &mut d_values[key * value_width..][..value_width]);
                *height *= dot::<I>(grad, row(&unit.values, key));
                mean += weight * *height;
                *d_position += weight * *height * (key as f32 - position) / (deviation * deviation);
            }
            let d_query = &mut d_queries[query * width..][..width];
            for (key, (weight, worth)) in keys.zip(window.weights.iter().zip(&*window.heights)) {
                let d_score = unit.scale * weight * (worth - mean);
                add::<I>(d_score, row(&unit.keys, key), d_query);
                add::<I>(d_score, row(&unit.queries, query), &mut d_keys[key * width..][..width]);
            }
        }
    }
}
