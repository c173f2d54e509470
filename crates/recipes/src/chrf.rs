//! chrF: how many of a translation's character n-grams a reference has too, and the other way round.
//!
//! `chrF_β = (1 + β²) · P · R / (β² · P + R)`, `P` and `R` precision and recall averaged over n-grams of 1 to 6 characters
//! (spaces left out); chrF++ adds n-grams of 1 and 2 words. Kinder than BLEU to a right stem with a wrong ending.
//! Popović, "chrF: character n-gram F-score for automatic MT evaluation", WMT 2015, and "chrF++", WMT 2017.
//!
//! Numbers and signatures are those of sacreBLEU, version [`SACREBLEU_VERSION`]; the tests compare with it.
//!
//! ```
//! use regard_recipes::chrf::Chrf;
//!
//! let chrf = Chrf::default().corpus(&["Les chats dorment."], &[vec!["Le chat dort."]])?;
//! assert_eq!(chrf.to_string(), "chrF2|nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0 = 32.74");
//! # Ok::<(), regard_recipes::chrf::ScoreError>(())
//! ```

use crate::score;
pub use crate::score::{SACREBLEU_VERSION, ScoreError};
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

const CHARACTER_ORDER: usize = 6;
/// How many times as much recall counts as precision.
const BETA: u32 = 2;

/// Which chrF; the default is sacreBLEU's default, chrF2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chrf {
    lowercase: bool,
    word_order: usize,
}

/// A chrF score; prints as sacreBLEU's line of text.
#[derive(Debug, Clone, PartialEq)]
pub struct ChrfScore {
    /// The score, from 0 to 100.
    pub score: f64,
    /// `chrF2` or `chrF2++`.
    pub name: &'static str,
    /// How the score was computed, as sacreBLEU writes it.
    pub signature: String,
}

impl Chrf {
    /// chrF++, which counts single words and pairs of words as well.
    pub fn plus_plus() -> Self {
        Self { word_order: 2, ..Self::default() }
    }

    /// The same with letter case ignored.
    pub fn lowercase(self) -> Self {
        Self { lowercase: true, ..self }
    }

    /// The score of a corpus: a hypothesis and any number of references a segment. The reference that gives the segment
    /// the best score counts.
    ///
    /// # Errors
    /// No segments, not as many lists of references as hypotheses, or an empty list.
    pub fn corpus<H: AsRef<str>, R: AsRef<str>>(
        &self,
        hypotheses: &[H],
        references: &[Vec<R>],
    ) -> Result<ChrfScore, ScoreError> {
        let nrefs = score::reference_count(hypotheses, references)?;
        let mut total = vec![Counts::default(); CHARACTER_ORDER + self.word_order];
        for (hypothesis, references) in hypotheses.iter().zip(references) {
            let hypothesis = Segment::new(hypothesis.as_ref(), self.lowercase);
            let mut best: Option<(f64, Vec<Counts>)> = None;
            for reference in references {
                let reference = Segment::new(reference.as_ref(), self.lowercase);
                let counts = self.compare(&hypothesis, &reference);
                let score = f_score(&counts);
                if best.as_ref().is_none_or(|(most, _)| score > *most) {
                    best = Some((score, counts));
                }
            }
            for (sum, counts) in total.iter_mut().zip(best.into_iter().flat_map(|(_, counts)| counts)) {
                sum.add(counts);
            }
        }
        let (name, case) = (if self.word_order == 0 { "chrF2" } else { "chrF2++" }, score::case(self.lowercase));
        let signature = format!(
            "nrefs:{nrefs}|case:{case}|eff:yes|nc:{CHARACTER_ORDER}|nw:{}|space:no|version:{SACREBLEU_VERSION}",
            self.word_order
        );
        Ok(ChrfScore { score: f_score(&total), name, signature })
    }

    /// Counts of each order: characters first, then words.
    fn compare(&self, hypothesis: &Segment, reference: &Segment) -> Vec<Counts> {
        let characters = (1..=CHARACTER_ORDER).map(|n| Counts::of(&hypothesis.characters, &reference.characters, n));
        let words = (1..=self.word_order).map(|n| Counts::of(&hypothesis.words, &reference.words, n));
        characters.chain(words).collect()
    }
}

impl fmt::Display for ChrfScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{} = {:.2}", self.name, self.signature, self.score)
    }
}

/// A sentence as characters without spaces, and as words with punctuation apart.
struct Segment {
    characters: Vec<char>,
    words: Vec<String>,
}

impl Segment {
    fn new(text: &str, lowercase: bool) -> Self {
        let text = if lowercase { text.to_lowercase() } else { text.to_owned() };
        let characters = text.chars().filter(|&c| !score::is_space(c)).collect();
        Self { characters, words: score::words(&text).into_iter().flat_map(punctuation_apart).collect() }
    }
}

/// Parts one mark of punctuation from the end of a word, or else from its beginning: `(hi)` becomes `(hi` and `)`, as
/// Popović's program has it.
fn punctuation_apart(word: &str) -> Vec<String> {
    let punctuation = |c: &char| c.is_ascii_punctuation();
    let mut inner = word.chars();
    let parts = match (inner.next(), inner.next_back()) {
        (Some(_), Some(last)) if punctuation(&last) => word.split_at(word.len() - 1),
        (Some(first), Some(_)) if punctuation(&first) => word.split_at(1),
        _ => (word, ""),
    };
    [parts.0, parts.1].into_iter().filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// N-grams of one order.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    hypothesis: usize,
    reference: usize,
    both: usize,
}

impl Counts {
    fn of<T: Eq + Hash>(hypothesis: &[T], reference: &[T], n: usize) -> Self {
        let mut left: HashMap<&[T], usize> = HashMap::new();
        for ngram in reference.windows(n) {
            *left.entry(ngram).or_default() += 1;
        }
        // A reference too short for this order says nothing about the hypothesis's n-grams.
        let counted = if left.is_empty() { 0 } else { (hypothesis.len() + 1).saturating_sub(n) };
        let mut both = 0;
        for ngram in hypothesis.windows(n) {
            if let Some(count @ 1..) = left.get_mut(ngram) {
                *count -= 1;
                both += 1;
            }
        }
        Self { hypothesis: counted, reference: (reference.len() + 1).saturating_sub(n), both }
    }

    fn add(&mut self, other: Self) {
        self.hypothesis += other.hypothesis;
        self.reference += other.reference;
        self.both += other.both;
    }
}

/// The F-score in percent of precision and recall averaged over the orders that both sides are long enough for.
fn f_score(counts: &[Counts]) -> f64 {
    let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
    for counts in counts.iter().filter(|counts| counts.hypothesis > 0 && counts.reference > 0) {
        precision += counts.both as f64 / counts.hypothesis as f64;
        recall += counts.both as f64 / counts.reference as f64;
        orders += 1.0;
    }
    if precision + recall == 0.0 {
        return 0.0;
    }
    let (precision, recall, weight) = (precision / orders, recall / orders, f64::from(BETA * BETA));
    100.0 * (1.0 + weight) * precision * recall / (weight * precision + recall)
}
