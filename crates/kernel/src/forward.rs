//! The forward pass: blocks of queries, each of which streams all keys through one tile.

use std::ops::Range;

use crate::mask::Visible;
use crate::normalize::Rows;
use crate::pack;
use crate::problem::{Problem, Seen, cut, run as run_tasks};
use crate::score::Queries;
use crate::scores::Scores;
use crate::scratch;
use crate::shape::{KEY_BLOCK, Shape, Tile, blocks};
use crate::simd::{gemm, multiversion, pad};
use crate::view::{Matrix, View};

/// Fills `context` `[batch, head, query, value feature]` and `lse` `[batch, head, query]`.
pub(crate) fn run(problem: &Problem, values: &View, context: &mut [f32], lse: &mut [f32]) {
    let Shape { batch, heads, value_width, .. } = problem.shape;
    let query_blocks = problem.shape.query_blocks();
    let places = (0..batch * heads).flat_map(|unit| query_blocks.clone().map(move |queries| (unit, queries)));
    let contexts = cut(context, batch * heads, query_blocks.clone(), value_width);
    let lses = cut(lse, batch * heads, query_blocks.clone(), 1);
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

/// Streams some keys past a block of queries. `sum` becomes the context `[value feature][lane]`, yet to be scaled.
pub(crate) fn stream(
    problem: &Problem,
    values: &View,
    batch: usize,
    head: usize,
    queries: Range<usize>,
    keys: Range<usize>,
    sum: &mut [f32],
) -> Rows {
    let Shape { query_width, value_width, .. } = problem.shape;
    let lanes = pad(queries.len());
    let dropped = if problem.attention.dropout.is_some() { lanes * KEY_BLOCK } else { 0 };
    let mut rows = Rows::new(queries.len());
    sum.fill(0.0);
    scratch::with([query_width * lanes, lanes * KEY_BLOCK, dropped], |[transposed, tile_scores, mask]| {
        let source = problem.queries.matrix(batch, head).slice(queries.clone());
        source.with(|source| pack::transpose(source, transposed));
        let packed = Queries { transposed, rows: &[], count: queries.len(), width: query_width };
        let values = values.matrix(batch, head / problem.shape.group());
        let mut first = true;
        for keys in blocks(keys, KEY_BLOCK) {
            let tile = problem.tile(batch, head, queries.clone(), keys.clone());
            let seen = problem.seen(&tile);
            if matches!(seen, Seen::Nothing) {
                continue;
            }
            let mut scores = Scores::new(&tile, tile_scores);
            problem.scores(&tile, &packed, &seen, &mut scores);
            problem.attention.normalizer.absorb(&mut scores, &mut rows);
            if !first {
                rescale(sum, lanes, &rows.rescale[..lanes]);
            }
            first = false;
            if let Some(dropout) = &problem.attention.dropout {
                let mut mask = Scores::new(&tile, mask);
                dropout.fill(&tile, &mut mask);
                scores.zip(&mask, |weight, scale| weight * scale);
            }
            values.slice(keys).with(|values| add_values(values, &scores, &seen, value_width, &tile, sum));
        }
    });
    rows
}

/// Cᵀ += Vᵀ · Pᵀ, in which a value that a query cannot see never meets its weight of 0: 0 · NaN is NaN.
fn add_values(values: Matrix, weights: &Scores, seen: &Seen, width: usize, tile: &Tile, sum: &mut [f32]) {
    let lanes = weights.lanes();
    match seen {
        Seen::Some(visible) if !finite(values) => scratch::with([KEY_BLOCK * pad(width)], |[rows]| {
            pack::finite_rows(values, rows);
            let finite = Matrix::panel(rows, values.rows, width, pad(width));
            gemm(1.0, finite.transposed(), weights.values(), sum, lanes, true);
            add_seen(values, weights, visible, tile, sum);
        }),
        _ => gemm(1.0, values.transposed(), weights.values(), sum, lanes, true),
    }
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

/// Whether no number of a matrix is infinite or NaN.
pub(crate) fn finite(matrix: Matrix) -> bool {
    (0..matrix.rows).all(|row| {
        if matrix.column_stride == 1 {
            pack::finite(&matrix.data[row * matrix.row_stride..][..matrix.columns])
        } else {
            (0..matrix.columns).all(|column| matrix.get(row, column).is_finite())
        }
    })
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
