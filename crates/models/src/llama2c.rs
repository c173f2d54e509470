//! Files of [llama2.c](https://github.com/karpathy/llama2.c): a LLaMA's sizes and weights, one number after another.
//!
//! Seven whole numbers of 4 bytes (width, inner, layers, heads, key heads, vocabulary, context; the vocabulary is negative where the head
//! is untied), then f32 throughout: embedding, and of all layers together the attention norms, queries, keys, values, outputs, the
//! feed-forward norms, gates, downs and ups, then the last norm, two tables of rotary turns that nothing reads any more, and the
//! head, if untied. Matrices are `[out, in]`, rotary pairs neighbours. This is version 0; later ones begin with `ak42`.
//!
//! The sizes say how long a file must be, which is checked before memory is taken for it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use burn::tensor::Device;
use regard::position::Pairs;

use crate::error::{Error, Result};
use crate::llama::{Llama, LlamaConfig};
use crate::weights::assign;

const HEADER: usize = 28;
/// What files of later versions begin with, as a number.
const LATER: i32 = 0x616b_3432;

/// The model in a file of version 0.
///
/// # Errors
/// When the file cannot be read, is of a later version, is shorter or longer than its sizes say, its sizes make no model, or a
/// number is not finite.
pub fn load(path: &Path) -> Result<Llama> {
    let wrong = |reason: String| Error::Weights { path: path.to_owned(), reason };
    let unreadable = |error: std::io::Error| wrong(format!("cannot be read: {error}"));
    let mut file = File::open(path).map_err(unreadable)?;
    let given = file.metadata().map_err(unreadable)?.len();
    let mut header = [0; HEADER];
    if given < HEADER as u64 {
        return Err(wrong(format!("{given} bytes, expected a header of {HEADER} and weights")));
    }
    file.read_exact(&mut header).map_err(unreadable)?;
    let config = configuration(&header).map_err(wrong)?;
    let expected = numbers(&config).and_then(|count| count.checked_mul(4)?.checked_add(HEADER as u64));
    if expected != Some(given) {
        let expected = expected.map_or("more than can be counted".into(), |bytes| bytes.to_string());
        return Err(wrong(format!("{given} bytes, its sizes ask for {expected}")));
    }
    let mut bytes = Vec::new();
    file.take(given - HEADER as u64).read_to_end(&mut bytes).map_err(unreadable)?;
    let all: Vec<f32> = bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    drop(bytes);
    if let Some(at) = all.iter().position(|number| !number.is_finite()) {
        return Err(wrong(format!("number {at} is {}, expected finite numbers", all[at])));
    }
    let values = Values { rest: &all, found: BTreeMap::new() }.of(&config);
    let values = values.ok_or_else(|| wrong("it was cut while it was read".into()))?;
    assign(config.init(&Device::default())?, values).map_err(wrong)
}

/// Sizes that make a model, as far as the layout depends on them.
fn configuration(header: &[u8; HEADER]) -> std::result::Result<LlamaConfig, String> {
    let sizes: Vec<i32> = header.as_chunks().0.iter().map(|&bytes| i32::from_le_bytes(bytes)).collect();
    if sizes[0] == LATER {
        return Err(format!("a file of version {}, expected version 0", sizes[1]));
    }
    let names = ["width", "inner", "layers", "heads", "key heads", "vocabulary", "context"];
    let mut found = [0; 7];
    for ((name, &size), found) in names.iter().zip(&sizes).zip(&mut found) {
        let positive = if *name == "vocabulary" { size.checked_abs().unwrap_or(0) } else { size };
        *found = usize::try_from(positive).unwrap_or(0);
        if *found == 0 {
            return Err(format!("{name} is {size}, expected at least 1"));
        }
    }
    let [width, inner, layers, heads, key_heads, vocabulary, context] = found;
    if !width.is_multiple_of(heads) || !(width / heads).is_multiple_of(2) {
        return Err(format!("{heads} heads, expected a divisor of the width {width} that leaves an even number"));
    }
    if !heads.is_multiple_of(key_heads) {
        return Err(format!("{key_heads} key heads, expected a divisor of the {heads} heads"));
    }
    Ok(LlamaConfig::new(vocabulary)
        .with_context(context)
        .with_width(width)
        .with_inner(inner)
        .with_heads(heads)
        .with_key_heads(Some(key_heads))
        .with_layers(layers)
        .with_tied(sizes[5] > 0)
        .with_pairs(Pairs::Interleaved))
}

/// How many a file holds; `None` if that is beyond counting.
fn numbers(config: &LlamaConfig) -> Option<u64> {
    let size = |number: usize| number as u64;
    let (width, inner, vocabulary) = (size(config.width), size(config.inner), size(config.vocabulary));
    let head = width / size(config.heads);
    let keys = head * size(config.key_heads.unwrap_or(config.heads));
    let attention = width.checked_mul(2 * width + 2 * keys + 2)?;
    let layer = attention.checked_add(width.checked_mul(inner)?.checked_mul(3)?)?;
    let tables = width.checked_mul(vocabulary)?.checked_mul(if config.tied { 1 } else { 2 })?;
    let turns = size(config.context).checked_mul(head)?;
    layer.checked_mul(size(config.layers))?.checked_add(tables)?.checked_add(turns)?.checked_add(width)
}

/// Shapes and numbers by the paths of the parameters.
type Parameters = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Numbers dealt out in the file's order, by the paths of the parameters.
struct Values<'a> {
    rest: &'a [f32],
    found: Parameters,
}

impl Values<'_> {
    /// All parameters, or `None` if there are not enough numbers.
    fn of(mut self, config: &LlamaConfig) -> Option<Parameters> {
        let LlamaConfig { width, inner, vocabulary, .. } = *config;
        let head = width / config.heads;
        let keys = head * config.key_heads.unwrap_or(config.heads);
        let layers = 0..config.layers;
        self.table("embedding", vocabulary, width)?;
        layers.clone().try_for_each(|layer| self.vector(format!("layers.{layer}.attention_norm.weight"), width))?;
        for (name, out, from) in
            [("query", width, width), ("key", keys, width), ("value", keys, width), ("output", width, width)]
        {
            layers.clone().try_for_each(|layer| self.matrix(format!("layers.{layer}.attention.{name}"), out, from))?;
        }
        layers.clone().try_for_each(|layer| self.vector(format!("layers.{layer}.feed_forward_norm.weight"), width))?;
        for (name, out, from) in [("gate", inner, width), ("down", width, inner), ("up", inner, width)] {
            layers.clone().try_for_each(|layer| self.matrix(format!("layers.{layer}.{name}"), out, from))?;
        }
        self.vector("norm.weight".into(), width)?;
        self.take(config.context * head)?;
        if !config.tied {
            self.table("head", vocabulary, width)?;
        }
        Some(self.found)
    }

    fn take(&mut self, count: usize) -> Option<Vec<f32>> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken.to_vec())
    }

    fn vector(&mut self, name: String, width: usize) -> Option<()> {
        let values = self.take(width)?;
        self.found.insert(name, (vec![width], values));
        Some(())
    }

    fn table(&mut self, name: &str, rows: usize, width: usize) -> Option<()> {
        let values = self.take(rows * width)?;
        self.found.insert(name.into(), (vec![rows, width], values));
        Some(())
    }

    /// A linear map, `[out, in]` in the file and `[in, out]` in the module.
    fn matrix(&mut self, name: String, out: usize, from: usize) -> Option<()> {
        let values = self.take(out * from)?;
        let turned = (0..from * out).map(|at| values[at % out * from + at / out]).collect();
        self.found.insert(format!("{name}.weight"), (vec![from, out], turned));
        Some(())
    }
}
