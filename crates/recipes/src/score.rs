//! What [`crate::bleu`] and [`crate::chrf`] share: the shape of their input, and sacreBLEU's idea of a space.
//!
//! Hypotheses come one a segment, references as a list a segment; lists may differ in length, as when one English sentence
//! has three French translations and the next has one. (sacreBLEU takes the transpose, with `None` for what is missing.)

/// The sacreBLEU whose numbers and signatures are reproduced.
pub const SACREBLEU_VERSION: &str = "2.6.0";

/// Why a score cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScoreError {
    /// There is nothing to score.
    #[error("no hypotheses, expected at least one segment")]
    Empty,
    /// Hypotheses and references do not belong together.
    #[error("{hypotheses} hypotheses, but references for {references} segments")]
    Segments {
        /// How many hypotheses were given.
        hypotheses: usize,
        /// For how many segments references were given.
        references: usize,
    },
    /// A segment has nothing to be compared with.
    #[error("segment {0} has no reference, expected at least one")]
    NoReference(
        /// The segment, counted from 1.
        usize,
    ),
}

/// Checks that every hypothesis has references; gives the signature's `nrefs`: their number, or `var` if it varies.
pub(crate) fn reference_count<H, R>(hypotheses: &[H], references: &[Vec<R>]) -> Result<String, ScoreError> {
    if hypotheses.len() != references.len() {
        return Err(ScoreError::Segments { hypotheses: hypotheses.len(), references: references.len() });
    }
    let first = references.first().ok_or(ScoreError::Empty)?.len();
    if let Some(index) = references.iter().position(Vec::is_empty) {
        return Err(ScoreError::NoReference(index + 1));
    }
    let same = references.iter().all(|list| list.len() == first);
    Ok(if same { first.to_string() } else { "var".to_owned() })
}

/// The signature's word for whether letter case counts.
pub(crate) fn case(lowercase: bool) -> &'static str {
    if lowercase { "lc" } else { "mixed" }
}

/// Whether Python's `str.split` splits here: Unicode's white space and four separators of ASCII.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The words between spaces.
pub(crate) fn words(text: &str) -> Vec<&str> {
    text.split(is_space).filter(|word| !word.is_empty()).collect()
}
