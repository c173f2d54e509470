//! The forward pass: blocks of queries, each of which streams all keys through one tile.

use std::ops::Range;

use crate::mask::Visible;
use crate::normalize::Rows;
use crate::pack;
use crate::problem::{Problem, Seen, cut, run as run_tasks};
use crate::scan;
use crate::score::{Queries, dot};
use crate::scores::Scores;
use crate::scratch;
use crate::shape::{KEY_BLOCK, Shape, Tile, blocks};
use crate::simd::{Base, multiversion, pad};
use crate::view::{Matrix, View};

/// Fills `context` `[batch, head, query, value feature]` and `lse` `[batch, head, query]`.
pub(crate) fn run(problem: &Problem, values: &View, context: &mut [f32], lse: &mut [f32]) {
    run_batches(problem, values, 0..problem.shape.batch, context, lse);
}

/// As [`run`], for some batches.
pub(crate) fn run_batches(
    problem: &Problem,
    values: &View,
    batches: Range<usize>,
    context: &mut [f32],
    lse: &mut [f32],
) {
    let Shape { heads, value_width, .. } = problem.shape;
    let query_blocks = problem.shape.query_blocks();
    let units = batches.start * heads..batches.end * heads;
    let contexts = cut(context, units.len(), query_blocks.clone(), value_width);
    let lses = cut(lse, units.len(), query_blocks.clone(), 1);
    let places = units.flat_map(|unit| query_blocks.clone().map(move |queries| (unit, queries)));
    let tasks = places.zip(contexts).zip(lses).collect();
    run_tasks(2.0 * problem.work(), tasks, |(((unit, queries), context), lse)| {
        let (batch, head) = (unit / heads, unit % heads);
        let lanes = pad(queries.len());
        scratch::with([value_width * lanes], |[sum]| {
            let keys = 0..problem.shape.keys;
            let mut rows = stream(problem, values, batch, head, queries.clone(), keys, sum);
            problem.attention.normalizer.finish(head, &mut rows);
            rescale(sum, lanes, &rows.scale[..lanes]);
            pack::untranspose(sum, lanes, queries.len(), context);
            lse.copy_from_slice(&rows.lse[..queries.len()]);
        });
    });
}

/// Streams some keys past a block of queries; all of them if the normalizer scans. `sum` becomes the context
/// `[value feature][lane]`, yet to be scaled.
pub(crate) fn stream(
    problem: &Problem,
    values: &View,
    batch: usize,
    head: usize,
    queries: Range<usize>,
    keys: Range<usize>,
    sum: &mut [f32],
) -> Rows {
    let rows = pass(problem, values, batch, head, queries.clone(), keys.clone(), false, sum);
    // A hidden value meets a weight of 0, and 0 · NaN is NaN. That is so rare that it is looked for afterwards.
    if problem.attention.mask.is_none() || pack::all_finite(sum) {
        return rows;
    }
    pass(problem, values, batch, head, queries, keys, true, sum)
}

/// One pass of [`stream`]; a careful one keeps hidden values from their weights.
#[allow(clippy::too_many_arguments)]
fn pass(
    problem: &Problem,
    values: &View,
    batch: usize,
    head: usize,
    queries: Range<usize>,
    keys: Range<usize>,
    careful: bool,
    sum: &mut [f32],
) -> Rows {
    let query_width = problem.shape.query_width;
    let lanes = pad(queries.len());
    let dropped = if problem.attention.dropout.is_some() { lanes * KEY_BLOCK } else { 0 };
    let mut rows = Rows::new(queries.len());
    scratch::with([query_width * lanes, lanes * KEY_BLOCK, dropped], |[transposed, tile_scores, mask]| {
        let source = problem.queries.matrix(batch, head).slice(queries.clone());
        source.with(|source| pack::transpose(source, transposed));
        let packed = Queries { transposed, rows: &[], count: queries.len(), width: query_width };
        let limits = scan::limits(problem, batch, head, queries.clone(), &packed, false);
        if let Some(limits) = &limits {
            rows.reference = limits.scores;
        }
        problem.attention.normalizer.begin(&problem.shape, &mut rows);
        let values = values.matrix(batch, head / problem.shape.group());
        let mut first = true;
        for keys in blocks(keys, KEY_BLOCK) {
            let tile = problem.tile(batch, head, queries.clone(), keys.clone());
            let seen = problem.seen(&tile);
            if matches!(seen, Seen::Nothing) {
                continue;
            }
            let mut scores = Scores::of(&tile, &seen, tile_scores);
            problem.scores(&tile, &packed, &seen, &mut scores);
            if let Some(limits) = &limits {
                problem.attention.normalizer.select(limits, &mut scores);
            }
            problem.attention.normalizer.absorb(&mut scores, &mut rows);
            let base = if first { Base::Zero } else { Base::Scaled(&rows.rescale[..lanes]) };
            first = false;
            if let Some(dropout) = &problem.attention.dropout {
                let mut mask = Scores::new(&tile, mask);
                dropout.fill(&tile, &mut mask);
                scores.zip(&mask, |weight, scale| weight * scale);
            }
            let values = values.slice(keys);
            values.with(|values| match &seen {
                Seen::Some(visible) if careful => add_seen_values(values, &scores, visible, &tile, base, sum),
                _ => dot::mix(values, &scores, base, sum),
            });
        }
        if first {
            sum.fill(0.0);
        }
    });
    rows
}

/// Cᵀ = base + Vᵀ · Pᵀ, in which a value that a query cannot see never meets its weight of 0.
fn add_seen_values(values: Matrix, weights: &Scores, visible: &Visible, tile: &Tile, base: Base, sum: &mut [f32]) {
    scratch::with([KEY_BLOCK * pad(values.columns)], |[rows]| {
        pack::finite_rows(values, rows);
        let finite = Matrix::panel(rows, values.rows, values.columns, pad(values.columns));
        dot::mix(finite, weights, base, sum);
        add_seen(values, weights, visible, tile, sum);
    });
}

/// Adds the values that are not finite to the queries that see them.
fn add_seen(values: Matrix, weights: &Scores, visible: &Visible, tile: &Tile, sum: &mut [f32]) {
    let lanes = weights.lanes();
    for (i, key) in tile.keys.clone().enumerate() {
        if (0..values.columns).all(|column| values.get(i, column).is_finite()) {
            continue;
        }
        for (query, &weight) in weights.row(key).iter().enumerate() {
            for column in (0..values.columns).filter(|_| visible.get(query, i)) {
                sum[column * lanes + query] += weight * values.get(i, column);
            }
        }
    }
}

multiversion! {
    /// Multiplies each lane with its factor.
    pub(crate) fn rescale<I>(sum: &mut [f32], lanes: usize, factors: &[f32]) {
        for row in sum.chunks_exact_mut(lanes.max(1)) {
            for (x, factor) in row.iter_mut().zip(factors) {
                *x *= factor;
            }
        }
    }
}
