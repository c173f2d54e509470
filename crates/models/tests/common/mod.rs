//! What the tests share: fixtures, comparisons, and small models that are the same in every run.

// Each test program uses its own part.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use regard::mix;
use regard_models::pretrained;
use regard_models::weights::{assign, parameters};
use regard_models::{Decoding, Seq2Seq, Seq2SeqConfig, Specials, Transformer, TransformerConfig};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tempfile::TempDir;

pub const SPECIALS: Specials = Specials { pad: 0, begin: 1, end: 2 };

/// Tensors by name: shapes and numbers.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// A file that `oracle/write.py` wrote.
pub struct Oracle(Vec<u8>);

impl Oracle {
    pub fn open(name: &str) -> Self {
        Self::read(&format!("oracle/{name}.safetensors"))
    }

    /// What transformers computes from a checkpoint of `tests/pretrained`.
    pub fn pretrained(name: &str) -> Self {
        Self::read(&format!("pretrained/{name}/expected.safetensors"))
    }

    fn read(name: &str) -> Self {
        let path = format!("{}/tests/{name}", env!("CARGO_MANIFEST_DIR"));
        Oracle(std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    /// Every tensor of f32.
    pub fn tensors_as_stored(&self) -> Tensors {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let floats = file.tensors().into_iter().filter(|(_, view)| view.dtype() == Dtype::F32);
        let numbers = |data: &[u8]| data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        floats.map(|(name, view)| (name, (view.shape().to_vec(), numbers(view.data())))).collect()
    }

    /// Every tensor of f32, linear weights turned from torch's `[out, in]` to burn's `[in, out]`.
    pub fn tensors(&self) -> Tensors {
        let turn = |(name, (shape, numbers)): (String, (Vec<usize>, Vec<f32>))| match shape[..] {
            [out, from] if name.ends_with(".weight") => {
                let turned = (0..from * out).map(|at| numbers[at % out * from + at / out]).collect();
                (name, (vec![from, out], turned))
            }
            _ => (name, (shape, numbers)),
        };
        self.tensors_as_stored().into_iter().map(turn).collect()
    }

    /// The rows of a rectangle of ids.
    pub fn ids(&self, name: &str) -> Vec<Vec<u32>> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        let ids: Vec<u32> = view.data().as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect();
        ids.chunks(view.shape()[1]).map(<[u32]>::to_vec).collect()
    }
}

/// A checkpoint's folder in `tests/pretrained`.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pretrained").join(name)
}

/// A copy of a checkpoint that may be damaged.
pub fn copy(name: &str) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder(name)).unwrap() {
        let file = file.unwrap().path();
        std::fs::copy(&file, to.path().join(file.file_name().unwrap())).unwrap();
    }
    to
}

/// `config.json` with one field more, or another value.
pub fn set(folder: &Path, field: &str, value: &str) {
    let path = folder.join("config.json");
    let mut fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    fields.insert(field.into(), serde_json::from_str(value).unwrap());
    std::fs::write(path, serde_json::to_vec(&fields).unwrap()).unwrap();
}

/// The weights of a checkpoint, each tensor as `change` returns it: its name, shape and bytes. Without it, where that is nothing.
pub fn rewritten(folder: &Path, change: impl Fn(String, Vec<usize>, Vec<u8>) -> Option<(String, Vec<usize>, Vec<u8>)>) {
    let path = folder.join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors: Vec<_> = file
        .tensors()
        .into_iter()
        .filter_map(|(name, view)| Some((view.dtype(), change(name, view.shape().to_vec(), view.data().to_vec())?)))
        .collect();
    let views = tensors
        .iter()
        .map(|(dtype, (name, shape, data))| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// The weights with one tensor changed; without it, where `change` returns nothing.
pub fn rewrite(folder: &Path, name: &str, change: impl Fn(Vec<usize>, Vec<u8>) -> Option<(Vec<usize>, Vec<u8>)>) {
    rewritten(folder, |other, shape, data| {
        let (shape, data) = if other == name { change(shape, data)? } else { (shape, data) };
        Some((other, shape, data))
    });
}

/// Fails unless a checkpoint is refused with an error that says this.
#[track_caller]
pub fn refused(folder: &Path, said: &str) {
    let error = pretrained::open(folder).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(said), "{said:?} in {error:?}");
}

/// The numbers of a tensor.
pub fn numbers<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().try_into_vec().unwrap()
}

/// Fails unless every number is within `tolerance` of the expected one, relative to the largest (at least 1).
#[track_caller]
pub fn close(what: &str, given: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(given.len(), expected.len(), "length of {what}");
    let scale = expected.iter().fold(1f32, |most, value| most.max(value.abs()));
    for (at, (given, expected)) in given.iter().zip(expected).enumerate() {
        // A NaN is not close to anything.
        let near = (given - expected).abs() <= tolerance * scale;
        assert!(near, "{what}: element {at} is {given}, expected {expected}");
    }
}

/// `module` with reproducible numbers in `[-reach, reach)` for its weights.
pub fn scrambled<M: Module>(module: M, seed: u64, reach: f32) -> M {
    let mut values = parameters(&module);
    let all = values.values_mut().flat_map(|(_, numbers)| numbers);
    for (at, number) in all.enumerate() {
        *number = reach * ((mix(mix(seed) ^ at as u64) >> 40) as f32 / (1u64 << 23) as f32 - 1.0);
    }
    assign(module, values).unwrap()
}

/// A Transformer too small to be good for anything but tests.
pub fn transformer(vocabulary: usize, seed: u64) -> Transformer {
    let config = TransformerConfig::new(vocabulary, SPECIALS).with_width(8).with_heads(2).with_inner(12);
    let config = config.with_encoder_layers(1).with_decoder_layers(2).with_longest(24);
    scrambled(config.init(&Device::default()).unwrap(), seed, 0.7)
}

/// A recurrent model of the same kind.
pub fn seq2seq(decoding: Decoding, vocabulary: usize, seed: u64) -> Seq2Seq {
    let config = Seq2SeqConfig::new(vocabulary, SPECIALS, decoding).with_embedded(5).with_hidden(6);
    let config = config.with_alignment(4).with_readout(7).with_longest(24);
    scrambled(config.init(&Device::default()).unwrap(), seed, 0.9)
}
