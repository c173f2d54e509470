//! Training a translator: the same bits for the same options, however often it is interrupted.
//!
//! A batch is worked on by [`shards`](crate::shards). Which pairs it holds, and what dropout drops, are functions of the seed and the step, so a checkpoint needs only the
//! optimiser's state and a position.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use burn::tensor::Device;
use regard::{Mode, mix};
use regard_explain::write_atomically;
use regard_models::{Translator, weights};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{self, Position};
use crate::curve;
use crate::data::batches::{Batching, Epoch, Lengths};
use crate::data::pairs::{Corpus, Pair};
use crate::data::tokenizer::Tokenizer;
use crate::data::{DataError, augment};
use crate::error::{Error, Result};
use crate::interpreter;
use crate::optimizer::Adam;
use crate::presets::{Architecture, Network, Training, with_network};
use crate::shards::Shards;

/// What a run is made of; kept in its folder as `run.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// The data folder.
    pub data: PathBuf,
    /// A hash of the tokenised data, extra pairs not included: a run does not go on with other data.
    pub fingerprint: u64,
    /// The network.
    pub architecture: Architecture,
    /// The recipe.
    pub training: Training,
}

/// How training is going.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// About to take the first step (of this sitting).
    Started {
        /// Numbers to learn.
        parameters: usize,
        /// Training pairs.
        pairs: usize,
        /// Pairs made of them; see [`Training::augment`].
        extra: usize,
        /// Pairs of both that are too long.
        left_out: usize,
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
        /// Whether it is the lowest so far, and the model was written.
        best: bool,
    },
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

/// Token ids of sentence pairs.
struct Encoded {
    sources: Vec<Vec<u32>>,
    targets: Vec<Vec<u32>>,
    lengths: Vec<Lengths>,
    /// How many, at the end, were made of the others.
    extra: usize,
}

impl Encoded {
    fn new(pairs: &[Pair], tokenizer: &Tokenizer) -> Result<Self> {
        let encode = |text: &str| tokenizer.encode(text);
        let sources = pairs.iter().map(|pair| encode(&pair.source)).collect::<std::result::Result<Vec<_>, _>>()?;
        let targets = pairs.iter().map(|pair| encode(&pair.target)).collect::<std::result::Result<Vec<_>, _>>()?;
        let lengths = sources
            .iter()
            .zip(&targets)
            .map(|(source, target)| Lengths { source: source.len(), target: target.len() })
            .collect();
        Ok(Encoded { sources, targets, lengths, extra: 0 })
    }

    /// Takes the pairs of an epoch in place of the extra pairs there are; these are the tokens of `pairs`.
    fn augment(&mut self, pairs: &[Pair], tokenizer: &Tokenizer, training: &Training, epoch: u64) -> Result<()> {
        let Training { max_length, augment: share, seed, .. } = *training;
        self.sources.truncate(pairs.len());
        self.targets.truncate(pairs.len());
        self.lengths.truncate(pairs.len());
        let made = augment::extra_pairs(pairs, &self.lengths, max_length, share, [seed, epoch]);
        let extra = Encoded::new(&made, tokenizer)?;
        self.extra = extra.lengths.len();
        self.sources.extend(extra.sources);
        self.targets.extend(extra.targets);
        self.lengths.extend(extra.lengths);
        Ok(())
    }

    fn fingerprint(&self) -> u64 {
        let ids = self.sources.iter().chain(&self.targets).flat_map(|ids| ids.iter().copied().chain([u32::MAX]));
        ids.fold(0, |hash, id| mix(hash ^ u64::from(id)))
    }

    fn pick(&self, indices: &[usize]) -> (Vec<Vec<u32>>, Vec<Vec<u32>>) {
        indices.iter().map(|&index| (self.sources[index].clone(), self.targets[index].clone())).unzip()
    }
}

/// Starts a run in the folder `out`, which must not hold one, and trains it to its end or until `stop`.
///
/// # Errors
/// When the data or options cannot be used, a file cannot be written, or the loss diverges.
pub fn start(
    data: &Path,
    out: &Path,
    vocabulary: usize,
    architecture: impl FnOnce(usize) -> Architecture,
    training: Training,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event),
) -> Result<Outcome> {
    if out.join("run.json").exists() {
        let problem = "already holds a run; continue it with --resume, or choose another folder".into();
        return Err(Error::Content { path: out.to_owned(), problem });
    }
    check(&training)?;
    let corpus = Corpus::open(data)?;
    let texts = || corpus.train.iter().flat_map(|pair| [pair.source.as_str(), pair.target.as_str()]);
    let tokenizer =
        if corpus.segmented { Tokenizer::whitespace(texts())? } else { Tokenizer::train(texts(), vocabulary)? };
    let encoded = Encoded::new(&corpus.train, &tokenizer)?;
    let dev = Encoded::new(&corpus.dev, &tokenizer)?;
    // Nothing is written before everything that can be known to fail has been tried: a folder with a run is not reused.
    check_lengths(data, &training, [&encoded, &dev])?;
    let run = Run {
        data: std::path::absolute(data).unwrap_or_else(|_| data.to_owned()),
        fingerprint: encoded.fingerprint(),
        architecture: architecture(tokenizer.vocab_size()),
        training,
    };
    let (network, adam, position) = beginning(&run)?;
    std::fs::create_dir_all(out).map_err(|source| Error::File { action: "create", path: out.to_owned(), source })?;
    tokenizer.save(out.join(interpreter::TOKENIZER))?;
    interpreter::write_json(&out.join("run.json"), &run)?;
    go_on(out, &run, &tokenizer, network, corpus.train, [encoded, dev], adam, position, stop, observe)
}

/// Goes on with the run in `out` from its last checkpoint, with `changes` that it keeps from then on.
///
/// # Errors
/// As [`start`], and when there is no run, or its data have changed.
pub fn resume(out: &Path, changes: Changes, stop: &AtomicBool, observe: &mut dyn FnMut(Event)) -> Result<Outcome> {
    let mut run: Run = interpreter::read_json(&out.join("run.json"))?;
    let before = run.training.clone();
    run.training.steps = changes.steps.unwrap_or(before.steps);
    run.training.augment = changes.augment.unwrap_or(before.augment);
    check(&run.training)?;
    if run.training != before {
        interpreter::write_json(&out.join("run.json"), &run)?;
    }
    let tokenizer = Tokenizer::load(out.join(interpreter::TOKENIZER))?;
    let corpus = Corpus::open(&run.data)?;
    let encoded = Encoded::new(&corpus.train, &tokenizer)?;
    if encoded.fingerprint() != run.fingerprint {
        let problem = "has changed since the run began, so that it cannot go on to the same result".into();
        return Err(Error::Content { path: run.data.clone(), problem });
    }
    let (network, adam, position) = beginning(&run)?;
    let file = out.join(checkpoint::FILE);
    let (adam, position) = if file.exists() {
        let (adam, position) = checkpoint::load(&file)?;
        with_network!(&network, model => weights::assign(model.clone(), adam.weights()).map(drop))
            .map_err(|problem| Error::Content { path: file, problem })?;
        (adam, position)
    } else {
        // Interrupted before its first checkpoint: from the start, to the same bits.
        (adam, position)
    };
    let dev = Encoded::new(&corpus.dev, &tokenizer)?;
    check_lengths(&run.data, &run.training, [&encoded, &dev])?;
    go_on(out, &run, &tokenizer, network, corpus.train, [encoded, dev], adam, position, stop, observe)
}

/// The network, the optimiser and the position that a run begins with: functions of the run alone.
fn beginning(run: &Run) -> Result<(Network, Adam, Position)> {
    // The device has one stream of random numbers for all threads, and weights are drawn when they are first read.
    static DRAWING: Mutex<()> = Mutex::new(());
    let _alone = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::default().autodiff();
    device.seed(run.training.seed);
    let network = run.architecture.init(&device)?;
    let adam = with_network!(&network, model => Adam::new(weights::parameters(model)));
    Ok((network, adam, Position { step: 0, epoch: 0, batch: 0, best: None, seconds: 0.0 }))
}

fn check(training: &Training) -> Result<()> {
    if !(1..=64).contains(&training.shards) {
        return Err(Error::option("shards", training.shards, "from 1 to 64"));
    }
    if training.steps == 0 || training.validate_every == 0 {
        return Err(Error::option("steps", training.steps, "at least 1, as between validations"));
    }
    if !(training.adam.rate.is_finite() && training.adam.rate > 0.0) {
        return Err(Error::option("rate", training.adam.rate, "a positive number"));
    }
    if !(0.0..1.0).contains(&training.smoothing) {
        return Err(Error::option("smoothing", training.smoothing, "a share in [0, 1)"));
    }
    Ok(augment::check(training.augment)?)
}

/// Fails unless both parts have a pair that is short enough.
fn check_lengths(data: &Path, training: &Training, [train, dev]: [&Encoded; 2]) -> Result<()> {
    let batching = batching(training);
    for (part, pairs) in [("training", train), ("development", dev)] {
        if batching.in_order(&pairs.lengths)?.batches.is_empty() {
            let problem = format!("no {part} pair has at most {} tokens on both sides", training.max_length);
            return Err(Error::Content { path: data.to_owned(), problem });
        }
    }
    Ok(())
}

fn batching(training: &Training) -> Batching {
    Batching { max_tokens: training.max_tokens, max_length: training.max_length, ..Batching::default() }
}

#[expect(clippy::too_many_arguments, reason = "the state of a run, taken apart once")]
fn go_on(
    out: &Path,
    run: &Run,
    tokenizer: &Tokenizer,
    network: Network,
    pairs: Vec<Pair>,
    data: [Encoded; 2],
    adam: Adam,
    position: Position,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event),
) -> Result<Outcome> {
    let [train, dev] = data;
    let batching = batching(&run.training);
    let metrics = truncated_metrics(&out.join("metrics.jsonl"), position.step)?;
    let mut session =
        Session { out, run, tokenizer, batching, pairs, train, dev, shards: Shards::new(run.training.shards)? };
    with_network!(network, model => session.train(&model, adam, position, metrics, stop, observe))
}

/// What does not change while a run goes on.
struct Session<'a> {
    out: &'a Path,
    run: &'a Run,
    tokenizer: &'a Tokenizer,
    batching: Batching,
    pairs: Vec<Pair>,
    /// The tokens of the pairs, and of an epoch's extra pairs.
    train: Encoded,
    dev: Encoded,
    shards: Shards,
}

impl Session<'_> {
    fn train<M: Translator + 'static>(
        &mut self,
        prototype: &M,
        mut adam: Adam,
        mut position: Position,
        mut metrics: Vec<Metric>,
        stop: &AtomicBool,
        observe: &mut dyn FnMut(Event),
    ) -> Result<Outcome> {
        let Training { steps, validate_every, seed, .. } = self.run.training;
        let mut epoch = self.epoch(position.epoch)?;
        let parameters = prototype.num_params();
        let (extra, left_out) = (self.train.extra, epoch.left_out);
        let pairs = self.train.lengths.len() - extra;
        observe(Event::Started { parameters, pairs, extra, left_out, step: position.step, steps });
        let before = position.seconds;
        let began = Instant::now();
        let mut interrupted = false;
        while position.step < steps {
            if position.batch >= epoch.batches.len() {
                position.epoch += 1;
                position.batch = 0;
                epoch = self.epoch(position.epoch)?;
            }
            let step = position.step + 1;
            let batch = &epoch.batches[position.batch];
            let tokens: usize = batch.iter().map(|&index| self.train.lengths[index].target + 1).sum();
            let stepped = Instant::now();
            let weights = adam.weights();
            let (sources, targets) = self.train.pick(batch);
            let smoothing = self.run.training.smoothing;
            let drops = mix(seed ^ mix(step));
            let (loss, gradients) = self.shards.gradients(prototype, &weights, &sources, &targets, smoothing, drops)?;
            if !loss.is_finite() {
                return Err(Error::Diverged { step, loss });
            }
            let norm = adam.step(&gradients, &self.run.training.adam, steps);
            let speed = tokens as f64 / stepped.elapsed().as_secs_f64();
            position.step = step;
            position.batch += 1;
            let rate = self.run.training.adam.rate_at(step, steps);
            metrics.push(Metric::Train { step, epoch: position.epoch, loss, rate, norm, tokens, speed });
            observe(Event::Stepped { step, steps, loss, speed });

            interrupted = stop.load(Ordering::Relaxed) && step < steps;
            let due = step.is_multiple_of(validate_every) || step == steps;
            if due || interrupted {
                position.seconds = before + began.elapsed().as_secs_f64();
                // Also when interrupted: the run that goes on from here does not come back to this step.
                if due {
                    self.validate(prototype, &adam, &mut position, &mut metrics, observe)?;
                }
                self.save(&adam, &position, &metrics)?;
            }
            if interrupted {
                break;
            }
        }
        Ok(Outcome { step: position.step, best: position.best, interrupted, seconds: position.seconds })
    }

    /// The batches of an epoch, with extra pairs of its own.
    fn epoch(&mut self, epoch: u64) -> Result<Epoch> {
        self.train.augment(&self.pairs, self.tokenizer, &self.run.training, epoch)?;
        Ok(self.batching.epoch(&self.train.lengths, self.run.training.seed, epoch)?)
    }

    /// Measures the averaged weights, and writes the model when they are the best so far.
    fn validate<M: Translator + 'static>(
        &self,
        prototype: &M,
        adam: &Adam,
        position: &mut Position,
        metrics: &mut Vec<Metric>,
        observe: &mut dyn FnMut(Event),
    ) -> Result<()> {
        let averaged = weights::assign(prototype.valid(), adam.averages()).expect("the optimiser holds this model");
        let loss = self.dev_loss(&averaged)?;
        let step = position.step;
        metrics.push(Metric::Dev { step, loss });
        let best = position.best.is_none_or(|(lowest, _)| loss < lowest);
        if best {
            position.best = Some((loss, step));
            interpreter::write_model(self.out, &averaged, &self.run.architecture, self.tokenizer)?;
        }
        observe(Event::Validated { step, loss, best });
        Ok(())
    }

    /// Nats a target token on the development pairs.
    fn dev_loss<M: Translator>(&self, model: &M) -> Result<f64> {
        let batches = self.batching.in_order(&self.dev.lengths)?.batches;
        let sums = self.shards.all(|shard, shards| {
            let (mut loss, mut tokens) = (0.0, 0);
            for batch in batches.iter().skip(shard).step_by(shards) {
                let (sources, targets) = self.dev.pick(batch);
                let (sum, count) = model.loss(&sources, &targets, 0.0, Mode::Evaluate)?;
                loss += f64::from(sum.into_scalar::<f32>());
                tokens += count;
            }
            Ok((loss, tokens))
        })?;
        let (loss, tokens) = sums.into_iter().fold((0.0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
        Ok(loss / tokens as f64)
    }

    fn save(&self, adam: &Adam, position: &Position, metrics: &[Metric]) -> Result<()> {
        // Metrics before the checkpoint: those beyond its step are dropped on resuming, none is ever missing.
        let mut lines = String::new();
        for metric in metrics {
            lines += &serde_json::to_string(metric).expect("a metric is plain numbers");
            lines.push('\n');
        }
        write_atomically(self.out.join("metrics.jsonl"), lines.as_bytes())?;
        checkpoint::save(&self.out.join(checkpoint::FILE), adam, position)?;
        write_atomically(self.out.join("loss.svg"), curve::svg(metrics).as_bytes())?;
        Ok(())
    }
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
