//! How a place of an input is made to be missing, and asking for numbers without it.

use serde::{Deserialize, Serialize};

use crate::error::{checked, field};
use crate::progress::tell;
use crate::{Error, Progress, Result, Subject};

/// Altered inputs that a subject is given in one call.
const BATCH: usize = 32;

/// How a place is made to be missing. The choice changes every number that follows, so it is always named beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Perturbation {
    /// The subject's baseline stands in for it.
    #[default]
    Hidden,
    /// It is taken out, and the input gets shorter.
    Removed,
}

impl Perturbation {
    /// As written to people: "replaced by zeros", "taken out".
    pub fn describe(self, subject: &dyn Subject) -> String {
        match self {
            Self::Hidden => format!("replaced by {}", subject.baseline()),
            Self::Removed => "taken out".to_owned(),
        }
    }

    /// The subject's number for each altered input, some of them a call.
    pub(crate) fn numbers(
        self,
        subject: &dyn Subject,
        kept: &[Vec<bool>],
        work: &'static str,
        progress: Progress,
    ) -> Result<Vec<f32>> {
        let mut numbers = Vec::with_capacity(kept.len());
        for batch in kept.chunks(BATCH) {
            tell(progress, work, numbers.len(), kept.len())?;
            let answer = match self {
                Self::Hidden => subject.hidden(batch),
                Self::Removed => match subject.removed(batch) {
                    Some(answer) => answer,
                    None => {
                        return field("perturbation", "removed", "hidden (this subject's places cannot be taken out)");
                    }
                },
            };
            let answer = answer.map_err(|source| Error::Given { function: "the explained function", source })?;
            numbers.extend(checked("the explained function's numbers", answer, &[batch.len()])?);
        }
        tell(progress, work, kept.len(), kept.len())?;
        Ok(numbers)
    }
}

/// How many places a subject has: some, and not so many that inputs without each of them fill the memory.
pub(crate) fn places(subject: &dyn Subject) -> Result<usize> {
    match subject.places() {
        places @ 1..=8192 => Ok(places),
        places => field("places", places, "1 to 8192"),
    }
}
