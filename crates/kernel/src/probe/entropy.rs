//! How widely each query looks.

use super::Probe;
use crate::Result;
use crate::scores::Scores;
use crate::shape::{Shape, Tile};
use crate::simd::{ln, multiversion};

/// The entropy of each row in nats, `-Σ_j a_ij ln a_ij`, `[batch, head, query]`: 0 where a query looks at one key, ln n
/// where it looks at n alike.
#[derive(Clone, Debug, Default)]
pub struct Entropy {
    shape: [usize; 3],
    values: Vec<f32>,
}

impl Entropy {
    /// Ready to be shown weights.
    pub fn new() -> Self {
        Self::default()
    }

    /// `[batch, head, query]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The entropies, contiguous in that shape.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

impl Probe for Entropy {
    fn begin(&mut self, shape: &Shape) -> Result<()> {
        self.shape = [shape.batch, shape.heads, shape.queries];
        self.values.clear();
        self.values.resize(shape.batch * shape.heads * shape.queries, 0.0);
        Ok(())
    }

    fn tile(&mut self, tile: &Tile, weights: &Scores) {
        let [_, heads, queries] = self.shape;
        let rows = &mut self.values[(tile.batch * heads + tile.head) * queries..][tile.queries.clone()];
        add(weights.values(), weights.lanes(), rows);
    }
}

multiversion! {
    fn add<I>(weights: &[f32], lanes: usize, entropies: &mut [f32]) {
        let mut sums = [0.0f32; crate::QUERY_BLOCK];
        for row in weights.chunks_exact(lanes.max(1)) {
            for (sum, &weight) in sums.iter_mut().zip(row) {
                *sum -= if weight == 0.0 { 0.0 } else { weight * ln::<I>(weight) };
            }
        }
        for (entropy, sum) in entropies.iter_mut().zip(sums) {
            *entropy += sum;
        }
    }
}
