//! What each query looks at most.

use super::Probe;
use crate::scores::Scores;
use crate::shape::{QUERY_BLOCK, Shape, Tile};
use crate::simd::{LANES, Lanes, multiversion};
use crate::{Error, Result};

/// A key and the weight that a query gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TopKey {
    /// The key's position.
    pub key: usize,
    /// Its weight.
    pub weight: f32,
}

/// The k strongest keys of each query, strongest first; of equal ones the earlier. Keys of weight 0 are not listed.
#[derive(Clone, Debug)]
pub struct TopKeys {
    wanted: usize,
    /// As many as are wanted, or as there are keys.
    k: usize,
    shape: [usize; 3],
    best: Vec<TopKey>,
}

impl TopKeys {
    /// Keeps `k` keys a query.
    pub fn new(k: usize) -> Self {
        Self { wanted: k, k: 0, shape: [0; 3], best: Vec::new() }
    }

    /// The strongest keys of a query, or nothing if there is no such query.
    pub fn get(&self, batch: usize, head: usize, query: usize) -> &[TopKey] {
        let [batches, heads, queries] = self.shape;
        if batch >= batches || head >= heads || query >= queries {
            return &[];
        }
        let row = &self.best[((batch * heads + head) * queries + query) * self.k..][..self.k];
        &row[..row.partition_point(|top| top.weight > 0.0)]
    }
}

impl Probe for TopKeys {
    fn begin(&mut self, shape: &Shape) -> Result<()> {
        self.shape = [shape.batch, shape.heads, shape.queries];
        self.k = self.wanted.min(shape.keys);
        let size = self.shape.iter().try_fold(self.k, |size, &n| size.checked_mul(n));
        self.best.clear();
        let Some(size) = size.filter(|&size| self.best.try_reserve(size).is_ok()) else {
            return Err(Error::new("top keys", self.k, "so few that they fit into memory"));
        };
        self.best.resize(size, TopKey::default());
        Ok(())
    }

    fn tile(&mut self, tile: &Tile, weights: &Scores) {
        if self.k == 0 {
            return;
        }
        let [_, heads, queries] = self.shape;
        let first = (tile.batch * heads + tile.head) * queries + tile.queries.start;
        let rows = &mut self.best[first * self.k..][..tile.queries.len() * self.k];
        // What a weight must exceed to be among the strongest: few do, and whole rows are passed over at once.
        let mut least = [f32::INFINITY; QUERY_BLOCK];
        rows.chunks_exact(self.k).zip(&mut least).for_each(|(best, least)| *least = best[self.k - 1].weight);
        for (i, key) in tile.keys.clone().enumerate() {
            let mut stronger = stronger(&weights.values()[i * weights.lanes()..][..weights.lanes()], &least);
            while stronger != 0 {
                let query = stronger.trailing_zeros() as usize;
                stronger &= stronger - 1;
                let (best, weight) = (&mut rows[query * self.k..][..self.k], weights.row(key)[query]);
                let mut place = self.k - 1;
                while place > 0 && best[place - 1].weight < weight {
                    best[place] = best[place - 1];
                    place -= 1;
                }
                best[place] = TopKey { key, weight };
                least[query] = best[self.k - 1].weight;
            }
        }
    }
}

multiversion! {
    /// One bit for each weight that is greater than its limit.
    fn stronger<I>(weights: &[f32], limits: &[f32; QUERY_BLOCK]) -> u64 {
        let (weights, limits) = (weights.as_chunks::<LANES>().0, limits.as_chunks::<LANES>().0);
        weights.iter().zip(limits).enumerate().fold(0, |bits, (i, (&weights, &limits))| {
            bits | u64::from(I::above(Lanes(weights), Lanes(limits))) << (i * LANES)
        })
    }
}
