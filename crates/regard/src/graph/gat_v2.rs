//! Graph attention whose ranking depends on who asks (GATv2): the non-linearity comes before the last vector, not after it.
//!
//! `e_ij = a · leaky(W_l h_i + W_r h_j)`, `a_ij = softmax_j(e_ij)` over the neighbours `j` of `i`, `h'_i = Σ_j a_ij · W_r h_j`, for each
//! head; heads side by side, or their mean. Brody, Alon & Yahav, "How Attentive are Graph Attention Networks?", ICLR 2022,
//! arXiv:2105.14491.
//!
//! Time O(N·d·d' + E·d'), memory O(N·d') as [`GraphAttention`](super::GraphAttention), with d' operations an edge for the score
//! where that has one; fused ([`ops::attend_edges`](crate::ops::attend_edges)). Reach for it where a node has to choose among its
//! neighbours by its own features, and for noisy edges. With few labels the simpler score often does as well.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use regard_kernel::Graph;

use super::{GraphOutput, Heads};
use crate::catalogue::{Card, Family};
use crate::error::Result;
use crate::noise::Mode;
use crate::projection::Linear;

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "GraphAttentionV2",
    family: Family::Graphs,
    sentence: "Graph attention in which the best neighbour depends on who asks.",
    equation: "a_ij = softmax_j(a · leaky(W_l h_i + W_r h_j)) over the neighbours j of i; h'_i = Σ_j a_ij · W_r h_j",
    paper: "Brody, Alon & Yahav 2022, arXiv:2105.14491",
    cost: "time O(N·d·d' + E·d'), memory O(N·d') for N nodes and E edges; fused",
    when: "Nodes that choose among their neighbours by what they are themselves; noisy edges.",
};

/// Configuration of [`GraphAttentionV2`].
#[derive(Config, Debug)]
pub struct GraphAttentionV2Config {
    /// Features of a node.
    pub width: usize,
    /// Features that each head makes of them.
    pub head_width: usize,
    /// Heads.
    #[config(default = 1)]
    pub heads: usize,
    /// Whether heads are put side by side; otherwise their mean is taken.
    #[config(default = true)]
    pub joined: bool,
    /// What features below 0 are multiplied with.
    #[config(default = 0.2)]
    pub slope: f32,
    /// The share of weights that is dropped in training.
    #[config(default = 0.0)]
    pub dropout: f32,
    /// Whether the projections and the output have biases.
    #[config(default = true)]
    pub bias: bool,
    /// Whether `W_l` is `W_r`.
    #[config(default = false)]
    pub shared: bool,
    /// Whether a linear map of the node's own features is added.
    #[config(default = false)]
    pub residual: bool,
}

/// A layer of graph attention with scores that depend on both ends.
#[derive(Module, Debug)]
pub struct GraphAttentionV2 {
    /// `W_l`, of the node that looks, `[width, head · head width]`; `W_r` if there is none.
    pub receiver: Option<Linear>,
    /// `W_r`, of the node that is looked at, `[width, head · head width]`
    pub sender: Linear,
    /// `a`, `[head, head width]`
    pub vector: Param<Tensor<2>>,
    /// `[output feature]`
    pub bias: Option<Param<Tensor<1>>>,
    /// `[width, output feature]`
    pub residual: Option<Linear>,
    #[module(skip)]
    heads: Heads,
}

impl GraphAttentionV2Config {
    /// Random weights (Xavier); the output's bias is 0.
    ///
    /// # Errors
    /// When a size is 0, the slope is not finite, or `dropout` is not in `[0, 1)`.
    pub fn init(&self, device: &Device) -> Result<GraphAttentionV2> {
        let &Self { width, heads, head_width, joined, slope, dropout, bias, .. } = self;
        let heads = Heads { width, heads, head_width, joined, slope, dropout };
        heads.check()?;
        let project = || heads.linear(self.heads * head_width, bias, device);
        Ok(GraphAttentionV2 {
            receiver: (!self.shared).then(project),
            sender: project(),
            vector: heads.vectors(device),
            bias: bias.then(|| heads.bias(device)),
            residual: self.residual.then(|| heads.linear(heads.output_width(), false, device)),
            heads,
        })
    }
}

impl GraphAttentionV2 {
    /// Each of `nodes [node, width]` looks at those that it sees in the graph → `[node, head · head width]`, or
    /// `[node, head width]` for the mean of the heads. A node that sees nobody gets bias and residual.
    ///
    /// # Errors
    /// When there are not as many nodes as the graph has, or not as wide as the layer.
    pub fn forward(&self, nodes: Tensor<2>, graph: &Graph, mode: Mode) -> Result<GraphOutput> {
        self.heads.fits(&nodes, graph)?;
        let keys = self.heads.split(self.sender.forward(nodes.clone()));
        let queries = match &self.receiver {
            Some(receiver) => self.heads.split(receiver.forward(nodes.clone())),
            None => keys.clone(),
        };
        let GraphOutput { mut output, look } =
            self.heads.attend(queries, keys.clone(), keys, self.vector.val(), graph, mode)?;
        if let Some(residual) = &self.residual {
            output = output + residual.forward(nodes);
        }
        if let Some(bias) = &self.bias {
            output = output + bias.val().unsqueeze();
        }
        Ok(GraphOutput { output, look })
    }
}
