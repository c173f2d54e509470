use burn::tensor::{Int, Tensor};

use crate::error::{Error, Result};

/// Positions decoded so far, `[batch, head, position, feature]`.
///
/// Room doubles as it fills, so a step copies one position, not the history.
#[derive(Debug, Clone)]
pub(super) struct Store {
    rows: Tensor<4>,
    length: usize,
}

impl Store {
    pub fn new(rows: Tensor<4>) -> Self {
        let length = rows.dims()[2];
        Store { rows, length }
    }

    pub fn len(&self) -> usize {
        self.length
    }

    /// # Panics
    /// When batch, heads or width are not those of the positions held.
    pub fn append(&mut self, new: Tensor<4>) {
        let [batch, heads, count, width] = new.dims();
        let (end, room) = (self.length + count, self.rows.dims()[2]);
        // Taken out rather than cloned, so that the store stays unique and is written in place.
        let mut held = std::mem::replace(&mut self.rows, Tensor::empty([0, 0, 0, 0], &new.device()));
        if end > room {
            let old = held.slice_dim(2, 0..self.length);
            held = Tensor::zeros([batch, heads, end.max(2 * room), width], &new.device());
            held = held.slice_assign([0..batch, 0..heads, 0..self.length, 0..width], old);
        }
        self.rows = held.slice_assign([0..batch, 0..heads, self.length..end, 0..width], new);
        self.length = end;
    }

    /// What is held, as a view.
    pub fn rows(&self) -> Tensor<4> {
        self.rows.clone().slice_dim(2, 0..self.length)
    }

    /// Refuses further positions of another batch.
    pub fn check_batch(&self, input: &Tensor<3>) -> Result<()> {
        let batch = self.rows.dims()[0];
        if input.dims()[0] == batch {
            return Ok(());
        }
        Err(Error::shape("input", &input.dims(), format!("the cache's batch of {batch}")))
    }

    pub fn select(&mut self, rows: Tensor<1, Int>) {
        self.rows = self.rows.clone().select(0, rows);
    }
}

/// The keys and values of the positions decoded so far, `[batch, key head, position, feature]`.
#[derive(Debug, Clone)]
pub struct Cache {
    keys: Store,
    values: Store,
}

impl Cache {
    /// A cache that starts with these.
    pub fn new(keys: Tensor<4>, values: Tensor<4>) -> Self {
        Cache { keys: Store::new(keys), values: Store::new(values) }
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends further positions.
    ///
    /// # Panics
    /// When batch, heads or widths are not those of the positions held.
    pub fn append(&mut self, keys: Tensor<4>, values: Tensor<4>) {
        self.keys.append(keys);
        self.values.append(values);
    }

    /// Keys held, as a view.
    pub fn keys(&self) -> Tensor<4> {
        self.keys.rows()
    }

    /// Values held, as a view.
    pub fn values(&self) -> Tensor<4> {
        self.values.rows()
    }

    /// Batch, heads and width of keys and of values.
    pub(crate) fn sizes(&self) -> [[usize; 3]; 2] {
        [&self.keys, &self.values].map(|store| {
            let [batch, heads, _, width] = store.rows.dims();
            [batch, heads, width]
        })
    }

    /// Keeps these rows of the batch, in this order: how beam search reorders hypotheses.
    pub fn select(&mut self, rows: Tensor<1, Int>) {
        self.keys.select(rows.clone());
        self.values.select(rows);
    }
}
