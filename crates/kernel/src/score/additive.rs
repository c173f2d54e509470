//! The additive score of Bahdanau et al. 2015 (arXiv:1409.0473), streamed: there is never an L×S×d tensor.

use super::{Keys, Queries, Score, ScoreGradients, check_heads, same_width};
use crate::scores::Scores;
use crate::shape::{QUERY_BLOCK, Shape, Tile};
use crate::simd::{LANES, Lanes, multiversion, pad, tanh};
use crate::view::Matrix;
use crate::{Error, Result, pack, scratch};

/// `Σ_f v_f · tanh(q_f + k_f)` with a learned v, one for all heads or one for each.
///
/// The paper's `vᵀ tanh(W_q s + W_k h + b)` with q = W_q s and k = W_k h + b: the projections are linear layers of the
/// caller's, done once a position and not once a pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Additive {
    v: Vec<f32>,
    width: usize,
}

impl Additive {
    /// `v` is `[feature]`, or `[head, feature]`; `width` is the number of features.
    ///
    /// Whether `v` fits is checked when the attention meets its inputs.
    pub fn new(v: impl Into<Vec<f32>>, width: usize) -> Self {
        Self { v: v.into(), width }
    }

    /// Where a head's v begins.
    fn start(&self, head: usize) -> usize {
        if self.v.len() == self.width { 0 } else { head * self.width }
    }
}

impl Score for Additive {
    fn check(&self, shape: &Shape) -> Result<()> {
        same_width(shape)?;
        if shape.query_width != self.width {
            let given = format!("{} features", self.width);
            return Err(Error::new("additive v", given, format!("{} as the queries have", shape.query_width)));
        }
        check_heads("additive v", self.v.len(), self.width, shape)
    }

    fn forward(&self, tile: &Tile, queries: &Queries, keys: &Keys, scores: &mut Scores) {
        let v = &self.v[self.start(tile.head)..][..self.width];
        let (lanes, padded) = (scores.lanes(), pad(self.width));
        if padded == 0 {
            return scores.values_mut().fill(0.0); // a sum of nothing
        }
        scratch::with([keys.matrix.rows() * padded, FEW * padded], |[key_rows, query_rows]| {
            pack::rows(keys.matrix, key_rows);
            if queries.count <= FEW {
                // Most lanes would hold no query, so features lie in the lanes.
                let turned = Matrix::panel(queries.transposed, self.width, queries.count, lanes).transposed();
                pack::rows(turned, query_rows);
            }
            let key_rows = key_rows.chunks_exact(padded);
            for (key, scores) in key_rows.zip(scores.values_mut().chunks_exact_mut(lanes)) {
                if queries.count <= FEW {
                    for (query, score) in query_rows.chunks_exact(padded).zip(&mut scores[..queries.count]) {
                        *score = pair(v, query, key);
                    }
                } else {
                    forward(v, queries.transposed, key, scores);
                }
            }
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
        let start = self.start(tile.head);
        let v = &self.v[start..start + self.width];
        let padded = pad(self.width);
        // What another pass sees to is summed into memory that nobody reads.
        scratch::with([padded, padded, padded], |[no_query, no_key, no_v]| {
            for (i, key) in tile.keys.clone().enumerate() {
                for (j, &grad) in grad.row(key).iter().enumerate().filter(|(_, grad)| **grad != 0.0) {
                    let d_query = into.queries.as_deref_mut().map_or(&mut *no_query, |rows| &mut rows[j * padded..]);
                    let d_key = into.keys.as_deref_mut().map_or(&mut *no_key, |rows| &mut rows[i * padded..]);
                    let d_v = into.parameters.get_mut(start..).filter(|d_v| !d_v.is_empty()).unwrap_or(&mut *no_v);
                    let (query, key) = (&queries.rows[j * padded..][..self.width], &keys.rows[i * padded..]);
                    backward(grad, v, query, key, d_query, d_key, d_v);
                }
            }
        });
    }

    fn parameters(&self) -> &[f32] {
        &self.v
    }
}

/// So few queries do not fill the lanes of a vector.
const FEW: usize = 4;

multiversion! {
    /// The scores of one key for all lanes of queries.
    fn forward<I>(v: &[f32], queries: &[f32], key: &[f32], scores: &mut [f32]) {
        let mut sums = [0.0f32; QUERY_BLOCK];
        let lanes = scores.len();
        for ((&v, &key), queries) in v.iter().zip(key).zip(queries.chunks_exact(lanes)) {
            for (sum, &query) in sums.iter_mut().zip(queries) {
                *sum = I::fma(v, tanh::<I>(query + key), *sum);
            }
        }
        scores.copy_from_slice(&sums[..lanes]);
    }

    /// The score of one query and one key.
    fn pair<I>(v: &[f32], query: &[f32], key: &[f32]) -> f32 {
        let mut sum = Lanes::ZERO;
        let features = query.as_chunks::<LANES>().0.iter().zip(key.as_chunks::<LANES>().0);
        for (v, (query, key)) in v.chunks(LANES).zip(features) {
            let alike = Lanes(*query).add(Lanes(*key)).map(tanh::<I>);
            sum = Lanes::load_or(v, 0.0).fma::<I>(alike, sum);
        }
        sum.sum()
    }

    /// One pair: `dq_f = dk_f = grad · v_f · (1 - t_f²)` and `dv_f = grad · t_f` with `t = tanh(q + k)`.
    fn backward<I>(
        grad: f32, v: &[f32], query: &[f32], key: &[f32], d_query: &mut [f32], d_key: &mut [f32], d_v: &mut [f32]
    ) {
        let width = v.len();
        let (query, key) = (&query[..width], &key[..width]);
        let (d_query, d_key, d_v) = (&mut d_query[..width], &mut d_key[..width], &mut d_v[..width]);
        for f in 0..width {
            let t = tanh::<I>(query[f] + key[f]);
            let d = grad * v[f] * (1.0 - t * t);
            d_query[f] += d;
            d_key[f] += d;
            d_v[f] = I::fma(grad, t, d_v[f]);
        }
    }
}
