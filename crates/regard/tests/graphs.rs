//! Attention along the edges of a graph, against torch-geometric (`oracle/graphs.py`).

mod common;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use common::case::Case;
use common::{numbers, random};
use regard::graph::{GraphAttentionConfig, GraphAttentionV2Config, GraphOutput};
use regard::{EdgeAttention, Graph, Mode, Noise, ops};

/// As the script has them.
const EDGES: [(u32, u32); 12] =
    [(1, 0), (2, 0), (6, 0), (0, 1), (3, 1), (1, 2), (4, 3), (0, 3), (5, 3), (2, 4), (3, 5), (6, 5)];

fn graph(loops: bool) -> Graph {
    let graph = Graph::from_edges(7, &EDGES).unwrap();
    if loops { graph.with_self_loops().unwrap() } else { graph }
}

/// Output, weights, and the gradients of all inputs and parameters.
fn compare(case: &Case, graph: &Graph, out: GraphOutput) {
    // The script's order: as listed, then the loops.
    let listed = EDGES.into_iter().chain((0..7).map(|node| (node, node)));
    let places: Vec<usize> = listed.filter_map(|edge| graph.pairs().position(|pair| pair == edge)).collect();
    let weights = numbers(&out.look.weights().unwrap());
    let heads = weights.len() / graph.edges();
    let ordered: Vec<f32> = weights.chunks(graph.edges()).flat_map(|head| places.iter().map(|&at| head[at])).collect();
    let ordered = Tensor::<2>::from_data(TensorData::new(ordered, [heads, places.len()]), &case.device);
    case.output("weights", ordered);
    case.gradients(case.output("output", out.output));
}

#[test]
fn heads_side_by_side() {
    let mut case = Case::open("graph_attention");
    let mut layer = GraphAttentionConfig::new(5, 4).with_heads(3).init(&case.device).unwrap();
    case.linear(&mut layer.project, "project");
    (layer.receiver, layer.sender) = (case.parameter("receiver"), case.parameter("sender"));
    layer.bias = Some(case.parameter("bias"));
    let graph = graph(true);
    let nodes = case.input("nodes");
    compare(&case, &graph, layer.forward(nodes, &graph, Mode::Evaluate).unwrap());
}

#[test]
fn the_mean_of_heads_and_a_residual() {
    let mut case = Case::open("graph_attention_mean");
    let config = GraphAttentionConfig::new(5, 3).with_heads(2).with_joined(false).with_residual(true);
    let mut layer = config.init(&case.device).unwrap();
    case.linear(&mut layer.project, "project");
    (layer.receiver, layer.sender) = (case.parameter("receiver"), case.parameter("sender"));
    layer.bias = Some(case.parameter("bias"));
    case.linear(layer.residual.as_mut().unwrap(), "residual");
    let graph = graph(false);
    let nodes = case.input("nodes");
    compare(&case, &graph, layer.forward(nodes, &graph, Mode::Evaluate).unwrap());
}

#[test]
fn the_second_version() {
    let mut case = Case::open("graph_attention_v2");
    let mut layer = GraphAttentionV2Config::new(5, 4).with_heads(2).init(&case.device).unwrap();
    case.linear(layer.receiver.as_mut().unwrap(), "receiver");
    case.linear(&mut layer.sender, "sender");
    layer.vector = case.parameter("vector");
    layer.bias = Some(case.parameter("bias"));
    let graph = graph(true);
    let nodes = case.input("nodes");
    compare(&case, &graph, layer.forward(nodes, &graph, Mode::Evaluate).unwrap());
}

#[test]
fn the_second_version_with_one_projection() {
    let mut case = Case::open("graph_attention_v2_shared");
    let config = GraphAttentionV2Config::new(5, 2).with_heads(3).with_joined(false).with_shared(true);
    let mut layer = config.with_bias(false).with_residual(true).init(&case.device).unwrap();
    case.linear(&mut layer.sender, "sender");
    layer.vector = case.parameter("vector");
    case.linear(layer.residual.as_mut().unwrap(), "residual");
    let graph = graph(false);
    let nodes = case.input("nodes");
    compare(&case, &graph, layer.forward(nodes, &graph, Mode::Evaluate).unwrap());
}

#[test]
fn scores_with_a_bias_are_scores_moved() {
    let device = Device::default();
    let config = GraphAttentionConfig::new(5, 4).with_heads(2).with_score_bias(true);
    let mut layer = config.init(&device).unwrap();
    let (nodes, graph) = (random::<2>(1, [7, 5], &device), graph(true));
    // So far above 0 that nothing is bent: then a number that all scores have in common changes nothing.
    layer.score_bias = Some(Param::from_tensor(Tensor::from_floats([50.0, 60.0], &device)));
    let far = layer.forward(nodes.clone(), &graph, Mode::Evaluate).unwrap();
    layer.score_bias = Some(Param::from_tensor(Tensor::from_floats([100.0, 100.0], &device)));
    let farther = layer.forward(nodes.clone(), &graph, Mode::Evaluate).unwrap();
    common::close("weights", &far.look.weights().unwrap(), &farther.look.weights().unwrap(), 1e-4);
    layer.score_bias = None;
    let unmoved = numbers(&layer.forward(nodes, &graph, Mode::Evaluate).unwrap().look.weights().unwrap());
    let moved = numbers(&far.look.weights().unwrap());
    assert!(moved.iter().zip(&unmoved).any(|(a, b)| (a - b).abs() > 1e-2), "sums below 0 are bent");
}

#[test]
fn training_drops_weights_and_evaluation_does_not() {
    let device = Device::default();
    let layer = GraphAttentionConfig::new(5, 4).with_heads(2).with_dropout(0.5).init(&device).unwrap();
    let (nodes, graph) = (random::<2>(1, [7, 5], &device), graph(true));
    let run = |mode: Mode| numbers(&layer.forward(nodes.clone(), &graph, mode).unwrap().output);
    let train = |seed| run(Mode::Train(&Noise::new(seed)));
    assert_eq!(train(1), train(1));
    assert_ne!(train(1), train(2));
    assert_ne!(train(1), run(Mode::Evaluate));
}

#[test]
fn who_sees_nobody_gets_the_bias() {
    let device = Device::default();
    let mut layer = GraphAttentionV2Config::new(5, 2).init(&device).unwrap();
    layer.bias = Some(Param::from_tensor(Tensor::from_floats([3.0, -4.0], &device)));
    let out = layer.forward(random(1, [7, 5], &device), &graph(false), Mode::Evaluate).unwrap();
    assert_eq!(numbers(&out.output)[12..], [3.0, -4.0]);
}

#[track_caller]
fn says<T>(result: regard::Result<T>, expected: &str) {
    match result {
        Ok(_) => panic!("not refused; expected: {expected}"),
        Err(error) => assert_eq!(error.to_string(), expected),
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = Device::default();
    let config = GraphAttentionConfig::new(5, 4);
    says(config.clone().with_heads(0).init(&device), "heads is 0, expected at least 1");
    says(config.clone().with_dropout(1.0).init(&device), "dropout is 1, expected a probability in [0, 1)");
    says(config.clone().with_slope(f32::INFINITY).init(&device), "slope: inf given, a finite number expected");
    let huge = GraphAttentionV2Config::new(5, usize::MAX / 2).with_heads(3);
    says(
        huge.init(&device),
        &format!("head_width is {} features of 3 heads, expected less than memory can hold", usize::MAX / 2),
    );
    let layer = config.init(&device).unwrap();
    let forward = |shape, graph: &Graph| layer.forward(random(1, shape, &device), graph, Mode::Evaluate);
    says(forward([6, 5], &graph(true)), "nodes has shape [6, 5], expected [7, 5]");
    says(forward([7, 4], &graph(true)), "nodes has shape [7, 4], expected [7, 5]");
    let uneven = Graph::new(vec![0, 1], vec![6], 7).unwrap();
    let both = "graph is one of 1 nodes that see and 7 that are seen, expected one in which both are the same";
    says(forward([7, 5], &uneven), both);
    let tensor = |rows, width| random::<4>(1, [1, 2, rows, width], &device);
    let attend = |queries, vectors| {
        let along = EdgeAttention::new(0.2).unwrap();
        ops::attend_edges(queries, tensor(7, 3), tensor(7, 2), random(2, vectors, &device), &graph(true), along)
    };
    assert_eq!(attend(tensor(7, 3), [2, 3]).unwrap().dims(), [1, 2, 7, 2]);
    says(attend(tensor(6, 3), [2, 3]), "queries: [1, 2, 6, 3] given, [1, 2, 7, 3] expected");
    says(attend(tensor(7, 3), [2, 4]), "vectors: [1, 2, 1, 4] given, [1, 2, 1, 3] expected");
}
