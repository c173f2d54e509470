//! A text's characters as tokens: the smallest vocabulary, nothing to learn, nothing unknown in the text itself.

use std::collections::{BTreeMap, BTreeSet};

use super::DataError;

/// The characters there are, a token each, in the order of their code points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Characters {
    all: Vec<char>,
    ids: BTreeMap<char, u32>,
}

impl Characters {
    /// Those of `text`.
    pub fn of(text: &str) -> Self {
        Self::sorted(text.chars().collect::<BTreeSet<char>>().into_iter().collect::<Vec<_>>())
    }

    /// Those that [`Self::to_text`] wrote.
    ///
    /// # Errors
    /// When there are none, or one stands twice or out of order.
    pub fn from_text(text: &str) -> Result<Self, DataError> {
        let all: Vec<char> = text.chars().collect();
        if all.is_empty() || !all.is_sorted_by(|a, b| a < b) {
            return Err(DataError::Tokenizer(
                "expected characters once each, in the order of their code points".into(),
            ));
        }
        Ok(Self::sorted(all))
    }

    /// All of them, in order.
    pub fn to_text(&self) -> String {
        self.all.iter().collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// A token for each character of `text`.
    ///
    /// # Errors
    /// Naming the first character that is unknown.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let id = |character: char| {
            self.ids.get(&character).copied().ok_or_else(|| {
                let given = format!("a text with {character:?}");
                DataError::argument("text", given, format!("only the {} characters of the training text", self.count()))
            })
        };
        text.chars().map(id).collect()
    }

    /// From characters that are sorted, each once.
    fn sorted(all: Vec<char>) -> Self {
        let ids = all.iter().copied().zip(0..).collect();
        Characters { all, ids }
    }

    /// The character of a token; `�` for a number beyond them.
    pub fn character(&self, id: u32) -> char {
        self.all.get(id as usize).copied().unwrap_or(char::REPLACEMENT_CHARACTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back_and_strangers_are_named() {
        let characters = Characters::of("to be\nor not");
        let ids = characters.encode("root\n").unwrap();
        assert_eq!(ids.iter().map(|&id| characters.character(id)).collect::<String>(), "root\n");
        assert_eq!(Characters::from_text(&characters.to_text()).unwrap(), characters);
        assert!(characters.encode("x").unwrap_err().to_string().contains("'x'"));
        assert!(Characters::from_text("").is_err() && Characters::from_text("ba").is_err());
        assert!(Characters::from_text("aa").is_err());
    }
}
