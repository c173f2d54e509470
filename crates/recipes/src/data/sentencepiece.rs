//! SentencePiece's unigram model, as `.spm` and `.model` files hold it: a text is cut into the pieces that are most likely together.
//!
//! Each piece has the logarithm of a probability, and of all ways to cut a text the one with the greatest sum counts (Viterbi); a run of
//! characters that no piece covers stays whole. Kudo 2018, arXiv:1804.10959; Kudo & Richardson 2018, arXiv:1808.06226.
//!
//! Before that, characters are rewritten as the file says, spaces are tidied, and become `▁`; a text begins with one that nobody wrote.

use std::collections::HashMap;
use std::path::Path;

use super::charsmap::Charsmap;
use super::protobuf::{Value, fields};
use super::{DataError, read};

/// No model is as large; a file that is, is not read.
const LARGEST: u64 = 64 << 20;
/// What a space becomes.
const SPACE: char = '▁';
/// How much less likely than any piece a character is that none covers.
const UNKNOWN: f32 = 10.0;

/// Kinds of pieces that texts are cut into; others stand for nothing that is written.
const NORMAL: u64 = 1;
const USER_DEFINED: u64 = 4;

/// See the module's page.
#[derive(Debug, Clone)]
pub struct SentencePieces {
    /// Scores of pieces.
    pieces: HashMap<Box<str>, f32>,
    /// Bytes of the longest.
    longest: usize,
    unknown: f32,
    characters: Charsmap,
    /// Whether a text begins with a space.
    prefix: bool,
    /// Whether spaces at the ends and behind other spaces are dropped.
    tidy: bool,
}

impl SentencePieces {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, is cut short, or is of another kind of model.
    pub fn load(path: &Path) -> Result<Self, DataError> {
        let content = |problem: String| DataError::Content { path: path.to_owned(), problem };
        Self::from_bytes(&read(path, "a tokenizer", LARGEST)?)
            .map_err(|problem| content(format!("no model of SentencePiece: {problem}")))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let mut model = SentencePieces {
            pieces: HashMap::new(),
            longest: 0,
            unknown: 0.0,
            characters: Charsmap::default(),
            prefix: true,
            tidy: true,
        };
        let mut defined = Vec::new();
        let mut scores = (f32::INFINITY, f32::NEG_INFINITY);
        for (field, value) in fields(bytes)? {
            match (field, value) {
                (1, Value::Bytes(piece)) => {
                    let (text, score, kind) = piece_of(piece)?;
                    match kind {
                        NORMAL => scores = (scores.0.min(score), scores.1.max(score)),
                        USER_DEFINED => defined.push(text),
                        _ => continue,
                    }
                    model.longest = model.longest.max(text.len());
                    model.pieces.insert(text.into(), score);
                }
                (2, Value::Bytes(trainer)) => check_trainer(trainer)?,
                (3, Value::Bytes(normalizer)) => model.normalizer(normalizer)?,
                _ => {}
            }
        }
        if !scores.0.is_finite() {
            return Err("it has no pieces".into());
        }
        model.unknown = scores.0 - UNKNOWN;
        // As the package does: longer than what they are made of, whatever that scores.
        for text in defined {
            model.pieces.insert(text.into(), text.chars().count() as f32 * scores.1 - 0.1);
        }
        Ok(model)
    }

    fn normalizer(&mut self, bytes: &[u8]) -> Result<(), String> {
        for field in fields(bytes)? {
            match field {
                (2, Value::Bytes(map)) => self.characters = Charsmap::from_bytes(map)?,
                (3, Value::Number(prefix)) => self.prefix = prefix != 0,
                (4, Value::Number(tidy)) => self.tidy = tidy != 0,
                (5, Value::Number(0)) => return Err("spaces stay spaces, which is not implemented".into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// The pieces of a text, `▁` for a space.
    pub fn cut(&self, text: &str) -> Vec<String> {
        let text = self.normalized(text);
        let mut pieces: Vec<String> = Vec::new();
        let mut unknown = false;
        for (piece, known) in self.best(&text) {
            match pieces.last_mut().filter(|_| unknown && !known) {
                Some(run) => run.push_str(piece),
                None => pieces.push(piece.into()),
            }
            unknown = !known;
        }
        pieces
    }

    fn normalized(&self, text: &str) -> String {
        let mut result = String::new();
        let mut after_space = self.tidy;
        let mut rest = text;
        while !rest.is_empty() {
            let (found, length) = self.characters.first(rest);
            rest = &rest[length..];
            let found = if after_space { found.trim_start_matches(' ') } else { found };
            if found.is_empty() {
                continue;
            }
            after_space = self.tidy && found.ends_with(' ');
            result.extend(found.chars().map(|character| if character == ' ' { SPACE } else { character }));
        }
        let kept = if self.tidy { result.trim_end_matches(SPACE).len() } else { result.len() };
        result.truncate(kept);
        if self.prefix && !result.is_empty() {
            result.insert(0, SPACE);
        }
        result
    }

    /// The most likely pieces, and characters that are none.
    fn best<'a>(&self, text: &'a str) -> Vec<(&'a str, bool)> {
        // The best way to each place: its score, where its last piece starts, and whether that is one.
        let mut ways: Vec<Option<(f32, usize, bool)>> = vec![None; text.len() + 1];
        ways[0] = Some((0.0, 0, true));
        for (start, character) in text.char_indices() {
            let score = ways[start].map_or(0.0, |(score, ..)| score);
            let mut consider = |end: usize, more: f32, known| {
                let sum = score + more;
                if ways[end].is_none_or(|(best, ..)| sum > best) {
                    ways[end] = Some((sum, start, known));
                }
            };
            let one = start + character.len_utf8();
            let mut alone = false;
            let most = text.len().min(start.saturating_add(self.longest));
            for end in (one..=most).filter(|&end| text.is_char_boundary(end)) {
                if let Some(&score) = self.pieces.get(&text[start..end]) {
                    consider(end, score, true);
                    alone |= end == one;
                }
            }
            if !alone {
                consider(one, self.unknown, false);
            }
        }
        let (mut found, mut end) = (Vec::new(), text.len());
        while let Some((_, start, known)) = ways[end].filter(|_| end > 0) {
            found.push((&text[start..end], known));
            end = start;
        }
        found.reverse();
        found
    }
}

/// Text, score and kind of a piece.
fn piece_of(bytes: &[u8]) -> Result<(&str, f32, u64), String> {
    let (mut text, mut score, mut kind) = ("", 0.0, NORMAL);
    for field in fields(bytes)? {
        match field {
            (1, Value::Bytes(bytes)) => text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?,
            (2, Value::Float(given)) => score = given,
            (3, Value::Number(given)) => kind = given,
            _ => {}
        }
    }
    if text.is_empty() || !score.is_finite() {
        return Err(format!("the piece {text:?} has the score {score}"));
    }
    Ok((text, score, kind))
}

fn check_trainer(bytes: &[u8]) -> Result<(), String> {
    for field in fields(bytes)? {
        match field {
            (3, Value::Number(kind)) if kind != 1 => {
                return Err(format!("its pieces are of kind {kind}, expected 1: only unigram models are implemented"));
            }
            (24, Value::Number(1)) => return Err("spaces end pieces, which is not implemented".into()),
            (35, Value::Number(1)) => return Err("unknown characters become bytes, which is not implemented".into()),
            _ => {}
        }
    }
    Ok(())
}
