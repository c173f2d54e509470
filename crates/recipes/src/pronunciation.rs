//! From spelling to sound: words pronounced, and measured as the field does.
//!
//! A word is right when its phonemes are those of any reference; the word error rate is the share that is not. The phoneme
//! error rate is the edit distance to the reference that is nearest, summed over words, by the summed lengths of these
//! references (Bisani & Ney 2008, "Joint-sequence models for grapheme-to-phoneme conversion").

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use regard_models::Search;

use crate::data::dictionary::spelt;
use crate::data::pairs::{Pair, references};
use crate::data::tokenizer::UNK;
use crate::error::{Error, Result};
use crate::evaluate;
use crate::interpreter::{Interpreter, Translation};

/// What a test set says.
#[derive(Debug, Clone)]
pub struct Report {
    /// Different words.
    pub words: usize,
    /// Words that equal none of their references.
    pub wrong: usize,
    /// Phonemes of the nearest references.
    pub phonemes: usize,
    /// Insertions, deletions and substitutions.
    pub errors: usize,
    /// Seconds of pronouncing.
    pub seconds: f64,
    /// Spelling, phonemes and references, in the order of the data.
    pub entries: Vec<(String, String, Vec<String>)>,
}

impl Report {
    /// Word error rate, per cent.
    pub fn word_error_rate(&self) -> f64 {
        100.0 * self.wrong as f64 / self.words as f64
    }

    /// Phoneme error rate, per cent.
    pub fn phoneme_error_rate(&self) -> f64 {
        100.0 * self.errors as f64 / self.phonemes as f64
    }
}

/// The phonemes of each word.
///
/// # Errors
/// When the model does not spell, a word is blank or too long, or has a letter that the model has never seen.
pub fn pronounce<S: AsRef<str>>(interpreter: &Interpreter, words: &[S], how: &Search) -> Result<Vec<Translation>> {
    let tokenizer = interpreter.segmented().ok_or_else(|| {
        let given = format!("{}, which reads text", interpreter.name());
        Error::option("model", given, "one that `regard train g2p` made, which reads letters")
    })?;
    let mut spellings = Vec::with_capacity(words.len());
    for word in words {
        let word = word.as_ref().trim();
        if word.is_empty() {
            return Err(Error::option("word", "blank", "at least one letter"));
        }
        for letter in word.chars() {
            if tokenizer.encode(&spelt(&letter.to_string()))?.as_slice() == [UNK] || letter.is_whitespace() {
                let given = format!("{word:?} with the character {letter:?}");
                return Err(Error::option("word", given, "only letters that the model was trained on"));
            }
        }
        spellings.push(spelt(word));
    }
    let mut found = interpreter.translate(&spellings, how)?;
    for (found, word) in found.iter_mut().zip(words) {
        found.source = word.as_ref().trim().to_owned();
    }
    Ok(found)
}

/// Pronounces the different words of `pairs` and compares with all their pronunciations. `progress` is told how many words
/// are done.
///
/// # Errors
/// When there are no pairs, a word cannot be pronounced, or `stop` is set.
pub fn evaluate(
    interpreter: &Interpreter,
    pairs: &[Pair],
    how: &Search,
    stop: &AtomicBool,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Report> {
    let grouped = references(pairs);
    if grouped.is_empty() {
        return Err(Error::option("data", "without a word", "at least one"));
    }
    let words: Vec<String> = grouped.iter().map(|(spelling, _)| spelling.replace(' ', "")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let began = Instant::now();
    let found = evaluate::all(&words, stop, progress, |words| pronounce(interpreter, words, how))?;
    let seconds = began.elapsed().as_secs_f64();
    let mut report = Report { words: grouped.len(), wrong: 0, phonemes: 0, errors: 0, seconds, entries: Vec::new() };
    for ((_, references), found) in grouped.into_iter().zip(found) {
        let split = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        let given = split(&found.target);
        let measured = references.iter().map(|reference| {
            let reference = split(reference);
            (edit_distance(&given, &reference), reference.len())
        });
        let (errors, length) = measured.min_by_key(|&(errors, _)| errors).unwrap_or_default();
        report.wrong += usize::from(errors > 0);
        report.errors += errors;
        report.phonemes += length;
        let references = references.into_iter().map(str::to_owned).collect();
        report.entries.push((found.source, found.target, references));
    }
    Ok(report)
}

/// The fewest insertions, deletions and substitutions from one sequence to the other (Levenshtein 1966); O(n·m) time,
/// O(m) memory.
pub fn edit_distance<T: PartialEq>(from: &[T], to: &[T]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, given) in from.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, expected) in to.iter().enumerate() {
            let substituted = diagonal + usize::from(given != expected);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_textbook() {
        let distance = |a: &str, b: &str| edit_distance(a.as_bytes(), b.as_bytes());
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!((distance("", "abc"), distance("abc", ""), distance("abc", "abc")), (3, 3, 0));
        assert_eq!((distance("flaw", "lawn"), distance("intention", "execution")), (2, 5));
    }
}
