//! Sequences of different lengths in one batch.

use super::{Coverage, Mask, Visible, low_bits};
use crate::shape::{Shape, Tile};
use crate::{Error, Result};

/// Each batch has its own number of real keys; those after them are padding that nobody sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Padding {
    lengths: Vec<usize>,
}

impl Padding {
    /// The first `lengths[batch]` keys are real.
    pub fn new(lengths: impl Into<Vec<usize>>) -> Self {
        Self { lengths: lengths.into() }
    }
}

impl Mask for Padding {
    fn check(&self, shape: &Shape) -> Result<()> {
        if self.lengths.len() != shape.batch {
            let given = format!("{} lengths", self.lengths.len());
            return Err(Error::new("padding", given, format!("one for each of {} batches", shape.batch)));
        }
        match self.lengths.iter().find(|&&length| length > shape.keys) {
            Some(length) => {
                Err(Error::new("padding", format!("length {length}"), format!("at most {} keys", shape.keys)))
            }
            None => Ok(()),
        }
    }

    fn coverage(&self, tile: &Tile) -> Coverage {
        let length = self.lengths[tile.batch];
        if length <= tile.keys.start {
            Coverage::Empty
        } else if length >= tile.keys.end {
            Coverage::Full
        } else {
            Coverage::Mixed
        }
    }

    fn fill(&self, tile: &Tile, visible: &mut Visible) {
        let real = self.lengths[tile.batch].saturating_sub(tile.keys.start).min(tile.keys.len());
        visible.words_mut()[..real].fill(low_bits(tile.queries.len()));
    }
}
