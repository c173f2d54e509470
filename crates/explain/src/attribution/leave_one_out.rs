//! Leave-one-out: what the number loses when one place is missing.
//!
//! `score_i = f(x) − f(x without i)`. Robnik-Šikonja and Kononenko 2008; for text Li, Monroe and Jurafsky, "Understanding Neural
//! Networks through Representation Erasure", 2016, arXiv:1612.08220.
//!
//! A forward pass a place. The plainest question there is, and what other methods are compared with. Not where places stand in for
//! each other: of two that say the same, each alone can go without loss, and both score 0.

use crate::perturbation::places;
use crate::{Explanation, Perturbation, Progress, Result, Subject};

/// Scores the places of a subject by leaving each out.
///
/// # Errors
/// [`Error::Field`](crate::Error::Field) for no places or too many, or places that cannot be removed;
/// [`Error::Shape`](crate::Error::Shape), [`Error::Value`](crate::Error::Value) and [`Error::Given`](crate::Error::Given) for what
/// the subject returns, [`Error::Cancelled`](crate::Error::Cancelled).
pub fn leave_one_out(subject: &dyn Subject, perturbation: Perturbation, progress: Progress) -> Result<Explanation> {
    let places = places(subject)?;
    let mut kept = vec![vec![true; places]; places + 1];
    (0..places).for_each(|place| kept[place][place] = false);
    let numbers = perturbation.numbers(subject, &kept, "leave-one-out", progress)?;
    Ok(Explanation {
        method: "leave-one-out".to_owned(),
        scores: numbers[..places].iter().map(|without| numbers[places] - without).collect(),
        note: format!("each place {}", perturbation.describe(subject)),
        completeness: None,
    })
}
