//! From text files to batches of token numbers: [`pairs`] reads them, [`tokenizer`] cuts sentences into subwords,
//! [`batches`] packs sentences of similar length together.
//!
//! ```
//! use regard_recipes::data::{batches::{Batching, Lengths}, tokenizer::Tokenizer};
//!
//! let text = ["Good night.", "Bonne nuit.", "Good morning!", "Bonjour !"];
//! let tokenizer = Tokenizer::train(text, 300)?;
//! let ids = tokenizer.encode("Good night!")?;
//! assert_eq!(tokenizer.decode(&ids)?, "Good night!");
//!
//! let lengths = vec![Lengths { source: 3, target: 4 }; 10];
//! let epoch = Batching { max_tokens: 20, max_length: 10, ..Batching::default() }.epoch(&lengths, 1, 0)?;
//! assert_eq!(epoch.batches.len(), 3); // 4, 4 and 2 sentences, each 4 tokens and their end long
//! # Ok::<(), regard_recipes::data::DataError>(())
//! ```

pub(crate) mod augment;
pub mod batches;
mod bpe;
pub mod characters;
mod charsmap;
pub mod dictionary;
pub mod hub;
mod marian;
pub mod pairs;
mod pickle;
pub mod pieces;
pub mod planetoid;
mod protobuf;
pub mod random;
pub mod sentencepiece;
pub mod tokenizer;

use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;

/// What can be wrong with data on its way to a model.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file or folder could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be written; what was there before is untouched.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is not what its format asks for.
    #[error("{}, line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What was found and what was expected.
        problem: String,
    },
    /// A file or folder is readable and yet not what was asked for.
    #[error("{}: {problem}", path.display())]
    Content {
        /// The file or folder.
        path: PathBuf,
        /// What was found and what was expected.
        problem: String,
    },
    /// An argument is outside its range.
    #[error("{name} is {given}, expected {expected}")]
    Argument {
        /// The argument.
        name: &'static str,
        /// Its value.
        given: String,
        /// What it may be.
        expected: String,
    },
    /// A tokenizer is not what it should be, or cannot do its work.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
}

impl DataError {
    fn argument(name: &'static str, given: impl ToString, expected: impl ToString) -> Self {
        Self::Argument { name, given: given.to_string(), expected: expected.to_string() }
    }
}

/// The bytes of a file. One of more than `most` cannot be `what` it should be, and is not read.
pub(crate) fn read(path: &Path, what: &str, most: u64) -> Result<Vec<u8>, DataError> {
    let unreadable = |source| DataError::Read { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > most {
        let problem = format!("{size} bytes, expected {what} of at most {most}");
        return Err(DataError::Content { path: path.to_owned(), problem });
    }
    std::fs::read(path).map_err(unreadable)
}

/// The same of a file of text.
pub(crate) fn read_text(path: &Path, what: &str, most: u64) -> Result<String, DataError> {
    let wrong = |error: FromUtf8Error| DataError::Content { path: path.to_owned(), problem: error.to_string() };
    String::from_utf8(read(path, what, most)?).map_err(wrong)
}
