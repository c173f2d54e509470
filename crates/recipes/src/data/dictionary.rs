//! A pronouncing dictionary: words and the phonemes that they are spoken in.
//!
//! A folder holds `NAME.train` and `NAME.ref`, as g014b2b does, the usual split of CMUdict (Chen 2003; Bisani & Ney 2008). A
//! line is a word, a tab and its phonemes with spaces between them, such as `ABBY` and `AE B IY`. A word may have several
//! lines in the training file, and several pronunciations, with tabs between them, in the reference file. Lines of
//! comments (`;;;`) and blank lines are skipped; digits that mark stress (`AE1`) and alternatives (`ABBY(2)`) are dropped, since
//! the split has none.
//!
//! For the model a word becomes its letters, in lower case, with spaces between them. Phonemes are in upper case, so that
//! the letter `b` and the phoneme `B` are two tokens.

use std::path::Path;

use regard::mix;

use super::DataError;
use super::pairs::{Corpus, Pair, at, read_lines};

/// One word in so many is held out of the training file to stop by; all its pronunciations go with it.
const HELD_OUT: u64 = 50;

/// Reads the two files of a dictionary in `folder`, whose name without the ending is `name`.
pub(super) fn open(folder: &Path, name: &str) -> Result<Corpus, DataError> {
    let entries = read(&folder.join(format!("{name}.train")))?;
    let (dev, train) = entries.into_iter().partition(|pair: &Pair| is_held_out(&pair.source));
    let tests = vec![("test".to_owned(), read(&folder.join(format!("{name}.ref")))?)];
    Ok(Corpus { languages: None, segmented: true, train, dev, tests })
}

/// A word as the model reads it: its letters in lower case with spaces between them.
///
/// ```
/// use regard_recipes::data::dictionary::spelt;
///
/// assert_eq!(spelt("O'Neil"), "o ' n e i l");
/// ```
pub fn spelt(word: &str) -> String {
    let letters: Vec<String> = word.to_lowercase().chars().map(String::from).collect();
    letters.join(" ")
}

/// Pairs of spelt words and phonemes, one for each pronunciation.
fn read(path: &Path) -> Result<Vec<Pair>, DataError> {
    let mut pairs = Vec::new();
    for (index, line) in read_lines(path)?.iter().enumerate() {
        if line.trim().is_empty() || line.starts_with(";;;") {
            continue;
        }
        let problem = |problem: &str| at(path, index, problem);
        let (word, pronunciations) =
            line.split_once('\t').ok_or_else(|| problem("no tab, expected a word, a tab and its phonemes"))?;
        let word = word.split('(').next().unwrap_or_default().trim();
        if word.is_empty() || word.contains(char::is_whitespace) {
            return Err(problem("expected one word before the tab"));
        }
        for phonemes in pronunciations.split('\t') {
            let plain = |phoneme: &str| phoneme.trim_end_matches(|c: char| c.is_ascii_digit()).to_uppercase();
            let phonemes: Vec<String> = phonemes.split_whitespace().map(plain).collect();
            if phonemes.is_empty() || phonemes.iter().any(String::is_empty) {
                return Err(problem("a pronunciation, after a tab, is empty or has a phoneme without a letter"));
            }
            pairs.push(Pair { source: spelt(word), target: phonemes.join(" ") });
        }
    }
    Ok(pairs)
}

/// A function of the spelling alone, so that other entries do not move a word.
fn is_held_out(spelling: &str) -> bool {
    spelling.bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte))) % HELD_OUT == 0
}
