//! Attention rollout: where attention leads when it is followed through all layers down to the tokens.
//!
//! Each layer mixes tokens by `Ā = (A + I) / rowsum`, the mean of its heads and the residual connection in equal parts; a rollout is the
//! product of them, `R_l = Ā_l · R_{l−1}`. Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020,
//! arXiv:2005.00928. In a decoder with a source the same mixing goes on over both sequences: a cross-attention step is
//! `R = (R + A · R_source) / rowsum`, where the source was rolled through the encoder. (Ferrando et al., EMNLP 2022, arXiv:2205.11631,
//! join the two like this.)
//!
//! O(layers · tokens³) time, a map of memory. For a first look through a whole stack; a token's weight in one upper layer says little,
//! since it has been mixed with others by then. It knows nothing of values, signs and feed-forward layers, nor of the answer:
//! [`relevance`](crate::relevance) does of the latter.

use crate::progress::tell;
use crate::stack::{Stack, Step};
use crate::{Map, Progress, Result, Trace};

/// Where a site's queries end up: shares of their own tokens and, in a decoder, of the source's.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// `[query, query]`: tokens of the axis that attends.
    pub own: Map,
    /// `[query, source token]`, for a site that attends to another axis. Each row and the one of `own` add up to 1 together.
    pub source: Option<Map>,
}

/// Rolls attention up to and including the layer of this site, mean over heads.
///
/// For a site of self-attention that is every lower site on the same axis; for cross-attention also all of the source's. Progress
/// counts layers.
///
/// # Errors
/// [`Error::NoSuchSite`](crate::Error::NoSuchSite), [`Error::Field`](crate::Error::Field) for no tokens or a lower layer that the
/// trace lacks, [`Error::TooLarge`](crate::Error::TooLarge) over 2048 tokens, what [`Trace::map`] says,
/// [`Error::Cancelled`](crate::Error::Cancelled).
pub fn rollout(trace: &Trace, site: usize, progress: Progress) -> Result<Rollout> {
    let stack = Stack::below(trace, site)?;
    let columns = stack.source.unwrap_or(0);
    let mut own = identity(stack.own);
    let mut source = vec![0.0; stack.own * columns];
    let mut encoder = identity(columns);
    for (done, &step) in stack.steps.iter().enumerate() {
        tell(progress, "rollout", done, stack.steps.len())?;
        let (map, stays) = Stack::mixing(trace, step)?;
        match step {
            Step::Source(_) => encoder = mixed(&map, &encoder, &stays, &encoder, columns),
            Step::Own(_) => {
                own = mixed(&map, &own, &stays, &own, stack.own);
                source = mixed(&map, &source, &stays, &source, columns);
            }
            Step::Cross(_) => {
                source = mixed(&map, &encoder, &stays, &source, columns);
                own.chunks_mut(stack.own).zip(&stays).for_each(|(row, stay)| row.iter_mut().for_each(|x| *x *= stay));
            }
        }
    }
    tell(progress, "rollout", stack.steps.len(), stack.steps.len())?;
    let source = stack.source.map(|columns| Map::new(stack.own, columns, source)).transpose()?;
    Ok(Rollout { own: Map::new(stack.own, stack.own, own)?, source })
}

fn identity(side: usize) -> Vec<f32> {
    (0..side * side).map(|at| if at / side == at % side { 1.0 } else { 0.0 }).collect()
}

/// `map · from + stays ⊙ before`, of matrices with so many columns.
fn mixed(map: &Map, from: &[f32], stays: &[f32], before: &[f32], columns: usize) -> Vec<f32> {
    let mut sums = before.to_vec();
    if columns == 0 {
        return sums;
    }
    for ((sums, weights), stay) in sums.chunks_mut(columns).zip(map.weights.chunks(map.columns)).zip(stays) {
        sums.iter_mut().for_each(|sum| *sum *= stay);
        for (&weight, row) in weights.iter().zip(from.chunks(columns)) {
            // Half of a causal map.
            if weight > 0.0 {
                sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += weight * x);
            }
        }
    }
    sums
}
