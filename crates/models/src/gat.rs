//! GAT: two layers of graph attention that tell the class of every node at once.
//!
//! `h = elu(attention(x))`, heads side by side; logits: the mean of the second layer's heads. Veličković et al., "Graph Attention
//! Networks", ICLR 2018, arXiv:1710.10903; for Cora 8 heads of 8 features, then one head with a feature for each class, and in training
//! 0.6 of the features and of the weights dropped. One mask of features serves all heads, where the authors' program draws one for each.
//!
//! Time O(N·d·d' + E·d'), memory O(N·(d + d')) for N nodes and E edges. Reach for it where a few nodes of a graph have labels and the others
//! are to get some. All nodes and edges are there in training, those without labels, too.

use std::collections::BTreeMap;
use std::path::Path;

use burn::config::Config;
use burn::module::Module;
use burn::tensor::activation::elu;
use burn::tensor::{Device, Tensor};
use regard::catalogue::{Card, Family};
use regard::graph::{GraphAttention, GraphAttentionConfig, GraphLook};
use regard::{Graph, Mode};

use crate::error::{Error, Result};
use crate::weights::{self, Stored};

/// See the module's page.
pub const CARD: Card = Card {
    name: "GAT",
    family: Family::Models,
    sentence: "Two layers of graph attention that classify the nodes of a graph, most of which have no label.",
    equation: "h = elu(attention(x)), logits = attention(h), along the edges of the graph",
    paper: "Veličković et al. 2018, arXiv:1710.10903",
    cost: "time O(N·d·d' + E·d'), memory O(N·(d + d')) for N nodes and E edges",
    when: "Labels for the nodes of a graph. `regard train graph` trains it on Planetoid's files, `regard evaluate graph` measures it.",
};

/// Configuration of [`Gat`]; the defaults are those for Cora.
#[derive(Config, Debug)]
pub struct GatConfig {
    /// Features of a node.
    pub width: usize,
    /// Classes.
    pub classes: usize,
    /// Heads of the first layer.
    #[config(default = 8)]
    pub heads: usize,
    /// Features of each of them.
    #[config(default = 8)]
    pub head_width: usize,
    /// Heads of the second layer, of which the mean is taken.
    #[config(default = 1)]
    pub output_heads: usize,
    /// The share of features and weights that is dropped in training.
    #[config(default = 0.6)]
    pub dropout: f32,
    /// Whether each head's scores have a bias, as in the authors' program.
    #[config(default = false)]
    pub score_bias: bool,
}

/// A GAT.
#[derive(Module, Debug)]
pub struct Gat {
    /// Of the features.
    pub first: GraphAttention,
    /// Of the classes.
    pub second: GraphAttention,
    #[module(skip)]
    dropout: f32,
}

/// What a GAT makes of a graph.
#[derive(Debug, Clone)]
pub struct GatOutput {
    /// `[node, class]`
    pub logits: Tensor<2>,
    /// What each layer looked at.
    pub looks: [GraphLook; 2],
}

impl GatConfig {
    /// Random weights (Xavier).
    ///
    /// # Errors
    /// When a number is 0 or `dropout` is not in `[0, 1)`.
    pub fn init(&self, device: &Device) -> Result<Gat> {
        let layer = |width, head_width, heads, joined| {
            GraphAttentionConfig::new(width, head_width)
                .with_heads(heads)
                .with_joined(joined)
                .with_dropout(self.dropout)
                .with_score_bias(self.score_bias)
                .init(device)
        };
        let first = layer(self.width, self.head_width, self.heads, true)?;
        let second = layer(self.heads * self.head_width, self.classes, self.output_heads, false)?;
        Ok(Gat { first, second, dropout: self.dropout })
    }

    /// How many numbers it learns.
    pub fn numbers(&self) -> usize {
        let layer = |width: usize, features: usize, heads: usize| {
            let all = features.saturating_mul(heads);
            all.saturating_mul(width.saturating_add(2))
        };
        let inner = self.heads.saturating_mul(self.head_width);
        layer(self.width, self.head_width, self.heads).saturating_add(layer(inner, self.classes, self.output_heads))
    }
}

impl Gat {
    /// The logits of all `nodes [node, feature]` of a graph, which says who sees whom; the paper lets nodes see themselves
    /// ([`Graph::with_self_loops`]).
    ///
    /// # Errors
    /// When the nodes are not the graph's, or not as wide as the model.
    pub fn forward(&self, nodes: Tensor<2>, graph: &Graph, mode: Mode) -> Result<GatOutput> {
        let first = self.first.forward(mode.dropout(nodes, self.dropout), graph, mode)?;
        let hidden = mode.dropout(elu(first.output, 1.0), self.dropout);
        let second = self.second.forward(hidden, graph, mode)?;
        Ok(GatOutput { logits: second.output, looks: [first.look, second.look] })
    }

    /// A network from a file of the authors' program (`pre_trained/cora`) as safetensors, `bytes` that were read from `path`.
    ///
    /// Each head has three convolutions of width 1, one after another: `W` as `[1, width, feature]`, and `a₁` and `a₂` with a bias each
    /// as `[1, feature, 1]`. Heads of the second layer follow those of the first.
    ///
    /// # Errors
    /// When the file is not safetensors, a tensor is missing, is too many or does not fit, or a number is not finite.
    pub fn from_authors(bytes: &[u8], path: &Path, device: &Device) -> Result<(Self, GatConfig)> {
        let wrong = |reason: String| Error::Weights { path: path.to_owned(), reason };
        let mut file = Authors(weights::read(bytes, path)?);
        let mut heads = Vec::new();
        while file.0.contains_key(&numbered("BiasAdd", heads.len(), "biases")) {
            heads.push(file.head(heads.len()).map_err(wrong)?);
        }
        if let Some(unused) = file.0.keys().next() {
            return Err(wrong(format!("tensor {unused} belongs to no head")));
        }
        let width = heads.first().ok_or_else(|| wrong("no tensor BiasAdd/biases".into()))?.width;
        let first = heads.iter().take_while(|head| head.width == width).count();
        let (lower, upper) = heads.split_at(first);
        let Some(classes) = upper.first().map(Head::features) else {
            return Err(wrong(format!("{first} heads of one width, expected some of a second layer after them")));
        };
        let (inner, each) = (first * lower[0].features(), lower[0].features());
        let fits = |heads: &[Head], width, features| heads.iter().all(|h| h.width == width && h.features() == features);
        if !fits(lower, width, each) || !fits(upper, inner, classes) {
            return Err(wrong("heads of a layer that differ in their shapes".into()));
        }
        let config = GatConfig::new(width, classes).with_heads(first).with_head_width(each);
        let config = config.with_output_heads(upper.len()).with_score_bias(true);
        let mut values = layer("first", lower);
        values.extend(layer("second", upper));
        // The mean of heads has the mean of their biases.
        let mean =
            (0..classes).map(|class| upper.iter().map(|head| head.bias[class]).sum::<f32>() / upper.len() as f32);
        values.insert("second.bias".into(), (vec![classes], mean.collect()));
        let model = weights::assign(config.init(device)?, values).map_err(wrong)?;
        Ok((model, config))
    }
}

/// The tensors of the authors' file that have not been used.
struct Authors(BTreeMap<String, Stored>);

/// What belongs to one head.
struct Head {
    width: usize,
    /// `[width, feature]`
    project: Vec<f32>,
    /// `[feature]` each.
    vectors: [Vec<f32>; 2],
    score_bias: f32,
    bias: Vec<f32>,
}

impl Head {
    fn features(&self) -> usize {
        self.bias.len()
    }
}

/// `NAME/PART`, then `NAME_1/PART` …
fn numbered(name: &str, at: usize, part: &str) -> String {
    if at == 0 { format!("{name}/{part}") } else { format!("{name}_{at}/{part}") }
}

impl Authors {
    fn head(&mut self, at: usize) -> std::result::Result<Head, String> {
        let (bias_shape, bias) = self.take(numbered("BiasAdd", at, "biases"))?;
        let name = numbered("conv1d", 3 * at, "kernel");
        let (shape, project) = self.take(name.clone())?;
        let [1, width, features] = shape[..] else {
            return Err(format!("tensor {name} has shape {shape:?}, expected [1, width, feature]"));
        };
        if bias_shape != [features] {
            return Err(format!("a bias of shape {bias_shape:?} for the {features} features of {name}"));
        }
        let mut score_bias = 0.0;
        let mut vector = |at: usize| {
            let (name, bias) = (numbered("conv1d", at, "kernel"), numbered("conv1d", at, "bias"));
            let (shape, vector) = self.take(name.clone())?;
            let (one, number) = self.take(bias.clone())?;
            if shape != [1, features, 1] || one != [1] {
                let expected = format!("expected {:?} and [1]", [1, features, 1]);
                return Err(format!("tensors {name} and {bias} have shapes {shape:?} and {one:?}, {expected}"));
            }
            score_bias += number[0];
            Ok(vector)
        };
        let vectors = [vector(3 * at + 1)?, vector(3 * at + 2)?];
        Ok(Head { width, project, vectors, score_bias, bias })
    }

    fn take(&mut self, name: String) -> std::result::Result<Stored, String> {
        self.0.remove(&name).ok_or_else(|| format!("tensor {name} is missing"))
    }
}

/// The parameters of a layer by their paths; the bias is that of heads side by side.
fn layer(name: &str, heads: &[Head]) -> BTreeMap<String, Stored> {
    let (count, features) = (heads.len(), heads.first().map_or(0, Head::features));
    let width = heads.first().map_or(0, |head| head.width);
    let rows =
        (0..width).flat_map(|row| heads.iter().flat_map(move |head| &head.project[row * features..][..features]));
    let vectors = |which: usize| heads.iter().flat_map(move |head| head.vectors[which].clone()).collect();
    BTreeMap::from([
        (format!("{name}.project.weight"), (vec![width, count * features], rows.copied().collect())),
        (format!("{name}.receiver"), (vec![count, features], vectors(0))),
        (format!("{name}.sender"), (vec![count, features], vectors(1))),
        (format!("{name}.score_bias"), (vec![count], heads.iter().map(|head| head.score_bias).collect())),
        (format!("{name}.bias"), (vec![count * features], heads.iter().flat_map(|head| head.bias.clone()).collect())),
    ])
}
