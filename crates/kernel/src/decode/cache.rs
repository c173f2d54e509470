//! Keys and values of everything so far, of sequences that grow together.

use crate::Result;
use crate::error::Error;
use crate::memory::{Memory, Precision};
use crate::view::View;

/// Keys and values of everything so far, `[batch, key head, position, feature]`, each head's positions contiguous.
///
/// Room for positions doubles when it runs out, so that appending costs the same on average however long the cache grows.
#[derive(Clone, Debug)]
pub struct KeyValueCache {
    keys: Store,
    values: Store,
}

impl KeyValueCache {
    /// An empty cache of single precision.
    pub fn new(batch: usize, key_heads: usize, key_width: usize, value_width: usize) -> Self {
        Self::with_precision(batch, key_heads, key_width, value_width, Precision::F32)
    }

    /// An empty cache whose numbers are rounded as they are appended.
    pub fn with_precision(
        batch: usize,
        key_heads: usize,
        key_width: usize,
        value_width: usize,
        precision: Precision,
    ) -> Self {
        let store = |width| Store {
            units: [batch, key_heads],
            width,
            precision,
            len: 0,
            capacity: 0,
            memory: Memory::new(precision, 0, width),
        };
        Self { keys: store(key_width), values: store(value_width) }
    }

    /// How many positions are held.
    pub fn len(&self) -> usize {
        self.keys.len
    }

    /// Whether no position is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds positions after those held: `k` `[batch, key head, n, key width]` and `v` `[batch, key head, n, value width]`.
    ///
    /// # Errors
    /// If the shapes do not fit the cache or each other; the cache is then as it was.
    pub fn append(&mut self, k: &View, v: &View) -> Result<()> {
        self.keys.check("keys", k, k.shape()[2])?;
        self.values.check("values", v, k.shape()[2])?;
        self.keys.append(k);
        self.values.append(v);
        Ok(())
    }

    /// Forgets every position after the first `len`, as when a search steps back.
    pub fn truncate(&mut self, len: usize) {
        self.keys.len = self.keys.len.min(len);
        self.values.len = self.values.len.min(len);
    }

    /// The keys held, `[batch, key head, position, key width]`.
    pub fn keys(&self) -> View<'_> {
        self.keys.view()
    }

    /// The values held, `[batch, key head, position, value width]`.
    pub fn values(&self) -> View<'_> {
        self.values.view()
    }
}

/// `[batch, head, capacity, width]`, of which the first `len` positions are in use.
#[derive(Clone, Debug)]
struct Store {
    units: [usize; 2],
    width: usize,
    precision: Precision,
    len: usize,
    capacity: usize,
    memory: Memory,
}

impl Store {
    fn check(&self, argument: &str, new: &View, positions: usize) -> Result<()> {
        let expected = [self.units[0], self.units[1], positions, self.width];
        if new.shape() == expected {
            return Ok(());
        }
        Err(Error::new(argument, format!("{:?}", new.shape()), format!("{expected:?}")))
    }

    fn append(&mut self, new: &View) {
        let added = new.shape()[2];
        self.reserve(self.len + added);
        let [batch, heads] = self.units;
        for unit in 0..batch * heads {
            self.memory.write(unit * self.capacity + self.len, new.matrix(unit / heads, unit % heads));
        }
        self.len += added;
    }

    fn reserve(&mut self, needed: usize) {
        if needed <= self.capacity {
            return;
        }
        let capacity = needed.next_power_of_two().max(16);
        let units = self.units[0] * self.units[1];
        let mut memory = Memory::new(self.precision, units * capacity, self.width);
        for unit in 0..units {
            memory.copy(unit * capacity, &self.memory, unit * self.capacity, self.len);
        }
        (self.capacity, self.memory) = (capacity, memory);
    }

    fn view(&self) -> View<'_> {
        let [batch, heads] = self.units;
        let head = self.capacity * self.width;
        View::of_memory(
            self.memory.data(),
            [batch, heads, self.len, self.width],
            [heads * head, head, self.width, 1],
            [heads * self.capacity, self.capacity, 1],
        )
    }
}
