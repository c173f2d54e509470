//! The tokenizer of a checkpoint: `tokenizer.json` of any kind, as Hugging Face's tokenizers write it, or Marian's two files.
//!
//! It says itself how text becomes tokens, and which it puts around them. What it says of cutting and padding texts is left aside: a text
//! is never shortened in silence.

use std::path::Path;

use serde::Deserialize;
use tokenizers::{Decoder, Tokenizer};

use super::marian::{self, Marian};
use super::{DataError, read};

const NAME: &str = "tokenizer.json";
/// No tokenizer is as large; a file that is, is not read.
const LARGEST: u64 = 256 << 20;
/// Other files that say how a text is cut, which are not read.
const OTHERS: [&str; 4] = ["tokenizer.model", "spiece.model", "vocab.txt", "vocab.json"];

/// See the module's page.
#[derive(Debug, Clone)]
pub struct HubTokenizer {
    kind: Kind,
    ends: Vec<u32>,
}

#[derive(Debug, Clone)]
enum Kind {
    Json(Box<Tokenizer>),
    Marian(Box<Marian>),
}

/// An id, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Ids {
    One(u32),
    Several(Vec<u32>),
}

#[derive(Deserialize, Default)]
struct Ends {
    eos_token_id: Option<Ids>,
}

impl HubTokenizer {
    /// That of a model's folder, whose model knows `vocabulary` tokens. What ends a text is what `generation_config.json` says, or
    /// else `config.json`.
    ///
    /// # Errors
    /// When there is none, it cannot be read, or it has tokens that the model does not know.
    pub fn open(folder: &Path, vocabulary: usize) -> Result<Self, DataError> {
        let kind = match !folder.join(NAME).exists() && folder.join(marian::SOURCE).exists() {
            true => Kind::Marian(Box::new(Marian::open(folder, vocabulary)?)),
            false => Kind::Json(Box::new(json(folder, vocabulary)?)),
        };
        let ends = ["generation_config.json", "config.json"].iter().find_map(|name| {
            let text = std::fs::read(folder.join(name)).ok()?;
            serde_json::from_slice::<Ends>(&text).ok()?.eos_token_id
        });
        let ends = match ends {
            Some(Ids::One(id)) => vec![id],
            Some(Ids::Several(ids)) => ids,
            None => Vec::new(),
        };
        Ok(HubTokenizer { kind, ends })
    }

    /// How many tokens there are.
    pub fn count(&self) -> usize {
        match &self.kind {
            Kind::Json(tokenizer) => tokenizer.get_vocab_size(true),
            Kind::Marian(marian) => marian.count(),
        }
    }

    /// The tokens of a text, and those that the tokenizer puts around it.
    ///
    /// # Errors
    /// When it has no token for a part of the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        match &self.kind {
            Kind::Json(tokenizer) => {
                let encoding = tokenizer.encode(text, true).map_err(|error| DataError::Tokenizer(error.to_string()))?;
                Ok(encoding.get_ids().to_vec())
            }
            Kind::Marian(marian) => Ok(marian.encode(text)),
        }
    }

    /// The tokens of two texts as one, and which of them each belongs to, 0 or 1.
    ///
    /// # Errors
    /// As [`Self::encode`], and when the tokenizer reads one text at a time.
    pub fn encode_pair(&self, first: &str, second: &str) -> Result<(Vec<u32>, Vec<u32>), DataError> {
        let Kind::Json(tokenizer) = &self.kind else {
            return Err(DataError::Tokenizer("Marian reads one text at a time".into()));
        };
        let encoding =
            tokenizer.encode((first, second), true).map_err(|error| DataError::Tokenizer(error.to_string()))?;
        Ok((encoding.get_ids().to_vec(), encoding.get_type_ids().to_vec()))
    }

    /// A token's id, if it is one.
    pub fn id(&self, token: &str) -> Option<u32> {
        match &self.kind {
            Kind::Json(tokenizer) => tokenizer.token_to_id(token),
            Kind::Marian(marian) => marian.id(token),
        }
    }

    /// A token as the tokenizer writes it; its number, where it has no name for it.
    pub fn token(&self, id: u32) -> String {
        let name = match &self.kind {
            Kind::Json(tokenizer) => tokenizer.id_to_token(id),
            Kind::Marian(marian) => marian.name(id).map(str::to_owned),
        };
        name.unwrap_or_else(|| format!("<{id}>"))
    }

    /// A token as people read it.
    pub fn shown(&self, id: u32) -> String {
        let token = self.token(id);
        let plain = match &self.kind {
            Kind::Json(tokenizer) => {
                let parts = tokenizer.get_decoder().and_then(|decoder| decoder.decode_chain(vec![token.clone()]).ok());
                parts.map(|parts| parts.concat())
            }
            Kind::Marian(_) => Some(token.replace('▁', " ")),
        };
        let plain = plain.filter(|plain| !plain.is_empty() && !plain.contains('\u{fffd}'));
        // Decoders drop the space that a first word begins with.
        let spaced = token.starts_with(['Ġ', '▁']);
        match plain {
            Some(plain) if spaced && !plain.starts_with(' ') => format!(" {plain}"),
            Some(plain) => plain,
            None => token,
        }
    }

    /// The text of tokens, without those that stand for nothing that is written.
    ///
    /// # Errors
    /// When the tokenizer cannot join them.
    pub fn decode(&self, ids: &[u32]) -> Result<String, DataError> {
        match &self.kind {
            Kind::Json(tokenizer) => {
                tokenizer.decode(ids, true).map_err(|error| DataError::Tokenizer(error.to_string()))
            }
            Kind::Marian(marian) => Ok(marian.decode(ids)),
        }
    }

    /// Whether the tokenizer puts this token around texts, rather than for a part of one.
    pub fn surrounds(&self, id: u32) -> bool {
        match &self.kind {
            Kind::Json(tokenizer) => {
                let token = tokenizer.id_to_token(id);
                token.is_some_and(|token| tokenizer.get_added_vocabulary().is_special_token(&token))
            }
            Kind::Marian(marian) => self.ends(id) || ["</s>", "<pad>"].iter().any(|end| marian.id(end) == Some(id)),
        }
    }

    /// Whether a text ends with this token.
    pub fn ends(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }
}

/// What `tokenizer.json` says.
fn json(folder: &Path, vocabulary: usize) -> Result<Tokenizer, DataError> {
    let path = folder.join(NAME);
    let content = |problem: String| DataError::Content { path: path.clone(), problem };
    if !path.exists()
        && let Some(other) = OTHERS.iter().find(|other| folder.join(other).exists())
    {
        let problem = format!(
            "missing; {other}, which is there, is not read: in Python, transformers' \
                               AutoTokenizer.from_pretrained(…).save_pretrained(…) writes {NAME}"
        );
        return Err(content(problem));
    }
    let bytes = read(&path, "a tokenizer", LARGEST)?;
    let mut tokenizer = Tokenizer::from_bytes(&bytes).map_err(|error| content(format!("no tokenizer: {error}")))?;
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|error| content(error.to_string()))?;
    let known = tokenizer.get_vocab(true);
    if let Some((token, id)) = known.iter().max_by_key(|(_, id)| **id).filter(|(_, id)| **id as usize >= vocabulary) {
        let problem = format!("the token {token:?} has the id {id}, the model knows {vocabulary} tokens");
        return Err(content(problem));
    }
    Ok(tokenizer)
}
