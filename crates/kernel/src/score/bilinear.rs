//! The general score of Luong et al. 2015 (arXiv:1508.04025).

use super::{Keys, Queries, Score, ScoreGradients, check_heads, dot};
use crate::scores::Scores;
use crate::shape::{Shape, Tile};
use crate::simd::{Base, gemm, pad};
use crate::view::Matrix;
use crate::{Error, Result, pack, scratch};

/// `qᵀ W k` with a learned W, `[query feature][key feature]`, one for all heads or one for each. Queries and keys may
/// differ in width.
#[derive(Clone, Debug, PartialEq)]
pub struct Bilinear {
    weights: Vec<f32>,
    query_width: usize,
    key_width: usize,
}

impl Bilinear {
    /// `weights` is `[query width, key width]`, or `[head, query width, key width]`.
    ///
    /// # Errors
    /// If `weights` is no whole number of matrices.
    pub fn new(weights: impl Into<Vec<f32>>, query_width: usize, key_width: usize) -> Result<Self> {
        let weights = weights.into();
        let each = query_width.checked_mul(key_width);
        if each.is_none_or(|each| each == 0 || weights.is_empty() || !weights.len().is_multiple_of(each)) {
            let expected = format!("a multiple of {query_width}×{key_width}");
            return Err(Error::new("bilinear weights", format!("{} numbers", weights.len()), expected));
        }
        Ok(Self { weights, query_width, key_width })
    }

    fn each(&self) -> usize {
        self.query_width * self.key_width
    }

    /// Where a head's matrix begins.
    fn start(&self, head: usize) -> usize {
        if self.weights.len() == self.each() { 0 } else { head * self.each() }
    }

    /// A head's matrix.
    fn matrix(&self, head: usize) -> Matrix<'_> {
        let weights = &self.weights[self.start(head)..][..self.each()];
        Matrix::panel(weights, self.query_width, self.key_width, self.key_width)
    }
}

impl Score for Bilinear {
    fn check(&self, shape: &Shape) -> Result<()> {
        if (shape.query_width, shape.key_width) != (self.query_width, self.key_width) {
            let given = format!("{}×{}", self.query_width, self.key_width);
            return Err(Error::new("bilinear weights", given, format!("{}×{}", shape.query_width, shape.key_width)));
        }
        check_heads("bilinear weights", self.weights.len(), self.each(), shape)
    }

    fn forward(&self, tile: &Tile, queries: &Queries, keys: &Keys, scores: &mut Scores) {
        let lanes = scores.lanes();
        scratch::with([self.key_width * lanes], |[projected]| {
            gemm(1.0, self.matrix(tile.head).transposed(), queries.transposed, Base::Zero, projected, lanes);
            gemm(1.0, keys.matrix, projected, Base::Zero, scores.values_mut(), lanes);
        });
    }

    fn backward(
        &self,
        tile: &Tile,
        queries: &Queries,
        keys: &Keys,
        _: &Scores,
        grad: &Scores,
        into: &mut ScoreGradients,
    ) {
        let weights = self.matrix(tile.head);
        let grad = dot::matrix(grad);
        let (count, query_pad, key_pad) = (queries.count, pad(self.query_width), pad(self.key_width));
        let rows = Matrix::panel(queries.rows, count, self.query_width, query_pad);

        // With u = Wᵀq, e = u · k: first the gradient of u, then by way of W that of q; W's own is q ⊗ du.
        scratch::with([count * key_pad, self.query_width * key_pad], |[panel, d_weights]| {
            if let Some(d_keys) = &mut into.keys {
                pack::rows(weights, d_weights);
                gemm(1.0, rows, d_weights, Base::Zero, panel, key_pad);
                gemm(1.0, grad, panel, Base::Sum, d_keys, key_pad);
            }
            gemm(1.0, grad.transposed(), keys.rows, Base::Zero, panel, key_pad);
            if let Some(d_queries) = &mut into.queries {
                scratch::with([self.key_width * query_pad], |[turned]| {
                    pack::rows(weights.transposed(), turned);
                    let d_projected = Matrix::panel(panel, count, self.key_width, key_pad);
                    gemm(1.0, d_projected, turned, Base::Sum, d_queries, query_pad);
                });
            }
            if !into.parameters.is_empty() {
                gemm(1.0, rows.transposed(), panel, Base::Zero, d_weights, key_pad);
                let sums = &mut into.parameters[self.start(tile.head)..][..self.each()];
                for (sums, row) in sums.chunks_exact_mut(self.key_width).zip(d_weights.chunks_exact(key_pad)) {
                    sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
                }
            }
        });
    }

    fn parameters(&self) -> &[f32] {
        &self.weights
    }
}
