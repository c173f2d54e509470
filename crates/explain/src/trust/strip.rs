//! The trust strip as lines, and as a table for the terminal.

use std::fmt;

use super::{Measured, Trust};
use crate::render::label::visible;

/// Which way a measurement is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// The greater.
    Higher,
    /// The smaller.
    Lower,
    /// The nearer to 0.
    NearZero,
}

impl fmt::Display for Better {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Higher => "higher",
            Self::Lower => "lower",
            Self::NearZero => "near 0",
        })
    }
}

/// A measurement with its name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// As written to people.
    pub name: &'static str,
    /// Which way is better.
    pub better: Better,
    /// `None`: not measured.
    pub measured: Option<Measured>,
}

impl Line {
    /// In words, how it stands to the random orders' mean: "better", "worse", or "as random" where the intervals meet. `None` where it
    /// was not measured, and for what is better near 0, as random orders always are.
    pub fn verdict(&self) -> Option<&'static str> {
        let Measured { value, interval, random_interval: [low, high], .. } = self.measured?;
        let [least, most] = interval.unwrap_or([value; 2]);
        let (above, below) = (least > high, most < low);
        match self.better {
            Better::NearZero => None,
            Better::Higher if above => Some("better"),
            Better::Lower if below => Some("better"),
            _ if above || below => Some("worse"),
            _ => Some("as random"),
        }
    }

    /// As a row of a table: the name, the value (with its interval if it has one), the random orders' mean and interval, which way is
    /// better, and the verdict.
    pub fn cells(&self) -> [String; 5] {
        let name = self.name.to_owned();
        let Some(measured) = self.measured else {
            return [name, "not measured".to_owned(), String::new(), String::new(), String::new()];
        };
        let value = match measured.interval {
            Some(ends) => format!("{} {}", number(measured.value), range(ends)),
            None => number(measured.value),
        };
        let random = format!("{} {}", number(measured.random), range(measured.random_interval));
        [name, value, random, self.better.to_string(), self.verdict().unwrap_or_default().to_owned()]
    }
}

impl Trust {
    /// The strip, line by line. Curves are there with their areas.
    pub fn lines(&self) -> [Line; 6] {
        let line = |name, better, measured| Line { name, better, measured };
        [
            line("comprehensiveness", Better::Higher, self.comprehensiveness),
            line("sufficiency", Better::Lower, self.sufficiency),
            line("deletion area", Better::Lower, self.deletion.as_ref().map(|curve| curve.area)),
            line("insertion area", Better::Higher, self.insertion.as_ref().map(|curve| curve.area)),
            line("agreement with leave-one-out", Better::Higher, self.agreement),
            line("likeness to a random model's", Better::NearZero, self.randomisation),
        ]
    }

    /// Under which conditions it was measured, in a sentence.
    pub fn conditions(&self) -> String {
        let inputs = if self.inputs == 1 { String::new() } else { format!("mean of {} inputs; ", self.inputs) };
        let orders = if self.orders == 1 { "1 random order" } else { &format!("{} random orders", self.orders) };
        let perturbation = visible(&self.perturbation);
        format!(
            "{inputs}missing places are {perturbation}; mean of {orders}, seed {}, with 95 % bootstrap interval",
            self.seed
        )
    }
}

/// A table of six lines under a heading, and the conditions.
impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["", &visible(&self.method), "random orders", "better is", "this is"].map(String::from)];
        rows.extend(self.lines().iter().map(Line::cells));
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
        for row in &rows {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        writeln!(f, "{}", self.conditions())
    }
}

/// Three significant digits, with a minus that is as wide as a plus.
pub(crate) fn number(value: f32) -> String {
    let size = value.abs();
    let digits = match size {
        _ if size == 0.0 => 0,
        _ if size >= 100.0 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 0.01 => 2 + usize::from(size < 1.0),
        _ => return format!("{value:.1e}").replace('-', "−"),
    };
    format!("{value:.digits$}").replace('-', "−")
}

fn range([low, high]: [f32; 2]) -> String {
    format!("[{}, {}]", number(low), number(high))
}
