//! Masks that show the first keys of each batch.

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

/// Each batch begins with a number of keys that every query sees, as the prefix language models of T5 do (Raffel et al.
/// 2020, arXiv:1910.10683). To be joined: `Causal::default() | Prefix::new([12])`.
///
/// Pair by pair this is [`Padding`]; the two differ in how they are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    lengths: Vec<usize>,
}

impl Prefix {
    /// The first `lengths[batch]` keys are visible to all.
    pub fn new(lengths: impl Into<Vec<usize>>) -> Self {
        Self { lengths: lengths.into() }
    }
}

macro_rules! first_keys {
    ($($mask:ident $name:literal)*) => {$(
        impl Mask for $mask {
            fn check(&self, shape: &Shape) -> Result<()> {
                check($name, &self.lengths, shape)
            }

            fn coverage(&self, tile: &Tile) -> Coverage {
                coverage(self.lengths[tile.batch], tile)
            }

            fn fill(&self, tile: &Tile, visible: &mut Visible) {
                fill(self.lengths[tile.batch], tile, visible);
            }
        }
    )*};
}
first_keys!(Padding "padding" Prefix "prefix");

fn check(argument: &str, lengths: &[usize], shape: &Shape) -> Result<()> {
    if lengths.len() != shape.batch {
        let given = format!("{} lengths", lengths.len());
        return Err(Error::new(argument, given, format!("one for each of {} batches", shape.batch)));
    }
    match lengths.iter().find(|&&length| length > shape.keys) {
        Some(length) => Err(Error::new(argument, format!("length {length}"), format!("at most {} keys", shape.keys))),
        None => Ok(()),
    }
}

fn coverage(length: usize, tile: &Tile) -> Coverage {
    if length <= tile.keys.start {
        Coverage::Empty
    } else if length >= tile.keys.end {
        Coverage::Full
    } else {
        Coverage::Mixed
    }
}

fn fill(length: usize, tile: &Tile, visible: &mut Visible) {
    let seen = length.saturating_sub(tile.keys.start).min(tile.keys.len());
    visible.words_mut()[..seen].fill(low_bits(tile.queries.len()));
}
