use thiserror::Error;

/// Why a mechanism could not be built or run: which argument, what was given, what was expected.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused the problem.
    #[error(transparent)]
    Kernel(#[from] regard_kernel::Error),
    /// A tensor has the wrong shape.
    #[error("{argument} has shape {given:?}, expected {expected}")]
    Shape {
        /// The argument's name.
        argument: &'static str,
        /// Its shape.
        given: Vec<usize>,
        /// What would have been right.
        expected: String,
    },
    /// A number is out of its range.
    #[error("{argument} is {given}, expected {expected}")]
    Value {
        /// The argument's name.
        argument: &'static str,
        /// Its value.
        given: String,
        /// What would have been right.
        expected: String,
    },
}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn value(argument: &'static str, given: impl ToString, expected: impl Into<String>) -> Self {
        Error::Value { argument, given: given.to_string(), expected: expected.into() }
    }

    pub(crate) fn shape(argument: &'static str, given: &[usize], expected: impl Into<String>) -> Self {
        Error::Shape { argument, given: given.to_vec(), expected: expected.into() }
    }
}
