//! BLEU: how many of a translation's n-grams a reference has too, with a penalty for brevity.
//!
//! `BLEU = BP · exp(Σ_{n=1..4} log p_n / 4)`, `p_n` the corpus's clipped n-gram precision, `BP = exp(1 - r / c)` when the
//! translations' length `c` is below the closest references' `r`.
//! Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine Translation", ACL 2002.
//!
//! Numbers, tokens and signatures are those of sacreBLEU (Post, WMT 2018, arXiv:1804.08771), version
//! [`SACREBLEU_VERSION`]; the tests compare with it.
//!
//! ```
//! use regard_recipes::bleu::Bleu;
//!
//! let translated = ["The dog bit the man.", "It wasn't surprising."];
//! let references = [
//!     vec!["The dog bit the man.", "The dog had bit the man."],
//!     vec!["It was not unexpected."],
//! ];
//! let bleu = Bleu::default().corpus(&translated, &references)?;
//! assert_eq!(
//!     bleu.to_string(),
//!     "BLEU|nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0 = 63.98 \
//!      80.0/62.5/66.7/75.0 (BP = 0.905 ratio = 0.909 hyp_len = 10 ref_len = 11)"
//! );
//! # Ok::<(), regard_recipes::bleu::ScoreError>(())
//! ```

use crate::score;
pub use crate::score::{SACREBLEU_VERSION, ScoreError};
use std::collections::HashMap;
use std::fmt;

/// The longest n-grams that count.
const ORDER: usize = 4;

/// Which BLEU; the default is sacreBLEU's default.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bleu {
    /// What a token is.
    pub tokenize: Tokenize,
    /// What to do about orders without a match.
    pub smoothing: Smoothing,
    /// Whether letter case is ignored.
    pub lowercase: bool,
    /// Whether orders that the text is too short for are left out: for scores of single sentences.
    pub effective_order: bool,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tokenize {
    /// Words and punctuation as mteval-v13a cuts them: for text as people write it.
    #[default]
    V13a,
    /// What stands between spaces: for text that is already tokenised.
    None,
}

/// What to do about orders of n-grams without a match, whose logarithm would make the whole score 0
/// (Chen and Cherry, "A Systematic Comparison of Smoothing Techniques for Sentence-Level BLEU", WMT 2014).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Smoothing {
    /// Nothing: the score is 0.
    None,
    /// The k-th such order counts as `1 / 2^k` matches (method 3, NIST's).
    #[default]
    Exp,
    /// Each such order counts as this many matches, usually 0.1 (method 1).
    Floor(
        /// Matches.
        f64,
    ),
    /// This many matches, usually 1, are added to every order but the first, and to its total (method 2).
    AddK(
        /// Matches.
        f64,
    ),
}

/// A BLEU score and what it is made of; prints as sacreBLEU's line of text.
#[derive(Debug, Clone, PartialEq)]
pub struct BleuScore {
    /// The score, from 0 to 100.
    pub score: f64,
    /// The precision of each order, in percent, smoothed.
    pub precisions: [f64; ORDER],
    /// The brevity penalty, from 0 to 1.
    pub brevity_penalty: f64,
    /// Tokens in all hypotheses.
    pub hypothesis_length: usize,
    /// Tokens in the references that are closest in length, the shorter of two that are equally close.
    pub reference_length: usize,
    /// How the score was computed, as sacreBLEU writes it.
    pub signature: String,
}

impl Bleu {
    /// BLEU on tokenised text without smoothing, as `multi-bleu.perl` and fairseq compute it: what papers before
    /// sacreBLEU call BLEU. Join subwords first.
    pub fn tokenized() -> Self {
        Self { tokenize: Tokenize::None, smoothing: Smoothing::None, ..Self::default() }
    }

    /// The score of a corpus: a hypothesis and any number of references a segment.
    ///
    /// # Errors
    /// No segments, not as many lists of references as hypotheses, or an empty list.
    pub fn corpus<H: AsRef<str>, R: AsRef<str>>(
        &self,
        hypotheses: &[H],
        references: &[Vec<R>],
    ) -> Result<BleuScore, ScoreError> {
        let nrefs = score::reference_count(hypotheses, references)?;
        let mut statistics = Statistics::default();
        for (hypothesis, references) in hypotheses.iter().zip(references) {
            let references: Vec<String> = references.iter().map(|text| self.tokens(text.as_ref())).collect();
            statistics.add(&self.tokens(hypothesis.as_ref()), &references);
        }
        Ok(self.score(&statistics, self.signature(&nrefs)))
    }

    /// Tokens with one space between them.
    fn tokens(&self, text: &str) -> String {
        let text = if self.lowercase { text.to_lowercase() } else { text.to_owned() };
        match self.tokenize {
            Tokenize::V13a => tokenize_13a(text.trim_end_matches(score::is_space)),
            Tokenize::None => text,
        }
    }

    fn score(&self, statistics: &Statistics, signature: String) -> BleuScore {
        let Statistics { hypothesis_length, reference_length, .. } = *statistics;
        let brevity_penalty = match (hypothesis_length, reference_length) {
            (0, 1..) => 0.0,
            (c, r) if c < r => (1.0 - r as f64 / c as f64).exp(),
            _ => 1.0,
        };
        let (precisions, orders) = self.precisions(statistics);
        let logarithms: f64 = precisions[..orders].iter().map(|precision| precision.ln()).sum();
        let score = brevity_penalty * (logarithms / orders as f64).exp();
        BleuScore { score, precisions, brevity_penalty, hypothesis_length, reference_length, signature }
    }

    /// Smoothed precisions in percent, and how many of them the score is made of.
    fn precisions(&self, statistics: &Statistics) -> ([f64; ORDER], usize) {
        let mut precisions = [0.0; ORDER];
        let mut orders = ORDER;
        if statistics.correct == [0; ORDER] {
            return (precisions, orders);
        }
        let mut halvings = 1.0;
        for (n, precision) in precisions.iter_mut().enumerate() {
            let added = match self.smoothing {
                Smoothing::AddK(k) if n > 0 => k,
                _ => 0.0,
            };
            let (correct, total) = (statistics.correct[n] as f64 + added, statistics.total[n] as f64 + added);
            if total == 0.0 {
                break;
            }
            if self.effective_order {
                orders = n + 1;
            }
            let matches = match self.smoothing {
                Smoothing::Exp if correct == 0.0 => {
                    halvings *= 2.0;
                    1.0 / halvings
                }
                Smoothing::Floor(floor) if correct == 0.0 => floor,
                _ => correct,
            };
            *precision = 100.0 * matches / total;
        }
        (precisions, orders)
    }

    fn signature(&self, nrefs: &str) -> String {
        let case = score::case(self.lowercase);
        let eff = if self.effective_order { "yes" } else { "no" };
        let tok = match self.tokenize {
            Tokenize::V13a => "13a",
            Tokenize::None => "none",
        };
        let smooth = match self.smoothing {
            Smoothing::None => "none".to_owned(),
            Smoothing::Exp => "exp".to_owned(),
            Smoothing::Floor(floor) => format!("floor[{floor:.2}]"),
            Smoothing::AddK(k) => format!("add-k[{k:.2}]"),
        };
        format!("nrefs:{nrefs}|case:{case}|eff:{eff}|tok:{tok}|smooth:{smooth}|version:{SACREBLEU_VERSION}")
    }
}

impl fmt::Display for BleuScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratio = match self.reference_length {
            0 => 0.0,
            length => self.hypothesis_length as f64 / length as f64,
        };
        let [p1, p2, p3, p4] = self.precisions;
        write!(f, "BLEU|{} = {:.2} {p1:.1}/{p2:.1}/{p3:.1}/{p4:.1} ", self.signature, self.score)?;
        write!(f, "(BP = {:.3} ratio = {ratio:.3} ", self.brevity_penalty)?;
        write!(f, "hyp_len = {} ref_len = {})", self.hypothesis_length, self.reference_length)
    }
}

/// Counts that add up over segments.
#[derive(Default)]
struct Statistics {
    hypothesis_length: usize,
    reference_length: usize,
    /// Matches of each order, an n-gram at most as often as one reference has it.
    correct: [usize; ORDER],
    /// N-grams of each order in the hypotheses.
    total: [usize; ORDER],
}

impl Statistics {
    fn add(&mut self, hypothesis: &str, references: &[String]) {
        let hypothesis = score::words(hypothesis);
        let references: Vec<Vec<&str>> = references.iter().map(|text| score::words(text)).collect();
        let closest = references.iter().map(Vec::len).min_by_key(|&length| (length.abs_diff(hypothesis.len()), length));
        self.hypothesis_length += hypothesis.len();
        self.reference_length += closest.unwrap_or(0);
        for n in 1..=ORDER {
            let mut allowed: HashMap<&[&str], usize> = HashMap::new();
            for reference in &references {
                for (ngram, count) in ngrams(reference, n) {
                    let most = allowed.entry(ngram).or_default();
                    *most = count.max(*most);
                }
            }
            for (ngram, count) in ngrams(&hypothesis, n) {
                self.total[n - 1] += count;
                self.correct[n - 1] += count.min(allowed.get(ngram).copied().unwrap_or(0));
            }
        }
    }
}

/// How often each run of `n` tokens occurs.
fn ngrams<'a, 'b>(tokens: &'a [&'b str], n: usize) -> HashMap<&'a [&'b str], usize> {
    let mut counts = HashMap::new();
    for ngram in tokens.windows(n) {
        *counts.entry(ngram).or_default() += 1;
    }
    counts
}

/// The tokenisation of `mteval-v13a.pl`, which WMT has used since 2009.
fn tokenize_13a(text: &str) -> String {
    let mut text = text.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    for (entity, character) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
        text = text.replace(entity, character);
    }
    let symbol = |c: char| matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/');
    let point = |c: char| matches!(c, '.' | ',');
    let digit = |c: char| c.is_ascii_digit();
    let apart: String =
        format!(" {text} ").chars().map(|c| if symbol(c) { format!(" {c} ") } else { c.into() }).collect();
    let apart = part(&apart, |a, b| !digit(a) && point(b), ["", " ", " "]);
    let apart = part(&apart, |a, b| point(a) && !digit(b), [" ", " ", ""]);
    let apart = part(&apart, |a, b| digit(a) && b == '-', ["", " ", " "]);
    score::words(&apart).join(" ")
}

/// Puts spaces before, between and after two neighbours wherever they match; matches do not overlap.
fn part(text: &str, matches: impl Fn(char, char) -> bool, [before, between, after]: [&str; 3]) -> String {
    let mut parted = String::with_capacity(2 * text.len());
    let mut characters = text.chars().peekable();
    while let Some(first) = characters.next() {
        match characters.next_if(|&second| matches(first, second)) {
            Some(second) => {
                parted.push_str(before);
                parted.push(first);
                parted.push_str(between);
                parted.push(second);
                parted.push_str(after);
            }
            None => parted.push(first),
        }
    }
    parted
}
