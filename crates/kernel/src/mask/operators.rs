//! `&`, `|` and `!` on masks.

use std::ops::{BitAnd, BitOr, Not as NotOperator};
use std::sync::Arc;

use super::{
    Blocks, Causal, Coverage, DenseMask, Dilated, Documents, Global, KeyMask, Mask, Padding, Prefix, Visible, Window,
};
use crate::Result;
use crate::shape::{Shape, Tile};

/// Visible where both masks say so: `a & b`.
#[derive(Clone, Debug)]
pub struct And<A, B>(pub A, pub B);

/// Visible where at least one mask says so: `a | b`.
#[derive(Clone, Debug)]
pub struct Or<A, B>(pub A, pub B);

/// Visible where the mask hides: `!a`.
#[derive(Clone, Debug)]
pub struct Not<A>(pub A);

/// A mask of any kind behind a pointer, so that masks can be joined at run time.
#[derive(Clone, Debug)]
pub struct SharedMask(pub Arc<dyn Mask>);

impl SharedMask {
    /// Wraps a mask.
    pub fn new(mask: impl Mask + 'static) -> Self {
        Self(Arc::new(mask))
    }
}

impl Mask for SharedMask {
    fn check(&self, shape: &Shape) -> Result<()> {
        self.0.check(shape)
    }

    fn coverage(&self, tile: &Tile) -> Coverage {
        self.0.coverage(tile)
    }

    fn fill(&self, tile: &Tile, visible: &mut Visible) {
        self.0.fill(tile, visible);
    }
}

impl<A: Mask, B: Mask> Mask for And<A, B> {
    fn check(&self, shape: &Shape) -> Result<()> {
        self.0.check(shape)?;
        self.1.check(shape)
    }

    fn coverage(&self, tile: &Tile) -> Coverage {
        match (self.0.coverage(tile), self.1.coverage(tile)) {
            (Coverage::Empty, _) | (_, Coverage::Empty) => Coverage::Empty,
            (Coverage::Full, other) | (other, Coverage::Full) => other,
            _ => Coverage::Mixed,
        }
    }

    fn fill(&self, tile: &Tile, visible: &mut Visible) {
        self.0.fill(tile, visible);
        let mut other = Visible::none(tile);
        self.1.fill(tile, &mut other);
        for (word, other) in visible.words_mut().iter_mut().zip(other.words()) {
            *word &= other;
        }
    }
}

impl<A: Mask, B: Mask> Mask for Or<A, B> {
    fn check(&self, shape: &Shape) -> Result<()> {
        self.0.check(shape)?;
        self.1.check(shape)
    }

    fn coverage(&self, tile: &Tile) -> Coverage {
        match (self.0.coverage(tile), self.1.coverage(tile)) {
            (Coverage::Full, _) | (_, Coverage::Full) => Coverage::Full,
            (Coverage::Empty, other) | (other, Coverage::Empty) => other,
            _ => Coverage::Mixed,
        }
    }

    fn fill(&self, tile: &Tile, visible: &mut Visible) {
        self.0.fill(tile, visible);
        let mut other = Visible::none(tile);
        self.1.fill(tile, &mut other);
        for (word, other) in visible.words_mut().iter_mut().zip(other.words()) {
            *word |= other;
        }
    }
}

impl<A: Mask> Mask for Not<A> {
    fn check(&self, shape: &Shape) -> Result<()> {
        self.0.check(shape)
    }

    fn coverage(&self, tile: &Tile) -> Coverage {
        match self.0.coverage(tile) {
            Coverage::Empty => Coverage::Full,
            Coverage::Full => Coverage::Empty,
            Coverage::Mixed => Coverage::Mixed,
        }
    }

    fn fill(&self, tile: &Tile, visible: &mut Visible) {
        self.0.fill(tile, visible);
        for word in visible.words_mut() {
            *word = !*word;
        }
    }
}

macro_rules! operators {
    ($({$($generic:ident),*} $mask:ty),* $(,)?) => {$(
        impl<Rhs: Mask $(, $generic: Mask)*> BitAnd<Rhs> for $mask {
            type Output = And<Self, Rhs>;

            fn bitand(self, other: Rhs) -> Self::Output {
                And(self, other)
            }
        }

        impl<Rhs: Mask $(, $generic: Mask)*> BitOr<Rhs> for $mask {
            type Output = Or<Self, Rhs>;

            fn bitor(self, other: Rhs) -> Self::Output {
                Or(self, other)
            }
        }

        impl<$($generic: Mask),*> NotOperator for $mask {
            type Output = Not<Self>;

            fn not(self) -> Self::Output {
                Not(self)
            }
        }
    )*};
}
operators!(
    {} Causal, {} Window, {} Dilated, {} Global, {} Prefix, {} Padding, {} KeyMask, {} DenseMask, {} Documents,
    {} Blocks, {} SharedMask, {} Box<dyn Mask>,
    {A, B} And<A, B>, {A, B} Or<A, B>, {A} Not<A>,
);
