//! The whole map, for inputs that are small.

use std::any::Any;

use super::{Page, Probe, Stage, page_of};
use crate::scores::Scores;
use crate::shape::{Shape, Tile};
use crate::view::Matrix;
use crate::{Error, Result, pack};

/// Every weight, `[batch, head, query, key]`, or what comes before it.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    stage: Stage,
    chosen: Option<Vec<usize>>,
    shape: [usize; 4],
    values: Vec<f32>,
}

impl Weights {
    /// The most numbers that are kept (1 GiB); a [`Pyramid`](super::Pyramid) shows larger maps.
    pub const LIMIT: usize = 1 << 28;

    /// The weights of all heads.
    pub fn new() -> Self {
        Self::default()
    }

    /// The weights of some heads, in the order given.
    pub fn heads(heads: impl Into<Vec<usize>>) -> Self {
        Self { chosen: Some(heads.into()), ..Self::default() }
    }

    /// The scores of an earlier stage instead.
    pub fn at(self, stage: Stage) -> Self {
        Self { stage, ..self }
    }

    /// `[batch, chosen head, query, key]`.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// The weights, contiguous in that shape.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// What is noted of tiles that are not shown.
    fn hidden(&self) -> f32 {
        if self.stage == Stage::Masked { f32::NEG_INFINITY } else { 0.0 }
    }

    /// Gives the weights away.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }
}

impl Probe for Weights {
    fn stage(&self) -> Stage {
        self.stage
    }

    fn begin(&mut self, shape: &Shape) -> Result<()> {
        if let Some(head) = self.chosen.iter().flatten().find(|&&head| head >= shape.heads) {
            return Err(Error::new("heads to observe", head, format!("less than {}", shape.heads)));
        }
        let heads = self.chosen.as_ref().map_or(shape.heads, Vec::len);
        self.shape = [shape.batch, heads, shape.queries, shape.keys];
        let size = self.shape.iter().try_fold(1usize, |size, &n| size.checked_mul(n));
        let Some(size) = size.filter(|&size| size <= Self::LIMIT) else {
            let expected = format!("at most {} numbers; a pyramid shows larger maps", Self::LIMIT);
            return Err(Error::new("weights to keep", format!("{:?}", self.shape), expected));
        };
        self.values.clear();
        self.values.resize(size, self.hidden());
        Ok(())
    }

    fn page(&self, block: &Tile) -> Box<dyn Page> {
        let wanted = self.chosen.as_ref().is_none_or(|chosen| chosen.contains(&block.head));
        let size = if wanted { block.queries.len() * block.keys.len() } else { 0 };
        Box::new(Map(vec![self.hidden(); size]))
    }

    fn file(&mut self, block: &Tile, page: Box<dyn Any>) {
        let [_, heads, queries, keys] = self.shape;
        let rows = page_of::<Map>(page).0;
        for slot in 0..heads {
            if self.chosen.as_ref().map_or(slot, |chosen| chosen[slot]) == block.head {
                let first = ((block.batch * heads + slot) * queries + block.queries.start) * keys;
                self.values[first..first + rows.len()].copy_from_slice(&rows);
            }
        }
    }
}

/// `[query of the block, key]`, or nothing where nobody asked.
struct Map(Vec<f32>);

impl Page for Map {
    fn tile(&mut self, tile: &Tile, weights: &Scores) {
        if self.0.is_empty() {
            return;
        }
        let length = self.0.len() / tile.queries.len();
        let weights = Matrix::panel(weights.values(), tile.keys.len(), tile.queries.len(), weights.lanes());
        pack::untransposed(weights, &mut self.0[tile.keys.start..], length);
    }
}
