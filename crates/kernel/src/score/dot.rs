//! Dot products: Luong et al. 2015 (arXiv:1508.04025), scaled in Vaswani et al. 2017 (arXiv:1706.03762).

use std::ops::Range;

use super::{Keys, Queries, Score, ScoreGradients};
use crate::scores::Scores;
use crate::shape::Tile;
use crate::simd::{Base, gemm, gemm_part, pad};
use crate::view::Matrix;

/// `q · k`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dot;

/// `scale · (q · k)`
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ScaledDot {
    /// The factor; 1/√d unless given, d being the width of a query.
    pub scale: Option<f32>,
}

impl ScaledDot {
    fn scale(&self, query_width: usize) -> f32 {
        self.scale.unwrap_or((1.0 / (query_width.max(1) as f64).sqrt()) as f32)
    }
}

impl Score for Dot {
    fn forward(&self, _: &Tile, queries: &Queries, keys: &Keys, scores: &mut Scores) {
        forward(1.0, queries, keys, scores);
    }

    fn backward(&self, _: &Tile, queries: &Queries, keys: &Keys, _: &Scores, grad: &Scores, into: &mut ScoreGradients) {
        backward(1.0, queries, keys, grad, into);
    }

    fn dot_factor(&self, _: usize) -> Option<f32> {
        Some(1.0)
    }
}

impl Score for ScaledDot {
    fn forward(&self, _: &Tile, queries: &Queries, keys: &Keys, scores: &mut Scores) {
        forward(self.scale(queries.width), queries, keys, scores);
    }

    fn backward(&self, _: &Tile, queries: &Queries, keys: &Keys, _: &Scores, grad: &Scores, into: &mut ScoreGradients) {
        backward(self.scale(queries.width), queries, keys, grad, into);
    }

    fn dot_factor(&self, query_width: usize) -> Option<f32> {
        Some(self.scale(query_width))
    }
}

/// Sᵀ = scale · K · Qᵀ
pub(super) fn forward(scale: f32, queries: &Queries, keys: &Keys, scores: &mut Scores) {
    rows_by_lanes(scale, keys.matrix, queries.transposed, scores);
}

/// dQ += scale · dS · K and dK += scale · dSᵀ · Q
pub(super) fn backward(scale: f32, queries: &Queries, keys: &Keys, grad: &Scores, into: &mut ScoreGradients) {
    let width = pad(queries.width);
    if let Some(d_queries) = &mut into.queries {
        add_to_queries(scale, grad, keys.rows, d_queries, width);
    }
    if let Some(d_keys) = &mut into.keys {
        add_to_keys(scale, grad, queries.rows, d_keys, width);
    }
}

/// `scores[key][lane] = scale · rows[key] · columns[..][lane]`, where it is needed.
pub(crate) fn rows_by_lanes(scale: f32, rows: Matrix, columns: &[f32], scores: &mut Scores) {
    let lanes = scores.lanes();
    for (part, keys) in scores.parts() {
        let into = &mut scores.values_mut()[keys.start * lanes..];
        gemm_part(scale, rows.slice(keys), columns, Base::Zero, into, lanes, part);
    }
}

/// `sum[feature][lane] = base + Σ_key columns[key][feature] · weights[key][lane]`, over the keys that are needed.
pub(crate) fn mix(columns: Matrix, weights: &Scores, base: Base, sum: &mut [f32]) {
    let lanes = weights.lanes();
    for (part, keys) in weights.parts() {
        let weights = &weights.values()[keys.start * lanes..];
        gemm_part(1.0, columns.slice(keys).transposed(), weights, base, sum, lanes, part);
    }
}

/// `sum[key] += scale · Σ_query weights[key][query] · rows[query]`, where it is needed.
pub(crate) fn add_to_keys(scale: f32, weights: &Scores, rows: &[f32], sum: &mut [f32], width: usize) {
    for (part, keys) in weights.parts() {
        let (weights, queries) = part_of(weights, part, keys.clone());
        gemm(scale, weights, &rows[queries.start * width..], Base::Sum, &mut sum[keys.start * width..], width);
    }
}

/// `sum[query] += scale · Σ_key weights[key][query] · rows[key]`, where it is needed.
fn add_to_queries(scale: f32, weights: &Scores, rows: &[f32], sum: &mut [f32], width: usize) {
    for (part, keys) in weights.parts() {
        let (weights, queries) = part_of(weights, part, keys.clone());
        let (rows, sum) = (&rows[keys.start * width..], &mut sum[queries.start * width..]);
        gemm(scale, weights.transposed(), rows, Base::Sum, sum, width);
    }
}

/// Some keys of a tile and those queries that some lanes hold, as a matrix `[key, query]`.
fn part_of<'a>(scores: &'a Scores, part: Range<usize>, keys: Range<usize>) -> (Matrix<'a>, Range<usize>) {
    let queries = part.start..part.end.min(scores.queries().len());
    let first = keys.start * scores.lanes() + part.start;
    (Matrix::panel(&scores.values()[first..], keys.len(), queries.len(), scores.lanes()), queries)
}

/// A tile as a matrix `[key, query]`.
pub(crate) fn matrix<'a>(scores: &'a Scores) -> Matrix<'a> {
    Matrix::panel(scores.values(), scores.keys().len(), scores.queries().len(), scores.lanes())
}
