//! Graph attention (GAT): a node's new features are a mixture of its neighbours', weighted by what each has to offer.
//!
//! `e_ij = leaky(a₁ · W h_i + a₂ · W h_j)`, `a_ij = softmax_j(e_ij)` over the neighbours `j` of `i`, `h'_i = Σ_j a_ij · W h_j`, for each
//! head; heads side by side, or their mean. Veličković et al., "Graph Attention Networks", ICLR 2018, arXiv:1710.10903.
//!
//! Time O(N·d·d' + E·d') for N nodes and E edges, memory O(N·d'); the attention is fused ([`ops::attend_edges`]), and nothing is of
//! the size N². Reach for it where neighbours matter by what they are. Its score is a sum of one number of each side, so all nodes
//! rank the neighbours they share alike; where which neighbour matters depends on who asks, take
//! [`GraphAttentionV2`](super::GraphAttentionV2).

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};
use regard_kernel::Graph;

use super::{GraphOutput, Heads};
use crate::catalogue::{Card, Family};
use crate::error::Result;
use crate::noise::Mode;
use crate::ops::{self, constants};
use crate::projection::Linear;

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "GraphAttention",
    family: Family::Graphs,
    sentence: "A node mixes its neighbours' features, weighted by a number of its own and one of each neighbour.",
    equation: "a_ij = softmax_j(leaky(a₁ · W h_i + a₂ · W h_j)) over the neighbours j of i; h'_i = Σ_j a_ij · W h_j",
    paper: "Veličković et al. 2018, arXiv:1710.10903",
    cost: "time O(N·d·d' + E·d'), memory O(N·d') for N nodes and E edges; fused",
    when: "Nodes of a graph, labelled by their neighbours. All nodes rank the neighbours they share alike.",
};

/// Configuration of [`GraphAttention`].
#[derive(Config, Debug)]
pub struct GraphAttentionConfig {
    /// Features of a node.
    pub width: usize,
    /// Features that each head makes of them.
    pub head_width: usize,
    /// Heads.
    #[config(default = 1)]
    pub heads: usize,
    /// Whether heads are put side by side; otherwise their mean is taken, as the paper does in the last layer.
    #[config(default = true)]
    pub joined: bool,
    /// What sums below 0 are multiplied with.
    #[config(default = 0.2)]
    pub slope: f32,
    /// The share of weights that is dropped in training; 0.6 in the paper where there are few labels.
    #[config(default = 0.0)]
    pub dropout: f32,
    /// Whether the output has a bias.
    #[config(default = true)]
    pub bias: bool,
    /// Whether each head's scores have a bias; the paper has none, its program has.
    #[config(default = false)]
    pub score_bias: bool,
    /// Whether a linear map of the node's own features is added.
    #[config(default = false)]
    pub residual: bool,
}

/// A layer of graph attention.
#[derive(Module, Debug)]
pub struct GraphAttention {
    /// `W`, `[width, head · head width]`
    pub project: Linear,
    /// `a₁`, of the node that looks, `[head, head width]`
    pub receiver: Param<Tensor<2>>,
    /// `a₂`, of the node that is looked at, `[head, head width]`
    pub sender: Param<Tensor<2>>,
    /// Added to the sum, `[head]`
    pub score_bias: Option<Param<Tensor<1>>>,
    /// `[output feature]`
    pub bias: Option<Param<Tensor<1>>>,
    /// `[width, output feature]`
    pub residual: Option<Linear>,
    #[module(skip)]
    heads: Heads,
}

impl GraphAttentionConfig {
    /// Random weights (Xavier), biases of 0.
    ///
    /// # Errors
    /// When a size is 0, the slope is not finite, or `dropout` is not in `[0, 1)`.
    pub fn init(&self, device: &Device) -> Result<GraphAttention> {
        let &Self { width, heads, head_width, joined, slope, dropout, .. } = self;
        let heads = Heads { width, heads, head_width, joined, slope, dropout };
        heads.check()?;
        Ok(GraphAttention {
            project: heads.linear(self.heads * head_width, false, device),
            receiver: heads.vectors(device),
            sender: heads.vectors(device),
            score_bias: self.score_bias.then(|| Initializer::Zeros.init([self.heads], device)),
            bias: self.bias.then(|| heads.bias(device)),
            residual: self.residual.then(|| heads.linear(heads.output_width(), false, device)),
            heads,
        })
    }
}

impl GraphAttention {
    /// Each of `nodes [node, width]` looks at those that it sees in the graph → `[node, head · head width]`, or
    /// `[node, head width]` for the mean of the heads. A node that sees nobody gets what does not depend on neighbours: bias and
    /// residual.
    ///
    /// # Errors
    /// When there are not as many nodes as the graph has, or not as wide as the layer.
    pub fn forward(&self, nodes: Tensor<2>, graph: &Graph, mode: Mode) -> Result<GraphOutput> {
        self.heads.fits(&nodes, graph)?;
        let (count, width) = (self.heads.heads, self.heads.head_width);
        let features = self.heads.split(self.project.forward(nodes.clone()));
        let along = |vectors: Tensor<2>| ops::product(features.clone(), vectors.reshape([1, count, width, 1]));
        let mut queries = along(self.receiver.val())?;
        if let Some(bias) = &self.score_bias {
            queries = queries + bias.val().reshape([1, count, 1, 1]);
        }
        let keys = along(self.sender.val())?;
        let ones = Tensor::ones([count, 1], &constants(&nodes.device()));
        let GraphOutput { mut output, look } = self.heads.attend(queries, keys, features, ones, graph, mode)?;
        if let Some(residual) = &self.residual {
            output = output + residual.forward(nodes);
        }
        if let Some(bias) = &self.bias {
            output = output + bias.val().unsqueeze();
        }
        Ok(GraphOutput { output, look })
    }
}
