//! How widely each query looks.

use std::any::Any;

use super::{Page, Probe, page_of};
use crate::Result;
use crate::scores::Scores;
use crate::shape::{QUERY_BLOCK, Shape, Tile};
use crate::simd::{LANES, Lanes, ln, multiversion};

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

    fn page(&self, block: &Tile) -> Box<dyn Page> {
        let _ = block;
        Box::new(Entropies([0.0; QUERY_BLOCK]))
    }

    fn file(&mut self, block: &Tile, page: Box<dyn Any>) {
        let [_, heads, queries] = self.shape;
        let rows = &mut self.values[(block.batch * heads + block.head) * queries..][block.queries.clone()];
        rows.copy_from_slice(&page_of::<Entropies>(page).0[..rows.len()]);
    }
}

/// Of the queries of a block.
struct Entropies([f32; QUERY_BLOCK]);

impl Page for Entropies {
    fn tile(&mut self, _: &Tile, weights: &Scores) {
        add(weights.values(), weights.lanes(), &mut self.0);
    }
}

multiversion! {
    fn add<I>(weights: &[f32], lanes: usize, entropies: &mut [f32; QUERY_BLOCK]) {
        for (first, entropies) in entropies.as_chunks_mut().0.iter_mut().enumerate().take(lanes / LANES) {
            let mut sum = Lanes::ZERO;
            for row in weights.chunks_exact(lanes) {
                // The logarithm of 0 is finite here, and nothing times that is nothing.
                let weight = Lanes::load(&row[first * LANES..]);
                sum = weight.fma::<I>(weight.map(|weight| -ln::<I>(weight)), sum);
            }
            *entropies = Lanes(*entropies).add(sum).0;
        }
    }
}
