//! A graph whose nodes are to be labelled: a [`Gat`] that was trained, here or by its authors, and how many labels it gets right.
//!
//! On disk a model is a folder with `config.json` (the architecture) and `model.safetensors` (the weights), or one file: the
//! authors' network for Cora as safetensors.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use regard::{Graph, Mode};
use regard_models::{Gat, GatConfig, weights};
use serde::{Deserialize, Serialize};

use crate::data::planetoid::Nodes;
use crate::error::{Error, Result};
use crate::folder::{self, CONFIG, WEIGHTS, read_json};

/// A model's configuration, as `config.json` keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "architecture", rename_all = "lowercase")]
pub enum NodeModel {
    /// Two layers of graph attention.
    Gat(GatConfig),
}

impl NodeModel {
    /// How many numbers it learns.
    pub(crate) fn numbers(&self) -> usize {
        let Self::Gat(config) = self;
        config.numbers()
    }
}

/// How many of some nodes got their label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// So many.
    pub right: usize,
    /// Of so many.
    pub nodes: usize,
    /// Mean cross-entropy, in nats.
    pub loss: f64,
}

impl Report {
    /// The share that is right.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.nodes.max(1) as f64
    }
}

/// Reads a model's folder, or a file of the authors' program.
///
/// # Errors
/// When a file is missing, damaged, or does not fit the others.
pub fn load(path: &Path) -> Result<(Gat, GatConfig)> {
    let device = Device::default();
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| Error::File { action: "read", path: path.to_owned(), source })
    };
    if path.is_file() {
        return Ok(Gat::from_authors(&read(path)?, path, &device)?);
    }
    let architecture: NodeModel = read_json(&path.join(CONFIG))?;
    let file = path.join(WEIGHTS);
    let bytes = read(&file)?;
    let held = folder::holds(bytes.len(), architecture.numbers());
    held.map_err(|problem| Error::Content { path: file.clone(), problem })?;
    let NodeModel::Gat(config) = architecture;
    let model = weights::from_bytes(config.init(&device)?, &bytes, &file)?;
    Ok((model, config))
}

/// A graph as a model reads it.
#[derive(Debug, Clone)]
pub struct Input {
    /// `[node, feature]`
    pub features: Tensor<2>,
    /// Neighbours, and each node itself.
    pub graph: Graph,
}

impl Input {
    /// What a model is given of these nodes: everything but labels.
    ///
    /// # Errors
    /// When there are too many edges.
    pub fn new(nodes: &Nodes) -> Result<Self> {
        let data = TensorData::new(nodes.features.clone(), [nodes.labels.len(), nodes.width]);
        let graph = nodes.graph.with_self_loops().map_err(regard::Error::from).map_err(regard_models::Error::from)?;
        Ok(Input { features: Tensor::from_data(data, &Device::default()), graph })
    }
}

/// What a model makes of some parts of the nodes, such as those of the test; nodes without a label do not count.
///
/// # Errors
/// When the model has other features or classes than the data.
pub fn evaluate<const N: usize>(
    model: &Gat,
    input: &Input,
    nodes: &Nodes,
    parts: [&[usize]; N],
) -> Result<[Report; N]> {
    let logits = model.forward(input.features.clone(), &input.graph, Mode::Evaluate)?.logits;
    let classes = logits.dims()[1];
    if classes != nodes.classes {
        return Err(Error::option(
            "model",
            format!("{classes} classes"),
            format!("{}, as the data have", nodes.classes),
        ));
    }
    let logits: Vec<f32> = logits.into_data().try_into_vec().expect("logits are f32");
    Ok(parts.map(|part| {
        let mut report = Report { right: 0, nodes: 0, loss: 0.0 };
        for (node, label) in part.iter().filter_map(|&node| Some((node, nodes.labels[node]?))) {
            let row = &logits[node * classes..][..classes];
            let (given, highest) = (row[label as usize], row.iter().copied().fold(f32::MIN, f32::max));
            let sum: f64 = row.iter().map(|&logit| f64::from(logit - highest).exp()).sum();
            report.loss += sum.ln() - f64::from(given - highest);
            report.right += usize::from(given == highest);
            report.nodes += 1;
        }
        report.loss /= report.nodes.max(1) as f64;
        report
    }))
}
