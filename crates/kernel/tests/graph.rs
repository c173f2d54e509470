//! Attention along edges against its definition in double precision.

mod oracle;

use oracle::*;
use proptest::prelude::*;
use rayon::ThreadPoolBuilder;
use regard_kernel::dropout::keep_weight;
use regard_kernel::{EdgeAttention, Graph, Result};

const SLOPE: f32 = 0.2;

/// `[batch, heads, d, dv]`
type Sizes = [usize; 4];

/// Who drops a weight: probability and seed.
type Dropped = Option<(f32, u64)>;

/// Node 0 sees all, node 1 nobody, the others a few; some edges are there twice.
fn graph(receivers: usize, senders: usize) -> Graph {
    let (mut offsets, mut neighbours) = (vec![0], vec![]);
    for node in 0..receivers {
        match node {
            0 => neighbours.extend(0..senders as u32),
            1 => {}
            _ => neighbours.extend((0..node % 7).map(|at| ((node * 31 + at * at * 17) % senders) as u32)),
        }
        offsets.push(neighbours.len());
    }
    Graph::new(offsets, neighbours, senders).unwrap()
}

fn shapes(graph: &Graph, [batch, heads, width, value_width]: Sizes) -> [[usize; 4]; 4] {
    let (receivers, senders) = (graph.receivers(), graph.senders());
    [
        [batch, heads, receivers, width],
        [batch, heads, senders, width],
        [batch, heads, senders, value_width],
        [1, heads, 1, width],
    ]
}

fn arrays(graph: &Graph, sizes: Sizes) -> [Vec<f32>; 4] {
    let mut seed = 0;
    shapes(graph, sizes).map(|shape| {
        seed += 1;
        numbers(seed, size(shape))
    })
}

/// Weights after dropout, `[batch · head][edge]`, and the context.
fn exact(graph: &Graph, sizes: Sizes, dropped: Dropped, [q, k, v, a]: &[Vec<f64>; 4]) -> (Vec<f64>, Vec<f64>) {
    let [batch, heads, width, value_width] = sizes;
    let (mut weights, mut context) = (vec![], vec![]);
    for unit in 0..batch * heads {
        for node in 0..graph.receivers() {
            let row = |x: &[f64], rows: usize, at: usize, width: usize| -> Vec<f64> {
                x[(unit * rows + at) * width..][..width].to_vec()
            };
            let query = row(q, graph.receivers(), node, width);
            let score = |&other: &u32| -> f64 {
                let key = row(k, graph.senders(), other as usize, width);
                let factors = &a[unit % heads * width..][..width];
                let leaky = |x: f64| if x > 0.0 { x } else { f64::from(SLOPE) * x };
                query.iter().zip(&key).zip(factors).map(|((q, k), a)| a * leaky(q + k)).sum()
            };
            let neighbours = graph.neighbours(node);
            let total: f64 = neighbours.iter().map(|other| score(other).exp()).sum();
            let keep = |other: u32| match dropped {
                None => 1.0,
                Some((p, seed)) if keep_weight(seed, unit / heads, unit % heads, node, other as usize, p) => {
                    1.0 / (1.0 - f64::from(p))
                }
                Some(_) => 0.0,
            };
            let first = weights.len();
            weights.extend(neighbours.iter().map(|other| score(other).exp() / total * keep(*other)));
            for f in 0..value_width {
                let value = |other: u32| row(v, graph.senders(), other as usize, value_width)[f];
                context.push(neighbours.iter().zip(&weights[first..]).map(|(&other, a)| a * value(other)).sum());
            }
        }
    }
    (weights, context)
}

fn attention(dropped: Dropped) -> EdgeAttention {
    let attention = EdgeAttention::new(SLOPE).unwrap();
    dropped.map_or(attention, |(probability, seed)| attention.dropout(probability, seed).unwrap())
}

fn run(graph: &Graph, sizes: Sizes, dropped: Dropped, x: &[Vec<f32>; 4]) -> Vec<f32> {
    let [q, k, v, a] = shapes(graph, sizes);
    let [q, k, v, a] = [view(&x[0], q), view(&x[1], k), view(&x[2], v), view(&x[3], a)];
    attention(dropped).forward(graph, &q, &k, &v, &a).unwrap()
}

/// Queries, keys, values, vectors.
fn gradients(graph: &Graph, sizes: Sizes, dropped: Dropped, x: &[Vec<f32>; 4], grad: &[f32]) -> [Vec<f32>; 4] {
    let [q, k, v, a] = shapes(graph, sizes);
    let shape = [q[0], q[1], q[2], v[3]];
    let [q, k, v, a] = [view(&x[0], q), view(&x[1], k), view(&x[2], v), view(&x[3], a)];
    let found = attention(dropped).backward(graph, &q, &k, &v, &a, &view(grad, shape)).unwrap();
    [found.queries, found.keys, found.values, found.vectors]
}

#[test]
fn context_weights_and_gradients() {
    let some = Some((0.4, 7));
    for (receivers, senders, sizes, dropped) in [
        (9, 9, [2, 3, 1, 5], None),
        (9, 9, [2, 3, 1, 5], some),
        (30, 12, [1, 2, 7, 20], None),
        (30, 12, [2, 2, 16, 1], some),
        (5, 40, [1, 1, 33, 16], None),
        (3000, 2500, [1, 1, 1, 8], None),
        (4, 4, [1, 1, 0, 2], None),
    ] {
        let graph = graph(receivers, senders);
        let case = format!("{graph:?}, {sizes:?}, {dropped:?}");
        let x = arrays(&graph, sizes);
        let at = x.each_ref().map(|x| wide(x));
        let (weights, context) = exact(&graph, sizes, None, &at);
        let [q, k, _, a] = shapes(&graph, sizes);
        let looked = attention(dropped).weights(&graph, &view(&x[0], q), &view(&x[1], k), &view(&x[3], a)).unwrap();
        assert!(difference(&looked, &weights) < 1e-6, "{case}");
        let (_, context) = if dropped.is_some() { exact(&graph, sizes, dropped, &at) } else { (weights, context) };
        assert!(difference(&run(&graph, sizes, dropped, &x), &context) < 2e-6, "{case}");

        let grad = numbers(8, context.len());
        let found = gradients(&graph, sizes, dropped, &x, &grad);
        for (which, found) in found.iter().enumerate() {
            let direction = wide(&numbers(20, found.len()));
            let moved = |by: f64| {
                let mut at = at.clone();
                at[which].iter_mut().zip(&direction).for_each(|(x, d)| *x += by * d);
                dot(&exact(&graph, sizes, dropped, &at).1, &wide(&grad))
            };
            // The score has kinks, which a small step is unlikely to cross.
            let expected = (moved(1e-7) - moved(-1e-7)) / 2e-7;
            let along = dot(&wide(found), &direction);
            let near = (along - expected).abs() < 1e-4 * expected.abs().max(1.0);
            assert!(near, "{case}, gradient {which}: {along} is not {expected}");
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (graph, sizes, dropped) = (graph(5000, 5000), [1, 4, 1, 16], Some((0.5, 3)));
    let x = arrays(&graph, sizes);
    let grad = numbers(9, 4 * 5000 * 16);
    let [one, many] = [1, 3].map(|threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| (run(&graph, sizes, dropped, &x), gradients(&graph, sizes, dropped, &x, &grad)))
    });
    assert!(one == many);
}

#[test]
fn a_node_alone_gets_zeros_and_what_it_does_not_see_stays_where_it_is() {
    let graph = Graph::from_edges(4, &[(2, 0), (3, 0), (1, 2)]).unwrap();
    let sizes = [1, 1, 3, 2];
    let mut x = arrays(&graph, sizes);
    // Nobody sees node 0, and only node 2 sees node 1.
    x[1][..6].fill(f32::NAN);
    x[2][..4].fill(f32::INFINITY);
    let context = run(&graph, sizes, None, &x);
    assert!(context[..2].iter().all(|x| x.is_finite()) && context[4..6].iter().all(|x| x.is_nan()), "{context:?}");
    assert_eq!([&context[2..4], &context[6..]].concat(), [0.0; 4]);
    let [queries, ..] = gradients(&graph, sizes, None, &x, &[1.0; 8]);
    assert_eq!([&queries[3..6], &queries[9..]].concat(), [0.0; 6]);
}

#[test]
fn loops_are_there_once() {
    let graph = Graph::from_edges(3, &[(0, 0), (1, 0), (0, 0), (2, 1)]).unwrap().with_self_loops().unwrap();
    assert_eq!(graph.pairs().collect::<Vec<_>>(), [(1, 0), (0, 0), (2, 1), (1, 1), (2, 2)]);
    assert_eq!((graph.receivers(), graph.senders(), graph.edges()), (3, 3, 5));
}

#[track_caller]
fn refused<T>(result: Result<T>, message: &str) {
    match result {
        Ok(_) => panic!("not refused; expected: {message}"),
        Err(error) => assert_eq!(error.to_string(), message),
    }
}

#[test]
fn what_cannot_be_a_graph_or_does_not_fit_one_is_refused() {
    refused(Graph::new(vec![0, 2, 1], vec![0], 1), "offsets: 1 after 2 given, numbers that ascend expected");
    let expected = "from 0 to 3, as many as there are neighbours expected";
    refused(Graph::new(vec![0, 2], vec![0; 3], 1), &format!("offsets: from 0 to 2 given, {expected}"));
    refused(Graph::new(vec![1, 3], vec![0; 3], 1), &format!("offsets: from 1 to 3 given, {expected}"));
    refused(Graph::new(vec![], vec![0; 3], 1), &format!("offsets: none given, {expected}"));
    refused(Graph::new(vec![0, 1], vec![4], 4), "neighbours: node 4 given, nodes below 4 expected");
    refused(Graph::new(vec![0], vec![], 1 << 32), "senders: 4294967296 given, less than 2³² expected");
    refused(Graph::from_edges(2, &[(0, 1), (2, 0)]), "edges: (2, 0) given, nodes below 2 expected");
    let uneven = Graph::new(vec![0, 1], vec![1], 2).unwrap();
    refused(uneven.with_self_loops(), "senders: 2 given, 1, the nodes that receive expected");
    refused(EdgeAttention::new(f32::NAN), "slope: NaN given, a finite number expected");
    assert!(EdgeAttention::new(0.2).unwrap().dropout(1.0, 0).is_err());

    let graph = graph(3, 5);
    let x = [0.5; 30];
    let q = |nodes, width| view(&x[..2 * nodes * width], [1, 2, nodes, width]);
    let a = view(&x[..6], [1, 2, 1, 3]);
    let attend = |q, k, v| EdgeAttention::new(0.2).unwrap().forward(&graph, &q, &k, &v, &a);
    assert!(attend(q(3, 3), q(5, 3), q(5, 1)).is_ok());
    refused(attend(q(4, 3), q(5, 3), q(5, 1)), "queries: [1, 2, 4, 3] given, [1, 2, 3, 3] expected");
    refused(attend(q(3, 3), q(5, 2), q(5, 1)), "keys: [1, 2, 5, 2] given, [1, 2, 5, 3] expected");
    refused(attend(q(3, 3), q(5, 3), q(4, 1)), "values: [1, 2, 4, 1] given, [1, 2, 5, 1] expected");
    refused(attend(q(3, 2), q(5, 2), q(5, 1)), "vectors: [1, 2, 1, 3] given, [1, 2, 1, 2] expected");
    let huge = regard_kernel::View::strided(&x, [1 << 40, 1 << 20, 3, 1], [0; 4]).unwrap();
    let keys = regard_kernel::View::strided(&x, [1 << 40, 1 << 20, 5, 1], [0; 4]).unwrap();
    let vectors = regard_kernel::View::strided(&x, [1, 1 << 20, 1, 1], [0; 4]).unwrap();
    let result = EdgeAttention::new(0.2).unwrap().forward(&graph, &huge, &keys, &keys, &vectors);
    assert!(result.unwrap_err().to_string().ends_with("less than memory can hold expected"));
}

proptest! {
    /// Whatever the edges, weights are shares, and the order in which edges are named changes nothing but theirs.
    #[test]
    fn weights_sum_to_one(edges in prop::collection::vec((0u32..12, 0u32..12), 0..60)) {
        let graph = Graph::from_edges(12, &edges).unwrap();
        let sizes = [1, 2, 4, 4];
        let x = arrays(&graph, sizes);
        let [q, k, _, a] = shapes(&graph, sizes);
        let weights = attention(None).weights(&graph, &view(&x[0], q), &view(&x[1], k), &view(&x[3], a)).unwrap();
        for weights in weights.chunks_exact(edges.len().max(1)) {
            let mut rest = weights;
            for node in 0..12 {
                let row;
                (row, rest) = rest.split_at(graph.neighbours(node).len());
                prop_assert!(row.is_empty() || (row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            }
        }
        let turned: Vec<_> = edges.iter().rev().copied().collect();
        let turned = Graph::from_edges(12, &turned).unwrap();
        let same = difference(&run(&turned, sizes, None, &x), &wide(&run(&graph, sizes, None, &x)));
        prop_assert!(same < 1e-5);
    }
}
