use crate::error::checked;
use crate::trust::Trust;
use crate::{Error, Explanation, Result};

/// Text coloured by an explanation's scores, with all that a picture writes around it.
#[derive(Debug, Clone, Copy)]
pub struct Explained<'a> {
    /// Above the picture: what was explained, such as "why negative (98 %)".
    pub title: &'a str,
    /// One for each score.
    pub tokens: &'a [String],
    /// The scores.
    pub explanation: &'a Explanation,
    /// How far to believe them; drawn as "not measured" where it is missing.
    pub trust: Option<&'a Trust>,
}

/// Longer texts are not read token by token.
const MOST_TOKENS: usize = 4096;

impl Explained<'_> {
    /// Each score as a share of the greatest, from −1 to 1, and the greatest.
    pub(super) fn shares(&self, what: &'static str) -> Result<(Vec<f32>, f32)> {
        let tokens = self.tokens.len();
        if tokens > MOST_TOKENS {
            return Err(Error::TooLarge { what, rows: 1, columns: tokens, limit: "4096" });
        }
        let scores = checked("scores", self.explanation.scores.as_slice(), &[tokens])?;
        let greatest = scores.iter().fold(0.0f32, |greatest, score| greatest.max(score.abs()));
        let by = if greatest > 0.0 { greatest } else { 1.0 };
        Ok((scores.iter().map(|score| score / by).collect(), greatest))
    }

    /// The method and what it depended on.
    pub(super) fn subtitle(&self) -> String {
        let Explanation { method, note, .. } = self.explanation;
        if note.is_empty() { method.clone() } else { format!("{method}, {note}") }
    }

    /// What the scores add up to, if the method promises it.
    pub(super) fn sum(&self) -> Option<String> {
        use crate::trust::number;
        let sums = self.explanation.completeness?;
        Some(format!("scores add up to {} of {}", number(sums.total), number(sums.difference)))
    }
}
