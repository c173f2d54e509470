//! Global tokens: Longformer (Beltagy et al. 2020, arXiv:2004.05150) and BigBird (Zaheer et al. 2020, arXiv:2007.14062).

use std::ops::Range;

use super::{Coverage, Mask, Visible, low_bits};
use crate::shape::{Shape, Tile};
use crate::{Corner, Error, Result};

/// Chosen positions see everything and are seen by all. To be joined: `Window::new(Some(256), Some(256)) | Global::new([0])`.
///
/// Positions are those of keys; a query is chosen if it stands at such a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// For each batch, or once for all; rising.
    positions: Vec<Vec<usize>>,
    corner: Corner,
}

impl Global {
    /// The same positions in every batch, in any order; queries are aligned bottom-right.
    pub fn new(positions: impl Into<Vec<usize>>) -> Self {
        Self::batches([positions.into()])
    }

    /// Positions for each batch.
    pub fn batches(positions: impl Into<Vec<Vec<usize>>>) -> Self {
        let mut positions = positions.into();
        for positions in &mut positions {
            positions.sort_unstable();
            positions.dedup();
        }
        Self { positions, corner: Corner::default() }
    }

    /// Stands the queries elsewhere.
    pub fn corner(mut self, corner: Corner) -> Self {
        self.corner = corner;
        self
    }

    /// The chosen ones of the tile's keys, and of the keys at which its queries stand, each counted from the tile's first.
    fn chosen(&self, tile: &Tile) -> [impl ExactSizeIterator<Item = usize> + '_; 2] {
        let positions = self.positions.get(tile.batch).or(self.positions.first()).map_or(&[][..], Vec::as_slice);
        let offset = self.corner.offset(tile.shape);
        let within = |range: Range<isize>| {
            let place = |end: isize| positions.partition_point(|&position| (position as isize) < end);
            positions[place(range.start)..place(range.end)].iter().map(move |&p| (p as isize - range.start) as usize)
        };
        let [keys, queries] = [&tile.keys, &tile.queries].map(|range| range.start as isize..range.end as isize);
        [within(keys), within(queries.start + offset..queries.end + offset)]
    }
}

impl Mask for Global {
    fn check(&self, shape: &Shape) -> Result<()> {
        if self.positions.len() != 1 && self.positions.len() != shape.batch {
            let given = format!("{} lists", self.positions.len());
            return Err(Error::new(
                "global positions",
                given,
                format!("1, or one for each of {} batches", shape.batch),
            ));
        }
        match self.positions.iter().filter_map(|positions| positions.last()).find(|&&last| last >= shape.keys) {
            Some(last) => {
                Err(Error::new("global positions", format!("key {last}"), format!("less than {} keys", shape.keys)))
            }
            None => Ok(()),
        }
    }

    fn coverage(&self, tile: &Tile) -> Coverage {
        let [keys, queries] = self.chosen(tile).map(|chosen| chosen.len());
        if keys + queries == 0 {
            Coverage::Empty
        } else if keys == tile.keys.len() || queries == tile.queries.len() {
            Coverage::Full
        } else {
            Coverage::Mixed
        }
    }

    fn fill(&self, tile: &Tile, visible: &mut Visible) {
        let [keys, queries] = self.chosen(tile);
        let chosen = queries.fold(0, |word, query| word | 1 << query);
        visible.words_mut().fill(chosen);
        for key in keys {
            visible.words_mut()[key] = low_bits(tile.queries.len());
        }
    }
}
