//! Scores that depend on the distance between query and key, without a vector for each pair.
//!
//! A query is multiplied once with a vector for each *distance*, `L×(L+S-1)` products, and the rows are then slid so that
//! column j holds key j's. Huang et al., "Music Transformer", ICLR 2019, arXiv:1809.04281 ("skewing"); Dai et al.,
//! "Transformer-XL", ACL 2019, arXiv:1901.02860 (appendix B). Shaw et al. 2018 keep an `L×S×d` tensor instead.

use burn::tensor::Tensor;
use regard_kernel::{Attention, DenseBias};

use crate::error::{Error, Result};
use crate::ops::{self, Attended};

/// How far before its last key a query may look, and after its own place: the distances of `queries` and `keys` from
/// `-(keys - 1)` on, the last query being beside the last key (as when decoding).
pub(super) fn distances(queries: usize, keys: usize) -> impl Iterator<Item = isize> {
    (1 - keys as isize)..queries as isize
}

/// `[batch, head, query, distance]` with the distances of [`distances`] → `[batch, head, query, key]`.
pub(super) fn skew(by_distance: Tensor<4>, keys: usize) -> Tensor<4> {
    let [batch, heads, queries, width] = by_distance.dims();
    if queries == 0 || keys == 0 {
        return Tensor::zeros([batch, heads, queries, keys], &by_distance.device());
    }
    // One more column makes each row begin one further to the left when all is cut into rows of the old width.
    let column = Tensor::zeros([batch, heads, queries, 1], &ops::constants(&by_distance.device()));
    let flat = Tensor::cat(vec![by_distance, column], 3).reshape([batch, heads, queries * (width + 1)]);
    let slid = flat.narrow(2, queries - 1, queries * width).reshape([batch, heads, queries, width]);
    slid.narrow(3, 0, keys)
}

/// Fused attention with `added [batch, head, query, key]` on its scores, through which gradients flow.
pub(super) fn attend_with(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    added: Tensor<4>,
    attention: &Attention,
) -> Result<(Attended, Attention)> {
    let (shape, mut used) = (added.dims(), None);
    let flat = added.reshape([shape.iter().product::<usize>()]);
    let attended = ops::attend_learned(queries, keys, values, flat, |added| {
        let attention = attention.clone().bias(DenseBias::new(added, shape)?);
        used = Some(attention.clone());
        Ok(attention)
    })?;
    Ok((attended, used.expect("attend_learned calls its builder before it succeeds")))
}

/// Refuses queries or keys of another head width.
pub(super) fn check(argument: &'static str, given: [usize; 4], width: usize) -> Result<()> {
    if given[3] == width { Ok(()) } else { Err(Error::shape(argument, &given, format!("a last axis of {width}"))) }
}
