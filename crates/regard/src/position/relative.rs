//! Relative positions: a key is compared together with a learned vector for its distance from the query.
//!
//! `e_ij = q_i · (k_j + r_{clip(j-i)}) / √d`, distances beyond `reach` counting as `reach`. Shaw, Uszkoreit & Vaswani,
//! "Self-Attention with Relative Position Representations", NAACL 2018, arXiv:1803.02155; with a vector for every distance
//! it is Music Transformer's. The paper's second table, added to the values, makes no difference there (its table 3)
//! and is left out.
//!
//! Time O(L·(L+S)·d), memory O(L·(L+S)) for the products with distances, which depend on the query and so cannot be a rule;
//! the attention itself is fused. The vectors are shared by all heads. Reach for it on short sequences where direction
//! and distance matter; RoPE and ALiBi give relative positions without the L×S numbers.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Int, Tensor};
use regard_kernel::Attention;

use super::skew::{attend_with, check, distances, skew};
use crate::attention::Look;
use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "Relative",
    family: Family::Positions,
    sentence: "A key is compared together with a learned vector for its distance from the query.",
    equation: "e_ij = q_i · (k_j + r_{clip(j-i)}) / √d",
    paper: "Shaw et al. 2018, arXiv:1803.02155; skewed as in Huang et al. 2019, arXiv:1809.04281",
    cost: "time O(L·(L+S)·d), memory O(L·(L+S)) for distances; attention fused",
    when: "Short sequences where direction and distance matter (music). RoPE and ALiBi need no L×S numbers.",
};

/// Configuration of [`RelativePositions`].
#[derive(Config, Debug)]
pub struct RelativePositionsConfig {
    /// Features of a head.
    pub width: usize,
    /// The greatest distance with a vector of its own, `k`; the paper's results hardly change from 2 on.
    #[config(default = 16)]
    pub reach: usize,
}

/// A vector for each distance from `-reach` to `reach`.
#[derive(Module, Debug)]
pub struct RelativePositions {
    /// `[2 · reach + 1, width]`
    pub table: Param<Tensor<2>>,
}

impl RelativePositionsConfig {
    /// Random vectors (normal, 1/√width).
    ///
    /// # Errors
    /// When `width` is 0.
    pub fn init(&self, device: &Device) -> Result<RelativePositions> {
        if self.width == 0 {
            return Err(Error::value("width", 0, "at least 1"));
        }
        let initializer = Initializer::Normal { mean: 0.0, std: (self.width as f64).powf(-0.5) };
        Ok(RelativePositions { table: initializer.init([2 * self.reach + 1, self.width], device) })
    }
}

impl RelativePositions {
    /// `q_i · r_{clip(j-i)}`, `[batch, head, query, key]`, of `queries [batch, head, query, width]`. The last query stands
    /// beside the last of the `keys`.
    ///
    /// # Errors
    /// When the queries are not as wide as the table.
    pub fn products(&self, queries: Tensor<4>, keys: usize) -> Result<Tensor<4>> {
        let [rows, width] = self.table.dims();
        check("queries", queries.dims(), width)?;
        let (reach, device) = ((rows / 2) as isize, queries.device());
        let clipped: Vec<i32> =
            distances(queries.dims()[2], keys).map(|distance| (distance.clamp(-reach, reach) + reach) as i32).collect();
        if clipped.is_empty() {
            return Ok(skew(queries, keys));
        }
        let vectors = self.table.val().select(0, Tensor::<1, Int>::from_ints(clipped.as_slice(), &device));
        Ok(skew(queries.matmul(vectors.transpose().unsqueeze()), keys))
    }

    /// Attention with relative positions: `queries [batch, head, query, width]`, `keys [batch, key head, key, width]`,
    /// `values [batch, key head, key, feature]` → context `[batch, head, query, feature]`. `attention` says how queries are
    /// compared with keys (its scale is that of the paper, 1/√width, for the distances in any case) and who sees whom.
    ///
    /// # Errors
    /// When the shapes do not fit each other, the table or the attention's modifiers.
    pub fn forward(
        &self,
        queries: Tensor<4>,
        keys: Tensor<4>,
        values: Tensor<4>,
        attention: &Attention,
    ) -> Result<(Tensor<4>, Look)> {
        let scale = (queries.dims()[3].max(1) as f64).powf(-0.5);
        let added = self.products(queries.clone(), keys.dims()[2])? * scale;
        let (attended, attention) = attend_with(queries.clone(), keys.clone(), values, added, attention)?;
        let look = Look { queries, keys, lse: attended.lse, attention };
        Ok((attended.context, look))
    }
}
