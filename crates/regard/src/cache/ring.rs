//! The first positions and the last: a window that slides over the text, and a few sinks that stay.
//!
//! `S_t = {1 … s} ∪ {t−w+1 … t}`. Softmax must put its weight somewhere, and models learn to put what they do not need on the
//! first tokens; without those *attention sinks* a window alone loses the thread as soon as they leave it. Xiao et al.,
//! "Efficient Streaming Language Models with Attention Sinks" (StreamingLLM), ICLR 2024, arXiv:2309.17453.
//!
//! Rotary positions are those inside the cache, so that a text of any length stays within what the model knows: the window
//! stays where it is, and the sinks are turned along behind it, `s` rows a step. Memory O((s+w)·d) a head, time the same a token.
//! With a window of the whole text, it is full attention. Reach for it to go on for ever; what left the window is forgotten.

use burn::tensor::Tensor;

use super::arrivals::Arrivals;
use super::slots::Slots;
use super::{Next, Policy, at_least};
use crate::catalogue::{Card, Family};
use crate::error::Result;

/// See the module's page.
pub(super) const CARD: Card = Card {
    name: "RingCache",
    family: Family::Heads,
    sentence: "A decoder keeps the first positions, as attention sinks, and a window of the last.",
    equation: "S_t = {1 … s} ∪ {t-w+1 … t}, positions counted inside the cache",
    paper: "Xiao et al. 2024 (StreamingLLM), arXiv:2309.17453",
    cost: "memory O((s+w)·d) a head and time O((s+w)·d) a token, however long the text",
    when: "Texts without end. Four sinks will do; what leaves the window is forgotten.",
};

/// See the module's page.
#[derive(Debug)]
pub struct Ring {
    sinks: usize,
    window: usize,
    read: usize,
    slots: Option<Slots>,
    /// Keys of the sinks where they came, `[unit · sink, feature]`.
    first: Vec<f32>,
}

impl Ring {
    /// An empty cache of `sinks` positions that stay and a window of `window`.
    ///
    /// # Errors
    /// When there is no window.
    pub fn new(sinks: usize, window: usize) -> Result<Self> {
        at_least("window", window, 1)?;
        Ok(Ring { sinks, window, read: 0, slots: None, first: Vec::new() })
    }
}

impl Policy for Ring {
    fn attend(&mut self, next: Next) -> Result<Tensor<4>> {
        let (attention, rotary) = (next.attention, next.rotary);
        let budget = self.sinks.saturating_add(self.window);
        let mut new = Arrivals::new(next, self.read, &mut self.slots, budget)?;
        let Some(slots) = &mut self.slots else { return Ok(new.context()) };
        let (sinks, units) = (self.sinks, slots.units());
        for at in 0..new.len() {
            if slots.is_full() {
                if self.first.is_empty() {
                    let rows = (0..units).flat_map(|unit| (0..sinks).map(move |sink| (unit, sink)));
                    self.first = rows.flat_map(|(unit, sink)| slots.key_mut(unit, sink).to_vec()).collect();
                }
                slots.forget(1, |_, _| sinks);
            }
            new.push(at, slots);
            self.read += 1;
            let gone = self.read - slots.len();
            if let (Some(rotary), true) = (rotary, gone > 0) {
                let width = self.first.len() / (units * sinks).max(1);
                for (row, key) in self.first.chunks_exact(width.max(1)).enumerate() {
                    let turned = slots.key_mut(row / sinks, row % sinks);
                    turned.copy_from_slice(key);
                    rotary.turn(turned, gone as f64);
                }
            }
            new.look(at, slots, attention, false)?;
        }
        Ok(new.context())
    }

    fn held(&self) -> usize {
        self.slots.as_ref().map_or(0, Slots::len)
    }

    fn reach(&self) -> Option<usize> {
        Some(self.sinks.saturating_add(self.window))
    }
}
