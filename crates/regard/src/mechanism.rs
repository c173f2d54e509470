//! What all of them have in common: anything that mixes values by queries and keys.
//!
//! A [`Mechanism`] takes heads that are split already, `[batch, head, position, feature]`, and knows its [`Card`]. Exact
//! attention is one, by way of [`Nouns`]; so are those that approximate it, and those that replace it. One loop over
//! [`mechanisms`](crate::catalogue::mechanisms) builds and runs each:
//!
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use regard::catalogue::{Setting, mechanisms};
//! use regard::mechanism::distribution;
//!
//! let device = Device::default();
//! let setting = Setting { heads: 2, head_dim: 8, length: 64, causal: false, seed: 1, device: device.clone() };
//! let [q, k, v] = [(); 3].map(|()| Tensor::<4>::random([1, 2, 64, 8], Distribution::Default, &device));
//! for entry in mechanisms() {
//!     let mechanism = (entry.build)(&setting)?;
//!     let mixed = mechanism.mix(q.clone(), k.clone(), v.clone())?;
//!     assert_eq!(mixed.dims(), [1, 2, 64, 8], "{}", entry.name);
//!     // Who looked at whom, of any of them.
//!     assert_eq!(distribution(&*mechanism, q.clone(), k.clone())?.dims(), [1, 2, 64, 64], "{}", entry.name);
//! }
//! # Ok::<(), regard::Error>(())
//! ```

use burn::tensor::Tensor;
use regard_kernel::Attention;

use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};
use crate::ops;

/// Mixes values by queries and keys. Linear in the values, whatever it makes of the other two.
pub trait Mechanism: Send + Sync {
    /// What it is, what it costs and when to reach for it.
    fn card(&self) -> &'static Card;

    /// Queries `[batch, head, query, feature]`, keys `[batch, head, key, feature]` and values
    /// `[batch, head, key, value feature]` become `[batch, head, query, value feature]`.
    ///
    /// # Errors
    /// When the shapes do not fit each other or what the mechanism was built for.
    fn mix(&self, queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>) -> Result<Tensor<4>>;
}

/// The weights with which `mechanism` mixes, `[batch, head, query, key]`, be they written down anywhere or not: what it
/// makes of the identity as values. For lengths at which L×S numbers can be held.
///
/// They are the weights of a softmax only if the mechanism's are: others may be negative, or sum to something else than 1.
///
/// # Errors
/// As [`Mechanism::mix`].
pub fn distribution(mechanism: &dyn Mechanism, queries: Tensor<4>, keys: Tensor<4>) -> Result<Tensor<4>> {
    let [batch, heads, length, _] = keys.dims();
    let identity = Tensor::<2>::eye(length, &ops::constants(&keys.device()));
    let values = identity.reshape([1, 1, length, length]).expand([batch, heads, length, length]);
    mechanism.mix(queries, keys, values)
}

/// Exact attention of any combination of nouns: see [`ops::attend`].
#[derive(Debug, Clone)]
pub struct Nouns {
    card: &'static Card,
    attention: Attention,
}

impl Nouns {
    /// `card` says what is special about the combination.
    pub fn new(card: &'static Card, attention: Attention) -> Self {
        Nouns { card, attention }
    }
}

impl Mechanism for Nouns {
    fn card(&self) -> &'static Card {
        self.card
    }

    fn mix(&self, queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>) -> Result<Tensor<4>> {
        Ok(ops::attend(queries, keys, values, &self.attention)?.context)
    }
}

/// What the others are measured by.
pub(crate) const EXACT: Card = Card {
    name: "Exact",
    family: Family::Efficient,
    sentence: "Softmax attention over every key, computed a tile at a time.",
    equation: "c_i = Σ_j softmax_j(q_i · k_j / √d) v_j",
    paper: "Vaswani et al. 2017, arXiv:1706.03762; in tiles: Rabe & Staats 2021, arXiv:2112.05682; Dao et al. 2022, arXiv:2205.14135",
    cost: "time O(L·S·d), memory O(L + S); fused, forward and backward",
    when: "Always, until a measurement says that the length makes it too slow.",
};

/// Refuses queries, keys and values that do not fit each other; sizes are then those of all of them.
pub(crate) fn fits(queries: &Tensor<4>, keys: &Tensor<4>, values: &Tensor<4>) -> Result<()> {
    let [batch, heads, _, width] = queries.dims();
    let [_, _, length, value_width] = values.dims();
    if keys.dims() != [batch, heads, length, width] {
        let expected = format!("{:?}, as the queries and values have", [batch, heads, length, width]);
        return Err(Error::shape("keys", &keys.dims(), expected));
    }
    if values.dims()[..2] != [batch, heads] {
        let expected = format!("{:?}, as the queries have", [batch, heads, length, value_width]);
        return Err(Error::shape("values", &values.dims(), expected));
    }
    Ok(())
}
