//! Transformer-XL's relative positions: sinusoids of the distance, and two learned queries that every position shares.
//!
//! `e_ij = ((q_i + u) · k_j + (q_i + v) · W_R R_{i-j}) / √d`, `R` the sinusoidal table of distances, `u` and `v` a vector a
//! head. Dai et al., "Transformer-XL", ACL 2019, arXiv:1901.02860.
//!
//! Time O(L·(L+S)·d), memory O(L·(L+S)) for the products with distances; the attention itself is fused. Reach for it when
//! a model reads segment by segment with the states of earlier ones as further keys: distances mean the same in every
//! segment, and any length is defined.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor, TensorData};
use regard_kernel::Attention;

use super::skew::{attend_with, check, distances, skew};
use crate::attention::Look;
use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};
use crate::ops;
use crate::{Linear, LinearConfig};

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "TransformerXl",
    family: Family::Positions,
    sentence: "Sinusoids of the distance, and two learned queries that every position shares.",
    equation: "e_ij = ((q_i + u) · k_j + (q_i + v) · W_R R_{i-j}) / √d",
    paper: "Dai et al. 2019, arXiv:1901.02860",
    cost: "time O(L·(L+S)·d), memory O(L·(L+S)) for distances; attention fused",
    when: "Reading segment by segment, with earlier segments as memory.",
};

/// Configuration of [`TransformerXlPositions`].
#[derive(Config, Debug)]
pub struct TransformerXlPositionsConfig {
    /// Query heads.
    pub heads: usize,
    /// Features of a head.
    pub width: usize,
}

/// Learned parts of the score.
#[derive(Module, Debug)]
pub struct TransformerXlPositions {
    /// `W_R`, `[heads · width, heads · width]`, from a sinusoid to each head's vector of the distance.
    pub distance: Linear,
    /// `u`, `[head, width]`: what every query asks of content.
    pub content: Param<Tensor<2>>,
    /// `v`, `[head, width]`: what every query asks of distance.
    pub place: Param<Tensor<2>>,
}

impl TransformerXlPositionsConfig {
    /// Random map (Xavier), `u` and `v` zero.
    ///
    /// # Errors
    /// When `heads` or `width` is 0.
    pub fn init(&self, device: &Device) -> Result<TransformerXlPositions> {
        for (argument, given) in [("heads", self.heads), ("width", self.width)] {
            if given == 0 {
                return Err(Error::value(argument, 0, "at least 1"));
            }
        }
        let all = self.heads * self.width;
        let initializer = Initializer::XavierUniform { gain: 1.0 };
        Ok(TransformerXlPositions {
            distance: LinearConfig::new(all, all).with_bias(false).with_initializer(Some(initializer)).init(device),
            content: Initializer::Zeros.init([self.heads, self.width], device),
            place: Initializer::Zeros.init([self.heads, self.width], device),
        })
    }
}

impl TransformerXlPositions {
    /// `queries [batch, head, query, width]`, `keys [batch, key head, key, width]`, `values [batch, key head, key, feature]`
    /// → context `[batch, head, query, feature]`. The last query stands beside the last key; `attention` should scale by
    /// 1/√width, as the distances are, and says who sees whom.
    ///
    /// # Errors
    /// When the shapes do not fit each other, the module or the attention's modifiers.
    pub fn forward(
        &self,
        queries: Tensor<4>,
        keys: Tensor<4>,
        values: Tensor<4>,
        attention: &Attention,
    ) -> Result<(Tensor<4>, Look)> {
        let ([_, given, length, _], [heads, width]) = (queries.dims(), self.content.dims());
        check("queries", queries.dims(), width)?;
        if given != heads {
            return Err(Error::shape("queries", &queries.dims(), format!("{heads} heads")));
        }
        let asked = |vector: &Param<Tensor<2>>| -> Tensor<4> {
            let vector: Tensor<3> = vector.val().unsqueeze_dim(1);
            queries.clone() + vector.unsqueeze()
        };
        let table = table(length, keys.dims()[2], heads * width, &queries.device());
        let rows = table.dims()[0];
        let added = if rows == 0 {
            skew(queries.clone(), keys.dims()[2])
        } else {
            let vectors = self.distance.forward(table).reshape([1, rows, heads, width]).swap_dims(1, 2);
            skew(asked(&self.place).matmul(vectors.swap_dims(2, 3)), keys.dims()[2]) / (width as f64).sqrt()
        };
        let queries = asked(&self.content);
        let (attended, attention) = attend_with(queries.clone(), keys.clone(), values, added, attention)?;
        let look = Look { queries, keys, lse: attended.lse, attention };
        Ok((attended.context, look))
    }
}

/// `R` of each distance: sines, then cosines, of `(i - j) / 10000^(2f/d)`.
fn table(queries: usize, keys: usize, width: usize, device: &Device) -> Tensor<2> {
    let half = width.div_ceil(2);
    let row = |distance: isize| {
        (0..width).map(move |feature| {
            let pair = feature % half;
            // What lies before the query has a positive distance in the paper.
            let angle = -distance as f64 / 10000f64.powf((2 * pair) as f64 / width as f64);
            if feature < half { angle.sin() as f32 } else { angle.cos() as f32 }
        })
    };
    let values: Vec<f32> = distances(queries, keys).flat_map(row).collect();
    let rows = values.len() / width;
    Tensor::from_data(TensorData::new(values, [rows, width]), &ops::constants(device))
}
