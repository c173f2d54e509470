//! A model's folder: the files that every kind of model has, each written whole or not at all.

use std::path::Path;

use burn::module::Module;
use regard_explain::write_atomically;
use regard_models::weights::{self, Precision};
use serde::{Serialize, de::DeserializeOwned};

use crate::data::read_text;
use crate::error::{Error, Result};

/// The architecture's file in a model's folder.
pub const CONFIG: &str = "config.json";
/// The weights' file.
pub const WEIGHTS: &str = "model.safetensors";

/// No configuration is as large; one that claims to be is not read.
const LARGEST_JSON: u64 = 64 << 20;

/// Architecture, and weights as f16.
pub(crate) fn write<M: Module>(folder: &Path, model: &M, architecture: &impl Serialize) -> Result<()> {
    write_weights(folder, model, Precision::F16)?;
    write_json(&folder.join(CONFIG), architecture)
}

pub(crate) fn write_weights<M: Module>(folder: &Path, model: &M, precision: Precision) -> Result<()> {
    let metadata = [("format".to_owned(), "regard".to_owned())].into();
    let path = folder.join(WEIGHTS);
    let bytes = weights::to_bytes(model, precision, metadata)
        .map_err(|error| Error::Content { path: path.clone(), problem: error.to_string() })?;
    Ok(write_atomically(&path, &bytes)?)
}

pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::Content { path: path.to_owned(), problem: error.to_string() })?;
    text.push('\n');
    Ok(write_atomically(path, text.as_bytes())?)
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    parse_json(&read_text(path, "a configuration", LARGEST_JSON)?, path)
}

pub(crate) fn parse_json<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::Content { path: path.to_owned(), problem: error.to_string() })
}

/// Refuses a configuration that needs more numbers than so many bytes of weights can hold, two bytes each: it may claim any
/// size, and memory is taken for it only when the weights are there to back it.
pub(crate) fn holds(bytes: usize, numbers: usize) -> std::result::Result<(), String> {
    let least = numbers.saturating_mul(2);
    if least > bytes {
        return Err(format!("{bytes} bytes of weights, the configuration needs at least {least}"));
    }
    Ok(())
}
