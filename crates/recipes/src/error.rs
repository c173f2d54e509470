use std::path::PathBuf;

use thiserror::Error;

use crate::data::DataError;

/// Why a recipe stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Data that cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A model that cannot be built, loaded or run.
    #[error(transparent)]
    Model(#[from] regard_models::Error),
    /// A trace or picture that cannot be made or written.
    #[error(transparent)]
    Explain(#[from] regard_explain::Error),
    /// A file that cannot be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// "read", "write", "create" …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file with the wrong content.
    #[error("{path}: {problem}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        problem: String,
    },
    /// An option outside its range.
    #[error("{name} is {given}, expected {expected}")]
    Option {
        /// The option.
        name: &'static str,
        /// Its value.
        given: String,
        /// What it may be.
        expected: String,
    },
    /// Training went astray.
    #[error("step {step}: the loss is {loss}; a smaller --rate or a longer --warmup usually helps")]
    Diverged {
        /// The step.
        step: u64,
        /// The loss, which is not finite.
        loss: f32,
    },
}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn option(name: &'static str, given: impl ToString, expected: impl Into<String>) -> Self {
        Error::Option { name, given: given.to_string(), expected: expected.into() }
    }
}
