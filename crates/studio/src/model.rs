//! What reads typed text.

use std::error::Error;

use regard_explain::Trace;
use serde_json::Value;

use crate::jobs::Work;

/// A model that text can be typed into.
///
/// Calls come one at a time, on a thread of their own. They say how far they are through [`Work`], and return soon after it says that
/// they are not wanted any more, with whatever.
pub trait Model: Send + Sync {
    /// What people call it.
    fn name(&self) -> &str;

    /// Who attended to whom while the model read a text.
    ///
    /// # Errors
    /// What the person who typed should read.
    fn trace(&self, text: &str, work: &Work) -> Result<Trace, Box<dyn Error + Send + Sync>>;

    /// Explanations that [`explain`](Model::explain) can be asked for.
    fn explanations(&self) -> Vec<String> {
        Vec::new()
    }

    /// An explanation of the model's answer to a text, with what was measured of it:
    ///
    /// ```json
    /// {"caption": "what the numbers are",
    ///  "tokens": [{"text": "late", "value": 0.5}],
    ///  "trust": [{"name": "comprehensiveness", "value": 0.6, "low": 0.5, "high": 0.7, "baseline": 0.1, "note": "of 20 samples"}]}
    /// ```
    ///
    /// `trust` without a `value` was not measured. `low` and `high` bound a bootstrap interval, `baseline` is that of random ranks.
    ///
    /// # Errors
    /// What the person who asked should read.
    fn explain(&self, text: &str, explanation: &str, work: &Work) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let _ = (text, work);
        Err(format!("{explanation:?} is not among the explanations of {}", self.name()).into())
    }
}
