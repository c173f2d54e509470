//! Everything, as it is: keys and values one after another, in tensors.
//!
//! `S_t = {1 … t}`. Memory O(t·d) a head, time O(t·d) a token. What every other policy is measured by, and the only one whose
//! rows beam search can reorder ([`Cache::select`]). Vaswani et al. 2017, arXiv:1706.03762, as every decoder since keeps it.

use burn::tensor::Tensor;

use super::{Next, Policy, check_held};
use crate::attention::Cache;
use crate::catalogue::{Card, Family};
use crate::error::Result;
use crate::ops;

/// See the module's page.
pub(super) const CARD: Card = Card {
    name: "ContiguousCache",
    family: Family::Heads,
    sentence: "A decoder keeps the keys and values of all positions, one after another.",
    equation: "c_t = Σ_{j ≤ t} softmax_j(q_t · k_j / √d) v_j, k_j and v_j computed once",
    paper: "Vaswani et al. 2017, arXiv:1706.03762",
    cost: "memory O(t·d) a head, time O(t·d) a token, exact",
    when: "The default, as long as it fits into memory.",
};

/// `None` until something is read.
impl Policy for Option<Cache> {
    fn attend(&mut self, next: Next) -> Result<Tensor<4>> {
        let attention = next.attention;
        if let Some(cache) = self {
            check_held(cache.sizes(), &next.keys, &next.values)?;
        }
        let [queries, keys, values] = next.turned(self.held())?;
        let cache = match self {
            Some(cache) => {
                cache.append(keys, values);
                cache
            }
            empty => empty.insert(Cache::new(keys, values)),
        };
        Ok(ops::attend(queries, cache.keys(), cache.values(), attention)?.context)
    }

    fn held(&self) -> usize {
        self.as_ref().map_or(0, Cache::len)
    }
}
