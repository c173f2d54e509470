//! What a language model's tokens stand for: characters, or pieces of words.

use crate::data::DataError;
use crate::data::characters::Characters;
use crate::data::pieces::Pieces;

/// Tokens of one of the kinds.
#[derive(Debug, Clone)]
pub enum Vocabulary {
    /// A token a character.
    Characters(Characters),
    /// A token a piece, as SentencePiece has them.
    Pieces(Box<Pieces>),
}

impl Vocabulary {
    /// How many tokens there are.
    pub fn count(&self) -> usize {
        match self {
            Vocabulary::Characters(characters) => characters.count(),
            Vocabulary::Pieces(pieces) => pieces.count(),
        }
    }

    /// The tokens of a text from its beginning.
    ///
    /// # Errors
    /// Naming the first character that is unknown.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        match self {
            Vocabulary::Characters(characters) => characters.encode(text),
            Vocabulary::Pieces(pieces) => pieces.encode(text),
        }
    }

    /// Whether a text ends with this token.
    pub fn ends(&self, id: u32) -> bool {
        match self {
            Vocabulary::Characters(_) => false,
            Vocabulary::Pieces(pieces) => pieces.ends(id),
        }
    }

    /// A token as an axis shows it.
    pub fn shown(&self, id: u32) -> String {
        let text = match self {
            Vocabulary::Characters(characters) => characters.character(id).to_string(),
            Vocabulary::Pieces(pieces) if pieces.ends(id) => "<s>".into(),
            Vocabulary::Pieces(pieces) => String::from_utf8_lossy(pieces.bytes(id)).into_owned(),
        };
        text.replace(' ', "␣").replace('\n', "⏎")
    }

    /// Tokens as text, one after the other, behind those of `before`.
    pub fn spelling(&self, before: &[u32]) -> Spelling<'_> {
        let begins = match self {
            Vocabulary::Characters(_) => false,
            Vocabulary::Pieces(pieces) => before.iter().all(|&id| pieces.ends(id)),
        };
        Spelling { vocabulary: self, begins, pending: Vec::new() }
    }
}

/// A text being spelled.
#[derive(Debug)]
pub struct Spelling<'a> {
    vocabulary: &'a Vocabulary,
    /// Whether nothing has been written, so that a space is the one that every text of pieces begins with.
    begins: bool,
    /// The beginning of a character.
    pending: Vec<u8>,
}

impl Spelling<'_> {
    /// What a token adds: nothing, while it and those before it are but a part of a character.
    pub fn push(&mut self, id: u32) -> String {
        let pieces = match self.vocabulary {
            Vocabulary::Characters(characters) => return characters.character(id).to_string(),
            Vocabulary::Pieces(pieces) => pieces,
        };
        let mut bytes = pieces.bytes(id);
        if self.begins && !bytes.is_empty() {
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
            self.begins = false;
        }
        self.pending.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.pending) {
            // Only an end that more bytes could complete is kept back.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.pending.len(),
        };
        let rest = self.pending.split_off(whole);
        String::from_utf8_lossy(&std::mem::replace(&mut self.pending, rest)).into_owned()
    }
}
