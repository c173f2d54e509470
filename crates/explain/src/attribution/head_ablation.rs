//! Head ablation: what the number loses when one attention head's output is zero.
//!
//! `score_lh = f(x) − f(x with head h of layer l silent)`. Michel, Levy and Neubig, "Are Sixteen Heads Really Better than One?", NeurIPS
//! 2019, arXiv:1905.10650.
//!
//! A forward pass a head. To rank heads by what they do for an answer rather than by where they look. Not where heads stand in for
//! each other: of two that do the same, neither is missed, and a silent head is unlike anything later layers have learned from.

use crate::error::{checked, field};
use crate::progress::tell;
use crate::{BoxError, Error, Progress, Result};

const WORK: &str = "head ablation";

/// A score for each head: `heads[layer]` says how many there are, and the answer is `[layer][head]`.
///
/// `number` gives the explained number with one head `[layer, head]` silent, or with none.
///
/// # Errors
/// [`Error::Field`] for no heads, [`Error::Value`] and [`Error::Given`] for what `number` returns, [`Error::Cancelled`].
pub fn head_ablation(
    heads: &[usize],
    number: &mut dyn FnMut(Option<[usize; 2]>) -> Result<f32, BoxError>,
    progress: Progress,
) -> Result<Vec<Vec<f32>>> {
    let total = heads.iter().fold(1usize, |total, &heads| total.saturating_add(heads));
    if total == 1 {
        return field("heads", 0, "at least 1");
    }
    let mut ask = |silent| {
        let answer = number(silent).map_err(|source| Error::Given { function: "the explained function", source })?;
        Ok::<_, Error>(checked("the explained function's numbers", [answer], &[1])?[0])
    };
    tell(progress, WORK, 0, total)?;
    let whole = ask(None)?;
    let mut done = 1;
    let mut scores = Vec::with_capacity(heads.len());
    for (layer, &heads) in heads.iter().enumerate() {
        let mut row = Vec::new();
        for head in 0..heads {
            tell(progress, WORK, done, total)?;
            row.push(whole - ask(Some([layer, head]))?);
            done += 1;
        }
        scores.push(row);
    }
    tell(progress, WORK, total, total)?;
    Ok(scores)
}
