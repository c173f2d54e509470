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
//! Time O(rounds·L·(bucket·d + buckets·d/2)), memory O(rounds·L·d). Chunks are attended to exactly, fused.
//! Reach for it when weights are few and strong, and the length is many thousands; below that, hashing and sorting cost
//! more than the exact thing.

use std::sync::Arc;

use burn::config::Config;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use regard_kernel::{Attention, Bias, Mask, Scores, Tile, mask::Visible};

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
    cost: "time O(rounds·L·(bucket + L/bucket/2)·d), memory O(rounds·L·d); chunks are fused",
    when: "Many thousands of positions whose weights are few and strong, best with one vector as query and key.",
};

/// What a position's score for itself is lowered by when it is its own key: it looks at itself if nothing else is there.
const SELF: f32 = 5e4;

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
    /// Random rotations for vectors of `width` features at so many positions: `[width, round · bucket / 2]`.
    pub fn rotations(&self, width: usize, length: usize, device: &Device) -> Tensor<2> {
        let columns = self.config.rounds * (length / self.config.bucket / 2);
        let normals = normals(self.config.seed, width * columns).into_iter().map(|x| x as f32).collect::<Vec<_>>();
        Tensor::from_data(TensorData::new(normals, [width, columns]), device)
    }

    /// Reformer's attention: `vectors [batch, head, position, feature]` are queries and, at length 1, keys. `rotations` as
    /// [`Lsh::rotations`] has them.
    ///
    /// # Errors
    /// When the shapes do not fit, or two buckets do not divide the length.
    pub fn shared(&self, vectors: Tensor<4>, values: Tensor<4>, rotations: Tensor<2>) -> Result<Tensor<4>> {
        fits(&vectors, &vectors, &values)?;
        let order = self.sort("vectors", &vectors, &rotations)?;
        // Vectors shorter than this are taken as they are, instead of divided by 0.
        let norm = vectors.clone().square().sum_dim(3).sqrt().clamp_min(1e-12);
        self.rounds(vectors.clone(), vectors / norm, values, [&order, &order], true)
    }

    /// For each head and round all positions, sorted by bucket and then as they come: `[batch, head, round, position]`, flat.
    fn sort(&self, argument: &'static str, x: &Tensor<4>, rotations: &Tensor<2>) -> Result<Vec<u32>> {
        let [_, _, length, width] = x.dims();
        let LshConfig { bucket, rounds, .. } = self.config;
        if length == 0 || !length.is_multiple_of(2 * bucket) {
            let expected = format!("a multiple of two buckets, {} positions", 2 * bucket);
            return Err(Error::shape(argument, &x.dims(), expected));
        }
        let half = length / bucket / 2;
        if rotations.dims() != [width, rounds * half] {
            let expected = format!("{:?}, half a bucket a round", [width, rounds * half]);
            return Err(Error::shape("rotations", &rotations.dims(), expected));
        }
        let rotated = ops::numbers(x.clone().detach().matmul(rotations.clone().detach().unsqueeze()))?;
        let mut sorted = Vec::with_capacity(rotated.len() / half);
        let mut buckets = vec![Vec::new(); 2 * half];
        for head in rotated.chunks_exact(length * rounds * half) {
            for round in 0..rounds {
                for (position, row) in head.chunks_exact(rounds * half).enumerate() {
                    buckets[farthest(&row[round * half..][..half])].push(position as u32);
                }
                buckets.iter_mut().for_each(|bucket| sorted.append(bucket));
            }
        }
        Ok(sorted)
    }

    /// Attends in each round and merges them; `order` of queries and of keys.
    fn rounds(
        &self,
        queries: Tensor<4>,
        keys: Tensor<4>,
        values: Tensor<4>,
        order: [&[u32]; 2],
        shared: bool,
    ) -> Result<Tensor<4>> {
        let [batch, heads, length, _] = values.dims();
        let LshConfig { bucket, rounds, causal, .. } = self.config;
        let chunks = rounds * length / bucket;
        let (mut seen, mut back) = (Vec::with_capacity(2 * order[1].len()), vec![0; order[0].len()]);
        for sorted in order[1].chunks_exact(chunks * bucket) {
            // The chunk before the first is the last, of the last round.
            let mut before = &sorted[sorted.len() - bucket..];
            for chunk in sorted.chunks_exact(bucket) {
                seen.extend_from_slice(chunk);
                seen.extend_from_slice(before);
                before = chunk;
            }
        }
        for (round, sorted) in order[0].chunks_exact(length).enumerate() {
            let start = round * length;
            sorted.iter().enumerate().for_each(|(at, &position)| back[start + position as usize] = (start + at) as i64);
        }
        let device = ops::constants(&values.device());
        let all = batch * heads * chunks;
        let take = |from: Tensor<4>, positions: &[u32], count: usize| {
            let width = from.dims()[3];
            let size = positions.len() / (batch * heads).max(1);
            let places = positions.iter().enumerate().map(|(at, &p)| (at / size.max(1) * length + p as usize) as i64);
            let places = Tensor::<1, Int>::from_data(TensorData::from(&places.collect::<Vec<_>>()[..]), &device);
            from.reshape([batch * heads * length, width]).select(0, places).reshape([all, 1, count, width])
        };
        let queries = take(queries, order[0], bucket);
        let (keys, values) = (take(keys, &seen, 2 * bucket), take(values, &seen, 2 * bucket));
        let places = Arc::new(Places { queries: order[0].to_vec(), keys: seen, bucket });
        let mut attention = Attention::default();
        if causal {
            attention = attention.mask(Past(places.clone()));
        }
        if shared {
            attention = attention.bias(Apart(places));
        }
        let packed = ops::attend_packed(queries, keys, values, &attention)?;
        let width = packed.dims()[3];
        let back = Tensor::<1, Int>::from_data(TensorData::from(&back[..]), &device);
        let parts =
            packed.reshape([all * bucket, width]).select(0, back).reshape([batch, heads, rounds, length, width]);
        let weights = softmax(parts.clone().narrow(4, width - 1, 1), 2);
        Ok((parts.narrow(4, 0, width - 1) * weights).sum_dim(2).squeeze_dim(2))
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
        let rotations = self.rotations(width, length, &ops::constants(&queries.device()));
        let order = [("queries", &queries), ("keys", &keys)].map(|(name, x)| self.sort(name, x, &rotations));
        let [of_queries, of_keys] = order;
        self.rounds(queries, keys, values, [&of_queries?, &of_keys?], false)
    }
}

/// The index of the greatest of `[x; −x]`, the first of equals.
fn farthest(x: &[f32]) -> usize {
    let both = x.iter().copied().chain(x.iter().map(|x| -x));
    both.enumerate().fold((0, f32::NEG_INFINITY), |best, (at, x)| if x > best.1 { (at, x) } else { best }).0
}

/// Where the queries and keys of each chunk stand; chunks are batches of the kernel's problem.
#[derive(Debug)]
struct Places {
    queries: Vec<u32>,
    keys: Vec<u32>,
    bucket: usize,
}

impl Places {
    /// Those of a chunk.
    fn of(&self, chunk: usize) -> [&[u32]; 2] {
        let Places { queries, keys, bucket } = self;
        [&queries[chunk * bucket..][..*bucket], &keys[chunk * 2 * bucket..][..2 * bucket]]
    }
}

/// A query sees the keys up to its own position.
#[derive(Debug)]
struct Past(Arc<Places>);

impl Mask for Past {
    fn fill(&self, tile: &Tile, visible: &mut Visible) {
        let [queries, keys] = self.0.of(tile.batch);
        visible.each(tile, |query, key| keys[key] <= queries[query]);
    }
}

/// A position avoids itself.
#[derive(Debug)]
struct Apart(Arc<Places>);

impl Bias for Apart {
    fn add(&self, tile: &Tile, scores: &mut Scores) {
        let [queries, keys] = self.0.of(tile.batch);
        scores.each(|query, key, score| if keys[key] == queries[query] { score - SELF } else { score });
    }
}
