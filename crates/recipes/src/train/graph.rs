//! Training a GAT on a graph of which few nodes have labels, as its authors do.
//!
//! Every step sees the whole graph: a batch is all nodes with a label to learn from, and the loss their cross-entropy and half the
//! squared weights times the decay, as the paper has it, where [`Adam`]'s own decay would be another method. Early stopping is which
//! weights are kept: those with the lowest loss on the development nodes.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use regard::{Mode, mix};
use regard_models::{Gat, GatConfig, weights};
use serde::{Deserialize, Serialize};

use super::{Amount, Changes, Event, Measured, Outcome, Pace, Part, Recipe, Session};
use super::{beginning, check_new, check_same, check_size, last};
use crate::checkpoint::Position;
use crate::data::planetoid::Nodes;
use crate::error::{Error, Result};
use crate::folder::{self, read_json, write_json};
use crate::graph::{Input, NodeModel, evaluate};
use crate::optimizer::{Adam, AdamConfig, Schedule};

/// How to train on a graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphTraining {
    /// Step size, which stays.
    pub rate: f64,
    /// What half the squared weights are multiplied with in the loss.
    pub decay: f32,
    /// Steps in all.
    pub steps: u64,
    /// Steps between validations, each of which writes a checkpoint.
    pub validate_every: u64,
    /// Parts that the labelled nodes are dealt to, each with the whole graph; the bits of the result depend on it.
    pub shards: usize,
    /// Of weights and dropout.
    pub seed: u64,
}

impl Default for GraphTraining {
    /// The authors' for Cora and Citeseer.
    fn default() -> Self {
        GraphTraining { rate: 0.005, decay: 5e-4, steps: 1000, validate_every: 5, shards: 1, seed: 1 }
    }
}

/// What a run is made of; kept in its folder as `run.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct GraphRun {
    data: PathBuf,
    name: String,
    /// A hash of features, edges and labels.
    fingerprint: u64,
    architecture: NodeModel,
    training: GraphTraining,
}

/// Starts a run on the graph `name` of the folder `data` in the folder `out`, which must not hold one, and trains it to its end or
/// until `stop`.
///
/// # Errors
/// When the data or options cannot be used, a file cannot be written, or the loss diverges.
pub fn start(
    data: &Path,
    name: &str,
    out: &Path,
    training: GraphTraining,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event),
) -> Result<Outcome> {
    check_new(out)?;
    pace(&training)?;
    let nodes = Nodes::open(data, name)?;
    let run = GraphRun {
        data: std::path::absolute(data).unwrap_or_else(|_| data.to_owned()),
        name: name.to_owned(),
        fingerprint: fingerprint(&nodes),
        architecture: NodeModel::Gat(GatConfig::new(nodes.width, nodes.classes)),
        training,
    };
    std::fs::create_dir_all(out).map_err(|source| Error::File { action: "create", path: out.to_owned(), source })?;
    write_json(&out.join("run.json"), &run)?;
    go_on(&run, &nodes, out, stop, observe)
}

/// Goes on with the run in `out` from its last checkpoint, with `changes` that it keeps from then on; there are no extra pairs to
/// change.
///
/// # Errors
/// As [`start`], and when there is no run, or its data have changed.
pub fn resume(out: &Path, changes: Changes, stop: &AtomicBool, observe: &mut dyn FnMut(Event)) -> Result<Outcome> {
    let mut run: GraphRun = read_json(&out.join("run.json"))?;
    run.training.steps = changes.steps.unwrap_or(run.training.steps);
    pace(&run.training)?;
    check_size(out, run.architecture.numbers())?;
    let nodes = Nodes::open(&run.data, &run.name)?;
    check_same(&run.data, fingerprint(&nodes), run.fingerprint)?;
    write_json(&out.join("run.json"), &run)?;
    go_on(&run, &nodes, out, stop, observe)
}

fn go_on(
    run: &GraphRun,
    nodes: &Nodes,
    out: &Path,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event),
) -> Result<Outcome> {
    let NodeModel::Gat(config) = &run.architecture;
    let init = |device: &Device| Ok(config.init(device)?);
    let (model, adam) = beginning(run.training.seed, init, |model| Adam::new(weights::parameters(model)))?;
    let (adam, position) = last(out, adam, |adam| weights::assign(model.clone(), adam.weights()).map(drop))?;
    let mut labelled = Labelled { run, nodes, input: Input::new(nodes)? };
    Session::new(out, pace(&run.training)?)?.train(&mut labelled, &model, adam, position, stop, observe)
}

fn pace(training: &GraphTraining) -> Result<Pace> {
    let GraphTraining { rate, decay, steps, validate_every, shards, seed } = *training;
    if !(decay >= 0.0 && decay.is_finite()) {
        return Err(Error::option("decay", decay, "a number of at least 0"));
    }
    let adam = AdamConfig {
        rate,
        warmup: 1,
        schedule: Schedule::Cosine,
        // A curve that falls to where it starts.
        floor: 1.0,
        betas: (0.9, 0.999),
        epsilon: 1e-8,
        decay: 0.0,
        clip: 0.0,
        average: 0.0,
    };
    let pace = Pace { adam, steps, validate_every, shards, seed };
    pace.check()?;
    Ok(pace)
}

fn fingerprint(nodes: &Nodes) -> u64 {
    let features = nodes.features.iter().map(|x| u64::from(x.to_bits()));
    let edges = nodes.graph.pairs().map(|(from, to)| u64::from(from) << 32 | u64::from(to));
    let labels = nodes.labels.iter().map(|label| label.map_or(u64::MAX, u64::from));
    let parts = [&nodes.train, &nodes.dev, &nodes.test].into_iter().flatten().map(|&node| node as u64);
    features.chain(edges).chain(labels).chain(parts).fold(0, |hash, number| mix(hash ^ number))
}

/// The nodes of a run.
struct Labelled<'a> {
    run: &'a GraphRun,
    nodes: &'a Nodes,
    input: Input,
}

impl Recipe<Gat> for Labelled<'_> {
    type Batch = Vec<usize>;

    fn amount(&self) -> Amount {
        Amount { examples: self.nodes.train.len(), extra: 0, left_out: 0 }
    }

    fn batch(&mut self, position: &mut Position) -> Result<Vec<usize>> {
        position.epoch = position.step;
        Ok(self.nodes.train.clone())
    }

    fn tokens(&self, batch: &Vec<usize>) -> usize {
        batch.len()
    }

    fn loss(&self, model: &Gat, batch: &Vec<usize>, part: Part, mode: Mode) -> Result<Option<Tensor<1>>> {
        let learned = part.of(batch);
        if learned.is_empty() {
            return Ok(None);
        }
        let device = model.first.project.weight.val().device();
        let count = learned.len();
        let labels =
            learned.iter().map(|&node| i64::from(self.nodes.labels[node].unwrap_or_default())).collect::<Vec<_>>();
        let labels = Tensor::<2, Int>::from_data(TensorData::new(labels, [count, 1]), &device);
        let places = learned.iter().map(|&node| node as i64).collect::<Vec<_>>();
        let places = Tensor::<1, Int>::from_data(TensorData::new(places, [count]), &device);
        let logits = model.forward(self.input.features.clone(), &self.input.graph, mode)?.logits;
        let cost = -log_softmax(logits.select(0, places), 1).gather(1, labels).sum();
        // The session divides by all nodes of the batch, and a part has so many of them.
        let decay = 0.5 * self.run.training.decay * count as f32;
        let squares = [&model.first, &model.second].map(|layer| {
            let vectors = layer.receiver.val().square().sum() + layer.sender.val().square().sum();
            layer.project.weight.val().square().sum() + vectors
        });
        Ok(Some(squares.into_iter().fold(cost, |cost, squares| cost + squares * decay)))
    }

    fn measure(&self, model: &Gat, part: Part) -> Result<Measured> {
        let [report] = evaluate(model, &self.input, self.nodes, [&part.of(&self.nodes.dev)])?;
        let loss = report.loss * report.nodes as f64;
        Ok(Measured { loss, tokens: report.nodes, right: Some(report.right) })
    }

    fn write(&self, folder: &Path, model: &Gat) -> Result<()> {
        folder::write(folder, model, &self.run.architecture)
    }
}
