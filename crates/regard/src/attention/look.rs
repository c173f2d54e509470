use burn::tensor::{Tensor, TensorData};
use regard_kernel::probe::{Probe, Weights};
use regard_kernel::{Attention, View};

use crate::error::Result;
use crate::ops::numbers;

/// What one attention leaves behind to be looked into: references to its queries and keys, and the log-sum-exp of its
/// rows. Nothing is computed until [`Look::observe`], and then tile by tile: looking is free until you look.
#[derive(Debug, Clone)]
pub struct Look {
    /// `[batch, head, query, feature]`, as compared (after rotation, projection …).
    pub queries: Tensor<4>,
    /// `[batch, key head, key, feature]`.
    pub keys: Tensor<4>,
    /// `[batch, head, query]`.
    pub lse: Tensor<3>,
    /// The score, biases, mask and normaliser that were applied.
    pub attention: Attention,
}

impl Look {
    /// Streams the exact weights through `probes`.
    ///
    /// # Errors
    /// When a probe does not fit the shapes.
    pub fn observe(&self, probes: &mut [&mut dyn Probe]) -> Result<()> {
        let (queries, keys, lse) =
            (numbers(self.queries.clone())?, numbers(self.keys.clone())?, numbers(self.lse.clone())?);
        let queries = View::new(&queries, self.queries.dims())?;
        let keys = View::new(&keys, self.keys.dims())?;
        Ok(self.attention.observe(&queries, &keys, &lse, probes)?)
    }

    /// All the weights, `[batch, head, query, key]`: for inputs short enough to hold them.
    ///
    /// # Errors
    /// As [`Look::observe`].
    pub fn weights(&self) -> Result<Tensor<4>> {
        let [batch, heads, queries, _] = self.queries.dims();
        let keys = self.keys.dims()[2];
        let mut probe = Weights::new();
        self.observe(&mut [&mut probe])?;
        let data = TensorData::new(probe.values().to_vec(), [batch, heads, queries, keys]);
        Ok(Tensor::from_data(data, &self.lse.device()))
    }
}
