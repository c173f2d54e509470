//! Marian's tokenizer: `source.spm` cuts texts of the source's language, and `vocab.json` numbers the pieces of both languages.
//!
//! Texts may begin with the language to translate to, `>>fr<<`, where a model knows several. Punctuation is left as it is; Python's
//! transformers unifies it if the package sacremoses is installed.

use std::collections::HashMap;
use std::path::Path;

use super::sentencepiece::SentencePieces;
use super::{DataError, read};

/// The pieces of the source's language.
pub(super) const SOURCE: &str = "source.spm";
const VOCABULARY: &str = "vocab.json";
/// No vocabulary is as large; a file that is, is not read.
const LARGEST: u64 = 64 << 20;

/// See the module's page.
#[derive(Debug, Clone)]
pub(super) struct Marian {
    pieces: SentencePieces,
    ids: HashMap<String, u32>,
    names: Vec<String>,
    end: u32,
    unknown: u32,
    pad: Option<u32>,
}

impl Marian {
    /// That of a model's folder, whose model knows `vocabulary` tokens.
    pub fn open(folder: &Path, vocabulary: usize) -> Result<Self, DataError> {
        let path = folder.join(VOCABULARY);
        let content = |problem: String| DataError::Content { path: path.clone(), problem };
        let text = read(&path, "a vocabulary", LARGEST)?;
        let ids: HashMap<String, u32> =
            serde_json::from_slice(&text).map_err(|error| content(format!("no vocabulary: {error}")))?;
        let mut names = vec![String::new(); vocabulary];
        for (name, &id) in &ids {
            match names.get_mut(id as usize) {
                Some(place) => place.clone_from(name),
                None => {
                    let problem = format!("the token {name:?} has the id {id}, the model knows {vocabulary} tokens");
                    return Err(content(problem));
                }
            }
        }
        let special =
            |name: &str| ids.get(name).copied().ok_or_else(|| content(format!("the token {name} is missing")));
        let (end, unknown) = (special("</s>")?, special("<unk>")?);
        let pad = ids.get("<pad>").copied();
        Ok(Marian { pieces: SentencePieces::load(&folder.join(SOURCE))?, ids, names, end, unknown, pad })
    }

    /// How many tokens there are.
    pub fn count(&self) -> usize {
        self.ids.len()
    }

    /// The tokens of a text, and the end.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let language = text.strip_prefix(">>").and_then(|rest| rest.find("<<")).map_or(0, |at| at + 4);
        let (language, text) = text.split_at(language);
        let mut ids: Vec<u32> = (!language.is_empty()).then(|| self.known(language)).into_iter().collect();
        ids.extend(self.pieces.cut(text).iter().map(|piece| self.known(piece)));
        ids.push(self.end);
        ids
    }

    fn known(&self, piece: &str) -> u32 {
        self.id(piece).unwrap_or(self.unknown)
    }

    /// A token's id, if it is one.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// A token's name, if it has one.
    pub fn name(&self, id: u32) -> Option<&str> {
        self.names.get(id as usize).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// The text of tokens, without those that stand for nothing that is written.
    pub fn decode(&self, ids: &[u32]) -> String {
        let silent = [Some(self.end), Some(self.unknown), self.pad];
        let written = ids.iter().filter(|&&id| !silent.contains(&Some(id)));
        let text: String = written.filter_map(|&id| self.name(id)).collect();
        text.replace('▁', " ").trim().to_owned()
    }
}
