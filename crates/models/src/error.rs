use std::path::PathBuf;

use thiserror::Error;

/// Why a model could not be built, loaded, run or saved.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A mechanism refused.
    #[error(transparent)]
    Attention(#[from] regard::Error),
    /// A configuration makes no model.
    #[error("configuration: {argument} is {given}, expected {expected}")]
    Config {
        /// The field.
        argument: &'static str,
        /// Its value.
        given: String,
        /// What would have been right.
        expected: String,
    },
    /// An input that the model has no answer to.
    #[error("{argument}: {given}, expected {expected}")]
    Input {
        /// The argument.
        argument: &'static str,
        /// What it is.
        given: String,
        /// What would have been right.
        expected: String,
    },
    /// A file of weights that cannot be read.
    #[error("{path}: {reason}")]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
