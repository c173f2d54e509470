//! `regard train charlm`: a language model of a text's characters.

use std::path::PathBuf;

use clap::Args;
use regard_recipes::train::Changes;
use regard_recipes::train::text::{self, TextTraining};

use crate::progress::Progress;
use crate::{Result, interruption};

#[derive(Args)]
pub struct Charlm {
    /// Folder with input.txt, whose last tenth is the development part.
    #[arg(long, value_name = "DIR", required_unless_present = "resume", conflicts_with = "resume")]
    data: Option<PathBuf>,
    /// Folder of the run: model, checkpoint, metrics.jsonl and loss.svg.
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Go on with the run in --out from its last checkpoint, to the bits that it would have reached undisturbed.
    #[arg(long)]
    resume: bool,
    /// Steps in all; 2,000 unless given.
    #[arg(long)]
    steps: Option<u64>,
    /// Windows of a batch; 12 unless given.
    #[arg(long, conflicts_with = "resume")]
    rows: Option<usize>,
    /// Characters of a window; 64 unless given.
    #[arg(long, conflicts_with = "resume")]
    context: Option<usize>,
    /// Largest step size.
    #[arg(long, conflicts_with = "resume")]
    rate: Option<f64>,
    /// Steps between validations, each of which writes a checkpoint.
    #[arg(long, conflicts_with = "resume")]
    validate_every: Option<u64>,
    /// Threads; a batch is cut into as many parts, so the bits of the result depend on it.
    #[arg(long, conflicts_with = "resume")]
    shards: Option<usize>,
    /// Seed of weights, windows and dropout.
    #[arg(long, conflicts_with = "resume")]
    seed: Option<u64>,
}

impl Charlm {
    pub fn run(self) -> Result {
        let stop = interruption()?;
        let mut progress = Progress::new("characters")?;
        let mut observe = |event| progress.show(event);
        let outcome = if self.resume {
            text::resume(&self.out, Changes { steps: self.steps, augment: None }, &stop, &mut observe)?
        } else {
            let mut training = TextTraining::default();
            training.steps = self.steps.unwrap_or(training.steps);
            training.rows = self.rows.unwrap_or(training.rows);
            training.adam.rate = self.rate.unwrap_or(training.adam.rate);
            training.validate_every = self.validate_every.unwrap_or(training.validate_every);
            training.shards = self.shards.unwrap_or(training.shards);
            training.seed = self.seed.unwrap_or(training.seed);
            let data = self.data.as_deref().ok_or("--data is missing")?;
            let architecture = |characters| {
                let config = text::small(characters);
                let context = self.context.unwrap_or(config.context);
                config.with_context(context)
            };
            text::start(data, &self.out, architecture, training, &stop, &mut observe)?
        };
        progress.end("charlm", &self.out, outcome)
    }
}
