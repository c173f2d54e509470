//! What a decoder keeps of the positions that it has read: all of it, or as much as there is room for.
//!
//! A decoder that writes the next token looks back at the keys and values of everything before. They grow with the text, soon
//! beyond the model itself. A [`Policy`] decides what is kept and how the next positions look at it:
//!
//! | keeps | policy |
//! |---|---|
//! | everything, as it is | [`Cache`](crate::attention::Cache) in tensors, [`Paged`] in pages |
//! | everything, rounded | [`Rounded`] to halves, brain floats or bytes |
//! | the first positions and the last | [`Ring`] |
//! | what was looked at most, and the last | [`HeavyHitters`] |
//! | the last, and means of what was before | [`Compressive`] |
//!
//! The first two rows give what the whole text would. The others have a budget and give the same as long as it covers the
//! text; beyond it, `regard evaluate language` says what forgetting costs a model.
//!
//! The caches that forget take positions in one after another, also when many come at once: each finds its place, looks, and
//! only then is something let go. So how a text is cut into steps changes nothing.

mod arrivals;
mod compressive;
mod config;
mod contiguous;
mod heavy_hitters;
mod paged;
mod ring;
mod rounded;
mod slots;

use std::fmt::Debug;

use burn::tensor::Tensor;
use regard_kernel::Attention;

use crate::catalogue::Card;
use crate::error::{Error, Result};
use crate::position::Rotary;

pub use compressive::Compressive;
pub use config::CacheConfig;
pub use heavy_hitters::HeavyHitters;
pub use paged::Paged;
pub use ring::Ring;
pub use rounded::Rounded;

/// The cards of this module.
pub(crate) const CARDS: [Card; 6] =
    [contiguous::CARD, rounded::CARD, paged::CARD, ring::CARD, heavy_hitters::CARD, compressive::CARD];

/// What one layer of a decoder remembers.
pub trait Policy: Debug + Send {
    /// Takes in the next positions and lets each look at itself and at what is held of those before it: the context,
    /// `[batch, head, position, value feature]`.
    ///
    /// # Errors
    /// When the shapes do not fit each other, the attention, or what is held.
    fn attend(&mut self, next: Next) -> Result<Tensor<4>>;

    /// Positions held, a mean of several counted as one.
    fn held(&self) -> usize;

    /// The farthest that a query ever looks back, itself counted; `None` where that grows with the text. A model with relative
    /// positions that knows so many can go on for ever.
    fn reach(&self) -> Option<usize> {
        None
    }
}

/// The next positions of a text.
#[derive(Debug)]
pub struct Next<'a> {
    /// `[batch, head, position, feature]`
    pub queries: Tensor<4>,
    /// `[batch, key head, position, feature]`
    pub keys: Tensor<4>,
    /// `[batch, key head, position, value feature]`
    pub values: Tensor<4>,
    /// What is yet to turn queries and keys by their positions, which the cache counts.
    pub rotary: Option<&'a Rotary>,
    /// Score, biases, mask and normaliser. Where a cache has forgotten something, masks and biases count what is held.
    pub attention: &'a Attention,
}

impl Next<'_> {
    /// Queries and keys turned, the first of them at position `start`; refused unless all fits.
    fn turned(self, start: usize) -> Result<[Tensor<4>; 3]> {
        let Next { queries, keys, values, rotary, attention } = self;
        let (given, expected) = (keys.dims()[2], queries.dims()[2]);
        if given != expected {
            return Err(Error::shape("keys", &keys.dims(), format!("as many positions as queries, {expected}")));
        }
        attention.fits(queries.dims(), keys.dims(), values.dims())?;
        let Some(rotary) = rotary else { return Ok([queries, keys, values]) };
        Ok([rotary.forward(queries, start)?, rotary.forward(keys, start)?, values])
    }
}

/// Refuses a part of a budget that is below what it must be.
fn at_least(argument: &'static str, given: usize, least: usize) -> Result<()> {
    if given >= least { Ok(()) } else { Err(Error::value(argument, given, format!("at least {least}"))) }
}

/// Refuses keys and values of another batch, other heads or other widths than those held.
fn check_held(held: [[usize; 3]; 2], keys: &Tensor<4>, values: &Tensor<4>) -> Result<()> {
    for (argument, new, [batch, heads, width]) in [("keys", keys, held[0]), ("values", values, held[1])] {
        let [b, h, length, w] = new.dims();
        if [b, h, w] != [batch, heads, width] {
            let expected = format!("{:?}, as the cache holds", [batch, heads, length, width]);
            return Err(Error::shape(argument, &new.dims(), expected));
        }
    }
    Ok(())
}

/// Batch, heads and width.
fn sizes(tensor: &Tensor<4>) -> [usize; 3] {
    let [batch, heads, _, width] = tensor.dims();
    [batch, heads, width]
}
