//! Cosine similarity: Graves et al. 2014 (arXiv:1410.5401); with a learned scale in Swin V2, Liu et al. 2022
//! (arXiv:2111.09883).

use super::{Keys, Queries, Score, ScoreGradients, check_heads, dot, same_width};
use crate::scores::Scores;
use crate::shape::{KEY_BLOCK, QUERY_BLOCK, Shape, Tile};
use crate::simd::pad;
use crate::{Result, scratch};

/// `τ · (q / ‖q‖) · (k / ‖k‖)` with a learned τ, one for all heads or one for each. A vector of length 0 is alike to
/// nothing: its scores are 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Cosine {
    tau: Vec<f32>,
}

impl Cosine {
    /// `tau` holds one number for all heads, or one for each query head.
    pub fn new(tau: impl Into<Vec<f32>>) -> Self {
        Self { tau: tau.into() }
    }

    /// The place of a head's τ.
    fn index(&self, head: usize) -> usize {
        if self.tau.len() == 1 { 0 } else { head }
    }
}

/// Lengths below this count as 0.
const LEAST: f32 = 1e-12;

/// 1 / ‖x‖ given Σ x².
fn inverse(squares: f32) -> f32 {
    // Written so that a NaN stays one.
    if squares <= LEAST * LEAST { 0.0 } else { 1.0 / squares.sqrt() }
}

/// The inverse lengths of the queries, a number a lane.
fn query_lengths(queries: &Queries) -> [f32; QUERY_BLOCK] {
    let mut squares = [0.0f32; QUERY_BLOCK];
    for row in queries.transposed.chunks_exact(pad(queries.count).max(1)).take(queries.width) {
        for (sum, x) in squares.iter_mut().zip(row) {
            *sum += x * x;
        }
    }
    squares.map(inverse)
}

/// The inverse lengths of the keys.
fn key_lengths(keys: &Keys) -> [f32; KEY_BLOCK] {
    let mut lengths = [0.0; KEY_BLOCK];
    for (key, length) in lengths[..keys.matrix.rows()].iter_mut().enumerate() {
        *length = inverse((0..keys.matrix.columns()).map(|f| keys.matrix.get(key, f).powi(2)).sum());
    }
    lengths
}

impl Score for Cosine {
    fn check(&self, shape: &Shape) -> Result<()> {
        same_width(shape)?;
        check_heads("tau", self.tau.len(), 1, shape)
    }

    fn forward(&self, tile: &Tile, queries: &Queries, keys: &Keys, scores: &mut Scores) {
        dot::forward(self.tau[self.index(tile.head)], queries, keys, scores);
        let (query_lengths, key_lengths) = (query_lengths(queries), key_lengths(keys));
        let (first_query, first_key) = (tile.queries.start, tile.keys.start);
        scores.each(|query, key, score| score * query_lengths[query - first_query] * key_lengths[key - first_key]);
    }

    fn backward(
        &self,
        tile: &Tile,
        queries: &Queries,
        keys: &Keys,
        scores: &Scores,
        grad: &Scores,
        into: &mut ScoreGradients,
    ) {
        let index = self.index(tile.head);
        let tau = self.tau[index];
        let (query_lengths, key_lengths) = (query_lengths(queries), key_lengths(keys));
        let (first_query, first_key) = (tile.queries.start, tile.keys.start);

        // e = τ c with c = q·k / (‖q‖ ‖k‖), so ∂e/∂q = τ k / (‖q‖ ‖k‖) - e q / ‖q‖², and alike for k.
        scratch::with([Scores::size(tile)], |[memory]| {
            let mut scaled = Scores::new(tile, memory);
            scaled.copy_from(grad);
            scaled.each(|query, key, grad| {
                // A key or query that is not finite is hidden wherever its gradient is 0, and its length must not speak.
                if grad == 0.0 { 0.0 } else { grad * query_lengths[query - first_query] * key_lengths[key - first_key] }
            });
            dot::backward(tau, queries, keys, &scaled, into);
        });

        let mut along_queries = [0.0f32; QUERY_BLOCK];
        let mut total = 0.0;
        for (i, key) in tile.keys.clone().enumerate() {
            let mut along_key = 0.0;
            for ((along, &grad), &score) in along_queries.iter_mut().zip(grad.row(key)).zip(scores.row(key)) {
                *along += grad * score;
                along_key += grad * score;
            }
            total += along_key;
            if let Some(d_keys) = &mut into.keys {
                subtract(
                    along_key,
                    key_lengths[i],
                    row(keys.rows, i, queries.width),
                    row_mut(d_keys, i, queries.width),
                );
            }
        }
        if let Some(d_queries) = &mut into.queries {
            for (i, &along) in along_queries.iter().take(queries.count).enumerate() {
                let rows = (row(queries.rows, i, queries.width), row_mut(d_queries, i, queries.width));
                subtract(along, query_lengths[i], rows.0, rows.1);
            }
        }
        if let (Some(d_tau), true) = (into.parameters.get_mut(index), tau != 0.0) {
            *d_tau += total / tau;
        }
    }

    fn parameters(&self) -> &[f32] {
        &self.tau
    }
}

fn row(rows: &[f32], i: usize, width: usize) -> &[f32] {
    &rows[i * pad(width)..][..width]
}

fn row_mut(rows: &mut [f32], i: usize, width: usize) -> &mut [f32] {
    &mut rows[i * pad(width)..][..width]
}

/// `to -= along · x / ‖x‖²`
fn subtract(along: f32, inverse_length: f32, x: &[f32], to: &mut [f32]) {
    if along != 0.0 {
        let factor = along * inverse_length * inverse_length;
        to.iter_mut().zip(x).for_each(|(to, x)| *to -= factor * x);
    }
}
