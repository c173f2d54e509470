//! The catalogue: a card for each mechanism, beside its code, so that a program can list what exists.

mod mechanisms;
mod nouns;
mod pictures;

use std::fmt;

pub use mechanisms::{Entry, Setting, mechanisms};
pub use pictures::{Panel, Picture, picture};

/// What one needs to know before reaching for a mechanism.
#[derive(Debug, Clone, Copy)]
pub struct Card {
    /// The literature's name.
    pub name: &'static str,
    /// Which question it answers.
    pub family: Family,
    /// What it is, in one sentence.
    pub sentence: &'static str,
    /// Its equation, in plain text.
    pub equation: &'static str,
    /// Where it comes from.
    pub paper: &'static str,
    /// Time and memory, and whether it is fused.
    pub cost: &'static str,
    /// When to reach for it and when not.
    pub when: &'static str,
}

/// The shelves of the catalogue, in the order in which a forward pass meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// How alike are a query and a key?
    Scores,
    /// What is added or reshaped before normalising?
    Biases,
    /// Who may see whom?
    Masks,
    /// How do scores become weights?
    Normalizers,
    /// Where is a token?
    Positions,
    /// Several attentions side by side, and their memory while decoding.
    Heads,
    /// What if every key is too many?
    Efficient,
    /// What is kept between steps, and read again?
    Memory,
    /// What if a graph says who sees whom?
    Graphs,
    /// What do we note on the way?
    Probes,
    /// Whole networks.
    Models,
}

impl Family {
    /// What its mechanisms answer.
    pub fn question(self) -> &'static str {
        match self {
            Family::Scores => "How alike are a query and a key?",
            Family::Biases => "What is added to a score, or reshapes it?",
            Family::Masks => "Who may see whom?",
            Family::Normalizers => "How do scores become weights?",
            Family::Positions => "Where is a token?",
            Family::Heads => "How do several attentions work side by side, and what do they keep while decoding?",
            Family::Efficient => "What if every key is too many?",
            Family::Memory => "What is kept between steps, and read again?",
            Family::Graphs => "What if a graph says who sees whom?",
            Family::Probes => "What do we note on the way?",
            Family::Models => "What is built from them?",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Scores => "Scores",
            Family::Biases => "Biases",
            Family::Masks => "Masks",
            Family::Normalizers => "Normalizers",
            Family::Positions => "Positions",
            Family::Heads => "Heads and cache",
            Family::Efficient => "Efficient",
            Family::Memory => "Recurrent and memory",
            Family::Graphs => "Graphs",
            Family::Probes => "Probes",
            Family::Models => "Models",
        })
    }
}

/// Every mechanism of this crate and of the kernel, by family, then by name. Models have cards of their own.
pub fn cards() -> Vec<Card> {
    let mut cards = nouns::CARDS.to_vec();
    cards.extend(crate::attention::CARDS);
    cards.extend([crate::position::SINUSOIDAL, crate::position::LEARNED, crate::position::ROTARY]);
    cards.extend([crate::position::RELATIVE, crate::position::TRANSFORMER_XL]);
    cards.extend([crate::mechanism::EXACT, crate::hard::LOCAL]);
    cards.extend([crate::linear::LINEAR, crate::linear::LINFORMER, crate::linear::NYSTROM, crate::linear::PERFORMER]);
    cards.extend([crate::sparse::AXIAL, crate::sparse::HYBRID, crate::sparse::LONGFORMER, crate::sparse::LSH]);
    cards.extend(crate::memory::CARDS);
    cards.extend(crate::graph::CARDS);
    cards.extend(crate::cache::CARDS);
    cards.sort_by_key(|card| (card.family, card.name));
    cards
}

/// The card called `name` (case, spaces, hyphens and underscores do not matter) among `cards`, or the closest names.
///
/// # Errors
/// The names of up to three cards that `name` may have meant.
pub fn find<'a>(cards: &'a [Card], name: &str) -> Result<&'a Card, Vec<&'static str>> {
    let plain =
        |text: &str| -> String { text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect() };
    let wanted = plain(name);
    if let Some(card) = cards.iter().find(|card| plain(card.name) == wanted) {
        return Ok(card);
    }
    let mut near: Vec<_> = cards.iter().map(|card| (distance(&plain(card.name), &wanted), card.name)).collect();
    near.sort();
    Err(near.into_iter().filter(|(edits, _)| *edits <= 1 + wanted.len() / 2).map(|(_, name)| name).take(3).collect())
}

/// Levenshtein's edit distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_however_they_are_written() {
        let cards = cards();
        for card in &cards {
            assert_eq!(cards.iter().filter(|other| other.name == card.name).count(), 1, "{} twice", card.name);
            let written = card.name.to_uppercase().replace('D', "-D");
            assert_eq!(find(&cards, &written).map(|found| found.name), Ok(card.name));
        }
    }

    #[test]
    fn a_typing_error_is_answered_with_the_nearest_names() {
        assert_eq!(find(&cards(), "casual").map(|card| card.name).unwrap_err()[0], "Causal");
        assert_eq!(find(&cards(), "quantum entanglement").map(|card| card.name), Err(vec![]));
    }
}
