//! What a language model's tokens stand for: characters, or pieces of words.

use crate::data::DataError;
use crate::data::characters::Characters;
use crate::data::hub::HubTokenizer;
use crate::data::pieces::Pieces;

/// Tokens of one of the kinds.
#[derive(Debug, Clone)]
pub enum Vocabulary {
    /// A token a character.
    Characters(Characters),
    /// A token a piece, as SentencePiece has them.
    Pieces(Box<Pieces>),
    /// Whatever a checkpoint's tokenizer says.
    Hub(Box<HubTokenizer>),
}

impl Vocabulary {
    /// How many tokens there are.
    pub fn count(&self) -> usize {
        match self {
            Vocabulary::Characters(characters) => characters.count(),
            Vocabulary::Pieces(pieces) => pieces.count(),
            Vocabulary::Hub(tokenizer) => tokenizer.count(),
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
            Vocabulary::Hub(tokenizer) => tokenizer.encode(text),
        }
    }

    /// Whether a text ends with this token.
    pub fn ends(&self, id: u32) -> bool {
        match self {
            Vocabulary::Characters(_) => false,
            Vocabulary::Pieces(pieces) => pieces.ends(id),
            Vocabulary::Hub(tokenizer) => tokenizer.ends(id),
        }
    }

    /// A token's id by its name; characters have none.
    pub fn id(&self, token: &str) -> Option<u32> {
        match self {
            Vocabulary::Characters(_) => None,
            Vocabulary::Pieces(pieces) => (token == "<unk>" && pieces.count() > 0).then_some(0),
            Vocabulary::Hub(tokenizer) => tokenizer.id(token),
        }
    }

    /// Whether this token stands before or behind texts, rather than for a part of one.
    pub fn surrounds(&self, id: u32) -> bool {
        match self {
            Vocabulary::Characters(_) => false,
            Vocabulary::Pieces(pieces) => pieces.ends(id),
            Vocabulary::Hub(tokenizer) => tokenizer.surrounds(id),
        }
    }

    /// A token as an axis shows it.
    pub fn shown(&self, id: u32) -> String {
        let text = match self {
            Vocabulary::Characters(characters) => characters.character(id).to_string(),
            Vocabulary::Pieces(pieces) if pieces.ends(id) => "<s>".into(),
            Vocabulary::Pieces(pieces) => String::from_utf8_lossy(pieces.bytes(id)).into_owned(),
            Vocabulary::Hub(tokenizer) => tokenizer.shown(id),
        };
        text.replace(' ', "␣").replace('\n', "⏎")
    }

    /// Tokens as text, one after the other, behind those of `before`.
    pub fn spelling(&self, before: &[u32]) -> Spelling<'_> {
        let begins = match self {
            Vocabulary::Pieces(pieces) => before.iter().all(|&id| pieces.ends(id)),
            Vocabulary::Characters(_) | Vocabulary::Hub(_) => false,
        };
        // More than a word, which is all that a tokenizer looks back for a space.
        let spelled = before[before.len().saturating_sub(16)..].to_vec();
        Spelling { vocabulary: self, begins, pending: Vec::new(), spelled, waiting: Vec::new() }
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
    /// The last tokens that are written already, for a checkpoint's tokenizer, which joins them in its own way.
    spelled: Vec<u32>,
    /// Tokens that are but a part of a character.
    waiting: Vec<u32>,
}

impl Spelling<'_> {
    /// What a token adds: nothing, while it and those before it are but a part of a character.
    pub fn push(&mut self, id: u32) -> String {
        let pieces = match self.vocabulary {
            Vocabulary::Characters(characters) => return characters.character(id).to_string(),
            Vocabulary::Pieces(pieces) => pieces,
            Vocabulary::Hub(tokenizer) => return self.joined(tokenizer, id),
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
    /// What a token adds to the text of those before.
    fn joined(&mut self, tokenizer: &HubTokenizer, id: u32) -> String {
        self.waiting.push(id);
        let all: Vec<u32> = self.spelled.iter().chain(&self.waiting).copied().collect();
        let (Ok(before), Ok(text)) = (tokenizer.decode(&self.spelled), tokenizer.decode(&all)) else {
            return String::new();
        };
        if text.ends_with(char::REPLACEMENT_CHARACTER) && self.waiting.len() < 4 {
            return String::new();
        }
        self.spelled = all[all.len().saturating_sub(16)..].to_vec();
        self.waiting.clear();
        text.get(before.len()..).unwrap_or_default().to_owned()
    }
}
