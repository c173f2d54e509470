//! The forward pass: for each query, blocks of second keys, past each of which the first ones stream.

use super::Problem;
use super::query::{Panels, SIDE, add_products, exponentials, greatest, products, rows, scores};
use crate::Output;
use crate::problem::{cut, run as run_tasks};
use crate::scratch;
use crate::shape::{QUERY_BLOCK, blocks};
use crate::simd::{Base, gemm, pad};

/// Context and log-sum-exps of all queries.
pub(super) fn run(problem: &Problem) -> Output {
    let Problem { batch, heads, queries, value_width, .. } = *problem;
    let units = batch * heads;
    let mut output =
        Output { context: vec![0.0; units * queries * value_width], lse: vec![f32::NEG_INFINITY; units * queries] };
    let per_unit = blocks(0..queries, QUERY_BLOCK);
    for head in 0..if queries == 0 { 0 } else { batch * problem.key_heads } {
        let (b, key_head) = (head / problem.key_heads, head % problem.key_heads);
        let panels = Panels::new(problem, b, key_head);
        let first = b * heads + key_head * problem.group();
        let rows = first * queries..(first + problem.group()) * queries;
        let contexts = cut(
            &mut output.context[rows.start * value_width..rows.end * value_width],
            problem.group(),
            per_unit.clone(),
            value_width,
        );
        let lses = cut(&mut output.lse[rows], problem.group(), per_unit.clone(), 1);
        let places = (0..problem.group()).flat_map(|i| per_unit.clone().map(move |queries| (i, queries)));
        let tasks = places.zip(contexts).zip(lses).collect();
        run_tasks(2.0 * problem.work() / batch as f64, tasks, |(((i, queries), context), lse)| {
            let head = key_head * problem.group() + i;
            let source = problem.q.matrix(b, head).slice(queries.clone());
            source.with(|source| {
                let mut query_row = vec![0.0; pad(problem.width)];
                for (i, query) in queries.clone().enumerate() {
                    (0..problem.width).for_each(|feature| query_row[feature] = source.get(i, feature));
                    let context = &mut context[i * value_width..][..value_width];
                    lse[i] = one(problem, &panels, query, &query_row, context);
                }
            });
        });
    }
    output
}

/// Fills the context of one query and returns its log-sum-exp.
fn one(problem: &Problem, panels: &Panels, query: usize, q: &[f32], context: &mut [f32]) -> f32 {
    let Problem { width, value_width, scale, .. } = *problem;
    let (padded, value_padded) = (pad(width), pad(value_width));
    let [first, second] = problem.seen(query);
    let sizes = [SIDE * padded, width * SIDE, SIDE * SIDE, SIDE * value_padded, value_padded, value_padded];
    scratch::with(sizes, |[own, turned, tile, mixed, sum, part]| {
        sum.fill(0.0);
        let (mut reference, mut total) = (f32::NEG_INFINITY, 0.0f32);
        for pairs in blocks(second, SIDE) {
            let (count, lanes) = (pairs.len(), pad(pairs.len()));
            products(scale, &panels.keys[1], pairs.clone(), q, width, own, turned);
            let (mut highest, mut subtotal) = (f32::NEG_INFINITY, 0.0f32);
            for keys in blocks(first.clone(), SIDE) {
                let tile = &mut tile[..keys.len() * lanes];
                scores(rows(&panels.keys[0], keys.clone(), width), turned, count, tile);
                let higher = highest.max(greatest(tile));
                // Scores that are all −∞, or NaN, have no greatest.
                let finite = if higher == f32::NEG_INFINITY { 0.0 } else { higher };
                let fade = (highest - finite).exp();
                subtotal = subtotal * fade + exponentials(tile, finite);
                highest = higher;
                // Σ_j a_jk v_j for each k.
                let weights = crate::view::Matrix::panel(tile, keys.len(), count, lanes).transposed();
                let mixed = &mut mixed[..count * value_padded];
                if keys.start == first.start {
                    mixed.fill(0.0);
                } else {
                    mixed.iter_mut().for_each(|x| *x *= fade);
                }
                gemm(1.0, weights, &panels.values[0][keys.start * value_padded..], Base::Sum, mixed, value_padded);
            }
            part.fill(0.0);
            let others = &panels.values[1][pairs.start * value_padded..pairs.end * value_padded];
            add_products(1.0, &mixed[..count * value_padded], others, value_padded, part);
            let higher = reference.max(highest);
            let finite = if higher == f32::NEG_INFINITY { 0.0 } else { higher };
            let (fade, rise) = ((reference - finite).exp(), (highest - finite).exp());
            // A block of NaN alone has no greatest number and is to be seen all the same.
            let rise = if subtotal.is_nan() { subtotal } else { rise };
            sum.iter_mut().zip(&*part).for_each(|(sum, part)| *sum = *sum * fade + part * rise);
            total = total * fade + subtotal * rise;
            reference = higher;
        }
        let nothing = total == 0.0;
        for (context, sum) in context.iter_mut().zip(sum) {
            *context = if nothing { 0.0 } else { *sum / total };
        }
        if nothing { f32::NEG_INFINITY } else { reference + total.ln() }
    })
}
