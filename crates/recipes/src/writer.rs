//! A trained language model: it goes on with a text, and shows what it looked at.
//!
//! On disk a model is a folder with `config.json` (the architecture), `model.safetensors` (the weights) and `characters.txt` (the
//! vocabulary: each character once, in the order of the code points); a folder in Hugging Face's layout with its `tokenizer.json`; a
//! file of llama2.c with its tokenizer beside it (`tok512.bin`, where 512 is the model's vocabulary, or `tokenizer.bin`); or a file in GGUF.

use std::path::Path;

use burn::tensor::Device;
use regard::Mode;
use regard::cache::CacheConfig;
use regard_explain::{Trace, write_atomically};
use regard_models::pretrained::gguf::{self, Gguf};
use regard_models::pretrained::{self, Pretrained, is_pretrained};
use regard_models::{Continuation, Gpt, GptConfig, LanguageModel as Model, Padded, Sampling, llama2c, weights};
use serde::{Deserialize, Serialize};

use crate::data::characters::Characters;
use crate::data::hub::HubTokenizer;
use crate::data::pieces::Pieces;
use crate::data::read_text;
use crate::error::{Error, Result};
use crate::folder::{self, CONFIG, WEIGHTS, read_json};
use crate::sight;
use crate::vocabulary::Vocabulary;

/// The vocabulary's file in a model's folder.
pub const CHARACTERS: &str = "characters.txt";

/// No vocabulary of characters is as large; one that claims to be is not read.
const LARGEST_TEXT: u64 = 8 << 20;

/// A language model's configuration, as `config.json` keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "architecture", rename_all = "lowercase")]
pub enum LanguageModel {
    /// GPT-2's.
    Gpt(GptConfig),
}

/// A language model with its vocabulary.
#[derive(Debug)]
pub struct Writer {
    model: Box<dyn Model>,
    vocabulary: Vocabulary,
    name: String,
}

impl Writer {
    /// Reads a model's folder, or a file of llama2.c.
    ///
    /// # Errors
    /// When a file is missing, damaged, or does not fit the others.
    pub fn load(path: &Path) -> Result<Self> {
        let stem = if path.is_file() { path.file_stem() } else { path.file_name() };
        let name = stem.map_or("model".into(), |name| name.to_string_lossy().into_owned());
        let (model, vocabulary) = match path.extension() {
            Some(kind) if kind == "gguf" => gguf_model(path)?,
            _ if path.is_file() => llama(path)?,
            _ if is_pretrained(path)? => match pretrained::open(path)? {
                Pretrained::Decoder(model) => return Self::of(path, model),
                _ => {
                    let problem = "a model of another kind, expected one that goes on with texts".into();
                    return Err(Error::Content { path: path.join(CONFIG), problem });
                }
            },
            _ => character_model(path)?,
        };
        Ok(Writer { model, vocabulary, name })
    }

    /// A folder's model with the tokenizer beside it.
    pub(crate) fn of(folder: &Path, model: Box<dyn Model>) -> Result<Self> {
        let tokenizer = HubTokenizer::open(folder, model.vocabulary())?;
        let name = folder.file_name().map_or("model".into(), |name| name.to_string_lossy().into_owned());
        Ok(Writer { model, vocabulary: Vocabulary::Hub(Box::new(tokenizer)), name })
    }

    /// The same with its weights in blocks of 8-bit numbers: a quarter of the memory, and faster where memory is what one waits for.
    ///
    /// # Errors
    /// As [`LanguageModel::quantized`](regard_models::LanguageModel::quantized).
    pub fn quantized(self) -> Result<Self> {
        Ok(Writer { model: self.model.quantized()?, ..self })
    }

    /// The most tokens that it looks at.
    pub fn context(&self) -> usize {
        self.model.context()
    }

    /// What it is called: its folder's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The network.
    pub fn model(&self) -> &dyn Model {
        &*self.model
    }

    /// Its tokens.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The tokens of a word as what follows a text.
    ///
    /// # Errors
    /// When the vocabulary does not have it, or the text and it are not cut where they meet.
    pub(crate) fn following(&self, text: &str, word: &str) -> Result<Vec<u32>> {
        let (before, space) =
            (self.vocabulary.encode(text)?, if text.ends_with(char::is_whitespace) { "" } else { " " });
        let mut after = self.vocabulary.encode(&format!("{text}{space}{}", word.trim()))?;
        let unknown =
            || Error::option("target", format!("{word:?}"), "a word that the model's vocabulary has as what follows");
        if word.trim().is_empty() || !after.starts_with(&before) {
            return Err(unknown());
        }
        let after = after.split_off(before.len());
        let mut spelling = self.vocabulary.spelling(&before);
        let spelled: String = after.iter().map(|&id| spelling.push(id)).collect();
        if spelled.trim() == word.trim() { Ok(after) } else { Err(unknown()) }
    }

    /// The same with nothing learned; see [`weights::shuffled`].
    ///
    /// # Errors
    /// When the weights are in blocks.
    pub fn shuffled(&self, seed: u64) -> Result<Self> {
        let (vocabulary, name) = (self.vocabulary.clone(), self.name.clone());
        Ok(Writer { model: self.model.shuffled(seed)?, vocabulary, name })
    }

    /// How many tokens of a text there are, and how many at its beginning a continuation that remembers so does not see.
    ///
    /// # Errors
    /// When the text has an unknown character, or the cache's sizes make none.
    pub fn unseen(&self, text: &str, cache: &CacheConfig) -> Result<(usize, usize)> {
        let tokens = self.vocabulary.encode(text)?.len();
        Ok((tokens, Continuation::unseen(&*self.model, tokens, cache)?))
    }

    /// What follows `prompt`, a token after the other, until the model ends the text, which not every model can. What a token
    /// adds may be empty, where a character has several. Of a longer prompt than fits into `cache` and [`Self::context`], the
    /// end is seen.
    ///
    /// # Errors
    /// When the prompt is empty or has an unknown character, or the options make no sense.
    pub fn continuation(
        &self,
        prompt: &str,
        how: Sampling,
        cache: CacheConfig,
    ) -> Result<impl Iterator<Item = Result<String>> + '_> {
        let ids = self.vocabulary.encode(prompt)?;
        let mut tokens = Continuation::new(&*self.model, &ids, how, cache)?;
        let mut spelling = self.vocabulary.spelling(&ids);
        Ok(std::iter::from_fn(move || match tokens.next()? {
            Ok(id) if self.vocabulary.ends(id) => None,
            token => Some(token.map(|id| spelling.push(id)).map_err(Error::from)),
        }))
    }

    /// What every layer and head looked at while reading the end of `text`, as much as fits the context. Rows are the
    /// tokens read.
    ///
    /// # Errors
    /// When the text is empty or has an unknown character, or the weights cannot be recomputed.
    pub fn trace(&self, text: &str) -> Result<Trace> {
        let ids = self.vocabulary.encode(text)?;
        let first = ids.len().saturating_sub(self.context());
        let mut spelling = self.vocabulary.spelling(&ids[..first]);
        let shown: String = ids[first..].iter().map(|&id| spelling.push(id)).collect();
        let ids = &ids[first..];
        let mut sights = Vec::new();
        let padded = Padded::new(&[ids], 0, self.model.vocabulary())?;
        self.model.states(&padded, Mode::Evaluate, Some(&mut sights))?;
        let axis = (String::from("text"), ids.iter().map(|&id| self.vocabulary.shown(id)).collect());
        sight::trace(shown, self.name.clone(), axis, sights)
    }
}

impl LanguageModel {
    /// How many numbers the weights have at least.
    pub(crate) fn numbers(&self) -> usize {
        let LanguageModel::Gpt(config) = self;
        let width = config.width;
        let tables = width.saturating_mul(config.vocabulary.saturating_add(config.context));
        let layer =
            width.saturating_mul(width.saturating_mul(4).saturating_add(config.inner_width().saturating_mul(2)));
        // However narrow, a layer has a dozen tensors that the file's header names in 50 bytes each or more.
        tables.saturating_add(config.layers.saturating_mul(layer.saturating_add(300)))
    }
}

/// A file of llama2.c and the tokenizer beside it.
fn llama(path: &Path) -> Result<(Box<dyn Model>, Vocabulary)> {
    let model = llama2c::load(path)?;
    let count = model.vocabulary();
    let names = [format!("tok{count}.bin"), "tokenizer.bin".to_owned()];
    let Some(beside) = names.iter().map(|name| path.with_file_name(name)).find(|beside| beside.exists()) else {
        let problem = format!("no tokenizer beside it, expected {} or {}", names[0], names[1]);
        return Err(Error::Content { path: path.to_owned(), problem });
    };
    Ok((Box::new(model), Vocabulary::Pieces(Box::new(Pieces::load(&beside, count)?))))
}

/// A file of llama.cpp, which has its vocabulary within.
fn gguf_model(path: &Path) -> Result<(Box<dyn Model>, Vocabulary)> {
    let Gguf { model, vocabulary } = gguf::open(path)?;
    let content = |problem: String| Error::Content { path: path.to_owned(), problem };
    let found = vocabulary.ok_or_else(|| content("no vocabulary in it".into()))?;
    if found.kind != "llama" || found.begin.unwrap_or(1) != 1 || found.end.unwrap_or(2) != 2 {
        let begins = (found.begin, found.end);
        let problem =
            format!("a tokenizer of kind {:?} with the ends {begins:?}, expected llama, SentencePiece's", found.kind);
        return Err(content(problem));
    }
    if found.tokens.len() != model.vocabulary() {
        let (known, asked) = (found.tokens.len(), model.vocabulary());
        return Err(content(format!("the model has {asked} tokens, its vocabulary {known}")));
    }
    let pieces = Pieces::of(&found.tokens, &found.scores)?;
    Ok((Box::new(model), Vocabulary::Pieces(Box::new(pieces))))
}

/// A folder that `regard train charlm` wrote.
fn character_model(folder: &Path) -> Result<(Box<dyn Model>, Vocabulary)> {
    let architecture: LanguageModel = read_json(&folder.join(CONFIG))?;
    let LanguageModel::Gpt(config) = &architecture;
    let path = folder.join(CHARACTERS);
    let characters = Characters::from_text(&read_text(&path, "a vocabulary", LARGEST_TEXT)?)
        .map_err(|error| Error::Content { path: path.clone(), problem: error.to_string() })?;
    let path = folder.join(WEIGHTS);
    let bytes = std::fs::read(&path).map_err(|source| Error::File { action: "read", path: path.clone(), source })?;
    let content = |problem: String| Error::Content { path: path.clone(), problem };
    if config.vocabulary != characters.count() {
        let (model, known) = (config.vocabulary, characters.count());
        return Err(content(format!("the model has {model} tokens, its vocabulary {known}")));
    }
    folder::holds(bytes.len(), architecture.numbers()).map_err(content)?;
    let model = weights::from_bytes(config.init(&Device::default())?, &bytes, &path)?;
    Ok((Box::new(model), Vocabulary::Characters(characters)))
}

/// Writes a model's folder, weights as f16, each file whole or not at all.
pub(crate) fn write_model(
    folder: &Path,
    model: &Gpt,
    architecture: &LanguageModel,
    characters: &Characters,
) -> Result<()> {
    folder::write(folder, model, architecture)?;
    Ok(write_atomically(folder.join(CHARACTERS), characters.to_text().as_bytes())?)
}
