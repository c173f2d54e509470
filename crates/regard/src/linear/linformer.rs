//! Linformer: keys and values are projected along the positions, to few rows.
//!
//! `c = softmax(Q (Eᵀ K)ᵀ / √d) (Fᵀ V)`, `E` and `F` learned, `[S, r]`.
//! Wang, Li, Khabsa, Fang & Ma, "Linformer", 2020, arXiv:2006.04768.
//!
//! Time O(L·r·d), memory O(L·d + S·r): the projections are matrix products, what follows is exact attention over r keys,
//! fused. Reach for it with inputs of a fixed length, such as encoders of documents; there is no causal form, and a model
//! has to be trained with it.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use regard_kernel::Attention;

use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};
use crate::mechanism::{Mechanism, fits};
use crate::noise::{Mode, mix};
use crate::ops;
use crate::random::uniforms;

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "Linformer",
    family: Family::Efficient,
    sentence: "Keys and values are projected along the positions to few rows, which are attended to exactly.",
    equation: "c = softmax(Q (Eᵀ K)ᵀ / √d) (Fᵀ V), E and F [S, r]",
    paper: "Wang et al. 2020, arXiv:2006.04768",
    cost: "time O(L·r·d), memory O(L·d + S·r); the attention is fused",
    when: "Encoders of inputs up to a known length, trained with it. It has no causal form.",
};

/// Configuration of [`Linformer`].
#[derive(Config, Debug)]
pub struct LinformerConfig {
    /// The most keys there may be.
    pub length: usize,
    /// Rows that remain of them, r.
    #[config(default = 256)]
    pub rank: usize,
    /// Where the first weights come from.
    #[config(default = 0)]
    pub seed: u64,
}

/// Attention to projected keys and values.
#[derive(Module, Debug)]
pub struct Linformer {
    /// `E`, `[length, rank]`
    pub key: Param<Tensor<2>>,
    /// `F`, `[length, rank]`
    pub value: Param<Tensor<2>>,
}

impl LinformerConfig {
    /// Random projections, uniform up to 1/√r.
    ///
    /// # Errors
    /// When the rank is 0 or more than the length.
    pub fn init(&self, device: &Device) -> Result<Linformer> {
        let LinformerConfig { length, rank, seed } = *self;
        if rank == 0 || rank > length {
            return Err(Error::value("rank", rank, format!("from 1 to the length {length}")));
        }
        let weight = |seed| Param::from_tensor(uniforms(seed, (rank as f64).powf(-0.5), [length, rank], device));
        Ok(Linformer { key: weight(seed), value: weight(mix(seed)) })
    }
}

impl Mechanism for Linformer {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn mix(&self, queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>, _: Mode) -> Result<Tensor<4>> {
        fits(&queries, &keys, &values)?;
        let (length, most) = (keys.dims()[2], self.key.dims()[0]);
        if length > most {
            return Err(Error::shape("keys", &keys.dims(), format!("at most {most} positions")));
        }
        // A shorter input has the first of the projections' rows.
        let project = |weight: &Param<Tensor<2>>, rows: Tensor<4>| {
            ops::product(weight.val().narrow(0, 0, length).transpose().unsqueeze(), rows)
        };
        let (keys, values) = (project(&self.key, keys)?, project(&self.value, values)?);
        Ok(ops::attend(queries, keys, values, &Attention::default())?.context)
    }
}
