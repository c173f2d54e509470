use burn::tensor::{Tensor, TensorData};
use regard_kernel::{EdgeAttention, Graph, View};

use crate::error::Result;
use crate::ops::{constants, numbers};

/// What one attention along edges leaves behind to be looked into, by reference; nothing is computed until somebody looks.
#[derive(Debug, Clone)]
pub struct GraphLook {
    /// Whose edges they are.
    pub graph: Graph,
    /// `[1, head, node, feature]`, as compared.
    pub queries: Tensor<4>,
    /// `[1, head, node, feature]`
    pub keys: Tensor<4>,
    /// `[head, feature]`
    pub vectors: Tensor<2>,
    /// Of which slope.
    pub attention: EdgeAttention,
}

impl GraphLook {
    /// The weight of each edge for each head, before dropout, `[head, edge]`; [`Graph::pairs`] says between which nodes it is. Those
    /// of a node that sees somebody sum to 1. Carries no gradient.
    ///
    /// # Errors
    /// When the tensors do not fit each other or the graph.
    pub fn weights(&self) -> Result<Tensor<2>> {
        let [_, heads, _, width] = self.queries.dims();
        let (queries, keys) = (numbers(self.queries.clone())?, numbers(self.keys.clone())?);
        let vectors = numbers(self.vectors.clone())?;
        let queries = View::new(&queries, self.queries.dims())?;
        let keys = View::new(&keys, self.keys.dims())?;
        let vectors = View::new(&vectors, [1, heads, 1, width])?;
        let weights = self.attention.weights(&self.graph, &queries, &keys, &vectors)?;
        let data = TensorData::new(weights, [heads, self.graph.edges()]);
        Ok(Tensor::from_data(data, &constants(&self.queries.device())))
    }
}
