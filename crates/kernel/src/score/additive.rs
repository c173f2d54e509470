//! The additive score of Bahdanau et al. 2015 (arXiv:1409.0473), streamed: there is never an L×S×d tensor.

use super::{Keys, Queries, Score, ScoreGradients, check_heads, same_width};
use crate::Result;
use crate::scores::Scores;
use crate::shape::{QUERY_BLOCK, Shape, Tile};
use crate::simd::{multiversion, pad, tanh};

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
            return Err(crate::Error::new("additive v", given, format!("{} as the queries have", shape.query_width)));
        }
        check_heads("additive v", self.v.len(), self.width, shape)
    }

    fn forward(&self, tile: &Tile, queries: &Queries, keys: &Keys, scores: &mut Scores) {
        let v = &self.v[self.start(tile.head)..][..self.width];
        let lanes = scores.lanes();
        let mut key_features = vec![0.0; self.width];
        for (key, scores) in scores.values_mut().chunks_exact_mut(lanes.max(1)).enumerate() {
            key_features.iter_mut().enumerate().for_each(|(f, x)| *x = keys.matrix.get(key, f));
            forward(v, queries.transposed, &key_features, scores);
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
        let start = self.start(tile.head);
        let v = &self.v[start..start + self.width];
        let padded = pad(self.width);
        // What is not wanted is summed into memory that nobody reads.
        let mut ignored = vec![0.0; padded];
        let d_v = if into.parameters.is_empty() { None } else { Some(&mut into.parameters[start..start + self.width]) };
        let mut d_v = d_v;
        for (i, key) in tile.keys.clone().enumerate() {
            let mut d_key = vec![0.0; padded];
            for (j, &grad) in grad.row(key).iter().enumerate().filter(|(_, grad)| **grad != 0.0) {
                let query = &queries.rows[j * padded..][..self.width];
                let key = &keys.rows[i * padded..][..self.width];
                let d_query = match &mut into.queries {
                    Some(d_queries) => &mut d_queries[j * padded..][..self.width],
                    None => &mut ignored[..self.width],
                };
                backward(grad, v, query, key, d_query, &mut d_key, d_v.as_deref_mut());
            }
            if let Some(d_keys) = &mut into.keys {
                d_keys[i * padded..][..self.width].iter_mut().zip(&d_key).for_each(|(sum, x)| *sum += x);
            }
        }
    }

    fn parameters(&self) -> &[f32] {
        &self.v
    }
}

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

    /// One pair: `dq_f = dk_f = grad · v_f · (1 - t_f²)` and `dv_f = grad · t_f` with `t = tanh(q + k)`.
    fn backward<I>(
        grad: f32, v: &[f32], query: &[f32], key: &[f32],
        d_query: &mut [f32], d_key: &mut [f32], d_v: Option<&mut [f32]>
    ) {
        for (f, (&query, &key)) in query.iter().zip(key).enumerate() {
            let t = tanh::<I>(query + key);
            let d = grad * v[f] * (1.0 - t * t);
            d_query[f] += d;
            d_key[f] += d;
        }
        if let Some(d_v) = d_v {
            for ((d_v, &query), &key) in d_v.iter_mut().zip(query).zip(key) {
                *d_v = I::fma(grad, tanh::<I>(query + key), *d_v);
            }
        }
    }
}
