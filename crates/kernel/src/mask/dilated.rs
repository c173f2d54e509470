//! A window with a step: Longformer's dilated window, Beltagy et al. 2020 (arXiv:2004.05150).
//!
//! It widens what a query reaches, not what it costs to see: tiles beyond the reach are skipped, but those within hold
//! visible pairs and are computed whole. The work is that of a [`Window`] as wide.

use super::causal::differences;
use super::{Coverage, Mask, Visible, Window};
use crate::shape::{Shape, Tile};
use crate::{Corner, Error, Result};

/// A query sees every `step`-th key, counted from where it stands: itself, up to `past` of them before and up to `future`
/// after; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dilated {
    /// From the first to the last key that is seen.
    window: Window,
    step: usize,
}

impl Dilated {
    /// A dilated window aligned bottom-right; step 1 is a [`Window`].
    ///
    /// # Errors
    /// If the step is 0.
    pub fn new(past: Option<usize>, future: Option<usize>, step: usize) -> Result<Self> {
        if step == 0 {
            return Err(Error::new("dilation", step, "a step of at least 1"));
        }
        let reach = |count: Option<usize>| count.map(|count| count.saturating_mul(step));
        Ok(Self { window: Window::new(reach(past), reach(future)), step })
    }

    /// Stands the queries elsewhere.
    pub fn corner(mut self, corner: Corner) -> Self {
        self.window.corner = corner;
        self
    }

    /// How far `difference`, a key's position less a query's, is past a multiple of the step; counted from where the
    /// query stands.
    fn past_step(&self, difference: isize, shape: &Shape) -> usize {
        // No two positions are farther apart than this.
        let step = self.step.min(isize::MAX as usize / 2) as isize;
        (difference - self.window.corner.offset(shape)).rem_euclid(step) as usize
    }
}

impl Mask for Dilated {
    fn coverage(&self, tile: &Tile) -> Coverage {
        let (low, high) = self.window.limits(tile.shape);
        let (least, greatest) = differences(tile);
        let (first, last) = (least.max(low), greatest.min(high));
        if first > last {
            return Coverage::Empty;
        }
        // From the first difference in reach to the last there must be a multiple of the step.
        let back = self.past_step(last, tile.shape);
        if (last - first) as usize >= back {
            let all = (first, last) == (least, greatest) && (self.step == 1 || least == greatest);
            if all { Coverage::Full } else { Coverage::Mixed }
        } else {
            Coverage::Empty
        }
    }

    fn fill(&self, tile: &Tile, visible: &mut Visible) {
        self.window.fill(tile, visible);
        let comb = (0..64).step_by(self.step).fold(0u64, |comb, bit| comb | 1 << bit);
        for (word, key) in visible.words_mut().iter_mut().zip(tile.keys.clone()) {
            // The first query of the tile that stands a whole number of steps before or after the key.
            let first = self.past_step(key as isize - tile.queries.start as isize, tile.shape);
            *word &= comb.checked_shl(first.min(64) as u32).unwrap_or(0);
        }
    }
}
