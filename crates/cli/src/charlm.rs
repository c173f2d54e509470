//! `regard train charlm`: a language model of a text's characters.

use std::path::PathBuf;

use clap::Args;
use regard_recipes::train::Changes;
use regard_recipes::train::text::{self, TextTraining};

use crate::pace::Pace;
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
    /// Windows of a batch; 12 unless given.
    #[arg(long, conflicts_with = "resume")]
    rows: Option<usize>,
    /// Characters of a window; 64 unless given.
    #[arg(long, conflicts_with = "resume")]
    context: Option<usize>,
    #[command(flatten)]
    pace: Pace,
}

impl Charlm {
    pub fn run(self) -> Result {
        let stop = interruption()?;
        let mut progress = Progress::new("characters")?;
        let mut observe = |event| progress.show(event);
        let outcome = if self.pace.resume {
            text::resume(&self.out, Changes { steps: self.pace.steps, augment: None }, &stop, &mut observe)?
        } else {
            let mut training = TextTraining::default();
            training.steps = self.pace.steps.unwrap_or(training.steps);
            training.rows = self.rows.unwrap_or(training.rows);
            training.adam.rate = self.pace.rate.unwrap_or(training.adam.rate);
            training.validate_every = self.pace.validate_every.unwrap_or(training.validate_every);
            training.shards = self.pace.shards.unwrap_or(training.shards);
            training.seed = self.pace.seed.unwrap_or(training.seed);
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
