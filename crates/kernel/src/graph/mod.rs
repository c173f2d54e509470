//! Attention along the edges of a graph: a node looks at its neighbours and at nobody else.
//!
//! ```text
//! e_ij = a · leaky(q_i + k_j)      for j ∈ N(i), leaky(x) = x above 0, slope · x below
//! a_ij = softmax_j(e_ij),  c_i = Σ_j a_ij · v_j
//! ```
//!
//! With vectors `q = W_l h_i` and `k = W_r h_j` these are the scores of GATv2 (Brody, Alon & Yahav 2022, arXiv:2105.14491). With
//! one number for each node and head, `q_i = a₁ · W h_i` and `k_j = a₂ · W h_j`, and `a` = 1, they are those of the first graph
//! attention (Veličković et al. 2018, arXiv:1710.10903): the best neighbour is then the same for every node.
//!
//! Time grows with E·(d + dv) for E edges, and memory beyond inputs and outputs with the nodes; the backward pass keeps two numbers
//! for each edge. Dense attention with a mask does the same for graphs of which most pairs are edges.
//!
//! The nodes of a task follow one another and are sums of their own, so results have the same bits for any number of threads. A
//! gradient that many nodes add to, that of a key or a value, is summed by the node it belongs to, over the edges turned round.

mod backward;
mod csr;
mod unit;

use std::iter::once;
use std::ops::Range;

use crate::dropout::Dropout;
use crate::problem::{cut, run};
use crate::view::View;
use crate::{Error, Result};
use backward::{Sent, receive, send};
use unit::{Packed, Unit, attend, look, packed};

pub use backward::EdgeGradients;
pub use csr::Graph;

/// Attention along edges; see [the module](self).
#[derive(Clone, Copy, Debug)]
pub struct EdgeAttention {
    slope: f32,
    dropout: Option<Dropout>,
}

/// What there is of all batches and heads.
struct Inputs {
    queries: Packed,
    keys: Packed,
    vectors: Packed,
}

impl EdgeAttention {
    /// With the slope that sums below 0 are multiplied with; 0.2 in the papers.
    ///
    /// # Errors
    /// If it is not finite.
    pub fn new(slope: f32) -> Result<Self> {
        if !slope.is_finite() {
            return Err(Error::new("slope", slope, "a finite number"));
        }
        Ok(Self { slope, dropout: None })
    }

    /// Drops weights with the given probability and scales the others up, keyed by `seed`, batch, head and the two nodes
    /// ([`keep_weight`](crate::dropout::keep_weight)); 0 drops nothing.
    ///
    /// # Errors
    /// If the probability is not in [0, 1).
    pub fn dropout(self, probability: f32, seed: u64) -> Result<Self> {
        let dropout = Dropout::new(probability, seed)?;
        Ok(Self { dropout: (probability > 0.0).then_some(dropout), ..self })
    }

    /// Attends: `q` `[batch, head, receiver, d]`, `k` `[batch, head, sender, d]`, `v` `[batch, head, sender, dv]`, `vectors`
    /// `[1, head, 1, d]`. The context is `[batch, head, receiver, dv]`, contiguous; 0 for a node that sees nobody.
    ///
    /// ```
    /// use regard_kernel::{EdgeAttention, Graph, View};
    ///
    /// # fn main() -> regard_kernel::Result<()> {
    /// let graph = Graph::from_edges(3, &[(1, 0), (2, 0), (0, 2)])?; // 0 sees 1 and 2, 2 sees 0
    /// let one = View::new(&[1.0], [1, 1, 1, 1])?;
    /// let scores = View::new(&[0.0; 3], [1, 1, 3, 1])?; // all neighbours are alike
    /// let values = View::new(&[4.0, 6.0, 8.0], [1, 1, 3, 1])?;
    /// let context = EdgeAttention::new(0.2)?.forward(&graph, &scores, &scores, &values, &one)?;
    /// assert_eq!(context, [7.0, 0.0, 4.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the shapes do not fit each other or the graph.
    pub fn forward(&self, graph: &Graph, q: &View, k: &View, v: &View, vectors: &View) -> Result<Vec<f32>> {
        self.fits(graph, q.shape(), k.shape(), v.shape(), vectors.shape())?;
        let [batch, heads, receivers, _] = q.shape();
        let (units, width) = (batch * heads, v.shape()[3]);
        let mut context = vec![0.0; units * receivers * width];
        if width == 0 {
            return Ok(context);
        }
        let inputs = Inputs::new(q, k, vectors);
        let values = Packed::new(v);
        let spans = graph.rows().spans();
        let places = (0..units).flat_map(|unit| spans.clone().map(move |nodes| (unit, nodes)));
        let tasks = places.zip(cut(&mut context, units, spans.clone(), width)).collect();
        run(work(graph, q, width), tasks, |((unit, nodes), context): ((usize, Range<usize>), &mut [f32])| {
            attend(&self.unit(graph, &inputs, unit, heads), values.unit(unit), nodes, width, context);
        });
        Ok(context)
    }

    /// The weights themselves, without dropout: `[batch, head, edge]`, those of a node one after another. They sum to 1 for each
    /// node that sees somebody.
    ///
    /// # Errors
    /// If the shapes do not fit each other or the graph.
    pub fn weights(&self, graph: &Graph, q: &View, k: &View, vectors: &View) -> Result<Vec<f32>> {
        let [batch, heads, senders, _] = k.shape();
        self.fits(graph, q.shape(), k.shape(), [batch, heads, senders, 0], vectors.shape())?;
        let units = batch * heads;
        let mut weights = vec![0.0; units * graph.edges()];
        let inputs = Inputs::new(q, k, vectors);
        let places = (0..units).flat_map(|unit| graph.rows().spans().map(move |nodes| (unit, nodes)));
        let tasks = places.zip(cut(&mut weights, units, graph.rows().edge_spans(), 1)).collect();
        run(work(graph, q, 0), tasks, |((unit, nodes), weights): ((usize, Range<usize>), &mut [f32])| {
            look(&self.unit(graph, &inputs, unit, heads), nodes, weights);
        });
        Ok(weights)
    }

    /// Gradients, given what [`forward`](EdgeAttention::forward) was given, and that of the context.
    ///
    /// # Errors
    /// If the shapes do not fit each other or the graph.
    pub fn backward(
        &self,
        graph: &Graph,
        q: &View,
        k: &View,
        v: &View,
        vectors: &View,
        grad: &View,
    ) -> Result<EdgeGradients> {
        self.fits(graph, q.shape(), k.shape(), v.shape(), vectors.shape())?;
        let [batch, heads, receivers, width] = q.shape();
        let [_, _, senders, value_width] = v.shape();
        let expected = [batch, heads, receivers, value_width];
        if grad.shape() != expected {
            let given = format!("{:?}", grad.shape());
            return Err(Error::new("gradient of the context", given, format!("{expected:?}")));
        }
        let (units, edges) = (batch * heads, graph.edges());
        let inputs = Inputs::new(q, k, vectors);
        let (values, grads) = (Packed::new(v), Packed::new(grad));
        let (mut shares, mut slopes) = (vec![0.0; units * edges], vec![0.0; units * edges]);
        let mut gradients = EdgeGradients {
            queries: vec![0.0; units * receivers * width],
            keys: vec![0.0; units * senders * width],
            values: vec![0.0; units * senders * value_width],
            vectors: vec![0.0; heads * width],
        };
        let (spans, edge_spans) = (graph.rows().spans(), graph.rows().edge_spans());
        let mut of_vectors = vec![0.0; units * spans.clone().count() * width];
        let sent = cut(&mut shares, units, edge_spans.clone(), 1)
            .into_iter()
            .zip(cut(&mut slopes, units, edge_spans, 1))
            .map(|(shares, slopes)| Sent { shares, slopes });
        let outs = cut(&mut gradients.queries, units, spans.clone(), width).into_iter().zip(cut(
            &mut of_vectors,
            units * spans.clone().count(),
            once(0..1),
            width,
        ));
        let places = (0..units).flat_map(|unit| spans.clone().map(move |nodes| (unit, nodes)));
        let tasks: Vec<_> = places.zip(sent.zip(outs)).collect();
        let size = work(graph, q, value_width);
        run(2.0 * size, tasks, |((unit, nodes), (sent, (d_queries, d_vector)))| {
            let (values, grads) = (values.unit(unit), grads.unit(unit));
            let unit = self.unit(graph, &inputs, unit, heads);
            receive(&unit, [values, grads], nodes, sent, d_queries, d_vector);
        });
        let parts = of_vectors.chunks_exact((spans.clone().count() * width).max(1)).enumerate();
        for (unit, parts) in parts {
            let sum = &mut gradients.vectors[unit % heads * width..][..width];
            for part in parts.chunks_exact(width) {
                sum.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
            }
        }
        let spans = graph.columns().spans();
        let outs = cut(&mut gradients.keys, units, spans.clone(), width).into_iter().zip(cut(
            &mut gradients.values,
            units,
            spans.clone(),
            value_width,
        ));
        let places = (0..units).flat_map(|unit| spans.clone().map(move |nodes| (unit, nodes)));
        let tasks: Vec<_> = places.zip(outs).collect();
        run(size, tasks, |((at, nodes), (d_keys, d_values))| {
            let unit = self.unit(graph, &inputs, at, heads);
            let sent = [&shares, &slopes].map(|all| &all[at * edges..][..edges]);
            send(&unit, grads.unit(at), nodes, [width, value_width], sent, [d_keys, d_values]);
        });
        Ok(gradients)
    }

    /// Whether what has these shapes can be attended with along the edges of this graph.
    ///
    /// # Errors
    /// If the shapes do not fit each other or the graph.
    pub fn fits(
        &self,
        graph: &Graph,
        queries: [usize; 4],
        keys: [usize; 4],
        values: [usize; 4],
        vectors: [usize; 4],
    ) -> Result<()> {
        let [batch, heads, _, width] = queries;
        let (receivers, senders) = (graph.receivers(), graph.senders());
        for (argument, given, expected) in [
            ("queries", queries, [batch, heads, receivers, width]),
            ("keys", keys, [batch, heads, senders, width]),
            ("values", values, [batch, heads, senders, values[3]]),
            ("vectors", vectors, [1, heads, 1, width]),
        ] {
            if given != expected {
                return Err(Error::new(argument, format!("{given:?}"), format!("{expected:?}")));
            }
        }
        let rows = [packed(width), packed(values[3])].into_iter().max().unwrap_or(1);
        let nodes = receivers.max(senders).checked_mul(rows);
        let most = nodes.map(|nodes| nodes.max(graph.edges()).max(1));
        let sizes = [batch.max(1), heads.max(1), size_of::<f32>()];
        let bytes = sizes.iter().try_fold(most, |size, &n| Some(size?.checked_mul(n))).flatten();
        if bytes.is_none_or(|bytes| bytes > isize::MAX as usize) {
            let given = format!("{queries:?} queries, {values:?} values and {} edges", graph.edges());
            return Err(Error::new("sizes", given, "less than memory can hold"));
        }
        Ok(())
    }

    /// What belongs to one batch and head.
    fn unit<'a>(&self, graph: &'a Graph, inputs: &'a Inputs, unit: usize, heads: usize) -> Unit<'a> {
        let (batch, head) = (unit / heads, unit % heads);
        Unit {
            graph,
            queries: inputs.queries.unit(unit),
            keys: inputs.keys.unit(unit),
            vector: inputs.vectors.unit(head).numbers,
            slope: self.slope,
            dropout: self.dropout,
            batch,
            head,
        }
    }
}

impl Inputs {
    fn new(q: &View, k: &View, vectors: &View) -> Self {
        Self { queries: Packed::new(q), keys: Packed::new(k), vectors: Packed::new(vectors) }
    }
}

/// Multiplications and additions, about.
fn work(graph: &Graph, q: &View, value_width: usize) -> f64 {
    let [batch, heads, _, width] = q.shape();
    // One edge at a time, they are slower than in a product.
    let each = 4 * (packed(width) + packed(value_width) + 16);
    [batch, heads, graph.edges() + graph.receivers(), each].iter().map(|&n| n as f64).product()
}
