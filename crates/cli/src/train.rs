//! `regard train translate` and `regard train g2p`: a progress bar around the recipe.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use regard_recipes::presets::Preset;
use regard_recipes::train::{self, Changes, Event, Outcome};

use crate::{Result, interruption};

#[derive(Args)]
pub struct Train {
    /// Folder with {train,dev,test}.tsv, or train.SRC, train.TGT, valid.SRC …, or a dictionary's NAME.train and NAME.ref.
    #[arg(long, value_name = "DIR", required_unless_present = "resume", conflicts_with = "resume")]
    data: Option<PathBuf>,
    /// Folder of the run: model, checkpoint, metrics.jsonl and loss.svg.
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Go on with the run in --out from its last checkpoint, to the bits that it would have reached undisturbed.
    #[arg(long)]
    resume: bool,
    /// Network and recipe: tiny, small, bahdanau, luong or g2p; small for translate and g2p for g2p unless given.
    #[arg(long, conflicts_with = "resume")]
    preset: Option<String>,
    /// Steps in all.
    #[arg(long)]
    steps: Option<u64>,
    /// Tokens of a batch on either side, padding included.
    #[arg(long, conflicts_with = "resume")]
    max_tokens: Option<usize>,
    /// Largest step size.
    #[arg(long, conflicts_with = "resume")]
    rate: Option<f64>,
    /// Steps until it is reached.
    #[arg(long, conflicts_with = "resume")]
    warmup: Option<u64>,
    /// Tokens of the vocabulary that is trained (unless the data are segmented already).
    #[arg(long, conflicts_with = "resume")]
    vocabulary: Option<usize>,
    /// Steps between validations, each of which writes a checkpoint.
    #[arg(long, conflicts_with = "resume")]
    validate_every: Option<u64>,
    /// Threads; a batch is cut into as many parts, so the bits of the result depend on it.
    #[arg(long, conflicts_with = "resume")]
    shards: Option<usize>,
    /// Seed of weights, order, dropout and extra pairs.
    #[arg(long, conflicts_with = "resume")]
    seed: Option<u64>,
    /// Extra pairs, joined or uncapitalised from the training pairs, as a share of those, from 0 to 1.
    #[arg(long, value_name = "SHARE")]
    augment: Option<f32>,
}

impl Train {
    /// Trains for `task`, which is what follows `regard train`, with the preset `usual` unless another is given.
    pub fn run(self, task: &str, usual: Preset) -> Result {
        let stop = interruption()?;
        let bar = ProgressBar::new(0)
            .with_style(ProgressStyle::with_template("{bar:30} {pos}/{len} steps, {msg}, {eta} left")?);
        let (mut mean_loss, mut mean_speed) = (None, None);
        let smooth = |mean: &mut Option<f64>, value: f64| {
            let next = mean.map_or(value, |mean| 0.98 * mean + 0.02 * value);
            *mean = Some(next);
            next
        };
        let mut observe = |event: Event| match event {
            Event::Started { parameters, pairs, extra, left_out, step, steps } => {
                bar.set_length(steps);
                bar.set_position(step);
                bar.reset_eta();
                let extra = if extra > 0 { format!(" and {extra} made of them") } else { String::new() };
                let line =
                    format!("{parameters} parameters, {pairs} pairs{extra} ({left_out} too long), from step {step}");
                bar.println(line);
                bar.enable_steady_tick(Duration::from_secs(1));
            }
            Event::Stepped { step, loss, speed, .. } => {
                let (loss, speed) = (smooth(&mut mean_loss, loss.into()), smooth(&mut mean_speed, speed));
                bar.set_message(format!("loss {loss:.3}, {speed:.0} tokens/s"));
                bar.set_position(step);
            }
            Event::Validated { step, loss, best } => {
                let kept = if best { ", the best so far: model written" } else { "" };
                let line = format!("step {step}: development loss {loss:.4} nats a token{kept}");
                // A bar that is not shown prints nothing; a log wants its lines.
                if bar.is_hidden() {
                    // A log that can no longer be written is no reason to stop.
                    let _ = writeln!(io::stdout(), "{line}");
                } else {
                    bar.println(line);
                }
            }
        };
        let outcome = if self.resume {
            train::resume(&self.out, Changes { steps: self.steps, augment: self.augment }, &stop, &mut observe)?
        } else {
            let preset = self.preset.as_deref().map_or(Ok(usual), Preset::named)?;
            let mut training = preset.training();
            training.steps = self.steps.unwrap_or(training.steps);
            training.max_tokens = self.max_tokens.unwrap_or(training.max_tokens);
            training.adam.rate = self.rate.unwrap_or(training.adam.rate);
            training.adam.warmup = self.warmup.unwrap_or(training.adam.warmup);
            training.validate_every = self.validate_every.unwrap_or(training.validate_every);
            training.shards = self.shards.unwrap_or(training.shards);
            training.seed = self.seed.unwrap_or(training.seed);
            training.augment = self.augment.unwrap_or(training.augment);
            let data = self.data.as_deref().ok_or("--data is missing")?;
            let vocabulary = self.vocabulary.unwrap_or(preset.vocabulary());
            let architecture = |tokens| preset.architecture(tokens);
            train::start(data, &self.out, vocabulary, architecture, training, &stop, &mut observe)?
        };
        bar.finish_and_clear();
        self.report(task, outcome)
    }

    fn report(&self, task: &str, outcome: Outcome) -> Result {
        let Outcome { step, best, interrupted, seconds } = outcome;
        let out = self.out.display();
        let mut log = io::stdout().lock();
        let time = HumanDuration(Duration::from_secs_f64(seconds));
        if interrupted {
            writeln!(log, "stopped at step {step} after {time}; go on with: regard train {task} --out {out} --resume")?;
        } else {
            writeln!(log, "{step} steps in {time}")?;
        }
        if let Some((loss, at)) = best {
            writeln!(log, "best development loss {loss:.4} at step {at}; model in {out}")?;
        }
        Ok(log.flush()?)
    }
}
