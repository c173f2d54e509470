//! Who sees whom, as compressed rows (CSR), and the same edges the other way round, which gradients need.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::{Error, Result};

/// Edges and nodes of a task, together, about.
const SPAN: usize = 2048;

/// A directed graph in compressed rows: for each node that receives, the nodes it sees. Edges are numbered row after row, and
/// two edges between the same nodes are two edges. A clone shares its memory with the original.
#[derive(Clone)]
pub struct Graph(Arc<Edges>);

struct Edges {
    /// By the node that receives.
    rows: Side,
    /// By the node that is seen.
    columns: Side,
    /// The number of each edge, in the order of `columns`.
    numbers: Vec<u32>,
}

/// All edges by the node at one of their ends.
pub(super) struct Side {
    /// Where the edges of each node begin, and at last how many there are.
    offsets: Vec<usize>,
    /// The node at the other end of each edge.
    others: Vec<u32>,
    /// Nodes in groups of about as much work.
    spans: Vec<Range<usize>>,
}

impl Graph {
    /// The node `i` sees `neighbours[offsets[i]..offsets[i + 1]]`, out of `senders` nodes.
    ///
    /// ```
    /// use regard_kernel::Graph;
    ///
    /// let graph = Graph::new(vec![0, 2, 2, 3], vec![0, 2, 1], 3)?; // 0 sees 0 and 2, 1 nobody, 2 sees 1
    /// assert_eq!(graph.neighbours(0), [0, 2]);
    /// assert!(Graph::new(vec![0, 2, 2, 3], vec![0, 2, 3], 3).is_err()); // there is no node 3
    /// # Ok::<(), regard_kernel::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the offsets do not start at 0, ascend and end with the number of neighbours, a neighbour is none of the senders, or
    /// there are 2³² nodes or edges or more.
    pub fn new(offsets: Vec<usize>, neighbours: Vec<u32>, senders: usize) -> Result<Self> {
        let edges = neighbours.len();
        if let Some(at) = offsets.windows(2).position(|pair| pair[0] > pair[1]) {
            let given = format!("{} after {}", offsets[at + 1], offsets[at]);
            return Err(Error::new("offsets", given, "numbers that ascend"));
        }
        let (first, last) = (offsets.first().copied(), offsets.last().copied());
        if first != Some(0) || last != Some(edges) {
            let given = first.zip(last).map_or("none".to_owned(), |(first, last)| format!("from {first} to {last}"));
            return Err(Error::new("offsets", given, format!("from 0 to {edges}, as many as there are neighbours")));
        }
        for (argument, given) in [("receivers", offsets.len() - 1), ("senders", senders), ("edges", edges)] {
            if given > u32::MAX as usize {
                return Err(Error::new(argument, given, "less than 2³²"));
            }
        }
        if let Some(bad) = neighbours.iter().find(|&&node| node as usize >= senders) {
            return Err(Error::new("neighbours", format!("node {bad}"), format!("nodes below {senders}")));
        }
        let rows = offsets.windows(2).enumerate();
        let to: Vec<u32> = rows.flat_map(|(row, ends)| std::iter::repeat_n(row as u32, ends[1] - ends[0])).collect();
        let (starts, numbers) = sort(senders, &neighbours);
        let columns = Side::new(starts, numbers.iter().map(|&edge| to[edge as usize]).collect());
        Ok(Self(Arc::new(Edges { rows: Side::new(offsets, neighbours), columns, numbers })))
    }

    /// A graph of `nodes` that all may receive and be seen, from edges `(from, to)` in any order: `to` sees `from`. A row keeps
    /// the order of the list.
    ///
    /// # Errors
    /// If an edge has an end that is no node, or there are 2³² nodes or edges or more.
    pub fn from_edges(nodes: usize, edges: &[(u32, u32)]) -> Result<Self> {
        if nodes > u32::MAX as usize || edges.len() > u32::MAX as usize {
            let given = format!("{nodes} nodes and {} edges", edges.len());
            return Err(Error::new("graph", given, "less than 2³² of either"));
        }
        if let Some((from, to)) = edges.iter().find(|(from, to)| (*from).max(*to) as usize >= nodes) {
            return Err(Error::new("edges", format!("({from}, {to})"), format!("nodes below {nodes}")));
        }
        let to: Vec<u32> = edges.iter().map(|&(_, to)| to).collect();
        let (offsets, order) = sort(nodes, &to);
        Self::new(offsets, order.iter().map(|&edge| edges[edge as usize].0).collect(), nodes)
    }

    /// The same graph in which each node sees itself once, at the end of its row.
    ///
    /// # Errors
    /// If the nodes that receive are not those that are seen, or 2³² edges or more would result.
    pub fn with_self_loops(&self) -> Result<Self> {
        let nodes = self.receivers();
        if self.senders() != nodes {
            let expected = format!("{nodes}, the nodes that receive");
            return Err(Error::new("senders", self.senders(), expected));
        }
        let (mut offsets, mut neighbours) = (Vec::with_capacity(nodes + 1), Vec::with_capacity(self.edges() + nodes));
        offsets.push(0);
        for node in 0..nodes {
            let others = self.neighbours(node).iter().filter(|&&other| other as usize != node);
            neighbours.extend(others);
            neighbours.push(node as u32);
            offsets.push(neighbours.len());
        }
        Self::new(offsets, neighbours, nodes)
    }

    /// How many nodes receive.
    pub fn receivers(&self) -> usize {
        self.rows().nodes()
    }

    /// How many nodes can be seen.
    pub fn senders(&self) -> usize {
        self.columns().nodes()
    }

    /// How many edges there are.
    pub fn edges(&self) -> usize {
        self.rows().others.len()
    }

    /// The nodes that a node sees, in the order of its edges.
    ///
    /// # Panics
    /// If it is none of the receivers.
    pub fn neighbours(&self, receiver: usize) -> &[u32] {
        self.rows().others(receiver)
    }

    /// Every edge `(from, to)`, in the order of their numbers: `to` sees `from`.
    pub fn pairs(&self) -> impl Iterator<Item = (u32, u32)> {
        (0..self.receivers()).flat_map(|to| self.neighbours(to).iter().map(move |&from| (from, to as u32)))
    }

    /// The edges by the node that receives.
    pub(super) fn rows(&self) -> &Side {
        &self.0.rows
    }

    /// The edges by the node that is seen.
    pub(super) fn columns(&self) -> &Side {
        &self.0.columns
    }

    /// The numbers of some edges of [`columns`](Graph::columns).
    pub(super) fn numbers(&self, edges: Range<usize>) -> &[u32] {
        &self.0.numbers[edges]
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (receivers, senders, edges) = (self.receivers(), self.senders(), self.edges());
        write!(f, "Graph {{ receivers: {receivers}, senders: {senders}, edges: {edges} }}")
    }
}

impl Side {
    fn new(offsets: Vec<usize>, others: Vec<u32>) -> Self {
        let mut spans = Vec::new();
        let mut start = 0;
        for node in 1..offsets.len() {
            if node - start + offsets[node] - offsets[start] >= SPAN || node + 1 == offsets.len() {
                spans.push(start..node);
                start = node;
            }
        }
        Self { offsets, others, spans }
    }

    fn nodes(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The edges of a node.
    pub(super) fn edges(&self, node: usize) -> Range<usize> {
        self.offsets[node]..self.offsets[node + 1]
    }

    /// The nodes at the other ends of a node's edges.
    pub(super) fn others(&self, node: usize) -> &[u32] {
        &self.others[self.edges(node)]
    }

    /// All nodes, in ranges.
    pub(super) fn spans(&self) -> impl Iterator<Item = Range<usize>> + Clone {
        self.spans.iter().cloned()
    }

    /// The edges of all nodes, in the same ranges.
    pub(super) fn edge_spans(&self) -> impl Iterator<Item = Range<usize>> + Clone {
        self.spans().map(|nodes| self.offsets[nodes.start]..self.offsets[nodes.end])
    }

    /// The most edges that a node of a range has.
    pub(super) fn widest(&self, nodes: Range<usize>) -> usize {
        nodes.map(|node| self.edges(node).len()).max().unwrap_or(0)
    }
}

/// Counting sort: where the edges of each node begin, and the edges in that order. Those of a node stay in theirs.
fn sort(nodes: usize, ends: &[u32]) -> (Vec<usize>, Vec<u32>) {
    let mut offsets = vec![0; nodes + 1];
    ends.iter().for_each(|&node| offsets[node as usize + 1] += 1);
    for node in 0..nodes {
        offsets[node + 1] += offsets[node];
    }
    let mut next = offsets.clone();
    let mut order = vec![0; ends.len()];
    for (edge, &node) in ends.iter().enumerate() {
        order[next[node as usize]] = edge as u32;
        next[node as usize] += 1;
    }
    (offsets, order)
}
