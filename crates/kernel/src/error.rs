//! The one error of this crate: an argument that cannot be used.

use std::fmt::Display;

/// An argument that was refused: which one, what was given and what would have been accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{argument}: {given} given, {expected} expected")]
pub struct Error {
    /// The argument's name.
    pub argument: String,
    /// What the caller gave.
    pub given: String,
    /// What would have been accepted.
    pub expected: String,
}

impl Error {
    /// Builds an error; a [`Score`](crate::Score), [`Mask`](crate::Mask) or [`Bias`](crate::Bias) of your own
    /// refuses a problem with it.
    pub fn new(argument: impl Display, given: impl Display, expected: impl Display) -> Self {
        Self { argument: argument.to_string(), given: given.to_string(), expected: expected.to_string() }
    }
}

/// The result of every call that can refuse its arguments.
pub type Result<T> = std::result::Result<T, Error>;

/// Refuses `given` unless it has `expected` elements.
pub(crate) fn check_len(argument: &str, given: usize, expected: usize) -> Result<()> {
    if given == expected { Ok(()) } else { Err(Error::new(argument, format!("{given} numbers"), expected)) }
}
