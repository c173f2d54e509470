//! How much each key is looked at.

use std::any::Any;

use super::{Page, Probe, page_of};
use crate::scores::Scores;
use crate::shape::{Shape, Tile};
use crate::simd::{Lanes, multiversion};
use crate::{Error, Result};

/// The weight that each key receives from all queries, `Σ_i a_ij`, `[batch, head, key]`.
#[derive(Clone, Debug, Default)]
pub struct Received {
    shape: [usize; 3],
    values: Vec<f32>,
}

impl Received {
    /// Ready to be shown weights.
    pub fn new() -> Self {
        Self::default()
    }

    /// `[batch, head, key]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The sums, contiguous in that shape.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

impl Probe for Received {
    fn begin(&mut self, shape: &Shape) -> Result<()> {
        self.shape = [shape.batch, shape.heads, shape.keys];
        self.values.clear();
        let size = shape.batch * shape.heads * shape.keys;
        if self.values.try_reserve(size).is_err() {
            return Err(Error::new("keys", shape.keys, "so few that a number for each fits into memory"));
        }
        self.values.resize(size, 0.0);
        Ok(())
    }

    fn page(&self, block: &Tile) -> Box<dyn Page> {
        Box::new(Sums(vec![0.0; block.keys.len()]))
    }

    fn file(&mut self, block: &Tile, page: Box<dyn Any>) {
        let [_, heads, keys] = self.shape;
        let sums = &mut self.values[(block.batch * heads + block.head) * keys..][..keys];
        sums.iter_mut().zip(page_of::<Sums>(page).0).for_each(|(sum, more)| *sum += more);
    }
}

/// Of each key, over the queries of a block.
struct Sums(Vec<f32>);

impl Page for Sums {
    fn tile(&mut self, tile: &Tile, weights: &Scores) {
        sum(weights.values(), weights.lanes(), tile.queries.len(), &mut self.0[tile.keys.clone()]);
    }
}

multiversion! {
    fn sum<I>(weights: &[f32], lanes: usize, queries: usize, sums: &mut [f32]) {
        let (fours, rest) = sums.as_chunks_mut();
        for (i, sums) in fours.iter_mut().enumerate() {
            let mut keys = [Lanes::ZERO; 4];
            for (key, row) in keys.iter_mut().zip(weights[4 * i * lanes..].chunks(lanes.max(1))) {
                *key = folded(&row[..queries]);
            }
            *sums = I::sums(&keys);
        }
        for (row, sum) in weights.chunks_exact(lanes.max(1)).skip(4 * fours.len()).zip(rest) {
            *sum = folded(&row[..queries]).sum();
        }
    }
}

/// A row's vectors added up.
#[inline(always)]
fn folded(row: &[f32]) -> Lanes {
    let (whole, rest) = row.as_chunks();
    let rest = if rest.is_empty() { Lanes::ZERO } else { Lanes::load_or(rest, 0.0) };
    whole.iter().fold(rest, |sum, &weights| sum.add(Lanes(weights)))
}
