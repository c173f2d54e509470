//! `regard train copy`, `recall`, `questions`, `reverse`, `transcribe`, `track` and `needle`: made-up problems.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use regard_explain::write_atomically;
use regard_recipes::curve;
use regard_recipes::tasks::{Task, Way};
use regard_recipes::train::tasks::{self, TaskTraining};
use regard_recipes::train::{Changes, metrics};

use crate::pace::Pace;
use crate::progress::Progress;
use crate::{Result, interruption};

#[derive(Args)]
pub struct Train {
    /// Folder of the run: model, checkpoint, metrics.jsonl and loss.svg; one with the task's name unless given.
    #[arg(long, value_name = "RUN")]
    out: Option<PathBuf>,
    /// The mechanism: recall: hopfield, lstm or mega; reverse: bahdanau or luong; transcribe: location or content; track: ema or
    /// unsmoothed; needle: soft, sampled, gumbel or hard; the first unless given. Or `all` of a task, in turn, each in a folder
    /// of its own in --out, beside a picture of how many answers each had right, accuracy.svg.
    #[arg(long, value_name = "NAME")]
    attention: Option<String>,
    /// Examples of a batch.
    #[arg(long, conflicts_with = "resume")]
    rows: Option<usize>,
    #[command(flatten)]
    pace: Pace,
}

impl Train {
    pub fn run(self, task: Task) -> Result {
        let out = self.out.clone().unwrap_or_else(|| task.name().into());
        let ways = match self.attention.as_deref() {
            Some("all") => task.ways(),
            Some(_) if self.pace.resume => {
                return Err("--attention: a run goes on as it began; only `all` may be said again".into());
            }
            Some(name) => &[task.way(name)?],
            None => &task.ways()[..1],
        };
        let all = self.attention.as_deref() == Some("all");
        let folder = |way: Way| if all { out.join(way.name()) } else { out.clone() };
        if !self.pace.resume {
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
            let changes = Changes { steps: self.pace.steps, augment: None };
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
            rate: self.pace.rate.unwrap_or(usual.rate),
            steps: self.pace.steps.unwrap_or(usual.steps),
            rows: self.rows.unwrap_or(usual.rows),
            validate_every: self.pace.validate_every.unwrap_or(usual.validate_every),
            shards: self.pace.shards.unwrap_or(usual.shards),
            seed: self.pace.seed.unwrap_or(usual.seed),
        }
    }
}
