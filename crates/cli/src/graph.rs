//! `regard train graph` and `regard evaluate graph`: labels for the nodes of a graph.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use regard_recipes::data::planetoid::Nodes;
use regard_recipes::graph::{self, Input, Report};
use regard_recipes::train::Changes;
use regard_recipes::train::graph::{self as recipe, GraphTraining};

use crate::pace::Pace;
use crate::progress::Progress;
use crate::{Result, interruption};

#[derive(Args)]
pub struct Train {
    /// Folder with Planetoid's files, ind.NAME.x and so on.
    #[arg(long, value_name = "DIR", required_unless_present = "resume", conflicts_with = "resume")]
    data: Option<PathBuf>,
    /// Which graph: cora or citeseer, or whatever the files are called; cora unless given.
    #[arg(long, conflicts_with = "resume")]
    name: Option<String>,
    /// Folder of the run: model, checkpoint, metrics.jsonl and loss.svg.
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// What half the squared weights are multiplied with in the loss; 0.0005 unless given.
    #[arg(long, conflicts_with = "resume")]
    decay: Option<f32>,
    #[command(flatten)]
    pace: Pace,
}

impl Train {
    pub fn run(self) -> Result {
        let stop = interruption()?;
        let mut progress = Progress::new("labelled nodes")?;
        let mut observe = |event| progress.show(event);
        let outcome = if self.pace.resume {
            recipe::resume(&self.out, Changes { steps: self.pace.steps, augment: None }, &stop, &mut observe)?
        } else {
            let usual = GraphTraining::default();
            let training = GraphTraining {
                rate: self.pace.rate.unwrap_or(usual.rate),
                decay: self.decay.unwrap_or(usual.decay),
                steps: self.pace.steps.unwrap_or(usual.steps),
                validate_every: self.pace.validate_every.unwrap_or(usual.validate_every),
                shards: self.pace.shards.unwrap_or(usual.shards),
                seed: self.pace.seed.unwrap_or(usual.seed),
            };
            let data = self.data.as_deref().ok_or("--data is missing")?;
            let name = self.name.as_deref().unwrap_or("cora");
            recipe::start(data, name, &self.out, training, &stop, &mut observe)?
        };
        progress.end("graph", &self.out, outcome)
    }
}

#[derive(Args)]
pub struct Evaluate {
    /// Folder with Planetoid's files, ind.NAME.x and so on.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Which graph: cora or citeseer, or whatever the files are called.
    #[arg(long, default_value = "cora")]
    name: String,
    /// Folder of a run of `regard train graph`, or a file of the authors' program as safetensors.
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
}

impl Evaluate {
    pub fn run(self) -> Result {
        let nodes = Nodes::open(&self.data, &self.name)?;
        let (model, _) = graph::load(&self.model)?;
        let mut out = io::stdout().lock();
        let (count, edges) = (nodes.labels.len(), nodes.graph.edges() / 2);
        writeln!(out, "{count} nodes, {edges} edges, {} features, {} classes", nodes.width, nodes.classes)?;
        let parts = [&nodes.train[..], &nodes.dev, &nodes.test];
        let reports = graph::evaluate(&model, &Input::new(&nodes)?, &nodes, parts)?;
        for (part, report) in ["train", "dev", "test"].into_iter().zip(reports) {
            let Report { right, nodes, loss } = report;
            let share = 100.0 * report.accuracy();
            writeln!(out, "{part:5}  {share:5.1} % of the labels right ({right} of {nodes} nodes), {loss:.4} nats")?;
        }
        Ok(out.flush()?)
    }
}
