use std::io;
use std::path::PathBuf;

use crate::BoxError;

/// What can go wrong with a trace, its file, its picture or an explanation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A site points at an axis that the trace does not have.
    #[error("site {site}: axis {axis} does not exist, the trace has {axes}")]
    NoSuchAxis {
        /// Name of the site.
        site: String,
        /// The axis index that was given.
        axis: usize,
        /// How many axes there are.
        axes: usize,
    },
    /// A site index past the end.
    #[error("site {site} does not exist, the trace has {sites}")]
    NoSuchSite {
        /// The site index that was asked for.
        site: usize,
        /// How many sites there are.
        sites: usize,
    },
    /// A head index past the end.
    #[error("head {head} does not exist, site {site} has {heads}")]
    NoSuchHead {
        /// Name of the site.
        site: String,
        /// The head that was asked for, from 0.
        head: usize,
        /// How many heads the site has.
        heads: usize,
    },
    /// Numbers do not fill the shape that they claim.
    #[error("{name}: {given} numbers given, {} expected for the shape {shape:?}", expected(shape))]
    Shape {
        /// Which array.
        name: String,
        /// How many numbers it holds.
        given: usize,
        /// The shape it should have.
        shape: Vec<usize>,
    },
    /// A number that cannot be what it claims to be: NaN, infinite, or no attention weight.
    #[error("{name}: number {index} is {value}, {expected} expected")]
    Value {
        /// Which array.
        name: String,
        /// Position in the flat array.
        index: usize,
        /// The number.
        value: f32,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// A field with a value that is not allowed.
    #[error("{name}: {given} given, {expected} expected")]
    Field {
        /// Which field.
        name: String,
        /// What was given.
        given: String,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// More cells than a picture or a page can hold.
    #[error("{what}: {rows} × {columns} cells are too many, at most {limit} expected")]
    TooLarge {
        /// What was to be made.
        what: &'static str,
        /// Rows of the map.
        rows: usize,
        /// Columns of the map.
        columns: usize,
        /// The limit, in words.
        limit: &'static str,
    },
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: "read", "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The bytes are no trace.
    #[error("not a trace: {reason}")]
    Format {
        /// What is wrong with them.
        reason: String,
    },
    /// An error in a file, with its name.
    #[error("in {}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        #[source]
        source: Box<Error>,
    },
    /// Weights could not be recomputed from queries, keys and log-sum-exp.
    #[error("site {site}: cannot recompute the weights: {reason}")]
    Recompute {
        /// Name of the site.
        site: String,
        /// What the kernel said.
        reason: String,
    },
    /// A function that was given from outside failed.
    #[error("{function} failed")]
    Given {
        /// Which one.
        function: &'static str,
        /// What it said.
        #[source]
        source: BoxError,
    },
    /// Whoever was told of the progress said stop.
    #[error("{work} cancelled after {done} of {total} evaluations")]
    Cancelled {
        /// What was being done.
        work: &'static str,
        /// Evaluations that were made.
        done: usize,
        /// Evaluations that it takes.
        total: usize,
    },
    /// An SVG could not be turned into pixels.
    #[error("cannot rasterise: {reason}")]
    Raster {
        /// What is wrong.
        reason: String,
    },
}

fn expected(shape: &[usize]) -> String {
    match shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side)) {
        Some(numbers) => numbers.to_string(),
        None => "an impossible number".to_owned(),
    }
}

/// Refuses a field.
pub(crate) fn field<T>(name: &str, given: impl ToString, expected: &'static str) -> Result<T> {
    Err(Error::Field { name: name.to_owned(), given: given.to_string(), expected })
}

/// Numbers that fill a shape and are finite.
pub(crate) fn checked<A: AsRef<[f32]>>(name: &str, array: A, shape: &[usize]) -> Result<A> {
    let numbers = array.as_ref();
    let size = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
    if size != Some(numbers.len()) {
        return Err(Error::Shape { name: name.to_owned(), given: numbers.len(), shape: shape.to_vec() });
    }
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(index) => {
            let (name, value) = (name.to_owned(), numbers[index]);
            Err(Error::Value { name, index, value, expected: "a finite number" })
        }
        None => Ok(array),
    }
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
