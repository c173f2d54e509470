//! What happens to the rows of one batch and head: scores, weights, context.

use std::ops::Range;

use super::Graph;
use crate::dropout::Dropout;
use crate::problem::run;
use crate::scratch;
use crate::simd::{Isa, LANES, Lanes, multiversion, pad};
use crate::stored::widen;
use crate::view::View;

/// A view's numbers in single precision, by batch and head. Rows are filled up with 0 to whole vectors, but for those of one
/// number, which stay one.
pub(super) struct Packed {
    numbers: Vec<f32>,
    rows: usize,
    width: usize,
}

/// Those of one batch and head.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) numbers: &'a [f32],
    pub(super) width: usize,
}

/// One batch and head.
pub(super) struct Unit<'a> {
    pub(super) graph: &'a Graph,
    pub(super) queries: Rows<'a>,
    pub(super) keys: Rows<'a>,
    /// As wide as queries and keys.
    pub(super) vector: &'a [f32],
    pub(super) slope: f32,
    pub(super) dropout: Option<Dropout>,
    pub(super) batch: usize,
    pub(super) head: usize,
}

/// How wide a row of so many numbers is when it is packed.
pub(super) fn packed(columns: usize) -> usize {
    if columns == 1 { 1 } else { pad(columns) }
}

impl Packed {
    pub(super) fn new(view: &View) -> Self {
        let [batch, heads, rows, columns] = view.shape();
        let (units, width) = (batch * heads, packed(columns));
        let mut numbers = vec![0.0; units * rows * width];
        if !numbers.is_empty() {
            let parts = numbers.chunks_exact_mut(rows * width).enumerate().collect();
            run((units * rows * width) as f64, parts, |(unit, part): (usize, &mut [f32])| {
                let matrix = view.matrix(unit / heads, unit % heads);
                if width == 1 {
                    matrix.with(|matrix| part.iter_mut().enumerate().for_each(|(row, x)| *x = matrix.get(row, 0)));
                } else {
                    widen(matrix, part);
                }
            });
        }
        Self { numbers, rows, width }
    }

    pub(super) fn unit(&self, unit: usize) -> Rows<'_> {
        let size = self.rows * self.width;
        Rows { numbers: &self.numbers[unit * size..][..size], width: self.width }
    }
}

impl<'a> Rows<'a> {
    /// A row of whole vectors.
    #[inline(always)]
    pub(super) fn row(self, at: usize) -> &'a [[f32; LANES]] {
        self.numbers[at * self.width..][..self.width].as_chunks().0
    }
}

impl Unit<'_> {
    /// `times · leaky'(x)`; `x · leaky'(x)` is `leaky(x)`.
    #[inline(always)]
    pub(super) fn bend(&self, x: f32, times: f32) -> f32 {
        if x > 0.0 { times } else { self.slope * times }
    }

    /// Fills `mask` with what dropout multiplies the weights of a node's edges with.
    pub(super) fn keep(&self, node: usize, mask: &mut [f32]) {
        mask.fill(1.0);
        if let Some(dropout) = &self.dropout {
            dropout.apply([self.batch, self.head, node], self.graph.neighbours(node), mask);
        }
    }
}

/// The product of two rows.
#[inline(always)]
pub(super) fn dot<I: Isa>(a: &[[f32; LANES]], b: &[[f32; LANES]]) -> f32 {
    a.iter().zip(b).fold(Lanes::ZERO, |sum, (&a, &b)| I::fma_lanes(Lanes(a), Lanes(b), sum)).sum()
}

/// `sum += factor · x`
#[inline(always)]
pub(super) fn add<I: Isa>(factor: f32, x: &[[f32; LANES]], sum: &mut [f32]) {
    for (sum, &x) in sum.as_chunks_mut().0.iter_mut().zip(x) {
        *sum = I::fma_lanes(Lanes(x), Lanes::splat(factor), Lanes(*sum)).0;
    }
}

/// Fills `weights`, which are whole vectors, with those of a node's edges and then zeros.
#[inline(always)]
pub(super) fn weigh<I: Isa>(unit: &Unit, node: usize, weights: &mut [f32]) {
    let neighbours = unit.graph.neighbours(node);
    let (scores, rest) = weights.split_at_mut(neighbours.len());
    rest.fill(f32::NEG_INFINITY);
    let leaky = |x: f32| unit.bend(x, x);
    if unit.keys.width == 1 {
        let (query, factor) = (unit.queries.numbers[node], unit.vector[0]);
        for (score, &other) in scores.iter_mut().zip(neighbours) {
            *score = factor * leaky(query + unit.keys.numbers[other as usize]);
        }
    } else {
        let (query, vector) = (unit.queries.row(node), unit.vector.as_chunks().0);
        for (score, &other) in scores.iter_mut().zip(neighbours) {
            let mut sum = Lanes::ZERO;
            for ((&query, &key), &factor) in query.iter().zip(unit.keys.row(other as usize)).zip(vector) {
                sum = I::fma_lanes(Lanes(query).add(Lanes(key)).map(leaky), Lanes(factor), sum);
            }
            *score = sum.sum();
        }
    }
    // Where a NaN is seen, it is passed over here and makes the total one.
    let greatest = scores.iter().fold(f32::MIN, |most, &score| if score > most { score } else { most });
    let mut total = Lanes::ZERO;
    for weights in weights.as_chunks_mut().0 {
        *weights = Lanes(*weights).map(|score| score - greatest).exp::<I>().0;
        total = total.add(Lanes(*weights));
    }
    let share = total.sum().recip();
    weights.iter_mut().for_each(|weight| *weight *= share);
}

/// Fills the context of some nodes, `[node][width]`.
pub(super) fn attend(unit: &Unit, values: Rows, nodes: Range<usize>, width: usize, context: &mut [f32]) {
    let most = unit.graph.rows().widest(nodes.clone());
    scratch::with([pad(most), pad(most), pad(width)], |[weights, mask, sum]| {
        mix(unit, values, nodes, context, weights, mask, sum, width);
    });
}

/// Fills the weights of the edges of some nodes.
pub(super) fn look(unit: &Unit, nodes: Range<usize>, weights: &mut [f32]) {
    let most = unit.graph.rows().widest(nodes.clone());
    scratch::with([pad(most)], |[row]| show(unit, nodes, weights, row));
}

multiversion! {
    fn mix<I>(
        unit: &Unit<'_>, values: Rows<'_>, nodes: Range<usize>, context: &mut [f32], weights: &mut [f32],
        mask: &mut [f32], sum: &mut [f32], width: usize,
    ) {
        for (node, context) in nodes.zip(context.chunks_exact_mut(width)) {
            let neighbours = unit.graph.neighbours(node);
            if neighbours.is_empty() {
                continue;
            }
            weigh::<I>(unit, node, &mut weights[..pad(neighbours.len())]);
            unit.keep(node, &mut mask[..neighbours.len()]);
            let shares = weights.iter().zip(&*mask).map(|(weight, keep)| weight * keep).zip(neighbours);
            if values.width == 1 {
                context[0] = shares.map(|(share, &other)| share * values.numbers[other as usize]).sum();
                continue;
            }
            sum.fill(0.0);
            for (share, &other) in shares {
                add::<I>(share, values.row(other as usize), sum);
            }
            context.copy_from_slice(&sum[..width]);
        }
    }

    fn show<I>(unit: &Unit<'_>, nodes: Range<usize>, weights: &mut [f32], row: &mut [f32]) {
        let mut left = weights;
        for node in nodes {
            let count = unit.graph.neighbours(node).len();
            weigh::<I>(unit, node, &mut row[..pad(count)]);
            let (of_node, rest) = std::mem::take(&mut left).split_at_mut(count);
            of_node.copy_from_slice(&row[..count]);
            left = rest;
        }
    }
}
