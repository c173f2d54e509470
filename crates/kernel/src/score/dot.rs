//! Dot products: Luong et al. 2015 (arXiv:1508.04025), scaled in Vaswani et al. 2017 (arXiv:1706.03762).

use super::{Keys, Queries, Score, ScoreGradients};
use crate::scores::Scores;
use crate::shape::Tile;
use crate::simd::{gemm, pad};
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
    let lanes = scores.lanes();
    gemm(scale, keys.matrix, queries.transposed, scores.values_mut(), lanes, false);
}

/// dQ += scale · dS · K and dK += scale · dSᵀ · Q
pub(super) fn backward(scale: f32, queries: &Queries, keys: &Keys, grad: &Scores, into: &mut ScoreGradients) {
    let grad = matrix(grad);
    let width = pad(queries.width);
    if let Some(d_queries) = &mut into.queries {
        gemm(scale, grad.transposed(), keys.rows, d_queries, width, true);
    }
    if let Some(d_keys) = &mut into.keys {
        gemm(scale, grad, queries.rows, d_keys, width, true);
    }
}

/// A tile as a matrix `[key, query]`.
pub(crate) fn matrix<'a>(scores: &'a Scores) -> Matrix<'a> {
    Matrix::panel(scores.values(), scores.keys().len(), scores.queries().len(), scores.lanes())
}
