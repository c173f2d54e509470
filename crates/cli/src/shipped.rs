//! The model that comes with the program.

use std::path::Path;

use regard_recipes::interpreter::Interpreter;
use regard_recipes::trained::Trained;

use crate::{Result, hub};

/// What it translates.
pub const LANGUAGES: (&str, &str) = ("en", "fr");

const CONFIG: &str = include_str!("../../../assets/translate-en-fr/config.json");
const TOKENIZER: &str = include_str!("../../../assets/translate-en-fr/tokenizer.json");
const WEIGHTS: &[u8] = include_bytes!("../../../assets/translate-en-fr/model.safetensors");

/// The model in `folder` that turns letters into phonemes; none comes with the program.
pub fn speller(folder: Option<&Path>) -> Result<Interpreter> {
    let folder = folder.ok_or("no model; give --model PATH, a run of `regard train g2p`")?;
    Ok(Interpreter::load(folder)?)
}

/// The model in `folder`, or the one that comes with the program.
pub fn interpreter(folder: Option<&Path>) -> Result<Interpreter> {
    Ok(match folder {
        Some(folder) => Interpreter::load(&hub::model(folder)?)?,
        None => {
            let origin = Path::new("the built-in model translate-en-fr");
            Interpreter::from_parts("translate-en-fr", CONFIG, TOKENIZER, WEIGHTS, origin)?
        }
    })
}

/// The model of any kind in `path`, or the one that comes with the program.
pub fn trained(path: Option<&Path>) -> Result<Trained> {
    Ok(match path {
        Some(path) => Trained::load(&hub::model(path)?)?,
        None => Trained::Interpreter(interpreter(None)?.into()),
    })
}
