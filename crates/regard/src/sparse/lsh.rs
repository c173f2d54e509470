//! Attention by locality-sensitive hashing: vectors that point the same way are likely to fall into the same bucket, and
//! only those meet.
//!
//! `bucket(x) = argmax([xR; −xR])`, R random. Positions are sorted by bucket and cut into chunks; a chunk sees itself and
//! the one before. Several rounds, each with its own R, are one softmax over all that they saw:
//! `c_i = Σ_r exp(lse_ir) c_ir / Σ_r exp(lse_ir)`.
//! Kitaev, Kaiser & Levskaya, "Reformer", ICLR 2020, arXiv:2001.04451. There, one vector is query and key
//! ([`Lsh::shared`]). Where they differ, [`Mechanism::mix`] sorts queries and keys each by itself and lets chunks of the same
//! rank meet, after Daras, Kitaev, Odena & Dimakis, "SMYRF", NeurIPS 2020, arXiv:2010.05315.
//!
//! Time O(rounds·L·(bucket + √L)·d), memory O(rounds·L + L·d): the number of many buckets is hashed as a product of two. Fused,
//! see [`regard_kernel::hashed`].
//! Reach for it when weights are few and strong, and the length is many thousands; below that, hashing and sorting cost
//! more than the exact thing.

use burn::config::Config;
use burn::tensor::{Device, Tensor, TensorData};
use regard_kernel::hashed::Order;
use regard_kernel::{HashedAttention, Hashing, View};

use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};
use crate::mechanism::{Mechanism, fits};
use crate::noise::Mode;
use crate::ops;
use crate::random::normals;

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "Lsh",
    family: Family::Efficient,
    sentence: "Queries and keys are sorted by a hash of their direction, and only neighbours in that order meet.",
    equation: "bucket(x) = argmax([xR; -xR]); c_i = Σ_r exp(lse_ir) c_ir / Σ_r exp(lse_ir) over rounds r",
    paper: "Kitaev, Kaiser & Levskaya 2020 (Reformer), arXiv:2001.04451; Daras et al. 2020 (SMYRF), arXiv:2010.05315",
    cost: "time O(rounds·L·(bucket + √L)·d), memory O(rounds·L + L·d); fused",
    when: "Many thousands of positions whose weights are few and strong, best with one vector as query and key.",
};

/// Configuration of [`Lsh`].
#[derive(Config, Debug)]
pub struct LshConfig {
    /// Positions of a chunk, and on average of a bucket; twice it divides the lengths.
    #[config(default = 64)]
    pub bucket: usize,
    /// Rounds of hashing.
    #[config(default = 4)]
    pub rounds: usize,
    /// Whether a query sees only what came before.
    #[config(default = false)]
    pub causal: bool,
    /// Where the rotations come from.
    #[config(default = 0)]
    pub seed: u64,
}

/// Attention by hashing; nothing to learn.
#[derive(Debug, Clone)]
pub struct Lsh {
    config: LshConfig,
}

impl LshConfig {
    /// Attention by these buckets.
    ///
    /// # Errors
    /// When the buckets hold fewer than 2 positions, or there are no rounds.
    pub fn init(&self) -> Result<Lsh> {
        if self.bucket < 2 {
            return Err(Error::value("bucket", self.bucket, "at least 2 positions"));
        }
        if self.rounds == 0 {
            return Err(Error::value("rounds", self.rounds, "at least 1"));
        }
        Ok(Lsh { config: self.clone() })
    }
}

impl Lsh {
    /// Random rotations for vectors of `width` features at so many positions: `[width, round · column]`, for half as many
    /// columns as there are buckets, or, of many buckets, as the two numbers that they are a product of sum to.
    ///
    /// # Errors
    /// When two buckets do not divide the length.
    pub fn rotations(&self, width: usize, length: usize, device: &Device) -> Result<Tensor<2>> {
        let columns = self.config.rounds * self.hashing(length)?.columns();
        let normals = normals(self.config.seed, width * columns).into_iter().map(|x| x as f32).collect::<Vec<_>>();
        Ok(Tensor::from_data(TensorData::new(normals, [width, columns]), device))
    }

    /// Reformer's attention: `vectors [batch, head, position, feature]` are queries and, at length 1, keys. `rotations` as
    /// [`Lsh::rotations`] has them.
    ///
    /// # Errors
    /// When the shapes do not fit, or two buckets do not divide the length.
    pub fn shared(&self, vectors: Tensor<4>, values: Tensor<4>, rotations: Tensor<2>) -> Result<Tensor<4>> {
        fits(&vectors, &vectors, &values)?;
        let attention = HashedAttention::shared(self.sort("vectors", &vectors, &rotations)?);
        Ok(ops::attend_hashed(vectors, None, values, self.turned(attention)))
    }

    /// Causal if that was asked for.
    fn turned(&self, attention: HashedAttention) -> HashedAttention {
        if self.config.causal { attention.causal() } else { attention }
    }

    fn hashing(&self, length: usize) -> Result<Hashing> {
        Ok(Hashing::new(length, self.config.bucket, self.config.rounds)?)
    }

    /// Each head's positions, sorted in each round.
    fn sort(&self, argument: &'static str, x: &Tensor<4>, rotations: &Tensor<2>) -> Result<Order> {
        let shape @ [_, _, length, width] = x.dims();
        let LshConfig { bucket, rounds, .. } = self.config;
        if length == 0 || width == 0 || !length.is_multiple_of(2 * bucket) {
            let expected = format!("a multiple of two buckets, {} positions", 2 * bucket);
            return Err(Error::shape(argument, &shape, expected));
        }
        let hashing = self.hashing(length)?;
        let expected = [width, rounds * hashing.columns()];
        if rotations.dims() != expected {
            let expected = format!("{expected:?}, as many columns a round as there are rotations");
            return Err(Error::shape("rotations", &rotations.dims(), expected));
        }
        let numbers = ops::numbers(x.clone().detach())?;
        Ok(hashing.sort(&View::new(&numbers, shape)?, &ops::numbers(rotations.clone().detach())?)?)
    }
}

impl Mechanism for Lsh {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn mix(&self, queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>, _: Mode) -> Result<Tensor<4>> {
        fits(&queries, &keys, &values)?;
        let [_, _, length, width] = queries.dims();
        if keys.dims()[2] != length {
            return Err(Error::shape("keys", &keys.dims(), format!("as many positions as queries, {length}")));
        }
        let LshConfig { bucket, .. } = self.config;
        if length == 0 || !length.is_multiple_of(2 * bucket) {
            let expected = format!("a multiple of two buckets, {} positions", 2 * bucket);
            return Err(Error::shape("queries", &queries.dims(), expected));
        }
        let rotations = self.rotations(width, length, &ops::constants(&queries.device()))?;
        let [of_queries, of_keys] =
            [("queries", &queries), ("keys", &keys)].map(|(name, x)| self.sort(name, x, &rotations));
        let attention = self.turned(HashedAttention::new(of_queries?, of_keys?)?);
        Ok(ops::attend_hashed(queries, Some(keys), values, attention))
    }
}
