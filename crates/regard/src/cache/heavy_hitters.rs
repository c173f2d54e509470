//! What was looked at most, and the last: of all others the position that received the least attention is evicted.
//!
//! `S_t = S_{t-1} ∪ {t} \ {argmin_{j ∉ recent} Σ_{i ≤ t} a_ij}`, for each key head on its own. A few positions receive most of all
//! weight, and who was looked at will be looked at again. Zhang et al., "H₂O: Heavy-Hitter Oracle", NeurIPS 2023,
//! arXiv:2306.14048.
//!
//! Weights are noted by the kernel's probe [`Received`](regard_kernel::probe::Received), one more pass over the keys held, and summed
//! over the query heads that share a key head. Memory O((h+r)·d) a head, time the same a token. With a budget of the whole text it is
//! full attention. Keys keep the positions that they came with. Reach for it when a long prompt matters in a few places that nobody
//! knows before; a place that will only matter later may be gone by then.

use burn::tensor::Tensor;

use super::arrivals::Arrivals;
use super::slots::Slots;
use super::{Next, Policy, at_least};
use crate::catalogue::{Card, Family};
use crate::error::Result;

/// See the module's page.
pub(super) const CARD: Card = Card {
    name: "HeavyHitters",
    family: Family::Memory,
    sentence: "A decoder keeps the positions that received the most attention, and the last ones.",
    equation: "S_t = S_{t-1} ∪ {t} \\ {argmin_{j not recent} Σ_i a_ij}, for each head",
    paper: "Zhang et al. 2023 (H2O), arXiv:2306.14048",
    cost: "memory O((h+r)·d) a head, time O((h+r)·d) a token, keys read twice",
    when: "Long prompts of which a few places matter. What seemed useless so far is gone.",
};

/// See the module's page.
#[derive(Debug)]
pub struct HeavyHitters {
    heavy: usize,
    recent: usize,
    read: usize,
    slots: Option<Slots>,
}

impl HeavyHitters {
    /// An empty cache of `heavy` positions that received the most, and the last `recent`; the paper halves its budget.
    ///
    /// # Errors
    /// When either is 0.
    pub fn new(heavy: usize, recent: usize) -> Result<Self> {
        at_least("heavy", heavy, 1)?;
        at_least("recent", recent, 1)?;
        Ok(HeavyHitters { heavy, recent, read: 0, slots: None })
    }
}

impl Policy for HeavyHitters {
    fn attend(&mut self, next: Next) -> Result<Tensor<4>> {
        let attention = next.attention;
        let budget = self.heavy.saturating_add(self.recent);
        let mut new = Arrivals::new(next, self.read, &mut self.slots, budget)?;
        let Some(slots) = &mut self.slots else { return Ok(new.context()) };
        for at in 0..new.len() {
            if slots.is_full() {
                // The one that comes is the last of the recent ones.
                let candidates = self.heavy + 1;
                slots.forget(1, |slots, unit| least(&slots.received(unit)[..candidates]));
            }
            new.push(at, slots);
            self.read += 1;
            new.look(at, slots, attention, true)?;
        }
        Ok(new.context())
    }

    fn held(&self) -> usize {
        self.slots.as_ref().map_or(0, Slots::len)
    }
}

/// Where the smallest number stands, the first of equals.
fn least(numbers: &[f32]) -> usize {
    let all = numbers.iter().enumerate();
    all.min_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(at, _)| at)
}
