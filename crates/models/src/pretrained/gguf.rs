//! LLaMA in [GGUF](https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), llama.cpp's format: what the model is, its vocabulary
//! and its weights in one file.
//!
//! A header (magic, version, how many tensors and facts), facts by name, tensors by name, then their numbers, each at a multiple of an
//! alignment. Numbers are f32, f16, bf16, or blocks of 32 with a scale: whole numbers of 8 bits (Q8_0) or 4 (Q4_0), which are widened when
//! the file is opened. The axes of a tensor are written the other way round, and rotary pairs are neighbours.
//!
//! The file is not trusted: every count is checked against the bytes that are left before memory is taken for it.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Device};
use half::f16;
use regard::position::Pairs;

use super::checkpoint::{Checkpoint, Stored, map, wrong};
use super::names::{Names, Source, load};
use crate::error::Result;
use crate::llama::{Llama, LlamaConfig};

const MAGIC: &[u8] = b"GGUF";
/// Numbers of a block that share a scale.
const BLOCK: usize = 32;

const NAMES: Names = &[
    ("embedding", Source::At("token_embd.weight")),
    ("layers.#.attention_norm", Source::At("blk.#.attn_norm")),
    ("layers.#.attention.query", Source::At("blk.#.attn_q")),
    ("layers.#.attention.key", Source::At("blk.#.attn_k")),
    ("layers.#.attention.value", Source::At("blk.#.attn_v")),
    ("layers.#.attention.output", Source::At("blk.#.attn_output")),
    ("layers.#.feed_forward_norm", Source::At("blk.#.ffn_norm")),
    ("layers.#.gate", Source::At("blk.#.ffn_gate")),
    ("layers.#.up", Source::At("blk.#.ffn_up")),
    ("layers.#.down", Source::At("blk.#.ffn_down")),
    ("norm", Source::At("output_norm")),
    ("head", Source::At("output.weight")),
];

/// A file's model, and its vocabulary as it lists it.
#[derive(Debug)]
pub struct Gguf {
    /// The network.
    pub model: Llama,
    /// The tokens, if the file has them.
    pub vocabulary: Option<GgufVocabulary>,
}

/// The tokens of a file, in the order of their ids.
#[derive(Debug, Clone)]
pub struct GgufVocabulary {
    /// Which kind of tokenizer they are for: `llama` is SentencePiece's, `gpt2` that of bytes.
    pub kind: String,
    /// How they are written, a space as `▁`.
    pub tokens: Vec<String>,
    /// How early they are joined, the greatest first.
    pub scores: Vec<f32>,
    /// Begins a text.
    pub begin: Option<u32>,
    /// Ends it.
    pub end: Option<u32>,
}

/// The model in a file.
///
/// # Errors
/// When the file cannot be read, is no GGUF of version 2 or 3, is cut short, is of another architecture than LLaMA, has numbers of
/// another type, or lacks a tensor or fact.
pub fn open(path: &Path) -> Result<Gguf> {
    let bytes = map(path)?;
    let parsed = File::parse(&bytes).map_err(|reason| wrong(path, reason))?;
    let config = parsed.configuration().map_err(|reason| wrong(path, reason))?;
    if config.layers > parsed.tensors.len() {
        let reason = format!("{} layers, the file has {} tensors", config.layers, parsed.tensors.len());
        return Err(wrong(path, reason));
    }
    let mut tensors = BTreeMap::new();
    for (name, tensor) in &parsed.tensors {
        let stored = tensor.stored(&bytes, parsed.start);
        tensors.insert(name.clone(), stored.map_err(|reason| wrong(path, format!("tensor {name}: {reason}")))?);
    }
    let model = config.init(&Device::default()).map_err(|error| wrong(path, error.to_string()))?;
    let model = load(model, &Checkpoint::of(path, tensors), "", NAMES)?;
    Ok(Gguf { model, vocabulary: parsed.vocabulary().map_err(|reason| wrong(path, reason))? })
}

/// A fact about the model.
#[derive(Debug, Clone)]
enum Fact {
    Whole(u64),
    Real(f64),
    Text(String),
    Texts(Vec<String>),
    Reals(Vec<f32>),
    /// Of a kind that nothing here asks for.
    Other,
}

#[derive(Debug)]
struct TensorInfo {
    shape: Vec<usize>,
    kind: u32,
    offset: u64,
}

struct File {
    facts: BTreeMap<String, Fact>,
    tensors: BTreeMap<String, TensorInfo>,
    /// Where numbers begin.
    start: usize,
}

type Parsed<T> = std::result::Result<T, String>;

impl File {
    fn parse(bytes: &[u8]) -> Parsed<Self> {
        let mut reader = Reader { bytes, at: 0 };
        if reader.take(4)? != MAGIC {
            return Err("does not begin with GGUF".into());
        }
        let version = reader.u32()?;
        if !(2..=3).contains(&version) {
            return Err(format!("version {version}, expected 2 or 3"));
        }
        let (tensor_count, fact_count) = (reader.u64()?, reader.u64()?);
        let mut facts = BTreeMap::new();
        for _ in 0..fact_count {
            let name = reader.text()?;
            let kind = reader.u32()?;
            facts.insert(name, reader.fact(kind)?);
        }
        let mut tensors = BTreeMap::new();
        for _ in 0..tensor_count {
            let name = reader.text()?;
            let axes = reader.u32()?;
            if axes > 4 {
                return Err(format!("tensor {name} has {axes} axes, expected at most 4"));
            }
            let mut shape = (0..axes)
                .map(|_| usize::try_from(reader.u64()?).map_err(|error| format!("tensor {name}: {error}")))
                .collect::<Parsed<Vec<usize>>>()?;
            shape.reverse();
            let info = TensorInfo { shape, kind: reader.u32()?, offset: reader.u64()? };
            if tensors.insert(name.clone(), info).is_some() {
                return Err(format!("tensor {name} is there twice"));
            }
        }
        let alignment = match facts.get("general.alignment") {
            Some(Fact::Whole(alignment @ 1..=65_536)) => *alignment as usize,
            Some(other) => return Err(format!("general.alignment is {other:?}, expected a number from 1 to 65536")),
            None => 32,
        };
        Ok(File { facts, tensors, start: reader.at.next_multiple_of(alignment) })
    }

    fn configuration(&self) -> Parsed<LlamaConfig> {
        match self.facts.get("general.architecture") {
            Some(Fact::Text(name)) if name == "llama" => {}
            Some(Fact::Text(name)) => return Err(format!("the architecture is {name:?}, expected llama")),
            _ => return Err("general.architecture is missing".into()),
        }
        if self.tensors.contains_key("rope_freqs.weight") {
            return Err("rotary wavelengths of its own (rope_freqs.weight), which are not implemented".into());
        }
        let whole = |name: &str| self.whole(&format!("llama.{name}"));
        let needed = |name: &str| whole(name)?.ok_or_else(|| format!("llama.{name} is missing"));
        let real = |name: &str| match self.facts.get(&format!("llama.{name}")) {
            Some(Fact::Real(value)) => Ok(Some(*value)),
            Some(other) => Err(format!("llama.{name} is {other:?}, expected a number")),
            None => Ok(None),
        };
        let embedding = self.tensors.get("token_embd.weight").ok_or("tensor token_embd.weight is missing")?;
        let vocabulary = embedding.shape.first().copied().unwrap_or(0);
        let (width, heads) = (needed("embedding_length")?, needed("attention.head_count")?);
        let head_width = whole("attention.key_length")?;
        let turned = whole("rope.dimension_count")?;
        let usual = head_width.unwrap_or(width.checked_div(heads).unwrap_or(0));
        if let Some(turned) = turned.filter(|&turned| turned != usual) {
            return Err(format!("{turned} features of a head turn, expected all {usual}"));
        }
        if let Some(Fact::Text(kind)) = self.facts.get("llama.rope.scaling.type")
            && kind != "none"
        {
            return Err(format!("rotary scaling {kind:?}, which is not implemented for this format"));
        }
        Ok(LlamaConfig::new(vocabulary)
            .with_context(needed("context_length")?)
            .with_width(width)
            .with_inner(needed("feed_forward_length")?)
            .with_heads(heads)
            .with_key_heads(whole("attention.head_count_kv")?)
            .with_head_width(head_width)
            .with_layers(needed("block_count")?)
            .with_tied(!self.tensors.contains_key("output.weight"))
            .with_epsilon(real("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-5) as f32)
            .with_rotary_base(real("rope.freq_base")?.unwrap_or(10_000.0))
            .with_pairs(Pairs::Interleaved))
    }

    fn whole(&self, name: &str) -> Parsed<Option<usize>> {
        match self.facts.get(name) {
            Some(Fact::Whole(value)) => usize::try_from(*value).map(Some).map_err(|error| format!("{name}: {error}")),
            Some(other) => Err(format!("{name} is {other:?}, expected a whole number")),
            None => Ok(None),
        }
    }

    fn vocabulary(&self) -> Parsed<Option<GgufVocabulary>> {
        let (Some(Fact::Text(kind)), Some(Fact::Texts(tokens))) =
            (self.facts.get("tokenizer.ggml.model"), self.facts.get("tokenizer.ggml.tokens"))
        else {
            return Ok(None);
        };
        let scores = match self.facts.get("tokenizer.ggml.scores") {
            Some(Fact::Reals(scores)) if scores.len() == tokens.len() => scores.clone(),
            Some(Fact::Reals(scores)) => return Err(format!("{} tokens with {} scores", tokens.len(), scores.len())),
            _ => Vec::new(),
        };
        let id = |name: &str| self.whole(name).map(|id| id.and_then(|id| u32::try_from(id).ok()));
        Ok(Some(GgufVocabulary {
            kind: kind.clone(),
            tokens: tokens.clone(),
            scores,
            begin: id("tokenizer.ggml.bos_token_id")?,
            end: id("tokenizer.ggml.eos_token_id")?,
        }))
    }
}

impl TensorInfo {
    /// The numbers, halves as they lie in the file.
    fn stored(&self, file: &bytes::Bytes, start: usize) -> Parsed<Stored> {
        let count = self.shape.iter().try_fold(1usize, |all, &axis| all.checked_mul(axis));
        let count = count.ok_or_else(|| format!("more numbers than can be counted: {:?}", self.shape))?;
        let (dtype, length) = match self.kind {
            0 => (DType::F32, count.checked_mul(4)),
            1 => (DType::F16, count.checked_mul(2)),
            30 => (DType::BF16, count.checked_mul(2)),
            2 => (DType::F32, blocks(&self.shape, count)?.checked_mul(2 + BLOCK / 2)),
            8 => (DType::F32, blocks(&self.shape, count)?.checked_mul(2 + BLOCK)),
            other => {
                return Err(format!(
                    "numbers of type {other}, expected 0 (F32), 1 (F16), 2 (Q4_0), 8 (Q8_0) or 30 (BF16)"
                ));
            }
        };
        let from = usize::try_from(self.offset).ok().and_then(|offset| offset.checked_add(start));
        let to = from.zip(length).and_then(|(from, length)| from.checked_add(length));
        let (Some(from), Some(to)) = (from, to.filter(|&to| to <= file.len())) else {
            return Err(format!("reaches beyond the end of the file, which has {} bytes", file.len()));
        };
        let bytes = file.slice(from..to);
        let bytes = match self.kind {
            2 => floats(&bytes, 2 + BLOCK / 2, |scale, packed, numbers| {
                for (at, &pair) in packed.iter().enumerate() {
                    numbers[at] = scale * (f32::from(pair & 15) - 8.0);
                    numbers[at + BLOCK / 2] = scale * (f32::from(pair >> 4) - 8.0);
                }
            }),
            8 => floats(&bytes, 2 + BLOCK, |scale, wholes, numbers| {
                for (number, &whole) in numbers.iter_mut().zip(wholes) {
                    *number = scale * f32::from(whole as i8);
                }
            }),
            _ => bytes,
        };
        Ok(Stored { dtype, shape: self.shape.clone(), bytes })
    }
}

/// How many blocks there are, none of which reaches from one row into the next.
fn blocks(shape: &[usize], count: usize) -> Parsed<usize> {
    match shape.last() {
        Some(width) if width.is_multiple_of(BLOCK) => Ok(count / BLOCK),
        _ => Err(format!("shape {shape:?}, expected rows of whole blocks of {BLOCK}")),
    }
}

/// Blocks of so many bytes, each of which begins with its scale, as f32.
fn floats(blocks: &[u8], size: usize, widen: impl Fn(f32, &[u8], &mut [f32; BLOCK])) -> bytes::Bytes {
    let mut all = Vec::with_capacity(blocks.len() / size * BLOCK * 4);
    for block in blocks.chunks_exact(size) {
        let mut numbers = [0.0; BLOCK];
        widen(f16::from_le_bytes([block[0], block[1]]).to_f32(), &block[2..], &mut numbers);
        all.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    }
    all.into()
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Parsed<&'a [u8]> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| format!("ends at byte {}, in the middle of its header", self.bytes.len()))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("as many bytes as were taken"))
    }

    fn u32(&mut self) -> Parsed<u32> {
        self.number().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Parsed<u64> {
        self.number().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Parsed<String> {
        let length = usize::try_from(self.u64()?).map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn fact(&mut self, kind: u32) -> Parsed<Fact> {
        Ok(match kind {
            0 | 7 => Fact::Whole(u64::from(self.number::<1>()?[0])),
            2 => Fact::Whole(u64::from(u16::from_le_bytes(self.number()?))),
            4 => Fact::Whole(u64::from(self.u32()?)),
            // Of the signed ones, only what a count may be.
            1 => self.number().map(i8::from_le_bytes).map(|number| signed(i64::from(number)))?,
            3 => self.number().map(i16::from_le_bytes).map(|number| signed(i64::from(number)))?,
            5 => self.number().map(i32::from_le_bytes).map(|number| signed(i64::from(number)))?,
            6 => Fact::Real(f64::from(f32::from_le_bytes(self.number()?))),
            8 => Fact::Text(self.text()?),
            9 => return self.facts(),
            10 => Fact::Whole(self.u64()?),
            11 => self.number().map(i64::from_le_bytes).map(signed)?,
            12 => Fact::Real(f64::from_le_bytes(self.number()?)),
            other => return Err(format!("a fact of type {other}, expected one from 0 to 12")),
        })
    }

    fn facts(&mut self) -> Parsed<Fact> {
        let (kind, count) = (self.u32()?, self.u64()?);
        // No element is shorter than a byte, so a count beyond what is left is wrong, whatever it counts.
        if count > (self.bytes.len() - self.at) as u64 {
            return Err(format!("a list of {count}, the file has {} bytes", self.bytes.len()));
        }
        match kind {
            8 => Ok(Fact::Texts((0..count).map(|_| self.text()).collect::<Parsed<_>>()?)),
            6 => Ok(Fact::Reals((0..count).map(|_| self.number().map(f32::from_le_bytes)).collect::<Parsed<_>>()?)),
            9 => Err("a list of lists, which no model has".into()),
            _ => {
                for _ in 0..count {
                    self.fact(kind)?;
                }
                Ok(Fact::Other)
            }
        }
    }
}

fn signed(number: i64) -> Fact {
    u64::try_from(number).map_or(Fact::Other, Fact::Whole)
}
