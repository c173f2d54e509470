//! Pictures of attention along the edges of a graph.

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use regard_kernel::Graph;

use super::scene::{read, same, set, tensor};
use super::{Draw, Panel, Picture};
use crate::error::Result;
use crate::graph::{GraphAttentionConfig, GraphAttentionV2Config, GraphLook};
use crate::noise::Mode;

pub(super) const PICTURES: &[(&str, Draw)] =
    &[("GraphAttention", graph_attention), ("GraphAttentionV2", graph_attention_v2)];

/// Friends: two circles, and Fay and Gus, who know people in both.
const PEOPLE: [&str; 12] = ["Ann", "Bob", "Cem", "Dee", "Eve", "Fay", "Gus", "Hal", "Ida", "Jon", "Kim", "Lea"];
const FRIENDS: [(u32, u32); 18] = [
    (0, 1),
    (0, 2),
    (0, 3),
    (0, 4),
    (1, 2),
    (2, 3),
    (3, 4),
    (4, 5),
    (0, 5),
    (5, 6),
    (6, 7),
    (7, 8),
    (7, 9),
    (7, 10),
    (7, 11),
    (8, 9),
    (10, 11),
    (2, 6),
];

/// One head's weights as a map: a row a node of `rows`, a column a node from `first` on.
fn map(
    title: &str,
    look: &GraphLook,
    head: usize,
    rows: Vec<String>,
    columns: Vec<String>,
    first: usize,
) -> Result<Panel> {
    let weights = read(look.weights()?)?;
    let mut values = vec![0.0; rows.len() * columns.len()];
    for ((from, to), weight) in look.graph.pairs().zip(&weights[head * look.graph.edges()..]) {
        values[to as usize * columns.len() + from as usize - first] = *weight;
    }
    let scale = ("attention weight".to_owned(), 0.0, 1.0);
    let axis = |name: &str, tokens| (name.to_owned(), tokens);
    Ok(Panel { title: title.to_owned(), rows: axis("node", rows), columns: axis("neighbour", columns), values, scale })
}

/// A person's one feature is how many friends they have; a₂ is set by hand.
fn graph_attention() -> Result<Picture> {
    let both: Vec<(u32, u32)> = FRIENDS.iter().flat_map(|&(a, b)| [(a, b), (b, a)]).collect();
    let graph = Graph::from_edges(PEOPLE.len(), &both)?;
    let friends = (0..PEOPLE.len()).map(|person| graph.neighbours(person).len() as f32).collect();
    let nodes: Tensor<2> = tensor(friends, [PEOPLE.len(), 1]);
    let graph = graph.with_self_loops()?;
    let mut layer = GraphAttentionConfig::new(1, 1).with_heads(2).init(&Device::default())?;
    set(&mut layer.project, |_, _| 1.0);
    layer.receiver = Param::from_tensor(tensor(vec![0.0; 2], [2, 1]));
    layer.sender = Param::from_tensor(tensor(vec![0.8, -4.0], [2, 1]));
    let look = layer.forward(nodes, &graph, Mode::Evaluate)?.look;
    let people = || PEOPLE.map(String::from).to_vec();
    let panels = ["a₂ > 0: those with many friends", "a₂ < 0: those with few"];
    let panels = panels.iter().enumerate().map(|(head, title)| map(title, &look, head, people(), people(), 0));
    let caption = "Twelve people look at their friends and themselves; who is no friend has no weight. The one feature of a person is the \
                   number of friends, and a₂ is set by hand. Whom one looks at most is the same for all who may look.";
    Ok(Picture { caption: caption.to_owned(), panels: panels.collect::<Result<_>>()? })
}

/// Six who ask see six who know, and each wants the one with its own number: DictionaryLookup of the paper.
fn graph_attention_v2() -> Result<Picture> {
    const COUNT: usize = 6;
    let device = Device::default();
    let edges: Vec<(u32, u32)> =
        (0..COUNT * COUNT).map(|at| ((COUNT + at % COUNT) as u32, (at / COUNT) as u32)).collect();
    let graph = Graph::from_edges(2 * COUNT, &edges)?;
    let ones = (0..2 * COUNT * COUNT).map(|at| same(at / COUNT % COUNT, at % COUNT)).collect();
    let nodes: Tensor<2> = tensor(ones, [2 * COUNT, COUNT]);

    let mut dynamic = GraphAttentionV2Config::new(COUNT, COUNT).init(&device)?;
    set(&mut dynamic.sender, same);
    if let Some(receiver) = &mut dynamic.receiver {
        set(receiver, same);
        receiver.bias = Some(Param::from_tensor(tensor(vec![-1.0; COUNT], [COUNT])));
    }
    dynamic.vector = Param::from_tensor(tensor(vec![5.0; COUNT], [1, COUNT]));
    let mut fixed = GraphAttentionConfig::new(COUNT, COUNT).init(&device)?;
    set(&mut fixed.project, same);
    fixed.receiver = Param::from_tensor(tensor(vec![1.0; COUNT], [1, COUNT]));
    fixed.sender = Param::from_tensor(tensor((0..COUNT).map(|at| 0.5 * at as f32).collect(), [1, COUNT]));

    let names = |letter: &str| (0..COUNT).map(|at| format!("{letter}{at}")).collect::<Vec<_>>();
    let panel = |title, look| map(title, &look, 0, names("ask "), names("know "), COUNT);
    let panels = vec![
        panel("GATv2", dynamic.forward(nodes.clone(), &graph, Mode::Evaluate)?.look)?,
        panel("GAT: one ranking for all", fixed.forward(nodes, &graph, Mode::Evaluate)?.look)?,
    ];
    let caption = "Six nodes ask, six know, and each should find the one with its own number. With a = 5 and W_l h − 1 the score is \
                   greatest where both agree; whatever a₁ and a₂ are in GAT, all that ask rank the others alike. Weights are set by hand.";
    Ok(Picture { caption: caption.to_owned(), panels })
}
