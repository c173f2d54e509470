use burn::tensor::{Int, Tensor};

/// The keys and values of the positions decoded so far, `[batch, key head, position, feature]`.
///
/// Room doubles as it fills, so a step copies one position, not the history.
#[derive(Debug, Clone)]
pub struct Cache {
    keys: Tensor<4>,
    values: Tensor<4>,
    length: usize,
}

impl Cache {
    /// A cache that starts with these.
    pub fn new(keys: Tensor<4>, values: Tensor<4>) -> Self {
        let length = keys.dims()[2];
        Cache { keys, values, length }
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Appends further positions.
    ///
    /// # Panics
    /// When batch, heads or widths are not those of the positions held.
    pub fn append(&mut self, keys: Tensor<4>, values: Tensor<4>) {
        let end = self.length + keys.dims()[2];
        let room = self.keys.dims()[2];
        let grown = if end > room { end.max(2 * room) } else { room };
        for (store, new) in [(&mut self.keys, keys), (&mut self.values, values)] {
            let [batch, heads, _, width] = new.dims();
            // Taken out rather than cloned, so that the store stays unique and is written in place.
            let mut held = std::mem::replace(store, Tensor::empty([0, 0, 0, 0], &new.device()));
            if grown > room {
                let old = held.slice_dim(2, 0..self.length);
                held = Tensor::zeros([batch, heads, grown, width], &new.device());
                held = held.slice_assign([0..batch, 0..heads, 0..self.length, 0..width], old);
            }
            *store = held.slice_assign([0..batch, 0..heads, self.length..end, 0..width], new);
        }
        self.length = end;
    }

    /// Keys held, as a view.
    pub fn keys(&self) -> Tensor<4> {
        self.keys.clone().slice_dim(2, 0..self.length)
    }

    /// Values held, as a view.
    pub fn values(&self) -> Tensor<4> {
        self.values.clone().slice_dim(2, 0..self.length)
    }

    /// Batch, heads and width of keys and of values.
    pub(crate) fn sizes(&self) -> [[usize; 3]; 2] {
        [&self.keys, &self.values].map(|held| {
            let [batch, heads, _, width] = held.dims();
            [batch, heads, width]
        })
    }

    /// Keeps these rows of the batch, in this order: how beam search reorders hypotheses.
    pub fn select(&mut self, rows: Tensor<1, Int>) {
        self.keys = self.keys.clone().select(0, rows.clone());
        self.values = self.values.clone().select(0, rows);
    }
}
