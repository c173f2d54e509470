use serde::{Deserialize, Serialize};

/// A signed score for each place of an input, and how it was found.
///
/// A place with a score above 0 speaks for the explained number, one below 0 against it. A score says what this method found, in
/// the unit of the number; [`Trust`](crate::trust::Trust) says how far to believe it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Which method, as written to people: "integrated gradients".
    pub method: String,
    /// One a place.
    pub scores: Vec<f32>,
    /// What the method depended on, as written to people: "64 steps from zeros".
    pub note: String,
    /// How nearly the scores add up to what they should; `None` for a method that promises no sum.
    pub completeness: Option<Completeness>,
}

/// What scores add up to, beside what they should: the number less the number of the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Completeness {
    /// Sum of the scores.
    pub total: f32,
    /// The explained number of the input less that of the baseline.
    pub difference: f32,
}

impl Completeness {
    /// How far the sum is off, 0 or more, in the unit of the number.
    pub fn gap(&self) -> f32 {
        (self.total - self.difference).abs()
    }
}
