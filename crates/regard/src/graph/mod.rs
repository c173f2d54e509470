//! Attention in which a graph says who sees whom: nodes look at their neighbours.
//!
//! A [`Graph`](regard_kernel::Graph) is made once, from a list of edges or compressed rows, and given to every layer. Whether a node
//! sees itself is the graph's business, too: the papers let it ([`Graph::with_self_loops`](regard_kernel::Graph::with_self_loops)).

mod gat;
mod gat_v2;
mod look;

pub use gat::{GraphAttention, GraphAttentionConfig};
pub use gat_v2::{GraphAttentionV2, GraphAttentionV2Config};
pub use look::GraphLook;

use burn::module::Param;
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};
use regard_kernel::{EdgeAttention, Graph};

use crate::attention::check_dropout;
use crate::catalogue::Card;
use crate::error::{Error, Result};
use crate::noise::Mode;
use crate::ops;
use crate::projection::{Linear, LinearConfig};

pub(crate) const CARDS: [Card; 2] = [gat::CARD, gat_v2::CARD];

/// What a layer gives.
#[derive(Debug, Clone)]
pub struct GraphOutput {
    /// `[node, feature]`
    pub output: Tensor<2>,
    /// How the weights came about.
    pub look: GraphLook,
}

/// What the heads of both kinds of layer have in common.
#[derive(Debug, Clone, Copy)]
struct Heads {
    width: usize,
    heads: usize,
    head_width: usize,
    joined: bool,
    slope: f32,
    dropout: f32,
}

impl Heads {
    /// Refuses what makes no layer.
    fn check(&self) -> Result<()> {
        for (argument, given) in [("width", self.width), ("heads", self.heads), ("head_width", self.head_width)] {
            if given == 0 {
                return Err(Error::value(argument, given, "at least 1"));
            }
        }
        let most = self.heads.checked_mul(self.head_width).and_then(|all| all.checked_mul(self.width));
        if most.is_none_or(|most| most > isize::MAX as usize / size_of::<f32>()) {
            let given = format!("{} features of {} heads", self.head_width, self.heads);
            return Err(Error::value("head_width", given, "less than memory can hold"));
        }
        EdgeAttention::new(self.slope)?;
        check_dropout(self.dropout)
    }

    /// Features of a node's output.
    fn output_width(&self) -> usize {
        if self.joined { self.heads * self.head_width } else { self.head_width }
    }

    /// From a node's features to those of all heads.
    fn linear(&self, features: usize, bias: bool, device: &Device) -> Linear {
        let initializer = Initializer::XavierUniform { gain: 1.0 };
        LinearConfig::new(self.width, features).with_bias(bias).with_initializer(Some(initializer)).init(device)
    }

    /// A vector a head, `[head, feature]`.
    fn vectors(&self, device: &Device) -> Param<Tensor<2>> {
        let initializer = Initializer::XavierUniform { gain: 1.0 };
        initializer.init_with([self.heads, self.head_width], Some(self.head_width), Some(1), device)
    }

    /// A bias of the output.
    fn bias(&self, device: &Device) -> Param<Tensor<1>> {
        Initializer::Zeros.init([self.output_width()], device)
    }

    /// Refuses nodes and a graph that do not fit.
    fn fits(&self, nodes: &Tensor<2>, graph: &Graph) -> Result<()> {
        let (count, senders) = (graph.receivers(), graph.senders());
        if count != senders {
            let given = format!("one of {count} nodes that see and {senders} that are seen");
            return Err(Error::value("graph", given, "one in which both are the same"));
        }
        if nodes.dims() != [count, self.width] {
            return Err(Error::shape("nodes", &nodes.dims(), format!("{:?}", [count, self.width])));
        }
        Ok(())
    }

    /// `[node, head · feature]` as `[1, head, node, feature]`.
    fn split(&self, features: Tensor<2>) -> Tensor<4> {
        let nodes = features.dims()[0];
        features.reshape([1, nodes, self.heads, self.head_width]).swap_dims(1, 2)
    }

    /// Attends along the edges, `vectors` `[head, feature]`, and puts heads side by side or takes their mean.
    fn attend(
        &self,
        queries: Tensor<4>,
        keys: Tensor<4>,
        values: Tensor<4>,
        vectors: Tensor<2>,
        graph: &Graph,
        mode: Mode,
    ) -> Result<GraphOutput> {
        let plain = EdgeAttention::new(self.slope)?;
        let attention = match mode {
            Mode::Train(noise) if self.dropout > 0.0 => plain.dropout(self.dropout, noise.draw())?,
            _ => plain,
        };
        let look = GraphLook {
            graph: graph.clone(),
            queries: queries.clone(),
            keys: keys.clone(),
            vectors: vectors.clone(),
            attention,
        };
        let context = ops::attend_edges(queries, keys, values, vectors, graph, attention)?;
        let nodes = graph.receivers();
        let output = if self.joined {
            context.swap_dims(1, 2).reshape([nodes, self.output_width()])
        } else {
            context.mean_dim(1).reshape([nodes, self.output_width()])
        };
        Ok(GraphOutput { output, look })
    }
}
