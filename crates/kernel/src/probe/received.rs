//! How much each key is looked at.

use super::Probe;
use crate::scores::Scores;
use crate::shape::{Shape, Tile};
use crate::simd::{LANES, Lanes, multiversion};
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

    fn tile(&mut self, tile: &Tile, weights: &Scores) {
        let [_, heads, keys] = self.shape;
        let sums = &mut self.values[(tile.batch * heads + tile.head) * keys..][..keys];
        add(weights.values(), weights.lanes(), tile.queries.len(), &mut sums[tile.keys.clone()]);
    }
}

multiversion! {
    fn add<I>(weights: &[f32], lanes: usize, queries: usize, sums: &mut [f32]) {
        for (row, sum) in weights.chunks_exact(lanes.max(1)).zip(sums) {
            let (whole, rest) = row[..queries].as_chunks::<LANES>();
            let whole = whole.iter().fold(Lanes::load_or(rest, 0.0), |sum, &weights| sum.add(Lanes(weights)));
            *sum += whole.sum();
        }
    }
}
