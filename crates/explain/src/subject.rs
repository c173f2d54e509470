//! A model seen from outside: a number that depends on the places of one input.
//!
//! What explains a function needs no more of it than its value when some places are missing ([`Subject`]), or also its
//! gradient ([`Differentiable`]). Whoever has a model implements these; what the number is (a logit, a log-probability, a
//! loss) is the implementor's choice, and every score that comes out is in its unit.

/// Any error, of a function that this crate was given.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A number that depends on one input with so many places: tokens of a sentence, patches of an image.
///
/// `kept[i]` is one altered input, true for each place that stays as it is. Several come in one call, so that an implementor can
/// run them as a batch. The same input must give the same number: no dropout.
pub trait Subject {
    /// How many places can be hidden. A place that must stay (such as the token `[CLS]`) is no place.
    fn places(&self) -> usize;

    /// What stands in for a hidden place, as written to people: "the token `[MASK]`", "zeros".
    fn baseline(&self) -> &str;

    /// The number for each altered input, in order, with every place that is not kept replaced by the baseline.
    ///
    /// # Errors
    /// Whatever the model says; it comes back as [`Error::Given`](crate::Error::Given).
    fn hidden(&self, kept: &[Vec<bool>]) -> Result<Vec<f32>, BoxError>;

    /// The number for each altered input with the other places taken out, so that the input is shorter; `None` where that makes
    /// no sense, as with patches.
    fn removed(&self, kept: &[Vec<bool>]) -> Option<Result<Vec<f32>, BoxError>> {
        let _ = kept;
        None
    }
}

/// A subject whose input is vectors, of which the number has a gradient: token embeddings, pixels.
pub trait Differentiable: Subject {
    /// Features of a place.
    fn width(&self) -> usize;

    /// The input, `[places, width]`.
    fn input(&self) -> &[f32];

    /// What a hidden place is made of, `[places, width]`: the start of integrated gradients' path.
    fn baseline_input(&self) -> &[f32];

    /// For inputs of the shape of [`input`](Self::input): the number of each, and its gradient, of the same shape.
    ///
    /// # Errors
    /// Whatever the model says.
    fn gradients(&self, inputs: &[Vec<f32>]) -> Result<(Vec<f32>, Vec<Vec<f32>>), BoxError>;
}
