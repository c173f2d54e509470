//! `regard train translate` and `regard train g2p`: training on pairs.

use std::path::PathBuf;

use clap::Args;
use regard_recipes::presets::Preset;
use regard_recipes::train::{Changes, pairs};

use crate::pace::Pace;
use crate::progress::Progress;
use crate::{Result, interruption};

#[derive(Args)]
pub struct Train {
    /// Folder with {train,dev,test}.tsv, or train.SRC, train.TGT, valid.SRC …, or a dictionary's NAME.train and NAME.ref.
    #[arg(long, value_name = "DIR", required_unless_present = "resume", conflicts_with = "resume")]
    data: Option<PathBuf>,
    /// Folder of the run: model, checkpoint, metrics.jsonl and loss.svg.
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Network and recipe: tiny, small, bahdanau, luong or g2p; small for translate and g2p for g2p unless given.
    #[arg(long, conflicts_with = "resume")]
    preset: Option<String>,
    /// Tokens of a batch on either side, padding included.
    #[arg(long, conflicts_with = "resume")]
    max_tokens: Option<usize>,
    /// Steps until it is reached.
    #[arg(long, conflicts_with = "resume")]
    warmup: Option<u64>,
    /// Tokens of the vocabulary that is trained (unless the data are segmented already).
    #[arg(long, conflicts_with = "resume")]
    vocabulary: Option<usize>,
    /// Extra pairs, made of the training pairs by joining, splicing and uncapitalising, as a share of those, from 0 to 1.
    #[arg(long, value_name = "SHARE")]
    augment: Option<f32>,
    #[command(flatten)]
    pace: Pace,
}

impl Train {
    /// Trains for `task`, which is what follows `regard train`, with the preset `usual` unless another is given.
    pub fn run(self, task: &str, usual: Preset) -> Result {
        let stop = interruption()?;
        let mut progress = Progress::new("pairs")?;
        let mut observe = |event| progress.show(event);
        let outcome = if self.pace.resume {
            pairs::resume(&self.out, Changes { steps: self.pace.steps, augment: self.augment }, &stop, &mut observe)?
        } else {
            let preset = self.preset.as_deref().map_or(Ok(usual), Preset::named)?;
            let mut training = preset.training();
            training.steps = self.pace.steps.unwrap_or(training.steps);
            training.max_tokens = self.max_tokens.unwrap_or(training.max_tokens);
            training.adam.rate = self.pace.rate.unwrap_or(training.adam.rate);
            training.adam.warmup = self.warmup.unwrap_or(training.adam.warmup);
            training.validate_every = self.pace.validate_every.unwrap_or(training.validate_every);
            training.shards = self.pace.shards.unwrap_or(training.shards);
            training.seed = self.pace.seed.unwrap_or(training.seed);
            training.augment = self.augment.unwrap_or(training.augment);
            let data = self.data.as_deref().ok_or("--data is missing")?;
            let vocabulary = self.vocabulary.unwrap_or(preset.vocabulary());
            let architecture = |tokens| preset.architecture(tokens);
            pairs::start(data, &self.out, vocabulary, architecture, training, &stop, &mut observe)?
        };
        progress.end(task, &self.out, outcome)
    }
}
