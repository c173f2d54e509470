//! A trained model of text, whatever it does.

use std::path::Path;

use regard_explain::Trace;
use regard_models::pretrained::{self, Pretrained, is_pretrained};

use crate::error::Result;
use crate::reader::Reader;
use crate::writer::Writer;

/// A model of one of the kinds, with its tokenizer.
#[derive(Debug)]
pub enum Trained {
    /// It reads texts.
    Reader(Reader),
    /// It goes on with them.
    Writer(Writer),
}

impl Trained {
    /// The model in a folder or file.
    ///
    /// # Errors
    /// As [`Reader::load`] and [`Writer::load`].
    pub fn load(path: &Path) -> Result<Self> {
        if !path.is_dir() || !is_pretrained(path)? {
            return Writer::load(path).map(Trained::Writer);
        }
        match pretrained::open(path)? {
            Pretrained::Encoder(model) => Reader::of(path, model).map(Trained::Reader),
            Pretrained::Decoder(model) => Writer::of(path, model).map(Trained::Writer),
        }
    }

    /// What every layer and head looked at while reading a text.
    ///
    /// # Errors
    /// As [`Reader::trace`] and [`Writer::trace`].
    pub fn trace(&self, text: &str) -> Result<Trace> {
        match self {
            Trained::Reader(reader) => reader.trace(text),
            Trained::Writer(writer) => writer.trace(text),
        }
    }
}
