//! A run on disk: everything it takes to go on to the same bits.
//!
//! `checkpoint.safetensors` holds four f32 tensors a parameter (`weight.`, `mean.`, `square.` and `average.` before its path) and
//! the position in its metadata. It is written to a temporary name and renamed, so that a kill at any moment leaves the
//! last complete one.

use std::collections::BTreeMap;
use std::path::Path;

use regard_explain::write_atomically;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::optimizer::{Adam, Slot};

/// Name of the file in a run's folder.
pub const FILE: &str = "checkpoint.safetensors";

const PARTS: [&str; 4] = ["weight", "mean", "square", "average"];

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Steps taken.
    pub step: u64,
    /// Passes over the data that are complete.
    pub epoch: u64,
    /// Batches of the current pass that are done.
    pub batch: usize,
    /// The lowest validation loss so far, and its step.
    pub best: Option<(f64, u64)>,
    /// Seconds of training so far.
    pub seconds: f64,
}

/// Writes a checkpoint.
///
/// # Errors
/// When the file cannot be written; the one before it is then untouched.
pub fn save(path: &Path, adam: &Adam, position: &Position) -> Result<()> {
    let content = |problem: String| Error::Content { path: path.to_owned(), problem };
    let mut stored = Vec::new();
    for (name, slot) in &adam.slots {
        for (part, values) in PARTS.into_iter().zip([&slot.weight, &slot.mean, &slot.square, &slot.average]) {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            stored.push((format!("{part}.{name}"), slot.shape.clone(), bytes));
        }
    }
    let views = stored
        .iter()
        .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| content(error.to_string()))?;
    let position = serde_json::to_string(position).map_err(|error| content(error.to_string()))?;
    let metadata = [("position".to_owned(), position)].into();
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|error| content(error.to_string()))?;
    Ok(write_atomically(path, &bytes)?)
}

/// Reads a checkpoint.
///
/// # Errors
/// When the file cannot be read or is no checkpoint.
pub fn load(path: &Path) -> Result<(Adam, Position)> {
    let content = |problem: String| Error::Content { path: path.to_owned(), problem };
    let bytes = std::fs::read(path).map_err(|source| Error::File { action: "read", path: path.to_owned(), source })?;
    let broken = |error: safetensors::SafeTensorError| content(format!("not a safetensors file: {error}"));
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(broken)?;
    let position = header.metadata().as_ref().and_then(|metadata| metadata.get("position"));
    let position = position.ok_or_else(|| content("no position in its metadata: not a checkpoint".into()))?;
    let position: Position =
        serde_json::from_str(position).map_err(|error| content(format!("its position is malformed: {error}")))?;
    let file = SafeTensors::deserialize(&bytes).map_err(broken)?;
    let mut slots: BTreeMap<String, Slot> = BTreeMap::new();
    for (full, view) in file.tensors() {
        let (part, name) = full.split_once('.').ok_or_else(|| content(format!("unexpected tensor {full}")))?;
        if view.dtype() != Dtype::F32 {
            return Err(content(format!("tensor {full} has type {:?}, expected F32", view.dtype())));
        }
        let values = view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        let slot = slots.entry(name.to_owned()).or_insert_with(|| Slot {
            shape: view.shape().to_vec(),
            weight: Vec::new(),
            mean: Vec::new(),
            square: Vec::new(),
            average: Vec::new(),
        });
        match part {
            "weight" => slot.weight = values,
            "mean" => slot.mean = values,
            "square" => slot.square = values,
            "average" => slot.average = values,
            _ => return Err(content(format!("unexpected tensor {full}"))),
        }
    }
    for (name, slot) in &slots {
        let size: usize = slot.shape.iter().product();
        let complete = [&slot.weight, &slot.mean, &slot.square, &slot.average].iter().all(|part| part.len() == size);
        if !complete {
            return Err(content(format!("parameter {name} is incomplete")));
        }
    }
    Ok((Adam { slots, step: position.step }, position))
}
