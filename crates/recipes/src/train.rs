//! Training: the same bits for the same options, however often it is interrupted.
//!
//! A recipe is data and a loss: [`pairs`] trains a translator or a speller, [`text`] a language model, [`tasks`] a mechanism
//! on a made-up problem, [`graph`] a classifier of a graph's nodes. The loop is this file's.
//! A batch is worked on by [`shards`](crate::shards). What it holds, and what dropout drops, are functions of the seed and
//! the step, so a checkpoint needs only the optimiser's state and a position.

pub mod graph;
pub mod pairs;
pub mod tasks;
pub mod text;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use regard::{Mode, mix};
use regard_explain::write_atomically;
use regard_models::weights;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{self, Position};
use crate::curve;
use crate::data::DataError;
use crate::error::{Error, Result};
use crate::folder;
use crate::optimizer::{Adam, AdamConfig};
use crate::presets::{Architecture, Training};
use crate::shards::Shards;

/// What a run is made of; kept in its folder as `run.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run<A = Architecture, T = Training> {
    /// The data folder.
    pub data: PathBuf,
    /// A hash of the tokenised data, made-up pairs not included: a run does not go on with other data.
    pub fingerprint: u64,
    /// The network.
    pub architecture: A,
    /// The recipe.
    pub training: T,
}

/// How training is going.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// About to take the first step (of this sitting).
    Started {
        /// Numbers to learn.
        parameters: usize,
        /// What there is to learn from.
        amount: Amount,
        /// Steps already taken.
        step: u64,
        /// Steps in all.
        steps: u64,
    },
    /// A step was taken.
    Stepped {
        /// Its number, from 1.
        step: u64,
        /// Steps in all.
        steps: u64,
        /// Label-smoothed loss, nats a target token.
        loss: f32,
        /// Target tokens a second.
        speed: f64,
    },
    /// A checkpoint was written.
    Validated {
        /// After this step.
        step: u64,
        /// Development loss of the averaged weights, nats a target token, without smoothing.
        loss: f64,
        /// Share of the answers that are right, where a recipe counts them.
        accuracy: Option<f64>,
        /// Whether it is the lowest so far, and the model was written.
        best: bool,
    },
}

/// How much there is to learn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// Training pairs, or tokens of a text.
    pub examples: usize,
    /// Pairs made of them; see [`Training::augment`].
    pub extra: usize,
    /// Pairs of both that are too long.
    pub left_out: usize,
}

/// A line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Metric {
    /// A step.
    Train {
        /// Its number.
        step: u64,
        /// Passes over the data that are complete.
        epoch: u64,
        /// Label-smoothed loss, nats a target token.
        loss: f32,
        /// Step size.
        rate: f64,
        /// Norm of the gradient.
        norm: f32,
        /// Target tokens.
        tokens: usize,
        /// Target tokens a second.
        speed: f64,
    },
    /// A validation.
    Dev {
        /// After this step.
        step: u64,
        /// Nats a target token.
        loss: f64,
        /// Share of the answers that are right, where a recipe counts them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        accuracy: Option<f64>,
    },
}

impl Metric {
    fn step(&self) -> u64 {
        match self {
            Metric::Train { step, .. } | Metric::Dev { step, .. } => *step,
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Steps taken in all.
    pub step: u64,
    /// The lowest validation loss and its step.
    pub best: Option<(f64, u64)>,
    /// Share of the answers that were right then, where a recipe counts them.
    pub accuracy: Option<f64>,
    /// Whether it was told to stop before its last step.
    pub interrupted: bool,
    /// Seconds of training, all sittings together.
    pub seconds: f64,
}

/// What may change when a run goes on; what is none stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Changes {
    /// [`Training::steps`].
    pub steps: Option<u64>,
    /// [`Training::augment`].
    pub augment: Option<f32>,
}

/// What every recipe says of its training.
#[derive(Debug, Clone, Copy)]
struct Pace {
    adam: AdamConfig,
    steps: u64,
    validate_every: u64,
    shards: usize,
    seed: u64,
}

impl Pace {
    fn check(&self) -> Result<()> {
        if !(1..=64).contains(&self.shards) {
            return Err(Error::option("shards", self.shards, "from 1 to 64"));
        }
        for (option, given) in [("steps", self.steps), ("validate-every", self.validate_every)] {
            if given == 0 {
                return Err(Error::option(option, given, "at least 1"));
            }
        }
        if !(self.adam.rate.is_finite() && self.adam.rate > 0.0) {
            return Err(Error::option("rate", self.adam.rate, "a positive number"));
        }
        Ok(())
    }
}

/// Which part of a batch or of the development data: the first of so many, every so many.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// This one, from 0.
    pub shard: usize,
    /// Of so many.
    pub shards: usize,
}

impl Part {
    /// Dealt in turn, so that the parts of what is sorted by length weigh the same.
    pub fn of<T: Clone>(self, all: &[T]) -> Vec<T> {
        all.iter().skip(self.shard).step_by(self.shards).cloned().collect()
    }
}

/// What a model makes of a part of the development data.
struct Measured {
    /// Summed, without smoothing.
    loss: f64,
    /// Target tokens.
    tokens: usize,
    /// How many of them have the highest score, where a recipe counts that.
    right: Option<usize>,
}

/// Data and a loss.
trait Recipe<M>: Sync {
    type Batch: Sync;

    fn amount(&self) -> Amount;

    /// The batch at this position, which first moves on to the next pass when one is complete.
    fn batch(&mut self, position: &mut Position) -> Result<Self::Batch>;

    /// Target tokens of a batch.
    fn tokens(&self, batch: &Self::Batch) -> usize;

    /// Summed loss of a part of a batch; none when the part is empty.
    fn loss(&self, model: &M, batch: &Self::Batch, part: Part, mode: Mode) -> Result<Option<Tensor<1>>>;

    /// Measures a part of the development data.
    fn measure(&self, model: &M, part: Part) -> Result<Measured>;

    /// Writes the model's folder.
    fn write(&self, folder: &Path, model: &M) -> Result<()>;
}

/// Refuses a folder that holds a run.
fn check_new(out: &Path) -> Result<()> {
    if out.join("run.json").exists() || out.join(checkpoint::FILE).exists() {
        let problem = "already holds a run; continue it with --resume, or choose another folder".into();
        return Err(Error::Content { path: out.to_owned(), problem });
    }
    Ok(())
}

/// Refuses data that are not those a run began with.
fn check_same(data: &Path, now: u64, before: u64) -> Result<()> {
    if now != before {
        let problem = "has changed since the run began, so that it cannot go on to the same result".into();
        return Err(Error::Content { path: data.to_owned(), problem });
    }
    Ok(())
}

/// A network with the weights that a run of this seed begins with.
fn beginning<M>(
    seed: u64,
    init: impl FnOnce(&Device) -> Result<M>,
    adam: impl FnOnce(&M) -> Adam,
) -> Result<(M, Adam)> {
    // The device has one stream of random numbers for all threads, and weights are drawn when they are first read.
    static DRAWING: Mutex<()> = Mutex::new(());
    let _alone = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::default().autodiff();
    device.seed(seed);
    let model = init(&device)?;
    let adam = adam(&model);
    Ok((model, adam))
}

const METRICS: &str = "metrics.jsonl";

const START: Position = Position { step: 0, epoch: 0, batch: 0, best: None, seconds: 0.0 };

/// The last checkpoint of a run, or its beginning: interrupted before the first one, it goes on from the start, to the same
/// bits. `fits` says what is wrong with a checkpoint's weights.
fn last(out: &Path, begun: Adam, fits: impl FnOnce(&Adam) -> Result<(), String>) -> Result<(Adam, Position)> {
    let file = out.join(checkpoint::FILE);
    if !file.exists() {
        return Ok((begun, START));
    }
    let (adam, position) = checkpoint::load(&file)?;
    fits(&adam).map_err(|problem| Error::Content { path: file, problem })?;
    Ok((adam, position))
}

/// The most numbers that a network may have which is trained from its beginning.
const MOST_NUMBERS: usize = 1 << 31;

/// Refuses to go on with a network that `run.json` claims to be larger than its checkpoint can back.
fn check_size(out: &Path, numbers: usize) -> Result<()> {
    let file = out.join(checkpoint::FILE);
    let (path, bytes) = match std::fs::metadata(&file) {
        Ok(found) => (file, found.len() as usize),
        Err(_) => (out.join("run.json"), 2 * MOST_NUMBERS),
    };
    folder::holds(bytes, numbers).map_err(|problem| Error::Content { path, problem })
}

/// What does not change while a run goes on.
struct Session<'a> {
    out: &'a Path,
    pace: Pace,
    shards: Shards,
}

impl<'a> Session<'a> {
    fn new(out: &'a Path, pace: Pace) -> Result<Self> {
        Ok(Session { out, pace, shards: Shards::new(pace.shards)? })
    }

    fn train<M: Module + Sync + 'static>(
        &self,
        recipe: &mut impl Recipe<M>,
        prototype: &M,
        mut adam: Adam,
        mut position: Position,
        stop: &AtomicBool,
        observe: &mut dyn FnMut(Event),
    ) -> Result<Outcome> {
        let mut metrics = truncated_metrics(&self.out.join(METRICS), position.step)?;
        let Pace { steps, validate_every, seed, .. } = self.pace;
        let parameters = prototype.num_params();
        observe(Event::Started { parameters, amount: recipe.amount(), step: position.step, steps });
        let before = position.seconds;
        let began = Instant::now();
        let mut interrupted = false;
        while position.step < steps {
            let batch = recipe.batch(&mut position)?;
            let step = position.step + 1;
            let tokens = recipe.tokens(&batch);
            let stepped = Instant::now();
            let weights = adam.weights();
            let drops = mix(seed ^ mix(step));
            let (loss, gradients) =
                self.shards.gradients(prototype, &weights, tokens, drops, |model, part, mode| {
                    recipe.loss(model, &batch, part, mode)
                })?;
            if !loss.is_finite() {
                return Err(Error::Diverged { step, loss });
            }
            let norm = adam.step(&gradients, &self.pace.adam, steps);
            let speed = tokens as f64 / stepped.elapsed().as_secs_f64();
            position.step = step;
            position.batch += 1;
            let rate = self.pace.adam.rate_at(step, steps);
            metrics.push(Metric::Train { step, epoch: position.epoch, loss, rate, norm, tokens, speed });
            observe(Event::Stepped { step, steps, loss, speed });

            interrupted = stop.load(Ordering::Relaxed) && step < steps;
            let due = step.is_multiple_of(validate_every) || step == steps;
            if due || interrupted {
                position.seconds = before + began.elapsed().as_secs_f64();
                // Also when interrupted: the run that goes on from here does not come back to this step.
                if due {
                    self.validate(recipe, prototype, &adam, &mut position, &mut metrics, observe)?;
                }
                self.save(&adam, &position, &metrics)?;
            }
            if interrupted {
                break;
            }
        }
        let accuracy = metrics.iter().find_map(|metric| match (metric, position.best) {
            (Metric::Dev { step, accuracy, .. }, Some((_, best))) if *step == best => *accuracy,
            _ => None,
        });
        let Position { step, best, seconds, .. } = position;
        Ok(Outcome { step, best, accuracy, interrupted, seconds })
    }

    /// Measures the averaged weights, and writes the model when they are the best so far.
    fn validate<M: Module + Sync + 'static>(
        &self,
        recipe: &impl Recipe<M>,
        prototype: &M,
        adam: &Adam,
        position: &mut Position,
        metrics: &mut Vec<Metric>,
        observe: &mut dyn FnMut(Event),
    ) -> Result<()> {
        let averaged = weights::assign(prototype.valid(), adam.averages()).expect("the optimiser holds this model");
        let parts = self.shards.all(|shard, shards| recipe.measure(&averaged, Part { shard, shards }))?;
        let none = Measured { loss: 0.0, tokens: 0, right: Some(0) };
        let Measured { loss, tokens, right } = parts.into_iter().fold(none, |sum, part| Measured {
            loss: sum.loss + part.loss,
            tokens: sum.tokens + part.tokens,
            right: sum.right.zip(part.right).map(|(sum, part)| sum + part),
        });
        let (loss, step) = (loss / tokens as f64, position.step);
        let accuracy = right.map(|right| right as f64 / tokens as f64);
        metrics.push(Metric::Dev { step, loss, accuracy });
        let best = position.best.is_none_or(|(lowest, _)| loss < lowest);
        if best {
            position.best = Some((loss, step));
            recipe.write(self.out, &averaged)?;
        }
        observe(Event::Validated { step, loss, accuracy, best });
        Ok(())
    }

    fn save(&self, adam: &Adam, position: &Position, metrics: &[Metric]) -> Result<()> {
        // Metrics before the checkpoint: those beyond its step are dropped on resuming, none is ever missing.
        let mut lines = String::new();
        for metric in metrics {
            lines += &serde_json::to_string(metric).expect("a metric is plain numbers");
            lines.push('\n');
        }
        write_atomically(self.out.join(METRICS), lines.as_bytes())?;
        checkpoint::save(&self.out.join(checkpoint::FILE), adam, position)?;
        write_atomically(self.out.join("loss.svg"), curve::svg(metrics).as_bytes())?;
        Ok(())
    }
}

/// The metrics of the run in `out`; none when there are no metrics yet.
///
/// # Errors
/// When their file cannot be read.
pub fn metrics(out: &Path) -> Result<Vec<Metric>> {
    truncated_metrics(&out.join(METRICS), u64::MAX)
}

fn truncated_metrics(path: &Path, step: u64) -> Result<Vec<Metric>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(path).map_err(|source| Error::File {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    let mut metrics = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let metric: Metric = serde_json::from_str(line).map_err(|error| DataError::Line {
            path: path.to_owned(),
            line: index + 1,
            problem: error.to_string(),
        })?;
        if metric.step() <= step {
            metrics.push(metric);
        }
    }
    Ok(metrics)
}
