//! A trained model of text, whatever it does.

use std::path::Path;

use regard_explain::Trace;
use regard_models::pretrained::{self, Pretrained, is_pretrained};

use crate::error::Result;
use crate::interpreter::Interpreter;
use crate::reader::Reader;
use crate::writer::{CHARACTERS, Writer};

/// A model of one of the kinds, with its tokenizer.
pub enum Trained {
    /// It reads texts.
    Reader(Box<Reader>),
    /// It goes on with them.
    Writer(Writer),
    /// It writes a text for a text.
    Interpreter(Box<Interpreter>),
}

impl Trained {
    /// The model in a folder or file.
    ///
    /// # Errors
    /// As [`Reader::load`], [`Writer::load`] and [`Interpreter::load`].
    pub fn load(path: &Path) -> Result<Self> {
        if !path.is_dir() || !is_pretrained(path)? {
            let writes = !path.is_dir() || path.join(CHARACTERS).exists();
            return if writes {
                Writer::load(path).map(Trained::Writer)
            } else {
                Interpreter::load(path).map(|model| Trained::Interpreter(model.into()))
            };
        }
        match pretrained::open(path)? {
            Pretrained::Encoder(model) => Reader::of(path, model).map(|model| Trained::Reader(model.into())),
            Pretrained::Decoder(model) => Writer::of(path, model).map(Trained::Writer),
            Pretrained::Translator(model) => {
                Interpreter::of(path, model).map(|model| Trained::Interpreter(model.into()))
            }
        }
    }

    /// What every layer and head looked at while reading a text, and writing what an encoder–decoder writes for it.
    ///
    /// # Errors
    /// As [`Reader::trace`], [`Writer::trace`] and [`Interpreter::trace`].
    pub fn trace(&self, text: &str) -> Result<Trace> {
        match self {
            Trained::Reader(reader) => reader.trace(text),
            Trained::Writer(writer) => writer.trace(text),
            Trained::Interpreter(interpreter) => {
                let found = interpreter.translate(&[text], &interpreter.search())?;
                interpreter.trace(&found[0])
            }
        }
    }
}
