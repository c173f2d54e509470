//! What the encoders of text have in common: every position of a text looks at all others.

use std::fmt::Debug;

use burn::tensor::Tensor;
use regard::Mode;
use regard::catalogue::Card;

use crate::error::Result;
use crate::padded::Padded;
use crate::translator::Sight;

/// A model that reads a text.
pub trait Encoder: Debug + Send + Sync {
    /// The catalogue's card.
    fn card(&self) -> Card;

    /// Tokens.
    fn vocabulary(&self) -> usize;

    /// Positions: the longest text that it can look at.
    fn context(&self) -> usize;

    /// Features of a position.
    fn width(&self) -> usize;

    /// The states of the last layer, `[row, position, width]`. Shorter rows are padded at their ends, where states mean nothing.
    /// `segments` says of each position which of two texts it belongs to, 0 or 1, in the order of `text`'s ids; the first, unless
    /// given. With `sights`, also what was looked at.
    ///
    /// # Errors
    /// When the text is longer than the context, or the segments do not fit it.
    fn states(
        &self,
        text: &Padded,
        segments: Option<&[u32]>,
        mode: Mode,
        sights: Option<&mut Vec<Sight>>,
    ) -> Result<Tensor<3>>;

    /// Scores of every token for hidden places, from states one below the other, `[position, vocabulary]`; `None`, where the model
    /// has no such head.
    fn fill(&self, states: Tensor<2>) -> Option<Tensor<2>>;

    /// Scores of the labels that a text may have, `[row, label]`, from its states; `None`, where the model has no such head.
    fn classify(&self, states: Tensor<3>) -> Option<Tensor<2>>;

    /// What the labels are called.
    fn labels(&self) -> &[String];

    /// The same network with nothing learned; see [`weights::shuffled`](crate::weights::shuffled).
    fn shuffled(&self, seed: u64) -> Box<dyn Encoder>;
}
