//! Room for a fixed number of positions of each head, any of which can be let go: what the caches that forget are made of.

use regard_kernel::View;

use crate::error::Result;

/// Keys, values and what each was looked at, `[batch · key head, slot, feature]`, in the order in which they came.
#[derive(Debug)]
pub(super) struct Slots {
    units: [usize; 2],
    widths: [usize; 2],
    budget: usize,
    /// Slots that there is memory for; it grows up to the budget.
    capacity: usize,
    len: usize,
    keys: Vec<f32>,
    values: Vec<f32>,
    received: Vec<f32>,
}

impl Slots {
    /// Empty. `sizes` are batch, key heads and width, of keys and of values.
    pub(super) fn new(sizes: [[usize; 3]; 2], budget: usize) -> Self {
        let [[batch, heads, key_width], [_, _, value_width]] = sizes;
        Slots {
            units: [batch, heads],
            widths: [key_width, value_width],
            budget,
            capacity: 0,
            len: 0,
            keys: Vec::new(),
            values: Vec::new(),
            received: Vec::new(),
        }
    }

    pub(super) fn sizes(&self) -> [[usize; 3]; 2] {
        let [batch, heads] = self.units;
        self.widths.map(|width| [batch, heads, width])
    }

    /// Positions held.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_full(&self) -> bool {
        self.len == self.budget
    }

    /// Batches times heads.
    pub(super) fn units(&self) -> usize {
        self.units[0] * self.units[1]
    }

    /// Adds a position after those held, of which `key` and `value` give each unit's. There must be room.
    pub(super) fn push<'a>(&mut self, key: impl Fn(usize) -> &'a [f32], value: impl Fn(usize) -> &'a [f32]) {
        let slot = self.len;
        if slot == self.capacity {
            self.grow();
        }
        self.len += 1;
        for unit in 0..self.units() {
            self.key_mut(unit, slot).copy_from_slice(key(unit));
            self.value_mut(unit, slot).copy_from_slice(value(unit));
            self.received_mut(unit)[slot] = 0.0;
        }
    }

    fn grow(&mut self) {
        let capacity = (2 * self.capacity).max(64).min(self.budget);
        let units = self.units();
        for (numbers, width) in
            [(&mut self.keys, self.widths[0]), (&mut self.values, self.widths[1]), (&mut self.received, 1)]
        {
            let mut room = vec![0.0; units * capacity * width];
            for unit in 0..units {
                let held = &numbers[unit * self.capacity * width..][..self.len * width];
                room[unit * capacity * width..][..held.len()].copy_from_slice(held);
            }
            *numbers = room;
        }
        self.capacity = capacity;
    }

    /// Lets go of `count` slots of each unit, from `first` on; those after them move up.
    pub(super) fn forget(&mut self, count: usize, first: impl Fn(&Self, usize) -> usize) {
        for unit in 0..self.units() {
            let first = first(self, unit);
            for (numbers, width) in
                [(&mut self.keys, self.widths[0]), (&mut self.values, self.widths[1]), (&mut self.received, 1)]
            {
                let start = unit * self.capacity;
                let kept = (start + first + count) * width..(start + self.len) * width;
                numbers.copy_within(kept, (start + first) * width);
            }
        }
        self.len -= count;
    }

    pub(super) fn key_mut(&mut self, unit: usize, slot: usize) -> &mut [f32] {
        let width = self.widths[0];
        &mut self.keys[(unit * self.capacity + slot) * width..][..width]
    }

    pub(super) fn value_mut(&mut self, unit: usize, slot: usize) -> &mut [f32] {
        let width = self.widths[1];
        &mut self.values[(unit * self.capacity + slot) * width..][..width]
    }

    /// How much weight each slot of a unit has received.
    pub(super) fn received(&self, unit: usize) -> &[f32] {
        &self.received[unit * self.capacity..][..self.len]
    }

    pub(super) fn received_mut(&mut self, unit: usize) -> &mut [f32] {
        &mut self.received[unit * self.capacity..][..self.len]
    }

    /// Keys and values as the kernel reads them.
    pub(super) fn views(&self) -> Result<[View<'_>; 2]> {
        let [batch, heads] = self.units;
        let view = |numbers, width| {
            let head = self.capacity * width;
            View::strided(numbers, [batch, heads, self.len, width], [heads * head, head, width, 1])
        };
        Ok([view(&self.keys, self.widths[0])?, view(&self.values, self.widths[1])?])
    }
}
