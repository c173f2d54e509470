//! Gradients. An edge's part in them is two numbers, the weight that a value had and the slope of the score; they are made by
//! the nodes that receive and summed up by those that are seen, in an order that is always the same.

use std::ops::Range;

use super::unit::{Rows, Unit, add, dot, weigh};
use crate::scratch;
use crate::simd::{Isa, LANES, Lanes, multiversion, pad};

/// Gradients with respect to what an attention along edges was given, each in its shape and contiguous.
#[derive(Clone, Debug, PartialEq)]
pub struct EdgeGradients {
    /// Of the queries.
    pub queries: Vec<f32>,
    /// Of the keys.
    pub keys: Vec<f32>,
    /// Of the values.
    pub values: Vec<f32>,
    /// Of the vectors, `[head, feature]`.
    pub vectors: Vec<f32>,
}

/// What the edges of some nodes that receive do, in the order of the edges.
pub(super) struct Sent<'a> {
    /// The weight that its value had, after dropout.
    pub(super) shares: &'a mut [f32],
    /// The gradient of its score.
    pub(super) slopes: &'a mut [f32],
}

/// `sum += slope · a ∘ leaky'(q + k)`
#[inline(always)]
fn add_bent<I: Isa>(unit: &Unit, slope: f32, query: &[[f32; LANES]], key: &[[f32; LANES]], sum: &mut [f32]) {
    let sums = sum.as_chunks_mut().0.iter_mut().zip(unit.vector.as_chunks().0);
    for ((sum, &factor), (&query, &key)) in sums.zip(query.iter().zip(key)) {
        let bent = Lanes(query).add(Lanes(key)).zip(Lanes(factor), |x, factor| unit.bend(x, factor));
        *sum = I::fma_lanes(bent, Lanes::splat(slope), Lanes(*sum)).0;
    }
}

/// `sum += slope · leaky(q + k)`
#[inline(always)]
fn add_leaky<I: Isa>(unit: &Unit, slope: f32, query: &[[f32; LANES]], key: &[[f32; LANES]], sum: &mut [f32]) {
    for (sum, (&query, &key)) in sum.as_chunks_mut().0.iter_mut().zip(query.iter().zip(key)) {
        let leaky = Lanes(query).add(Lanes(key)).map(|x| unit.bend(x, x));
        *sum = I::fma_lanes(leaky, Lanes::splat(slope), Lanes(*sum)).0;
    }
}

/// What the edges of some nodes do, and the gradients of the nodes' queries `[node][width]` and of the vector, to which it is
/// added.
pub(super) fn receive(
    unit: &Unit,
    [values, grad]: [Rows; 2],
    nodes: Range<usize>,
    sent: Sent,
    d_queries: &mut [f32],
    d_vector: &mut [f32],
) {
    let (most, width) = (unit.graph.rows().widest(nodes.clone()), d_vector.len());
    scratch::with([pad(most), pad(width), pad(width)], |[weights, d_query, of_vector]| {
        of_vector.fill(0.0);
        differentiate(unit, values, grad, nodes, sent, d_queries, weights, d_query, of_vector, width);
        d_vector.iter_mut().zip(&*of_vector).for_each(|(sum, x)| *sum += x);
    });
}

/// The gradients of the keys `[node][width]` and values `[node][value width]` of some nodes that are seen, from what all edges of
/// the unit do.
pub(super) fn send(
    unit: &Unit,
    grad: Rows,
    nodes: Range<usize>,
    [width, value_width]: [usize; 2],
    [shares, slopes]: [&[f32]; 2],
    [d_keys, d_values]: [&mut [f32]; 2],
) {
    scratch::with([pad(width), pad(value_width)], |[d_key, d_value]| {
        for (at, node) in nodes.enumerate() {
            d_key.fill(0.0);
            d_value.fill(0.0);
            collect(unit, grad, node, shares, slopes, d_key, d_value);
            d_keys[at * width..][..width].copy_from_slice(&d_key[..width]);
            d_values[at * value_width..][..value_width].copy_from_slice(&d_value[..value_width]);
        }
    });
}

multiversion! {
    fn differentiate<I>(
        unit: &Unit<'_>, values: Rows<'_>, grad: Rows<'_>, nodes: Range<usize>, sent: Sent<'_>, d_queries: &mut [f32],
        weights: &mut [f32], d_query: &mut [f32], of_vector: &mut [f32], width: usize,
    ) {
        let Sent { mut shares, mut slopes } = sent;
        for (at, node) in nodes.enumerate() {
            let neighbours = unit.graph.neighbours(node);
            let count = neighbours.len();
            let (share, slope);
            (share, shares) = std::mem::take(&mut shares).split_at_mut(count);
            (slope, slopes) = std::mem::take(&mut slopes).split_at_mut(count);
            if count == 0 {
                continue;
            }
            weigh::<I>(unit, node, &mut weights[..pad(count)]);
            unit.keep(node, share);
            // What a weight is worth, then the slope of its score.
            let mut mean = 0.0;
            for (((share, worth), &weight), &other) in share.iter_mut().zip(&mut *slope).zip(&*weights).zip(neighbours) {
                let met = match values.width {
                    1 => grad.numbers[node] * values.numbers[other as usize],
                    _ => dot::<I>(grad.row(node), values.row(other as usize)),
                };
                *worth = *share * met;
                *share *= weight;
                mean += weight * *worth;
            }
            slope.iter_mut().zip(&*weights).for_each(|(slope, weight)| *slope = weight * (*slope - mean));
            if unit.keys.width == 1 {
                let (query, factor) = (unit.queries.numbers[node], unit.vector[0]);
                for (&slope, &other) in slope.iter().zip(neighbours) {
                    let x = query + unit.keys.numbers[other as usize];
                    d_queries[at] += slope * unit.bend(x, factor);
                    of_vector[0] += slope * unit.bend(x, x);
                }
            } else if width > 0 {
                d_query.fill(0.0);
                let query = unit.queries.row(node);
                for (&slope, &other) in slope.iter().zip(neighbours) {
                    let key = unit.keys.row(other as usize);
                    add_bent::<I>(unit, slope, query, key, d_query);
                    add_leaky::<I>(unit, slope, query, key, of_vector);
                }
                d_queries[at * width..][..width].copy_from_slice(&d_query[..width]);
            }
        }
    }

    /// Sums up what the edges to one node do to its key and value.
    fn collect<I>(
        unit: &Unit<'_>, grad: Rows<'_>, node: usize, shares: &[f32], slopes: &[f32], d_key: &mut [f32],
        d_value: &mut [f32],
    ) {
        let seers = unit.graph.columns();
        for (&other, &edge) in seers.others(node).iter().zip(unit.graph.numbers(seers.edges(node))) {
            let (other, edge) = (other as usize, edge as usize);
            match grad.width {
                1 => d_value[0] += shares[edge] * grad.numbers[other],
                _ => add::<I>(shares[edge], grad.row(other), d_value),
            }
            if unit.keys.width == 1 {
                let x = unit.queries.numbers[other] + unit.keys.numbers[node];
                d_key[0] += slopes[edge] * unit.bend(x, unit.vector[0]);
            } else {
                add_bent::<I>(unit, slopes[edge], unit.queries.row(other), unit.keys.row(node), d_key);
            }
        }
    }
}
