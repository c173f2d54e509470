//! What each query looks at most.

use std::any::Any;
use std::cmp::Reverse;

use super::{Page, Probe, page_of};
use crate::scores::Scores;
use crate::shape::{KEY_BLOCK, QUERY_BLOCK, Shape, Tile};
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
        if u32::try_from(shape.keys).is_err() {
            return Err(Error::new("keys to rank", shape.keys, "fewer than 2^32"));
        }
        self.k = self.wanted.min(shape.keys);
        let size = self.shape.iter().try_fold(self.k, |size, &n| size.checked_mul(n));
        self.best.clear();
        let Some(size) = size.filter(|&size| self.best.try_reserve(size).is_ok()) else {
            return Err(Error::new("top keys", self.k, "so few that they fit into memory"));
        };
        self.best.resize(size, TopKey::default());
        Ok(())
    }

    fn page(&self, block: &Tile) -> Box<dyn Page> {
        let mut least = [f32::INFINITY; QUERY_BLOCK];
        least[..block.queries.len()].fill(if self.k == 0 { f32::INFINITY } else { 0.0 });
        let room = self.k + self.k.max(LEAST_ROOM);
        Box::new(Bags { k: self.k, room, entries: vec![0; block.queries.len() * room], held: [0; QUERY_BLOCK], least })
    }

    fn file(&mut self, block: &Tile, page: Box<dyn Any>) {
        let [_, heads, queries] = self.shape;
        let first = ((block.batch * heads + block.head) * queries + block.queries.start) * self.k;
        let mut bags: Bags = page_of(page);
        for query in 0..block.queries.len() {
            let bag = bags.bag(query);
            bag.sort_unstable_by_key(|&entry| Reverse(entry));
            for (best, &entry) in self.best[first + query * self.k..][..self.k].iter_mut().zip(&*bag) {
                *best = TopKey { key: !(entry as u32) as usize, weight: f32::from_bits((entry >> 32) as u32) };
            }
        }
    }
}

/// Room for so many keys beside the strongest, at least.
const LEAST_ROOM: usize = 16;

/// Keys that may be among the `k` strongest of their query. A bag that is full is cut down to the strongest, and what a weight
/// must exceed to be put in rises: sorting each key into its place would take longer.
struct Bags {
    k: usize,
    room: usize,
    /// `room` for each query: a weight's bits above those of the key, inverted, so that greater is stronger or else earlier.
    entries: Vec<u64>,
    held: [usize; QUERY_BLOCK],
    least: [f32; QUERY_BLOCK],
}

impl Bags {
    fn bag(&mut self, query: usize) -> &mut [u64] {
        &mut self.entries[query * self.room..][..self.held[query]]
    }

    fn put(&mut self, query: usize, weight: f32, key: usize) {
        self.entries[query * self.room + self.held[query]] =
            u64::from(weight.to_bits()) << 32 | u64::from(!(key as u32));
        self.held[query] += 1;
        if self.held[query] == self.room {
            let last = self.k - 1;
            let (_, &mut weakest, _) = self.bag(query).select_nth_unstable_by_key(last, |&entry| Reverse(entry));
            self.least[query] = f32::from_bits((weakest >> 32) as u32);
            self.held[query] = self.k;
        }
    }
}

impl Page for Bags {
    fn tile(&mut self, tile: &Tile, weights: &Scores) {
        // Few weights exceed what they must, and whole rows are passed over at once.
        let stronger = stronger(weights.values(), weights.lanes(), &self.least);
        for (mut found, key) in stronger.into_iter().zip(tile.keys.clone()) {
            while found != 0 {
                let query = found.trailing_zeros() as usize;
                found &= found - 1;
                self.put(query, weights.row(key)[query], key);
            }
        }
    }
}

multiversion! {
    /// Of each key one bit for each query whose limit its weight exceeds.
    fn stronger<I>(weights: &[f32], lanes: usize, limits: &[f32; QUERY_BLOCK]) -> [u64; KEY_BLOCK] {
        let mut stronger = [0; KEY_BLOCK];
        for (row, stronger) in weights.chunks_exact(lanes.max(1)).zip(&mut stronger) {
            for (i, (&weights, &limits)) in row.as_chunks().0.iter().zip(limits.as_chunks().0).enumerate() {
                *stronger |= u64::from(I::above(Lanes(weights), Lanes(limits))) << (i * LANES);
            }
        }
        stronger
    }
}
