//! `regard evaluate graph`: how many nodes of a graph get the label that they have.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use regard_recipes::data::planetoid::Nodes;
use regard_recipes::graph::{self, Report};

use crate::Result;

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
        for (part, which) in [("train", &nodes.train), ("dev", &nodes.dev), ("test", &nodes.test)] {
            let report = graph::evaluate(&model, &nodes, which)?;
            let Report { right, nodes, loss } = report;
            let share = 100.0 * report.accuracy();
            writeln!(out, "{part:5}  {share:5.1} % of the labels right ({right} of {nodes} nodes), {loss:.4} nats")?;
        }
        Ok(out.flush()?)
    }
}
