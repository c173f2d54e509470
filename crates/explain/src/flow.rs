//! Attention flow: how much could reach a query from each token, if attention weights were the widths of pipes.
//!
//! The layers are a network: every token of every layer is a node, and `Ā = (A + I) / rowsum`, as in [`rollout`](crate::rollout()), are
//! the capacities of the edges to the layer below. A token's score is the maximum flow from the query to it. Abnar and Zuidema,
//! "Quantifying Attention Flow in Transformers", ACL 2020, arXiv:2005.00928; the flow is by Dinic's algorithm.
//!
//! A maximum flow a token, over layers · tokens² edges: for sentences, not for pages. Beside rollout it does not thin out what came on
//! many ways. What a narrow place lets through counts once for each token, so the scores do not add up to 1.

use crate::error::field;
use crate::progress::tell;
use crate::stack::{Stack, Step};
use crate::{Error, Progress, Result, Trace};

/// Most edges of a network.
const MOST_EDGES: usize = 1 << 21;
/// Capacities are whole numbers of this unit, so that sums are exact and the algorithm ends.
const UNIT: f64 = (1u64 << 40) as f64;
const WORK: &str = "attention flow";

/// The maximum flow to one query from each token below it, from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// From each token of the axis that attends.
    pub own: Vec<f32>,
    /// From each token of the source, for a site that attends to another axis.
    pub source: Option<Vec<f32>>,
}

/// The flow to a query of this site, which is an index on its axis, through all layers up to the site's, mean over heads.
///
/// Progress counts tokens.
///
/// # Errors
/// [`Error::Field`] for a query that the axis does not have and a lower layer that the trace lacks,
/// [`Error::TooLarge`] for over 2²¹ edges (layers · tokens²), and what [`rollout`](crate::rollout()) says.
pub fn flow(trace: &Trace, site: usize, query: usize, progress: Progress) -> Result<Flow> {
    let stack = Stack::below(trace, site)?;
    if query >= stack.own {
        return field("query", query, "a position on the axis of the site's queries");
    }
    let source = stack.source.unwrap_or(0);
    let too_large = Error::TooLarge {
        what: "network of attention",
        rows: stack.steps.len(),
        columns: stack.own.max(source) * stack.own.max(source),
        limit: "2,097,152",
    };
    let edges = |step: &Step| match step {
        Step::Source(_) => source * (source + 1),
        Step::Own(_) => stack.own * (stack.own + 1),
        Step::Cross(_) => stack.own * (source + 1),
    };
    if stack.steps.iter().map(edges).sum::<usize>() > MOST_EDGES {
        return Err(too_large);
    }

    // The tokens come first, then the nodes of each step.
    let mut network = Network::new(stack.own + source);
    let (mut own, mut encoder) = (0, stack.own);
    for &step in &stack.steps {
        let (map, stays) = Stack::mixing(trace, step)?;
        let (before, below) = match step {
            Step::Source(_) => (encoder, encoder),
            Step::Own(_) => (own, own),
            Step::Cross(_) => (own, encoder),
        };
        let nodes = network.add_nodes(map.rows);
        for (row, (weights, &stay)) in map.weights.chunks(map.columns).zip(&stays).enumerate() {
            network.add_edge(nodes + row, before + row, stay);
            for (column, &weight) in weights.iter().enumerate() {
                network.add_edge(nodes + row, below + column, weight);
            }
        }
        match step {
            Step::Source(_) => encoder = nodes,
            _ => own = nodes,
        }
    }
    let mut flows = Vec::with_capacity(stack.own + source);
    for token in 0..stack.own + source {
        tell(progress, WORK, token, stack.own + source)?;
        flows.push(network.maximum(own + query, token));
    }
    tell(progress, WORK, flows.len(), flows.len())?;
    let of_source = flows.split_off(stack.own);
    Ok(Flow { own: flows, source: stack.source.map(|_| of_source) })
}

/// Nodes and edges with capacities; edge `e` and its way back `e ^ 1` lie beside each other.
struct Network {
    edges: Vec<Vec<u32>>,
    to: Vec<u32>,
    capacity: Vec<u64>,
}

impl Network {
    fn new(nodes: usize) -> Self {
        Self { edges: vec![Vec::new(); nodes], to: Vec::new(), capacity: Vec::new() }
    }

    /// The first of them.
    fn add_nodes(&mut self, count: usize) -> usize {
        let first = self.edges.len();
        self.edges.resize(first + count, Vec::new());
        first
    }

    fn add_edge(&mut self, from: usize, to: usize, capacity: f32) {
        let capacity = (f64::from(capacity) * UNIT).round() as u64;
        if capacity > 0 {
            for (from, to, capacity) in [(from, to, capacity), (to, from, 0)] {
                self.edges[from].push(self.to.len() as u32);
                self.to.push(to as u32);
                self.capacity.push(capacity);
            }
        }
    }

    /// Dinic, "Algorithm for solution of a problem of maximum flow in networks with power estimation", 1970.
    fn maximum(&self, from: usize, to: usize) -> f32 {
        let mut left = self.capacity.clone();
        let mut flow = 0;
        while let Some(distance) = self.distances(&left, from, to) {
            let mut next = vec![0; self.edges.len()];
            while let Some(path) = self.path(&left, &distance, &mut next, from, to) {
                let narrowest = path.iter().map(|&edge| left[edge]).min().unwrap_or(0);
                for edge in path {
                    left[edge] -= narrowest;
                    left[edge ^ 1] += narrowest;
                }
                flow += narrowest;
            }
        }
        (flow as f64 / UNIT) as f32
    }

    /// How many edges each node is away, if there is still a way to the end.
    fn distances(&self, left: &[u64], from: usize, to: usize) -> Option<Vec<u32>> {
        let mut distance = vec![u32::MAX; self.edges.len()];
        distance[from] = 0;
        let mut nodes = vec![from];
        let mut seen = 0;
        while let Some(&node) = nodes.get(seen) {
            seen += 1;
            for &edge in &self.edges[node] {
                let other = self.to[edge as usize] as usize;
                if left[edge as usize] > 0 && distance[other] == u32::MAX {
                    distance[other] = distance[node] + 1;
                    nodes.push(other);
                }
            }
        }
        (distance[to] != u32::MAX).then_some(distance)
    }

    /// The edges of a shortest way. `next` says of each node which of its edges may still lead to the end.
    fn path(&self, left: &[u64], distance: &[u32], next: &mut [usize], from: usize, to: usize) -> Option<Vec<usize>> {
        let mut path: Vec<usize> = Vec::new();
        let mut node = from;
        while node != to {
            let leads = |&edge: &u32| {
                let other = self.to[edge as usize] as usize;
                left[edge as usize] > 0 && distance[other] == distance[node] + 1
            };
            match self.edges[node][next[node]..].iter().position(leads) {
                Some(skipped) => {
                    next[node] += skipped;
                    let edge = self.edges[node][next[node]] as usize;
                    path.push(edge);
                    node = self.to[edge] as usize;
                }
                None => {
                    // A dead end: back by one, and not this way again.
                    next[node] = self.edges[node].len();
                    let edge = path.pop()?;
                    node = self.to[edge ^ 1] as usize;
                    next[node] += 1;
                }
            }
        }
        Some(path)
    }
}
