//! Sentences to token numbers and back, in Hugging Face's `tokenizer.json` format.
//!
//! [`Tokenizer::train`] learns a byte pair encoding that the source and target language share. Before it, text is
//! normalised so that what looks the same is the same:
//! - Unicode composition (NFC);
//! - every space, U+00A0 and the narrow U+202F that French has before `? ! : ;` included, and every control character
//!   becomes a plain space, several one, none at the ends: Tatoeba writes the three spaces interchangeably, people type
//!   the plain one, and sacreBLEU splits at any;
//! - zero-width spaces and soft hyphens go; the typographic apostrophe becomes `'`, of which the data has twenty times more.
//!
//! Letter case stays. Words carry their leading space as `▁`; punctuation, digits and hyphenated or elided parts are
//! tokens' boundaries (`▁qu' il ▁a -t -il ▁?`), so that an alignment can point at them. A character that is rare or was
//! never seen is spelt in its UTF-8 bytes, so none is lost.
//!
//! [`Tokenizer::whitespace`] is for text that comes already cut into subwords with the suffix `@@` (as subword-nmt
//! writes it): tokens are what stands between spaces.
//!
//! Text can never name a special token: `<eos>` in a sentence is five characters.

use super::{DataError, bpe, read_text};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::path::Path;
use tokenizers::SplitDelimiterBehavior::Isolated;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::normalizers::replace::{Replace, ReplacePattern};
use tokenizers::normalizers::{NFC, Sequence as Normalizers, Strip};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::{NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

/// Fills up the rows of a batch.
pub const PAD: u32 = 0;
/// Begins a sentence.
pub const BOS: u32 = 1;
/// Ends a sentence.
pub const EOS: u32 = 2;
/// A word that is not in the vocabulary (with [`Tokenizer::whitespace`] only).
pub const UNK: u32 = 3;

const SPECIAL: [&str; 4] = ["<pad>", "<bos>", "<eos>", "<unk>"];
const BYTES: usize = 256;
/// Characters that occur less often than this in the training text are spelt in bytes.
const RARE: u64 = 5;
/// No tokenizer file is this large, so a larger one is not read into memory.
const LARGEST_FILE: u64 = 64 << 20;

/// French elision (`▁l'`, `▁Qu'`), a word or what a hyphen or apostrophe ties to one, a digit, any other character.
const WORDS: &str = concat!(
    r"^▁(?i:[cdjlmnst]|(?:lors|puis|jus|quoi)?qu)'",
    r"|[▁'-]?[\p{L}\p{M}]+",
    r"|▁?\p{N}",
    r"|▁?[^▁\p{L}\p{M}\p{N}]",
);

/// Cuts sentences into tokens and joins them again; see the module's page.
#[derive(Clone)]
pub struct Tokenizer {
    engine: tokenizers::Tokenizer,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    BytePairs,
    Whitespace,
}

/// What is learnt; the rest of a tokenizer follows from it.
#[derive(Deserialize)]
#[serde(tag = "type")]
enum Model {
    #[serde(rename = "BPE")]
    BytePairs { vocab: HashMap<String, u32>, merges: Vec<(String, String)> },
    #[serde(rename = "WordLevel")]
    Whitespace { vocab: HashMap<String, u32> },
}

impl Tokenizer {
    /// Learns a byte pair encoding of up to `vocab_size` tokens; `texts` are the sentences of both languages.
    ///
    /// The same sentences, in any order, give the same tokenizer to the byte. Fewer tokens come out when the text has
    /// no more pairs that occur twice.
    ///
    /// # Errors
    /// `vocab_size` has no room for the special tokens, the 256 bytes and the characters of the text.
    pub fn train<S: AsRef<str>>(texts: impl IntoIterator<Item = S>, vocab_size: usize) -> Result<Self, DataError> {
        let (normalizer, pre_tokenizer) = (normalizer()?, pre_tokenizer()?);
        let mut words: BTreeMap<String, u64> = BTreeMap::new();
        for text in texts {
            let mut text = NormalizedString::from(text.as_ref());
            normalizer.normalize(&mut text).map_err(failed)?;
            let mut pieces = PreTokenizedString::from(text);
            pre_tokenizer.pre_tokenize(&mut pieces).map_err(failed)?;
            for (piece, ..) in pieces.get_splits(OffsetReferential::Original, OffsetType::Byte) {
                match words.get_mut(piece) {
                    Some(count) => *count += 1,
                    None => _ = words.insert(piece.to_owned(), 1),
                }
            }
        }
        let alphabet = bpe::alphabet(&words, RARE);
        let fixed = SPECIAL.len() + BYTES;
        if vocab_size < fixed + alphabet.len() {
            let expected = format!(
                "at least {}: {} special tokens, {BYTES} bytes and the {} characters of the text",
                fixed + alphabet.len(),
                SPECIAL.len(),
                alphabet.len(),
            );
            return Err(DataError::argument("vocab_size", vocab_size, expected));
        }
        let learned = bpe::learn(&words, &alphabet, vocab_size - fixed);
        let tokens = SPECIAL.map(str::to_owned).into_iter().chain((0..BYTES).map(byte_token)).chain(learned.symbols);
        Self::build(Model::BytePairs { vocab: tokens.zip(0..).collect(), merges: learned.merges })
    }

    /// Takes the words of the training files of both languages as they are, most frequent first.
    ///
    /// # Errors
    /// None that text can cause.
    pub fn whitespace<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Result<Self, DataError> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for text in texts {
            for word in text.as_ref().split_whitespace().filter(|word| !SPECIAL.contains(word)) {
                *counts.entry(word.to_owned()).or_default() += 1;
            }
        }
        let mut words: Vec<(String, u64)> = counts.into_iter().collect();
        words.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let tokens = SPECIAL.map(str::to_owned).into_iter().chain(words.into_iter().map(|(word, _)| word));
        Self::build(Model::Whitespace { vocab: tokens.zip(0..).collect() })
    }

    /// Cuts a sentence into tokens, without [`BOS`] and [`EOS`]; a blank sentence has none.
    ///
    /// # Errors
    /// None that text can cause.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        let encoding = self.engine.encode_fast(text, false).map_err(failed)?;
        // The word-level vocabulary holds the special tokens as words; text must not name them.
        Ok(encoding.get_ids().iter().map(|&id| id.max(UNK)).collect())
    }

    /// Joins tokens into a sentence. [`PAD`], [`BOS`], [`EOS`] and numbers beyond the vocabulary are left out, bytes that
    /// are not UTF-8 become `�`.
    ///
    /// # Errors
    /// None that token numbers can cause.
    pub fn decode(&self, ids: &[u32]) -> Result<String, DataError> {
        let shown: Vec<u32> = ids.iter().copied().filter(|&id| id >= UNK).collect();
        let text = self.engine.decode(&shown, false).map_err(failed)?;
        Ok(match self.kind {
            Kind::BytePairs => text,
            Kind::Whitespace => (text + " ").replace("@@ ", "").trim_end().to_owned(),
        })
    }

    /// A token as people should see it on an axis: without the marks of where words begin (`▁`) or go on (`@@`).
    ///
    /// ```
    /// use regard_recipes::data::tokenizer::{EOS, Tokenizer};
    ///
    /// let tokenizer = Tokenizer::train(["no no no no no"], 300)?;
    /// let ids = tokenizer.encode("no")?;
    /// assert_eq!((tokenizer.piece(ids[0]), tokenizer.token(ids[0])), ("▁no".into(), "no".into()));
    /// assert_eq!(tokenizer.token(EOS), "<eos>");
    /// # Ok::<(), regard_recipes::data::DataError>(())
    /// ```
    pub fn token(&self, id: u32) -> String {
        let piece = self.piece(id);
        let shown = match self.kind {
            Kind::BytePairs => piece.trim_start_matches('▁'),
            Kind::Whitespace => piece.trim_end_matches("@@"),
        };
        if shown.is_empty() { "␣".to_owned() } else { shown.to_owned() }
    }

    /// A token as the vocabulary writes it; `<unk>` for a number beyond it.
    pub fn piece(&self, id: u32) -> String {
        self.engine.id_to_token(id).unwrap_or_else(|| SPECIAL[UNK as usize].to_owned())
    }

    /// Whether it takes what stands between spaces as tokens; see [`Tokenizer::whitespace`].
    pub fn is_segmented(&self) -> bool {
        self.kind == Kind::Whitespace
    }

    /// How many tokens there are, special ones included; every id is below.
    pub fn vocab_size(&self) -> usize {
        self.engine.get_vocab_size(false)
    }

    /// Reads a file that [`Tokenizer::save`] wrote.
    ///
    /// # Errors
    /// The file cannot be read, is truncated, or is not a tokenizer of this program.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let wrong = |problem: String| DataError::Content { path: path.to_owned(), problem };
        Self::from_json(&read_text(path, "a tokenizer", LARGEST_FILE)?).map_err(|error| wrong(error.to_string()))
    }

    /// Writes `tokenizer.json`; a file that is already there is replaced as a whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), DataError> {
        let path = path.as_ref();
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".part");
        let json = self.to_json()?;
        fs::write(&unfinished, json).and_then(|()| fs::rename(&unfinished, path)).map_err(|source| {
            _ = fs::remove_file(&unfinished);
            DataError::Write { path: path.to_owned(), source }
        })
    }

    /// The tokenizer as the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// None for a tokenizer that was trained or loaded here.
    pub fn to_json(&self) -> Result<String, DataError> {
        self.engine.to_string(true).map_err(failed)
    }

    /// Reads the text of a `tokenizer.json` that [`Tokenizer::to_json`] wrote.
    ///
    /// # Errors
    /// The text is not JSON, its vocabulary or merges are inconsistent, or anything else in it differs from what this
    /// program writes (so that it would cut text differently).
    pub fn from_json(text: &str) -> Result<Self, DataError> {
        #[derive(Deserialize)]
        struct File {
            model: Model,
        }
        let invalid = |error: serde_json::Error| DataError::Tokenizer(error.to_string());
        let file: File = serde_json::from_str(text).map_err(invalid)?;
        let tokenizer = Self::build(file.model)?;
        let given: serde_json::Value = serde_json::from_str(text).map_err(invalid)?;
        let expected: serde_json::Value = serde_json::from_str(&tokenizer.to_json()?).map_err(invalid)?;
        match expected.as_object().into_iter().flatten().find(|(key, value)| given.get(key) != Some(*value)) {
            Some((key, _)) => Err(DataError::Tokenizer(format!("\"{key}\" is not what this program writes"))),
            None => Ok(tokenizer),
        }
    }

    /// The one way to a tokenizer, trained or read: checks the vocabulary and puts the fixed parts around it.
    fn build(model: Model) -> Result<Self, DataError> {
        let vocab = match &model {
            Model::BytePairs { vocab, .. } | Model::Whitespace { vocab } => vocab,
        };
        let mut tokens: Vec<Option<&str>> = vec![None; vocab.len()];
        for (token, &id) in vocab {
            match tokens.get_mut(id as usize) {
                Some(place @ None) => *place = Some(token),
                _ => {
                    let problem =
                        format!("token {token:?} has id {id}, expected ids 0 to {} once each", vocab.len() - 1);
                    return Err(DataError::Tokenizer(problem));
                }
            }
        }
        let bytes = if matches!(model, Model::BytePairs { .. }) { BYTES } else { 0 };
        let fixed = SPECIAL.map(str::to_owned).into_iter().chain((0..bytes).map(byte_token));
        for (id, token) in fixed.enumerate() {
            if tokens.get(id) != Some(&Some(&token)) {
                return Err(DataError::Tokenizer(format!("no token {token:?} with id {id}")));
            }
        }
        match model {
            Model::BytePairs { vocab, merges } => byte_pairs(vocab.into_iter().collect(), merges),
            Model::Whitespace { vocab } => whitespace(vocab.into_iter().collect()),
        }
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("kind", &self.kind).field("vocab_size", &self.vocab_size()).finish()
    }
}

fn byte_pairs(vocab: Vocab, merges: Vec<(String, String)>) -> Result<Tokenizer, DataError> {
    let model = BPE::builder()
        .vocab_and_merges(vocab, merges)
        .unk_token(SPECIAL[UNK as usize].to_owned())
        .byte_fallback(true)
        .build()
        .map_err(failed)?;
    let mut engine = tokenizers::Tokenizer::new(model);
    engine.with_normalizer(Some(normalizer()?));
    engine.with_pre_tokenizer(Some(pre_tokenizer()?));
    engine.with_decoder(Some(Decoders::new(vec![ByteFallback::default().into(), metaspace().into()])));
    Ok(Tokenizer { engine, kind: Kind::BytePairs })
}

fn whitespace(vocab: Vocab) -> Result<Tokenizer, DataError> {
    let unknown = SPECIAL[UNK as usize].to_owned();
    let model = WordLevel::builder().vocab(vocab).unk_token(unknown).build().map_err(failed)?;
    let mut engine = tokenizers::Tokenizer::new(model);
    engine.with_pre_tokenizer(Some(WhitespaceSplit));
    Ok(Tokenizer { engine, kind: Kind::Whitespace })
}

fn normalizer() -> Result<Normalizers, DataError> {
    let replace = |pattern: &str, by: &str| Replace::new(ReplacePattern::Regex(pattern.to_owned()), by).map_err(failed);
    Ok(Normalizers::new(vec![
        NFC.into(),
        replace(r"[\x{200B}\x{AD}\x{2060}\x{FEFF}]", "")?.into(),
        // "▁" itself would come back as a space, so it goes in as one.
        replace(r"[\p{Z}\p{Cc}▁]+", " ")?.into(),
        replace("’", "'")?.into(),
        Strip::new(true, true).into(),
    ]))
}

fn pre_tokenizer() -> Result<PreTokenizers, DataError> {
    let words = Split::new(SplitPattern::Regex(WORDS.to_owned()), Isolated, false).map_err(failed)?;
    Ok(PreTokenizers::new(vec![metaspace().into(), words.into()]))
}

fn metaspace() -> Metaspace {
    Metaspace::new('▁', PrependScheme::Always, true)
}

fn byte_token(byte: usize) -> String {
    format!("<0x{byte:02X}>")
}

fn failed(error: tokenizers::Error) -> DataError {
    DataError::Tokenizer(error.to_string())
}
