//! Class activation maps: where in an image a convolutional network, or a grid of patches, found what speaks for a class.
//!
//! All are sums over the channels of a layer's activations; they differ in what a channel is weighted with.
//!
//! | method | weights | of the network |
//! |---|---|---|
//! | [`cam`] | the classifier's own | global average pooling, then one linear layer |
//! | [`grad_cam`] | the gradient's mean over the image | anything that can be differentiated |
//! | [`hires_cam`] | the gradient itself, place by place | anything that can be differentiated |

mod class;
mod grad;
mod hires;

use crate::error::{checked, field};
use crate::{Error, Result};

pub use class::cam;
pub use grad::grad_cam;
pub use hires::hires_cam;

/// A signed number for each place of an image or a layer, `[height, width]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Saliency {
    /// Which method, as written to people: "Grad-CAM".
    pub method: &'static str,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[height, width]`.
    pub values: Vec<f32>,
}

/// Most places of a map that was made larger.
const MOST_PLACES: usize = 1 << 26;

impl Saliency {
    /// What speaks for the class only: numbers below 0 become 0.
    pub fn rectified(mut self) -> Self {
        self.values.iter_mut().for_each(|value| *value = value.max(0.0));
        self
    }

    /// The map at the image's size, bilinear between the centres of places and constant beyond the outermost.
    ///
    /// # Errors
    /// [`Error::Field`] for a size of 0, [`Error::TooLarge`] over 2²⁶ places, [`Error::Shape`] when the values were changed not to
    /// fill their shape.
    pub fn upsampled(&self, height: usize, width: usize) -> Result<Self> {
        if height == 0 || width == 0 || self.values.is_empty() {
            return field("size", format!("{height} × {width}"), "at least 1 × 1, of a map that is not empty");
        }
        if height.saturating_mul(width) > MOST_PLACES {
            return Err(Error::TooLarge { what: "saliency map", rows: height, columns: width, limit: "67,108,864" });
        }
        let values = checked("values", self.values.as_slice(), &[self.height, self.width])?;
        let (rows, columns) = (between(self.height, height), between(self.width, width));
        let mut larger = Vec::with_capacity(height * width);
        for &(above, below, down) in &rows {
            let at = |row: usize, column: usize| values[row * self.width + column];
            larger.extend(columns.iter().map(|&(left, right, across)| {
                let [upper, lower] = [above, below].map(|row| at(row, left) * (1.0 - across) + at(row, right) * across);
                upper * (1.0 - down) + lower * down
            }));
        }
        Ok(Self { method: self.method, height, width, values: larger })
    }
}

/// For each of `to` places: the neighbours among `from`, and how far on the way from the first to the second it lies.
fn between(from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    let place = |at: usize| {
        let centre = ((at as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64);
        let before = centre.floor();
        (before as usize, (before as usize + 1).min(from - 1), (centre - before) as f32)
    };
    (0..to).map(place).collect()
}

/// A layer's activations, checked: `[channel, height, width]`, of at least one channel and place.
fn activations(values: &[f32], shape: [usize; 3]) -> Result<&[f32]> {
    if shape.contains(&0) {
        return field("activations", format!("{shape:?}"), "at least one channel, row and column");
    }
    checked("activations", values, &shape)
}

/// The sum over channels of activations times weights, where `weight` is given a channel and a place.
fn weighted(
    method: &'static str,
    values: &[f32],
    [channels, height, width]: [usize; 3],
    weight: impl Fn(usize, usize) -> f64,
) -> Saliency {
    let places = height * width;
    let sum = |place: usize| {
        (0..channels).map(|channel| weight(channel, place) * f64::from(values[channel * places + place])).sum::<f64>()
    };
    Saliency { method, height, width, values: (0..places).map(|place| sum(place) as f32).collect() }
}
