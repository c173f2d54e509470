//! The models that come with the program.

use std::path::Path;

use regard_recipes::interpreter::Interpreter;
use regard_recipes::trained::Trained;

use crate::{Result, hub};

/// What the translator translates.
pub const LANGUAGES: (&str, &str) = ("en", "fr");

/// A model inside the program: the files of its folder.
struct BuiltIn {
    name: &'static str,
    config: &'static str,
    tokenizer: &'static str,
    weights: &'static [u8],
}

macro_rules! built_in {
    ($name:literal) => {
        BuiltIn {
            name: $name,
            config: include_str!(concat!("../../../assets/", $name, "/config.json")),
            tokenizer: include_str!(concat!("../../../assets/", $name, "/tokenizer.json")),
            weights: include_bytes!(concat!("../../../assets/", $name, "/model.safetensors")),
        }
    };
}

const TRANSLATOR: BuiltIn = built_in!("translate-en-fr");
const SPELLER: BuiltIn = built_in!("pronounce-en");

impl BuiltIn {
    fn load(&self) -> Result<Interpreter> {
        let origin = format!("the built-in model {}", self.name);
        Ok(Interpreter::from_parts(self.name, self.config, self.tokenizer, self.weights, Path::new(&origin))?)
    }
}

/// The model in `folder` that turns letters into phonemes, or the one that comes with the program.
pub fn speller(folder: Option<&Path>) -> Result<Interpreter> {
    folder.map_or_else(|| SPELLER.load(), |folder| Ok(Interpreter::load(folder)?))
}

/// The translator in `folder`, or the one that comes with the program.
pub fn interpreter(folder: Option<&Path>) -> Result<Interpreter> {
    folder.map_or_else(|| TRANSLATOR.load(), |folder| Ok(Interpreter::load(&hub::model(folder)?)?))
}

/// The model of any kind in `path`, or the one that comes with the program.
pub fn trained(path: Option<&Path>) -> Result<Trained> {
    Ok(match path {
        Some(path) => Trained::load(&hub::model(path)?)?,
        None => Trained::Interpreter(interpreter(None)?.into()),
    })
}
