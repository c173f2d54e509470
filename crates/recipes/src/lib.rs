//! From data to a trained and measured model: one file a recipe.
//!
//! [`train`] makes a translator from sentence pairs or a language model from a text, [`interpreter`] and [`writer`] use them
//! and show what they looked at, [`evaluate`] measures it as others measure theirs, and [`pronunciation`] does so for words
//! and their phonemes. [`reader`] has encoders that others trained, [`trained`] whatever a folder holds. [`presets`] are the
//! starting points that have names. [`tasks`] are made-up problems that show what a mechanism of memory or of choice learns.
//!
//! ```no_run
//! use std::path::Path;
//! use regard_models::Search;
//! use regard_recipes::interpreter::Interpreter;
//!
//! let interpreter = Interpreter::load(Path::new("assets/translate-en-fr"))?;
//! let translation = &interpreter.translate(&["Good night."], &Search::default())?[0];
//! println!("{}", translation.target);
//!
//! let trace = interpreter.trace(translation)?;
//! println!("{} places to look at", trace.sites().len());
//! # Ok::<(), regard_recipes::Error>(())
//! ```

pub mod bleu;
pub mod checkpoint;
pub mod chrf;
pub mod curve;
pub mod data;
mod error;
pub mod evaluate;
mod folder;
pub mod graph;
pub mod interpreter;
pub mod optimizer;
pub mod perplexity;
pub mod presets;
pub mod pronunciation;
pub mod question;
pub mod reader;
mod score;
pub mod shards;
mod sight;
pub mod tasks;
pub mod train;
pub mod trained;
pub mod vectors;
pub mod vocabulary;
pub mod writer;

pub use error::{Error, Result};
