//! Small maps that belong together: how a mechanism looks, rather than what a model made of a sentence.

use super::colour::{cividis, diverging, wants_dark_text, wants_dark_text_on, written};
use crate::{Axis, Error, Map, Result};

/// Axes with more tokens than this are drawn without them.
pub(super) const WRITTEN: usize = 16;

/// What the colours of a map stand for.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// The quantity, such as "attention weight".
    pub name: String,
    /// What the first colour means: the darkest, or blue if `high` is as far above 0.
    pub low: f32,
    /// What the last colour means: the brightest, or orange.
    pub high: f32,
}

impl Scale {
    /// Attention weights, from 0 to 1.
    pub fn weights() -> Self {
        Self { name: "attention weight".to_owned(), low: 0.0, high: 1.0 }
    }

    /// Whether it goes as far below 0 as above: then it is drawn from blue over white to orange.
    pub(super) fn is_signed(&self) -> bool {
        self.low == -self.high
    }

    /// The colour of a share.
    pub(super) fn colour(&self, share: f32) -> [u8; 3] {
        if self.is_signed() { diverging(2.0 * share - 1.0) } else { cividis(share) }
    }

    /// Whether writing on that colour should be dark.
    pub(super) fn wants_dark_text(&self, share: f32) -> bool {
        if self.is_signed() { wants_dark_text_on(2.0 * share - 1.0) } else { wants_dark_text(share) }
    }

    /// The share of a place that stands for several: the greatest of theirs, or that which is farthest from 0.
    pub(super) fn of_many(&self, shares: impl Iterator<Item = f32>) -> f32 {
        let far = |share: f32| if self.is_signed() { (share - 0.5).abs() } else { share };
        shares.max_by(|a, b| far(*a).total_cmp(&far(*b))).unwrap_or(0.0)
    }

    /// Stops of a gradient of its colours, as SVG.
    pub(super) fn stops(&self) -> String {
        const STOPS: usize = 16;
        (0..=STOPS)
            .map(|stop| stop as f32 / STOPS as f32)
            .map(|share| format!(r#"<stop offset="{share}" stop-color="{}"/>"#, written(self.colour(share))))
            .collect()
    }

    /// Where between low and high a number lies, from 0 to 1.
    pub(super) fn share(&self, value: f32) -> f32 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// The number that lies there, as short as a cell needs it: weights without their 0, and nothing of what is nearly 0.
    pub(super) fn cell(&self, share: f32) -> String {
        let value = self.low + share * (self.high - self.low);
        if self.low < 0.0 || self.high > 1.0 {
            return self.written(value);
        }
        match format!("{value:.2}") {
            number if number == "0.00" => String::new(),
            number if number.starts_with('0') => number[1..].to_owned(),
            number => number[..3].to_owned(),
        }
    }

    /// Few digits of a number, as many as the range needs.
    pub(super) fn written(&self, value: f32) -> String {
        let range = self.high - self.low;
        let text = format!("{value:.*}", if range > 20.0 { 0 } else { 1 + usize::from(range <= 2.0) });
        let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        if short == "-0" { "0".to_owned() } else { short.replace('-', "−") }
    }
}

/// One map of a picture: any quantity, queries down and keys across (or whatever the axes say).
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    pub(super) title: String,
    pub(super) rows: Axis,
    pub(super) columns: Axis,
    pub(super) map: Map,
    pub(super) scale: Scale,
}

impl Panel {
    /// `values` are `[row, column]`, one for each token of `rows` and of `columns`.
    ///
    /// # Errors
    /// [`Error::Shape`] unless `values` fills the axes, [`Error::Value`] for a number that is not finite,
    /// [`Error::Field`] for a scale whose ends are not two finite numbers, the lower first.
    pub fn new(title: impl Into<String>, rows: Axis, columns: Axis, values: &[f32], scale: Scale) -> Result<Self> {
        if !(scale.low.is_finite() && scale.high.is_finite() && scale.low < scale.high) {
            let given = format!("{} to {}", scale.low, scale.high);
            return Err(Error::Field {
                name: "scale".to_owned(),
                given,
                expected: "a finite number, then a greater one",
            });
        }
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            let (name, value) = ("values".to_owned(), values[index]);
            return Err(Error::Value { name, index, value, expected: "a finite number" });
        }
        let shares = values.iter().map(|&value| scale.share(value)).collect();
        let map = Map::new(rows.tokens.len(), columns.tokens.len(), shares)?;
        Ok(Self { title: title.into(), rows, columns, map, scale })
    }

    /// What is written above it.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Whether there are few enough tokens to write them beside the map.
    pub(super) fn is_written(&self) -> bool {
        self.map.rows <= WRITTEN && self.map.columns <= WRITTEN
    }
}
