//! Training a language model on one text, character by character, as nanoGPT's `shakespeare_char` does on a CPU.
//!
//! The first nine tenths of the text are to learn from. A batch is windows that begin anywhere, a function of seed and step.
//! The last tenth is cut into windows, one after another, and the development loss is the mean over all of its
//! characters, each given those before it in its window: the mean of what random windows estimate.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::Tensor;
use regard::{Mode, mix};
use regard_models::{Gpt, GptConfig, LanguageModel as _, weights};
use serde::{Deserialize, Serialize};

use super::{Amount, Changes, Event, Measured, Outcome, Pace, Part, Recipe, Run, START, Session};
use super::{beginning, check_new, check_same, check_size, last};
use crate::checkpoint::Position;
use crate::data::DataError;
use crate::data::characters::Characters;
use crate::data::random::SplitMix64;
use crate::error::{Error, Result};
use crate::folder::{read_json, write_json};
use crate::optimizer::{Adam, AdamConfig, Schedule};
use crate::writer::{self, LanguageModel};

/// The text's file in a data folder.
pub const FILE: &str = "input.txt";

/// Windows that are validated together.
const TOGETHER: usize = 32;

/// How to train on a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextTraining {
    /// Optimiser.
    pub adam: AdamConfig,
    /// Steps in all.
    pub steps: u64,
    /// Windows of a batch.
    pub rows: usize,
    /// Steps between validations, each of which writes a checkpoint.
    pub validate_every: u64,
    /// Parts of a batch that are worked on side by side; the bits of the result depend on it.
    pub shards: usize,
    /// Of weights, windows and dropout.
    pub seed: u64,
}

impl Default for TextTraining {
    /// nanoGPT's recipe for a CPU, with twice its step size and an average of the weights.
    fn default() -> Self {
        let adam = AdamConfig {
            rate: 2e-3,
            warmup: 100,
            schedule: Schedule::Cosine,
            floor: 0.1,
            betas: (0.9, 0.99),
            epsilon: 1e-8,
            decay: 0.1,
            clip: 1.0,
            average: 0.99,
        };
        TextTraining { adam, steps: 2000, rows: 12, validate_every: 250, shards: 2, seed: 1 }
    }
}

/// nanoGPT's network for a CPU: 4 layers, 4 heads, d 128, context 64, no dropout.
pub fn small(vocabulary: usize) -> GptConfig {
    GptConfig::new(vocabulary).with_context(64).with_width(128).with_heads(4).with_layers(4).with_dropout(0.0)
}

/// Starts a run in the folder `out`, which must not hold one, and trains it to its end or until `stop`.
///
/// # Errors
/// When the text or options cannot be used, a file cannot be written, or the loss diverges.
pub fn start(
    data: &Path,
    out: &Path,
    architecture: impl FnOnce(usize) -> GptConfig,
    training: TextTraining,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event),
) -> Result<Outcome> {
    check_new(out)?;
    check(&training)?;
    let text = read(data)?;
    let characters = Characters::of(&text);
    let architecture = LanguageModel::Gpt(architecture(characters.count()));
    let run = Run {
        data: std::path::absolute(data).unwrap_or_else(|_| data.to_owned()),
        fingerprint: fingerprint(&text),
        architecture,
        training,
    };
    let mut windows = Windows::new(&run, characters, &text)?;
    let (model, adam) = begin(&run)?;
    std::fs::create_dir_all(out).map_err(|source| Error::File { action: "create", path: out.to_owned(), source })?;
    write_json(&out.join("run.json"), &run)?;
    Session::new(out, pace(&run.training))?.train(&mut windows, &model, adam, START, stop, observe)
}

/// Goes on with the run in `out` from its last checkpoint, with `changes` that it keeps from then on.
///
/// # Errors
/// As [`start`], and when there is no run, its text has changed, or extra pairs are asked for, which a text has not.
pub fn resume(out: &Path, changes: Changes, stop: &AtomicBool, observe: &mut dyn FnMut(Event)) -> Result<Outcome> {
    let mut run: TextRun = read_json(&out.join("run.json"))?;
    if let Some(share) = changes.augment {
        return Err(Error::option("augment", share, "nothing: a text has no extra pairs"));
    }
    run.training.steps = changes.steps.unwrap_or(run.training.steps);
    check(&run.training)?;
    check_size(out, run.architecture.numbers())?;
    let text = read(&run.data)?;
    check_same(&run.data, fingerprint(&text), run.fingerprint)?;
    let (model, adam) = begin(&run)?;
    let (adam, position) = last(out, adam, |adam| weights::assign(model.clone(), adam.weights()).map(drop))?;
    let mut windows = Windows::new(&run, Characters::of(&text), &text)?;
    if changes.steps.is_some() {
        write_json(&out.join("run.json"), &run)?;
    }
    Session::new(out, pace(&run.training))?.train(&mut windows, &model, adam, position, stop, observe)
}

type TextRun = Run<LanguageModel, TextTraining>;

fn begin(run: &TextRun) -> Result<(Gpt, Adam)> {
    let LanguageModel::Gpt(config) = &run.architecture;
    beginning(run.training.seed, |device| Ok(config.init(device)?), |model| Adam::new(weights::parameters(model)))
}

fn pace(training: &TextTraining) -> Pace {
    let TextTraining { adam, steps, validate_every, shards, seed, .. } = *training;
    Pace { adam, steps, validate_every, shards, seed }
}

fn check(training: &TextTraining) -> Result<()> {
    if !(1..=65_536).contains(&training.rows) {
        return Err(Error::option("rows", training.rows, "from 1 to 65536 windows"));
    }
    pace(training).check()
}

/// The text of a data folder.
fn read(data: &Path) -> Result<String> {
    let path = data.join(FILE);
    let bytes = std::fs::read(&path).map_err(|source| DataError::Read { path: path.clone(), source })?;
    String::from_utf8(bytes).map_err(|error| {
        let problem = format!("byte {} is not UTF-8", error.utf8_error().valid_up_to() + 1);
        Error::Content { path, problem }
    })
}

fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte)))
}

/// A text to take windows from.
struct Windows<'a> {
    run: &'a TextRun,
    characters: Characters,
    train: Vec<u32>,
    dev: Vec<u32>,
    context: usize,
}

impl<'a> Windows<'a> {
    fn new(run: &'a TextRun, characters: Characters, text: &str) -> Result<Self> {
        let LanguageModel::Gpt(config) = &run.architecture;
        let context = config.context;
        let mut train = characters.encode(text)?;
        let dev = train.split_off(train.len() / 10 * 9 + train.len() % 10 * 9 / 10);
        if train.len().min(dev.len()) <= context {
            let problem = format!(
                "{} characters, expected more than {} for the context of {context}",
                train.len() + dev.len(),
                context.saturating_mul(10)
            );
            return Err(Error::Content { path: run.data.join(FILE), problem });
        }
        Ok(Windows { run, characters, train, dev, context })
    }
}

impl Recipe<Gpt> for Windows<'_> {
    type Batch = Vec<Vec<u32>>;

    fn amount(&self) -> Amount {
        Amount { examples: self.train.len(), extra: 0, left_out: 0 }
    }

    fn batch(&mut self, position: &mut Position) -> Result<Vec<Vec<u32>>> {
        let TextTraining { rows, seed, .. } = self.run.training;
        position.epoch = (position.step as usize).saturating_mul(rows * self.context) as u64 / self.train.len() as u64;
        let mut random = SplitMix64::keyed(&[seed, position.step]);
        let window = |_| {
            let first = random.below(self.train.len() - self.context);
            self.train[first..=first + self.context].to_vec()
        };
        Ok((0..rows).map(window).collect())
    }

    fn tokens(&self, batch: &Vec<Vec<u32>>) -> usize {
        batch.len() * self.context
    }

    fn loss(&self, model: &Gpt, batch: &Vec<Vec<u32>>, part: Part, mode: Mode) -> Result<Option<Tensor<1>>> {
        let windows = part.of(batch);
        if windows.is_empty() {
            return Ok(None);
        }
        Ok(Some(model.loss(&windows, mode)?.0))
    }

    fn measure(&self, model: &Gpt, part: Part) -> Result<Measured> {
        // Windows share a character: the last target of one is the first input of the next.
        let starts: Vec<usize> = (0..self.dev.len() - 1).step_by(self.context).collect();
        let windows: Vec<&[u32]> =
            starts.iter().map(|&first| &self.dev[first..self.dev.len().min(first + self.context + 1)]).collect();
        let (whole, rest): (Vec<_>, Vec<_>) = windows.into_iter().partition(|window| window.len() > self.context);
        let groups: Vec<&[&[u32]]> = whole.chunks(TOGETHER).chain(rest.chunks(1)).collect();
        let (mut loss, mut tokens) = (0.0, 0);
        for group in part.of(&groups) {
            let (sum, count) = model.loss(group, Mode::Evaluate)?;
            loss += f64::from(sum.into_scalar::<f32>());
            tokens += count;
        }
        Ok(Measured { loss, tokens, right: None })
    }

    fn write(&self, folder: &Path, model: &Gpt) -> Result<()> {
        writer::write_model(folder, model, &self.run.architecture, &self.characters)
    }
}
