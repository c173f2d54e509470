//! The last positions as they are, and before them means of several, weighed by how much attention each received.
//!
//! When there is no room, the oldest `c` positions that are still whole become one: `k̄ = Σ_j r_j k_j / Σ_j r_j`, `v̄` likewise, where `r_j`
//! is the weight that position `j` has received from all that came after. When means fill their part of the memory, the oldest is
//! dropped. Rae et al., "Compressive Transformers for Long-Range Sequence Modelling", ICLR 2020, arXiv:1911.05507, whose
//! *most-used* and *mean* pooling this is between.
//!
//! A mean stands for `c` positions, so `ln c` is added to its scores: if the `c` keys are the same, nothing is lost (Bolya et al. 2023,
//! arXiv:2210.09461, call it proportional attention). Rotary keys are turned to the middle of the `c` before they are averaged.
//!
//! Memory O((m+r)·d) a head for a past of `c·m + r`, time the same a token. Until the budget is full it is full attention. Reach for
//! it where the gist of the past matters more than single words of it; see [`HeavyHitters`](super::HeavyHitters) for the opposite.

use burn::tensor::Tensor;
use regard_kernel::DenseBias;

use super::arrivals::Arrivals;
use super::slots::Slots;
use super::{Next, Policy, at_least};
use crate::catalogue::{Card, Family};
use crate::error::Result;
use crate::position::Rotary;

/// See the module's page.
pub(super) const CARD: Card = Card {
    name: "Compressive",
    family: Family::Memory,
    sentence: "A decoder keeps the last positions, and of older ones means, weighed by the attention they received.",
    equation: "k̄ = Σ_j r_j k_j / Σ_j r_j over c positions, r_j = Σ_i a_ij; score + ln c",
    paper: "Rae et al. 2020 (Compressive Transformer), arXiv:1911.05507; ln c: Bolya et al. 2023, arXiv:2210.09461",
    cost: "memory O((m+r)·d) a head for c·m + r positions, time with it, keys read twice",
    when: "Long texts whose gist matters. Models not trained with it lose single words of the past.",
};

/// See the module's page.
#[derive(Debug)]
pub struct Compressive {
    memory: usize,
    rate: usize,
    recent: usize,
    read: usize,
    pooled: usize,
    slots: Option<Slots>,
}

impl Compressive {
    /// An empty cache of `memory` means of `rate` positions each, and of the last `recent` as they are.
    ///
    /// # Errors
    /// When there is no room for a mean, the rate is below 2, or fewer positions are recent than are averaged.
    pub fn new(memory: usize, rate: usize, recent: usize) -> Result<Self> {
        at_least("memory", memory, 1)?;
        at_least("rate", rate, 2)?;
        at_least("recent", recent, rate)?;
        Ok(Compressive { memory, rate, recent, read: 0, pooled: 0, slots: None })
    }
}

impl Policy for Compressive {
    fn attend(&mut self, next: Next) -> Result<Tensor<4>> {
        let (attention, rotary) = (next.attention, next.rotary);
        let budget = self.memory.saturating_add(self.recent);
        let mut new = Arrivals::new(next, self.read, &mut self.slots, budget)?;
        let Some(slots) = &mut self.slots else { return Ok(new.context()) };
        for at in 0..new.len() {
            if slots.is_full() {
                if self.pooled == self.memory {
                    slots.forget(1, |_, _| 0);
                    self.pooled -= 1;
                }
                pool(slots, self.pooled, self.rate, rotary);
                self.pooled += 1;
            }
            new.push(at, slots);
            self.read += 1;
            if self.pooled == 0 {
                new.look(at, slots, attention, true)?;
                continue;
            }
            let mut weight = vec![0.0; slots.len()];
            weight[..self.pooled].fill((self.rate as f32).ln());
            let counted = attention.clone().bias(DenseBias::new(weight, [1, 1, 1, slots.len()])?);
            new.look(at, slots, &counted, true)?;
        }
        Ok(new.context())
    }

    fn held(&self) -> usize {
        self.slots.as_ref().map_or(0, Slots::len)
    }

    fn reach(&self) -> Option<usize> {
        Some(self.memory.saturating_mul(self.rate).saturating_add(self.recent))
    }
}

/// Makes one of the `rate` slots from `first` on, which hold consecutive positions.
fn pool(slots: &mut Slots, first: usize, rate: usize, rotary: Option<&Rotary>) {
    let middle = (rate - 1) as f64 / 2.0;
    for unit in 0..slots.units() {
        let received = slots.received(unit)[first..first + rate].to_vec();
        let total: f32 = received.iter().sum();
        // What nobody looked at is averaged evenly.
        let share = |weight: f32| if total > 0.0 { weight / total } else { 1.0 / rate as f32 };
        let [mut key, mut value] = slots.sizes().map(|[_, _, width]| vec![0.0; width]);
        for (i, &weight) in received.iter().enumerate() {
            let row = slots.key_mut(unit, first + i);
            if let Some(rotary) = rotary {
                rotary.turn(row, middle - i as f64);
            }
            key.iter_mut().zip(row).for_each(|(sum, x)| *sum += share(weight) * *x);
            let row = slots.value_mut(unit, first + i);
            value.iter_mut().zip(row).for_each(|(sum, x)| *sum += share(weight) * *x);
        }
        slots.key_mut(unit, first).copy_from_slice(&key);
        slots.value_mut(unit, first).copy_from_slice(&value);
        slots.received_mut(unit)[first] = total;
    }
    slots.forget(rate - 1, |_, _| first + 1);
}
