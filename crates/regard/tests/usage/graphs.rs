//! Graphs: `x` is 64 nodes, `[1, node, feature]`.
use super::{OfPositions, Outcome};
use burn::tensor::Tensor;

pub const ALL: &[OfPositions] = &[("GraphAttention", graph_attention), ("GraphAttentionV2", graph_attention_v2)];

/// GraphAttention
fn graph_attention(x: Tensor<3>) -> Outcome {
    use regard::graph::GraphAttentionConfig;
    use regard::{Graph, Mode};

    // A ring: each node sees the one before it, and itself.
    let edges: Vec<(u32, u32)> = (0..64).map(|node| (node, (node + 1) % 64)).collect();
    let graph = Graph::from_edges(64, &edges)?.with_self_loops()?;
    let layer = GraphAttentionConfig::new(32, 8).with_heads(4).init(&x.device())?;
    let out = layer.forward(x.squeeze_dim(0), &graph, Mode::Evaluate)?;
    // A weight for each head and edge; `graph.pairs()` are the edges.
    assert_eq!((out.output.dims(), out.look.weights()?.dims()), ([64, 32], [4, 128]));
    Ok(())
}

/// GraphAttentionV2
fn graph_attention_v2(x: Tensor<3>) -> Outcome {
    use regard::graph::GraphAttentionV2Config;
    use regard::{Graph, Mode};

    // In compressed rows: node 0 sees all, the others see node 0.
    let offsets = (0..65).map(|node| if node == 0 { 0 } else { 63 + node }).collect();
    let neighbours = (0..64).chain([0; 63]).collect();
    let graph = Graph::new(offsets, neighbours, 64)?;
    let layer = GraphAttentionV2Config::new(32, 16).with_heads(4).with_joined(false).init(&x.device())?;
    let out = layer.forward(x.squeeze_dim(0), &graph, Mode::Evaluate)?;
    assert_eq!((out.output.dims(), out.look.weights()?.dims()), ([64, 16], [4, 127]));
    Ok(())
}
