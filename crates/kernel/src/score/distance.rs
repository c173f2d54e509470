//! Distances: Kim, Papamakarios and Mnih, "The Lipschitz Constant of Self-Attention", ICML 2021, arXiv:2006.04710.

use super::{Keys, Queries, Score, ScoreGradients, dot};
use crate::scores::Scores;
use crate::shape::{QUERY_BLOCK, Tile};
use crate::simd::{multiversion, pad};

/// `−scale · ‖q − k‖²`: the nearer, the more alike.
///
/// With queries and keys by one projection, attention by distance does not change faster than its input by more than a
/// factor that is known (it is Lipschitz), which dot products cannot promise. Reach for it where that matters, or where
/// places, not directions, mean something.
///
/// The distance is computed as `‖q‖² + ‖k‖² − 2 q·k`, one matrix product. Of vectors that are nearly the same, almost all of
/// that cancels: wherever the distance is less than 1/32 of `‖q‖² + ‖k‖²`, the differences are squared and summed instead. So
/// the error is at most some 32 units in the last place of the distance, and usually one or two; many pairs so near, as
/// when all vectors share a large part, cost a slower loop. Gradients, `2 scale · Σ grad · (k − q)`, are sums of two
/// parts as well: they are exact to rounding of `‖q‖` and `‖k‖`, not of the difference.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distance {
    /// The factor; 1/√d unless given, d being the width of a query.
    pub scale: Option<f32>,
}

impl Distance {
    fn scale(&self, query_width: usize) -> f32 {
        self.scale.unwrap_or((1.0 / (query_width.max(1) as f64).sqrt()) as f32)
    }
}

/// Below this share of the lengths, the distance is computed from differences.
const NEAR: f32 = 1.0 / 32.0;

impl Score for Distance {
    fn forward(&self, _: &Tile, queries: &Queries, keys: &Keys, scores: &mut Scores) {
        let scale = self.scale(queries.width);
        dot::forward(-2.0, queries, keys, scores);
        let lanes = scores.lanes();
        let mut squares = [0.0; QUERY_BLOCK];
        add_squares(queries.transposed, lanes, &mut squares);
        let all: Vec<_> = scores.parts().collect();
        for (part, seen) in all {
            for key in seen {
                let numbers = (0..keys.matrix.columns()).map(|feature| keys.matrix.get(key, feature));
                let square = numbers.clone().map(|x| x * x).sum();
                let row = &mut scores.values_mut()[key * lanes..][part.clone()];
                if finish(scale, square, &squares[part.clone()], row) {
                    differences(scale, numbers, square, queries.transposed, lanes, part.start, &squares, row);
                }
            }
        }
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
        let scale = self.scale(queries.width);
        dot::backward(2.0 * scale, queries, keys, grad, into);
        let mut of_queries = [0.0f32; QUERY_BLOCK];
        for (i, key) in tile.keys.clone().enumerate() {
            let row = grad.row(key);
            of_queries.iter_mut().zip(row).for_each(|(sum, grad)| *sum += grad);
            if let Some(d_keys) = &mut into.keys {
                subtract(2.0 * scale * row.iter().sum::<f32>(), keys.rows, d_keys, i, queries.width);
            }
        }
        if let Some(d_queries) = &mut into.queries {
            for (i, &sum) in of_queries.iter().take(queries.count).enumerate() {
                subtract(2.0 * scale * sum, queries.rows, d_queries, i, queries.width);
            }
        }
    }
}

/// `to_i -= factor · x_i`, rows padded to whole vectors.
fn subtract(factor: f32, x: &[f32], to: &mut [f32], i: usize, width: usize) {
    let rows = to[i * pad(width)..][..width].iter_mut().zip(&x[i * pad(width)..]);
    rows.for_each(|(to, x)| *to -= factor * x);
}

multiversion! {
    /// Adds the squared length of the query in each lane.
    fn add_squares<I>(queries: &[f32], lanes: usize, squares: &mut [f32; QUERY_BLOCK]) {
        for row in queries.chunks_exact(lanes.max(1)) {
            squares.iter_mut().zip(row).for_each(|(sum, x)| *sum = I::fma(*x, *x, *sum));
        }
    }

    /// Makes `−2 q·k` the score. Returns whether a distance is small beside the lengths, and not to be trusted.
    fn finish<I>(scale: f32, key: f32, queries: &[f32], row: &mut [f32]) -> bool {
        let mut near = false;
        for (x, query) in row.iter_mut().zip(queries) {
            let lengths = query + key;
            let distance = *x + lengths;
            near |= distance < NEAR * lengths;
            *x = -scale * distance;
        }
        near
    }
}

/// Puts the sum of squared differences where a distance is small.
#[allow(clippy::too_many_arguments)]
fn differences(
    scale: f32,
    key: impl Iterator<Item = f32>,
    square: f32,
    queries: &[f32],
    lanes: usize,
    first: usize,
    squares: &[f32; QUERY_BLOCK],
    row: &mut [f32],
) {
    let mut sums = [0.0; QUERY_BLOCK];
    for (key, queries) in key.zip(queries.chunks_exact(lanes)) {
        add_differences(key, &queries[first..][..row.len()], &mut sums);
    }
    for ((x, sum), query) in row.iter_mut().zip(sums).zip(&squares[first..]) {
        if sum < 2.0 * NEAR * (query + square) {
            *x = -scale * sum;
        }
    }
}

multiversion! {
    /// Adds the squared differences of one feature.
    fn add_differences<I>(key: f32, queries: &[f32], sums: &mut [f32; QUERY_BLOCK]) {
        for (sum, query) in sums.iter_mut().zip(queries) {
            let difference = query - key;
            *sum = I::fma(difference, difference, *sum);
        }
    }
}
