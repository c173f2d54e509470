//! Masks that look at the distance between query and key.

use super::{Coverage, Mask, Visible, low_bits};
use crate::shape::{Shape, Tile};

/// Which ends of the two sequences belong together when their lengths differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Corner {
    /// The last query stands at the last key, as when new queries meet a cache of older keys.
    #[default]
    BottomRight,
    /// The first query stands at the first key.
    TopLeft,
}

impl Corner {
    /// The key at which query 0 stands.
    pub(super) fn offset(self, shape: &Shape) -> isize {
        match self {
            Self::BottomRight => shape.offset(),
            Self::TopLeft => 0,
        }
    }
}

/// Smallest and greatest `key - query` in a tile; each between them occurs.
pub(super) fn differences(tile: &Tile) -> (isize, isize) {
    let least = tile.keys.start as isize - (tile.queries.end as isize - 1);
    (least, tile.keys.end as isize - 1 - tile.queries.start as isize)
}

/// A query sees the keys up to where it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Causal {
    /// Where a query stands; bottom-right unless said.
    pub corner: Corner,
}

impl Causal {
    /// Causal with the given corner; `Causal::default()` is bottom-right.
    pub fn new(corner: Corner) -> Self {
        Self { corner }
    }

    fn window(&self) -> Window {
        Window { past: None, future: Some(0), corner: self.corner }
    }
}

impl Mask for Causal {
    fn coverage(&self, tile: &Tile) -> Coverage {
        self.window().coverage(tile)
    }

    fn fill(&self, tile: &Tile, visible: &mut Visible) {
        self.window().fill(tile, visible);
    }
}

/// A query sees the keys from `past` before to `future` after where it stands, both included; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// How many keys before its own a query sees.
    pub past: Option<usize>,
    /// How many keys after its own a query sees.
    pub future: Option<usize>,
    /// Where a query stands; bottom-right unless said.
    pub corner: Corner,
}

impl Window {
    /// A window aligned bottom-right.
    pub fn new(past: Option<usize>, future: Option<usize>) -> Self {
        Self { past, future, corner: Corner::default() }
    }

    /// Smallest and greatest `key - query` that is visible.
    pub(super) fn limits(&self, shape: &Shape) -> (isize, isize) {
        let offset = self.corner.offset(shape);
        let clamp = |n: usize| n.min(isize::MAX as usize / 4) as isize;
        (
            self.past.map_or(isize::MIN / 2, |past| offset - clamp(past)),
            self.future.map_or(isize::MAX / 2, |future| offset + clamp(future)),
        )
    }
}

impl Mask for Window {
    fn coverage(&self, tile: &Tile) -> Coverage {
        let (low, high) = self.limits(tile.shape);
        let (least, greatest) = differences(tile);
        if greatest < low || least > high {
            Coverage::Empty
        } else if low <= least && greatest <= high {
            Coverage::Full
        } else {
            Coverage::Mixed
        }
    }

    fn fill(&self, tile: &Tile, visible: &mut Visible) {
        let (low, high) = self.limits(tile.shape);
        for (word, key) in visible.words_mut().iter_mut().zip(tile.keys.clone()) {
            // low <= key - query <= high, so the query lies from key - high to key - low.
            let position = key as isize - tile.queries.start as isize;
            let from = position.saturating_sub(high).clamp(0, 64) as usize;
            let to = position.saturating_sub(low).saturating_add(1).clamp(0, 64) as usize;
            *word = low_bits(to) & !low_bits(from);
        }
    }
}
