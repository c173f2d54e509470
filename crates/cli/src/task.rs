//! `regard train copy`, `recall`, `questions`, `reverse`, `transcribe`, `track` and `needle`: made-up problems.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use regard_explain::write_atomically;
use regard_recipes::curve;
use regard_recipes::tasks::{Task, Way};
use regard_recipes::train::tasks::{self, TaskTraining};
use regard_recipes::train::{Changes, metrics};

use crate::progress::Progress;
use crate::{Result, interruption};

#[derive(Args)]
pub struct Train {
    /// Folder of the run: model, checkpoint, metrics.jsonl and loss.svg; one with the task's name unless given.
    #[arg(long, value_name = "RUN")]
    out: Option<PathBuf>,
    /// Go on with the run in --out from its last checkpoint, to the bits that it would have reached undisturbed.
    #[arg(long)]
    resume: bool,
    /// The mechanism: recall: hopfield, lstm or mega; reverse: bahdanau or luong; transcribe: location or content; track: ema or
    /// unsmoothed; needle: soft, sampled, gumbel or hard; the first unless given. Or `all` of a task, in turn, each in a folder
    /// of its own in --out, beside a picture of how many answers each had right, accuracy.svg.
    #[arg(long, value_name = "NAME")]
    attention: Option<String>,
    /// Steps in all.
    #[arg(long)]
    steps: Option<u64>,
    /// Examples of a batch.
    #[arg(long, conflicts_with = "resume")]
    rows: Option<usize>,
    /// Largest step size.
    #[arg(long, conflicts_with = "resume")]
    rate: Option<f64>,
    /// Steps between validations, each of which writes a checkpoint.
    #[arg(long, conflicts_with = "resume")]
    validate_every: Option<u64>,
    /// Threads; a batch is cut into as many parts, so the bits of the result depend on it.
    #[arg(long, conflicts_with = "resume")]
    shards: Option<usize>,
    /// Seed of weights, examples and choices.
    #[arg(long, conflicts_with = "resume")]
    seed: Option<u64>,
}

impl Train {
    pub fn run(self, task: Task) -> Result {
        let out = self.out.clone().unwrap_or_else(|| task.name().into());
        let ways = match self.attention.as_deref() {
            Some("all") => task.ways(),
            Some(_) if self.resume => {
                return Err("--attention: a run goes on as it began; only `all` may be said again".into());
            }
            Some(name) => &[task.way(name)?],
            None => &task.ways()[..1],
        };
        let all = self.attention.as_deref() == Some("all");
        let folder = |way: Way| if all { out.join(way.name()) } else { out.clone() };
        if !self.resume {
            for &way in ways {
                tasks::begin(task, way, &folder(way), self.training(way))?;
            }
        }
        let stop = interruption()?;
        for &way in ways {
            if all {
                writeln!(io::stdout(), "{}", way.name())?;
            }
            let mut progress = Progress::new("examples")?;
            let changes = Changes { steps: self.steps, augment: None };
            let outcome = tasks::go_on(task, &folder(way), changes, &stop, &mut |event| progress.show(event))?;
            progress.end(task.name(), &folder(way), outcome)?;
            if outcome.interrupted {
                return Ok(());
            }
        }
        if all {
            let read = |way: &Way| Ok((way.name(), metrics(&folder(*way))?));
            let runs = ways.iter().map(read).collect::<Result<Vec<_>>>()?;
            write_atomically(out.join("accuracy.svg"), curve::accuracies(&runs).as_bytes())?;
        }
        Ok(())
    }

    fn training(&self, way: Way) -> TaskTraining {
        let usual = TaskTraining::of(way);
        TaskTraining {
            rate: self.rate.unwrap_or(usual.rate),
            steps: self.steps.unwrap_or(usual.steps),
            rows: self.rows.unwrap_or(usual.rows),
            validate_every: self.validate_every.unwrap_or(usual.validate_every),
            shards: self.shards.unwrap_or(usual.shards),
            seed: self.seed.unwrap_or(usual.seed),
        }
    }
}
