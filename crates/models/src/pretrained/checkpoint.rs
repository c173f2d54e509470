//! The tensors of a checkpoint: files of [safetensors](https://github.com/huggingface/safetensors), one or several, mapped into memory.
//!
//! A tensor's memory is the file's, and its type the stored one: nothing is copied. Its numbers are read when it is asked for, to see
//! that all are finite, and as they are used. Headers are not
//! trusted: sizes, ranges and types are checked against the file before any tensor is made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use burn::tensor::{AllocationProperty, Bytes, DType, Device, Element, Tensor, TensorData};
use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::tensor::{Dtype, SafeTensors, TensorInfo};
use serde::Deserialize;

use crate::error::{Error, Result};

const ALONE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// What weights are called that only Python's pickle reads.
const PICKLES: [&str; 3] = ["pytorch_model.bin", "pytorch_model.bin.index.json", "model.ckpt"];
/// No index is as large; one that claims to be is not read.
const LARGEST_INDEX: u64 = 256 << 20;

/// Tensors by name.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    tensors: BTreeMap<String, Stored>,
}

/// A tensor as it lies in its file.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: bytes::Bytes,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Checkpoint {
    /// The weights in a model's folder: `model.safetensors`, or the files that `model.safetensors.index.json` names.
    ///
    /// # Errors
    /// When there are none, a file is missing, cut short or no safetensors file, two files have a tensor of the same name, or the weights
    /// are a pickle, which could run any program while it is read.
    pub fn open(folder: &Path) -> Result<Self> {
        let index = folder.join(INDEX);
        if folder.join(ALONE).exists() || !index.exists() {
            return Self::alone(folder);
        }
        let size = std::fs::metadata(&index).map_err(|error| unreadable(&index, &error))?.len();
        if size > LARGEST_INDEX {
            return Err(wrong(&index, format!("{size} bytes, expected an index of at most {LARGEST_INDEX}")));
        }
        let text = std::fs::read(&index).map_err(|error| unreadable(&index, &error))?;
        let Index { weight_map } =
            serde_json::from_slice(&text).map_err(|error| wrong(&index, format!("no index of shards: {error}")))?;
        let mut tensors = BTreeMap::new();
        for shard in weight_map.values().collect::<BTreeSet<_>>() {
            if shard.contains(['/', '\\']) || shard.contains("..") {
                return Err(wrong(&index, format!("{shard:?} is not the name of a file beside it")));
            }
            let path = folder.join(shard);
            if !path.exists() {
                let needed = weight_map.values().filter(|other| *other == shard).count();
                return Err(wrong(&index, format!("the shard {shard} with {needed} tensors is missing")));
            }
            for (name, stored) in read(&path)? {
                if tensors.insert(name.clone(), stored).is_some() {
                    return Err(wrong(&path, format!("tensor {name} is in another shard, too")));
                }
            }
        }
        match weight_map.keys().find(|name| !tensors.contains_key(*name)) {
            Some(name) => Err(wrong(&index, format!("tensor {name} is not in its shard {}", weight_map[name]))),
            None => Ok(Checkpoint { path: index, tensors }),
        }
    }

    fn alone(folder: &Path) -> Result<Self> {
        let path = folder.join(ALONE);
        if let (false, Some(pickle)) = (path.exists(), PICKLES.iter().find(|name| folder.join(name).exists())) {
            let why = "is a Python pickle, which can run any program while it is read: convert it with safetensors' \
                       save_file in Python, or use a revision of the model that has model.safetensors";
            return Err(wrong(&folder.join(pickle), why.into()));
        }
        Self::file(&path)
    }

    /// The tensors of one safetensors file.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn file(path: &Path) -> Result<Self> {
        Ok(Checkpoint { path: path.to_owned(), tensors: read(path)? })
    }

    /// Tensors that some other format holds.
    pub(super) fn of(path: &Path, tensors: BTreeMap<String, Stored>) -> Self {
        Checkpoint { path: path.to_owned(), tensors }
    }

    /// The file that lists the tensors.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many tensors there are.
    pub fn count(&self) -> usize {
        self.tensors.len()
    }

    /// Names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether there is such a tensor.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The shape of a tensor, if there is such a one.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|stored| &*stored.shape)
    }

    /// A tensor in the type it is stored in, its memory the file's.
    ///
    /// # Errors
    /// When there is none, it has another number of axes, or a number that is not finite.
    pub fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Result<Tensor<D>> {
        let wrong = |reason: String| wrong(&self.path, reason);
        let stored = self.tensors.get(name).ok_or_else(|| wrong(format!("tensor {name} is missing")))?;
        if stored.shape.len() != D {
            let shape = &stored.shape;
            return Err(wrong(format!("tensor {name} has shape {shape:?}, expected {D} axes")));
        }
        if let Some(at) = stored.first_wrong() {
            return Err(wrong(format!("tensor {name}: element {at} is not a finite number")));
        }
        let data = stored.data().map_err(|error| wrong(format!("tensor {name}: {error}")))?;
        Ok(Tensor::from_data(data, (device, stored.dtype)))
    }
}

impl Stored {
    /// The first element that is NaN or infinite.
    fn first_wrong(&self) -> Option<usize> {
        fn find<const N: usize>(bytes: &[u8], wrong: impl Fn([u8; N]) -> bool) -> Option<usize> {
            let (numbers, _) = bytes.as_chunks::<N>();
            // Whole blocks without a branch for each number, which the compiler can make vectors of.
            let block = numbers.chunks(4096).position(|block| block.iter().fold(false, |any, &x| any | wrong(x)))?;
            let at = numbers[block * 4096..].iter().position(|&x| wrong(x))?;
            Some(block * 4096 + at)
        }
        match self.dtype {
            DType::F32 => find::<4>(&self.bytes, |x| !f32::from_le_bytes(x).is_finite()),
            DType::F16 => find::<2>(&self.bytes, |x| !f16::from_le_bytes(x).is_finite()),
            DType::BF16 => find::<2>(&self.bytes, |x| !bf16::from_le_bytes(x).is_finite()),
            _ => None,
        }
    }

    /// The numbers: in the file's own memory, unless they lie in it where their type may not.
    fn data(&self) -> Result<TensorData, String> {
        fn copied<T: Element, const N: usize>(stored: &Stored, number: fn([u8; N]) -> T) -> TensorData {
            let numbers: Vec<T> = stored.bytes.as_chunks().0.iter().map(|&bytes| number(bytes)).collect();
            TensorData::new(numbers, stored.shape.clone())
        }
        if self.bytes.as_ptr().align_offset(self.dtype.size()) == 0 {
            let bytes = Bytes::from_shared(self.bytes.clone(), AllocationProperty::Other);
            let data = TensorData::try_from_bytes(bytes, self.shape.clone(), self.dtype);
            return data.map_err(|error| error.to_string());
        }
        match self.dtype {
            DType::F16 => Ok(copied(self, f16::from_le_bytes)),
            DType::BF16 => Ok(copied(self, bf16::from_le_bytes)),
            _ => Ok(copied(self, f32::from_le_bytes)),
        }
    }
}

/// The tensors of floating point numbers in a file; others hold nothing that a model learns.
fn read(path: &Path) -> Result<BTreeMap<String, Stored>> {
    let file = map(path)?;
    let (header, metadata) = SafeTensors::read_metadata(&file)
        .map_err(|error| wrong(path, format!("not a whole safetensors file: {error}")))?;
    let start = header + size_of::<u64>();
    // What follows the header is as long as it says, or the metadata would have been refused.
    let stored = |info: &TensorInfo| {
        let dtype = match info.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            _ => return None,
        };
        let (from, to) = info.data_offsets;
        Some(Stored { dtype, shape: info.shape.clone(), bytes: file.slice(start + from..start + to) })
    };
    Ok(metadata.tensors().into_iter().filter_map(|(name, info)| Some((name, stored(info)?))).collect())
}

/// A file's bytes, brought into memory as they are used.
///
/// # Errors
/// When it cannot be opened, or is empty.
pub(super) fn map(path: &Path) -> Result<bytes::Bytes> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let size = file.metadata().map_err(|error| unreadable(path, &error))?.len();
    if size == 0 {
        return Err(wrong(path, "0 bytes, expected weights".into()));
    }
    // SAFETY: the mapping is private and read only. A program that cuts or changes the file meanwhile could still be seen, as by
    // every reader of mapped weights: weights are files that are replaced, not edited.
    let mapped = unsafe { Mmap::map(&file) }.map_err(|error| unreadable(path, &error))?;
    Ok(bytes::Bytes::from_owner(mapped))
}

pub(super) fn wrong(path: &Path, reason: String) -> Error {
    Error::Weights { path: path.to_owned(), reason }
}

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    wrong(path, format!("cannot be read: {error}"))
}
