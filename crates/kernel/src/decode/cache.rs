//! Keys and values of everything so far.

use crate::Result;
use crate::error::Error;
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
    /// An empty cache.
    pub fn new(batch: usize, key_heads: usize, key_width: usize, value_width: usize) -> Self {
        let store = |width| Store { units: [batch, key_heads], width, len: 0, capacity: 0, data: Vec::new() };
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
    len: usize,
    capacity: usize,
    data: Vec<f32>,
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
            let from = new.matrix(unit / heads, unit % heads);
            let start = (unit * self.capacity + self.len) * self.width;
            let to = &mut self.data[start..start + added * self.width];
            for (i, to) in to.chunks_exact_mut(self.width.max(1)).enumerate() {
                from.slice(i..i + 1).with(|row| to.iter_mut().enumerate().for_each(|(f, x)| *x = row.get(0, f)));
            }
        }
        self.len += added;
    }

    fn reserve(&mut self, needed: usize) {
        if needed <= self.capacity {
            return;
        }
        let capacity = needed.next_power_of_two().max(16);
        let units = self.units[0] * self.units[1];
        let mut data = vec![0.0; units * capacity * self.width];
        let used = self.len * self.width;
        for unit in 0..units {
            let (to, from) = (unit * capacity * self.width, unit * self.capacity * self.width);
            data[to..to + used].copy_from_slice(&self.data[from..from + used]);
        }
        (self.capacity, self.data) = (capacity, data);
    }

    fn view(&self) -> View<'_> {
        let [batch, heads] = self.units;
        let head = self.capacity * self.width;
        View::strided(&self.data, [batch, heads, self.len, self.width], [heads * head, head, self.width, 1])
            .expect("the data holds `capacity` positions of every head, and `len` is no more")
    }
}
