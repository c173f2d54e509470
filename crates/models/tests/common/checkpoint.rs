//! Checkpoints to be damaged, and how.

use std::fs;
use std::path::Path;

use regard_models::pretrained;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tempfile::TempDir;

use super::folder;

/// A copy of a checkpoint that may be damaged.
pub fn copy(name: &str) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for file in fs::read_dir(folder(name)).unwrap() {
        let file = file.unwrap().path();
        fs::copy(&file, to.path().join(file.file_name().unwrap())).unwrap();
    }
    to
}

#[track_caller]
pub fn refused(folder: &Path, said: &str) {
    let error = pretrained::open(folder).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(said), "{said:?} in {error:?}");
}

/// `config.json` with one field more, or another value.
pub fn set(folder: &Path, field: &str, value: &str) {
    let path = folder.join("config.json");
    let mut fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    fields.insert(field.into(), serde_json::from_str(value).unwrap());
    fs::write(path, serde_json::to_vec(&fields).unwrap()).unwrap();
}

/// The weights with one tensor changed; without it, where `change` returns nothing.
pub fn rewrite(folder: &Path, name: &str, change: impl Fn(Vec<usize>, Vec<u8>) -> Option<(Vec<usize>, Vec<u8>)>) {
    replace(folder, name, |shape, data| change(shape, data).map(|(shape, data)| (name.to_owned(), shape, data)));
}

/// The weights with one tensor under another name.
pub fn rename(folder: &Path, name: &str, other: &str) {
    replace(folder, name, |shape, data| Some((other.to_owned(), shape, data)));
}

type Named = (String, Vec<usize>, Vec<u8>);

fn replace(folder: &Path, name: &str, change: impl Fn(Vec<usize>, Vec<u8>) -> Option<Named>) {
    let path = folder.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors: Vec<Named> = file
        .tensors()
        .into_iter()
        .filter_map(|(other, view)| {
            let (shape, data) = (view.shape().to_vec(), view.data().to_vec());
            if other == name { change(shape, data) } else { Some((other, shape, data)) }
        })
        .collect();
    let views =
        tensors.iter().map(|(name, shape, data)| (name, TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
    let written = safetensors::serialize(views, None).unwrap();
    fs::write(path, written).unwrap();
}
