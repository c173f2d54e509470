//! Value zeroing: how much each token's representation changes in a layer when the value vector of another is zero.
//!
//! With `x̃_i` the layer's output for token `i`, and `x̃_i^{¬j}` that with the value of `j` set to zero in all heads,
//! `C_ij = 1 − cos(x̃_i^{¬j}, x̃_i)`, rows scaled to add up to 1. Mohebbi, Zuidema, Chrupała and Alishahi, "Quantifying Context Mixing in
//! Transformers", EACL 2023, arXiv:2301.12971.
//!
//! A forward pass of the layer a token, and O(tokens²) numbers. For what attention weights leave out: values, residual, layer norm and
//! feed-forward. Its maps may be multiplied layer by layer, as rollout does. It says how tokens mix, not what the answer came from.

use crate::error::{checked, field};
use crate::progress::tell;
use crate::{BoxError, Error, Map, Progress, Result};

const WORK: &str = "value zeroing";
/// The map has as many rows and columns.
const MOST_TOKENS: usize = 4096;

/// The map of one layer, `tokens × tokens`; a row that nothing changes is zeros.
///
/// `output` gives the layer's output `[tokens, width]` with the value of one token zeroed, or with none.
///
/// # Errors
/// [`Error::Field`] for no tokens, over 4096, or no width; [`Error::Shape`], [`Error::Value`] and [`Error::Given`] for what `output`
/// returns, [`Error::Cancelled`].
pub fn value_zeroing(
    tokens: usize,
    width: usize,
    output: &mut dyn FnMut(Option<usize>) -> Result<Vec<f32>, BoxError>,
    progress: Progress,
) -> Result<Map> {
    if !(1..=MOST_TOKENS).contains(&tokens) {
        return field("tokens", tokens, "1 to 4096");
    }
    if width == 0 {
        return field("width", width, "at least 1");
    }
    let mut ask = |zeroed| {
        let answer = output(zeroed).map_err(|source| Error::Given { function: "the layer", source })?;
        checked("the layer's output", answer, &[tokens, width])
    };
    tell(progress, WORK, 0, tokens + 1)?;
    let whole = ask(None)?;
    let mut changes = vec![0.0f64; tokens * tokens];
    for zeroed in 0..tokens {
        tell(progress, WORK, zeroed + 1, tokens + 1)?;
        let without = ask(Some(zeroed))?;
        for (token, (a, b)) in whole.chunks(width).zip(without.chunks(width)).enumerate() {
            changes[token * tokens + zeroed] = cosine_distance(a, b);
        }
    }
    tell(progress, WORK, tokens + 1, tokens + 1)?;
    let mut weights = Vec::with_capacity(changes.len());
    for row in changes.chunks(tokens) {
        let sum = row.iter().sum::<f64>();
        weights.extend(row.iter().map(|change| if sum > 0.0 { (change / sum) as f32 } else { 0.0 }));
    }
    Map::new(tokens, tokens, weights)
}

/// From 0 to 2; 0 between zeros, and 1 between zeros and anything else.
fn cosine_distance(a: &[f32], b: &[f32]) -> f64 {
    if a == b {
        return 0.0;
    }
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let lengths = (product(a, a) * product(b, b)).sqrt();
    if lengths > 0.0 { (1.0 - product(a, b) / lengths).max(0.0) } else { 1.0 }
}
