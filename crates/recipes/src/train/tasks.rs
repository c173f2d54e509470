//! Training a small network on a made-up problem; see [`tasks`](crate::tasks).
//!
//! A batch is a function of seed and step, so no example is seen twice. What it is measured on is a function of the task alone:
//! the same for every way and seed.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::{Device, Tensor};
use regard::Mode;
use regard_models::weights::{self, Precision};
use regard_models::{Decoding, Result as ModelResult};
use serde::{Deserialize, Serialize};

use super::{Amount, Changes, Event, Measured, Outcome, Pace, Part, Recipe, Session};
use super::{beginning, check_new, last};
use crate::checkpoint::Position;
use crate::data::random::SplitMix64;
use crate::error::{Error, Result};
use crate::folder::{self, read_json, write_json};
use crate::optimizer::{Adam, AdamConfig, Schedule};
use crate::tasks::needle::{Choice, Finder};
use crate::tasks::{Example, Learner, Task, Way, copy, questions, recall, reverse, track, transcribe};

/// What the key of the examples to measure on begins with; seeds of training are followed by a step.
const MEASURED: u64 = u64::MAX;
/// Batches to measure on, and the examples of each.
const BATCHES: u64 = 16;
const ROWS: usize = 64;

/// How to train on a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskTraining {
    /// Largest step size.
    pub rate: f64,
    /// Steps in all.
    pub steps: u64,
    /// Examples of a batch.
    pub rows: usize,
    /// Steps between validations, each of which writes a checkpoint.
    pub validate_every: u64,
    /// Parts of a batch that are worked on side by side; the bits of the result depend on it.
    pub shards: usize,
    /// Of weights, examples and choices.
    pub seed: u64,
}

impl TaskTraining {
    /// What solves the task this way.
    pub fn of(way: Way) -> Self {
        let usual = TaskTraining { rate: 5e-3, steps: 500, rows: 64, validate_every: 50, shards: 2, seed: 1 };
        match way {
            Way::Ntm => TaskTraining { rows: 32, ..usual },
            Way::Mega => TaskTraining { steps: 1000, ..usual },
            Way::Location | Way::Content => TaskTraining { rate: 0.02, steps: 400, ..usual },
            Way::Ema | Way::Unsmoothed => TaskTraining { rate: 0.05, steps: 200, ..usual },
            Way::Soft | Way::Sampled | Way::Gumbel | Way::Hard => {
                TaskTraining { steps: 300, validate_every: 10, ..usual }
            }
            _ => usual,
        }
    }

    fn pace(&self) -> Pace {
        let TaskTraining { rate, steps, validate_every, shards, seed, .. } = *self;
        let adam = AdamConfig {
            rate,
            warmup: 20,
            schedule: Schedule::Cosine,
            floor: 0.05,
            betas: (0.9, 0.99),
            epsilon: 1e-8,
            decay: 0.0,
            clip: 1.0,
            average: 0.95,
        };
        Pace { adam, steps, validate_every, shards, seed }
    }

    fn check(&self) -> Result<()> {
        if !(1..=65_536).contains(&self.rows) {
            return Err(Error::option("rows", self.rows, "from 1 to 65536 examples"));
        }
        self.pace().check()
    }
}

/// What a run is made of; kept in its folder as `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct TaskRun {
    task: Task,
    attention: Way,
    training: TaskTraining,
}

impl TaskRun {
    fn check(&self) -> Result<()> {
        self.task.way(self.attention.name())?;
        self.training.check()
    }
}

/// Prepares a run in the folder `out`, which must not hold one; [`go_on`] trains it.
///
/// # Errors
/// When the way is not one of the task's, an option cannot be used, or the folder cannot be written.
pub fn begin(task: Task, attention: Way, out: &Path, training: TaskTraining) -> Result<()> {
    check_new(out)?;
    let run = TaskRun { task, attention, training };
    run.check()?;
    std::fs::create_dir_all(out).map_err(|source| Error::File { action: "create", path: out.to_owned(), source })?;
    write_json(&out.join("run.json"), &run)
}

/// Trains the run of `task` in `out` from its last checkpoint, or from its beginning, to its end or until `stop`, with `changes`
/// that it keeps from then on; there are no extra pairs to change.
///
/// # Errors
/// When there is no run, or one of another task, a file cannot be read or written, or the loss diverges.
pub fn go_on(
    task: Task,
    out: &Path,
    changes: Changes,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event),
) -> Result<Outcome> {
    let path = out.join("run.json");
    let mut run: TaskRun = read_json(&path)?;
    if run.task != task {
        let problem = format!("a run of the task {}, expected one of {}", run.task.name(), task.name());
        return Err(Error::Content { path, problem });
    }
    run.training.steps = changes.steps.unwrap_or(run.training.steps);
    run.check()?;
    Sitting { run, out, stop, observe }.sit()
}

/// A run that goes on.
struct Sitting<'a> {
    run: TaskRun,
    out: &'a Path,
    stop: &'a AtomicBool,
    observe: &'a mut dyn FnMut(Event),
}

impl Sitting<'_> {
    fn sit(self) -> Result<Outcome> {
        match self.run.attention {
            Way::Ntm => self.learn(copy::Copier::new),
            Way::Hopfield => self.learn(recall::HopfieldRecall::new),
            Way::Lstm => self.learn(recall::LstmRecall::new),
            Way::Mega => self.learn(recall::MegaRecall::new),
            Way::KeyValue => self.learn(questions::Answerer::new),
            Way::Bahdanau => self.learn(|device| reverse::network(Decoding::Bahdanau, device)),
            Way::Luong => self.learn(|device| reverse::network(Decoding::Luong, device)),
            Way::Location => self.learn(|device| transcribe::Transcriber::new(true, device)),
            Way::Content => self.learn(|device| transcribe::Transcriber::new(false, device)),
            Way::Ema => self.learn(|device| track::Tracker::new(true, device)),
            Way::Unsmoothed => self.learn(|device| track::Tracker::new(false, device)),
            Way::Soft => self.learn(|device| Finder::new(Choice::Soft, device)),
            Way::Sampled => self.learn(|device| Finder::new(Choice::Sampled, device)),
            Way::Gumbel => self.learn(|device| Finder::new(Choice::Gumbel, device)),
            Way::Hard => self.learn(|device| Finder::new(Choice::Hard, device)),
        }
    }

    fn learn<M: Learner>(self, network: impl FnOnce(&Device) -> ModelResult<M>) -> Result<Outcome> {
        let Sitting { run, out, stop, observe } = self;
        let network = |device: &Device| Ok(network(device)?);
        let (model, adam) = beginning(run.training.seed, network, |model| Adam::new(weights::parameters(model)))?;
        let (adam, position) = last(out, adam, |adam| weights::assign(model.clone(), adam.weights()).map(drop))?;
        write_json(&out.join("run.json"), &run)?;
        let session = Session::new(out, run.training.pace())?;
        session.train(&mut Examples::new(&run), &model, adam, position, stop, observe)
    }
}

/// The examples of a run.
struct Examples<'a> {
    run: &'a TaskRun,
    measured: Vec<Vec<Example>>,
}

impl<'a> Examples<'a> {
    fn new(run: &'a TaskRun) -> Self {
        let batch = |batch| run.task.examples(ROWS, &mut SplitMix64::keyed(&[MEASURED, batch]));
        Examples { run, measured: (0..BATCHES).map(batch).collect() }
    }
}

impl<M: Learner> Recipe<M> for Examples<'_> {
    type Batch = Vec<Example>;

    fn amount(&self) -> Amount {
        let TaskTraining { steps, rows, .. } = self.run.training;
        Amount { examples: (steps as usize).saturating_mul(rows), extra: 0, left_out: 0 }
    }

    fn batch(&mut self, position: &mut Position) -> Result<Vec<Example>> {
        let TaskTraining { rows, seed, .. } = self.run.training;
        Ok(self.run.task.examples(rows, &mut SplitMix64::keyed(&[seed, position.step])))
    }

    fn tokens(&self, batch: &Vec<Example>) -> usize {
        batch.iter().map(|example| example.answers.len()).sum()
    }

    fn loss(&self, model: &M, batch: &Vec<Example>, part: Part, mode: Mode) -> Result<Option<Tensor<1>>> {
        let examples = part.of(batch);
        if examples.is_empty() {
            return Ok(None);
        }
        Ok(Some(model.loss(&examples, mode)?))
    }

    fn measure(&self, model: &M, part: Part) -> Result<Measured> {
        let (mut loss, mut tokens, mut right) = (0.0, 0, 0);
        for examples in part.of(&self.measured) {
            let scores = model.answer(&examples, Mode::Evaluate)?;
            let classes = scores.dims()[1];
            let scores: Vec<f32> = scores.into_data().try_into_vec().expect("scores are f32");
            let answers = examples.iter().flat_map(|example| &example.answers);
            for (scores, &answer) in scores.chunks(classes).zip(answers) {
                let (answer, highest) = (scores[answer as usize], scores.iter().copied().fold(f32::MIN, f32::max));
                let sum: f64 = scores.iter().map(|&score| f64::from(score - highest).exp()).sum();
                loss += sum.ln() - f64::from(answer - highest);
                tokens += 1;
                right += usize::from(answer == highest);
            }
        }
        Ok(Measured { loss, tokens, right: Some(right) })
    }

    fn write(&self, folder: &Path, model: &M) -> Result<()> {
        folder::write_weights(folder, model, Precision::F32)
    }
}
