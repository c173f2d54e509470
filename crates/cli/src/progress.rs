//! A progress bar around a training, and what is said at its end.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use regard_recipes::train::{Event, Outcome};

use crate::{Result, output};

/// A bar of so many texts, on a terminal.
pub fn texts(count: usize) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} texts, {eta} left").expect("a template that is right");
    ProgressBar::new(count as u64).with_style(style)
}

/// A bar around work of known length, which a flag may end before its time.
pub struct Work {
    bar: ProgressBar,
    stop: Arc<AtomicBool>,
}

impl Work {
    /// Nothing is shown before the first news.
    pub fn new(stop: Arc<AtomicBool>) -> Result<Self> {
        let style = ProgressStyle::with_template("{bar:30} {prefix}{msg}, {pos}/{len}, {eta} left")?;
        Ok(Work { bar: ProgressBar::new(0).with_style(style), stop })
    }

    /// What is worked on, so that it can be told apart from what comes next.
    pub fn begins(&self, what: impl Into<Cow<'static, str>>) {
        self.bar.set_message(what);
        self.bar.reset_eta();
    }

    /// How much of the work is done, and whether to go on.
    pub fn told(&self, done: usize, total: usize) -> ControlFlow<()> {
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
        self.goes_on()
    }

    /// Both at once: what is worked on, how much of it is done, and whether to go on.
    pub fn telling(&self) -> impl FnMut(&str, usize, usize) -> ControlFlow<()> {
        |what, done, total| {
            if self.bar.message() != what {
                self.begins(what.to_owned());
            }
            self.told(done, total)
        }
    }

    /// How many of so many texts are done, before what is said of the next.
    pub fn texts(&self, done: usize, of: usize) {
        self.bar.set_prefix(format!("text {} of {of}, ", done + 1));
    }

    /// Says that something went wrong and the work goes on.
    pub fn complain(&self, problem: impl Display) {
        self.bar.suspend(|| output::complain(problem));
    }

    /// Whether nobody wants it to end.
    pub fn goes_on(&self) -> ControlFlow<()> {
        if self.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Leaves the terminal as it was.
    pub fn ends(&self) {
        self.bar.finish_and_clear();
    }
}

pub struct Progress {
    bar: ProgressBar,
    /// What there are so many of to learn from.
    examples: &'static str,
    loss: Option<f64>,
    speed: Option<f64>,
}

impl Progress {
    pub fn new(examples: &'static str) -> Result<Self> {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} steps, {msg}, {eta} left")?;
        Ok(Progress { bar: ProgressBar::new(0).with_style(style), examples, loss: None, speed: None })
    }

    pub fn show(&mut self, event: Event) {
        let bar = &self.bar;
        match event {
            Event::Started { parameters, amount, step, steps } => {
                bar.set_length(steps);
                bar.set_position(step);
                bar.reset_eta();
                let (count, examples) = (amount.examples, self.examples);
                let extra =
                    if amount.extra > 0 { format!(" and {} made of them", amount.extra) } else { String::new() };
                let long = if amount.left_out > 0 { format!(" ({} too long)", amount.left_out) } else { String::new() };
                bar.println(format!("{parameters} parameters, {count} {examples}{extra}{long}, from step {step}"));
                bar.enable_steady_tick(Duration::from_secs(1));
            }
            Event::Stepped { step, loss, speed, .. } => {
                let (loss, speed) = (smooth(&mut self.loss, loss.into()), smooth(&mut self.speed, speed));
                bar.set_message(format!("loss {loss:.3}, {speed:.0} tokens/s"));
                bar.set_position(step);
            }
            Event::Validated { step, loss, accuracy, best } => {
                let right = accuracy.map(right).unwrap_or_default();
                let kept = if best { ", the best so far: model written" } else { "" };
                let line = format!("step {step}: development loss {loss:.4} nats a token{right}{kept}");
                // A bar that is not shown prints nothing; a log wants its lines.
                if bar.is_hidden() {
                    // A log that can no longer be written is no reason to stop.
                    let _ = writeln!(io::stdout(), "{line}");
                } else {
                    bar.println(line);
                }
            }
        }
    }

    /// Says how `regard train TASK` ended.
    pub fn end(self, task: &str, out: &Path, outcome: Outcome) -> Result {
        self.bar.finish_and_clear();
        let Outcome { step, best, accuracy, interrupted, seconds } = outcome;
        let out = out.display();
        let mut log = io::stdout().lock();
        let time = HumanDuration(Duration::from_secs_f64(seconds));
        if interrupted {
            writeln!(log, "stopped at step {step} after {time}; go on with: regard train {task} --out {out} --resume")?;
        } else {
            writeln!(log, "{step} steps in {time}")?;
        }
        if let Some((loss, at)) = best {
            let right = accuracy.map(right).unwrap_or_default();
            writeln!(log, "best development loss {loss:.4}{right} at step {at}; model in {out}")?;
        }
        Ok(log.flush()?)
    }
}

fn right(accuracy: f64) -> String {
    format!(", {:.2} % of the answers right", 100.0 * accuracy)
}

fn smooth(mean: &mut Option<f64>, value: f64) -> f64 {
    let next = mean.map_or(value, |mean| 0.98 * mean + 0.02 * value);
    *mean = Some(next);
    next
}
