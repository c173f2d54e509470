//! Rotary positions (RoPE): queries and keys are turned by their position, so that their product depends on the distance.
//!
//! Each pair of features `(a, b)` at position `p` becomes `(a cos pθ_i - b sin pθ_i, b cos pθ_i + a sin pθ_i)`,
//! `θ_i = base^(-2i/d)`. Su et al., "RoFormer", 2021, arXiv:2104.09864.
//!
//! Longer inputs than those of training: [`RotaryScaling`]. Nothing to learn; applied to queries and keys, not to values.

use burn::config::Config;
use burn::tensor::{Device, Tensor, TensorData};

use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};
use crate::position::RotaryScaling;

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "Rotary",
    family: Family::Positions,
    sentence: "Queries and keys are turned by their position, so that their product depends on the distance.",
    equation: "(a, b) → (a cos pθ - b sin pθ, b cos pθ + a sin pθ), θ_i = base^(-2i/d)",
    paper: "Su et al. 2021 (RoFormer), arXiv:2104.09864",
    cost: "O(L·d), nothing to learn",
    when: "Decoders of today (LLaMA, Mistral, Qwen): relative positions for the price of a rotation.",
};

/// Which features make a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Pairs {
    /// Feature `i` with `i + d/2` (LLaMA and GPT-NeoX as stored by Hugging Face).
    Halves,
    /// Feature `2i` with `2i + 1` (the paper, GPT-J).
    Interleaved,
}

/// Configuration of [`Rotary`].
#[derive(Config, Debug)]
pub struct RotaryConfig {
    /// Features of a head.
    pub width: usize,
    /// How many leading features turn; all of them unless given (partial rotary, GPT-NeoX).
    pub rotated: Option<usize>,
    /// The base of the wavelengths.
    #[config(default = 10000.0)]
    pub base: f64,
    /// Which features make a pair.
    #[config(default = "Pairs::Halves")]
    pub pairs: Pairs,
    /// For inputs longer than those of training; no scaling unless given.
    pub scaling: Option<RotaryScaling>,
}

/// Turns queries and keys; see the module's page.
#[derive(Debug, Clone)]
pub struct Rotary {
    frequencies: Vec<f64>,
    magnitude: f64,
    rotated: usize,
    pairs: Pairs,
}

impl RotaryConfig {
    /// Wavelengths, and nothing to learn.
    ///
    /// # Errors
    /// When the rotated features are none, odd in number or more than there are, the base is not positive, or the scaling
    /// is not one.
    pub fn init(&self) -> Result<Rotary> {
        let rotated = self.rotated.unwrap_or(self.width);
        if rotated == 0 || !rotated.is_multiple_of(2) || rotated > self.width {
            return Err(Error::value("rotated", rotated, format!("an even number from 2 to {}", self.width)));
        }
        if !(self.base > 0.0 && self.base.is_finite()) {
            return Err(Error::value("base", self.base, "a positive number"));
        }
        let frequencies = (0..rotated / 2).map(|i| self.base.powf(-2.0 * i as f64 / rotated as f64)).collect();
        let (frequencies, magnitude) = match self.scaling {
            Some(scaling) => scaling.apply(frequencies, self.base)?,
            None => (frequencies, 1.0),
        };
        Ok(Rotary { frequencies, magnitude, rotated, pairs: self.pairs })
    }
}

impl Rotary {
    /// `input [batch, head, position, feature]`, whose first position is `start`.
    ///
    /// # Errors
    /// When the input has fewer features than are rotated.
    pub fn forward(&self, input: Tensor<4>, start: usize) -> Result<Tensor<4>> {
        let [batch, heads, length, width] = input.dims();
        if width < self.rotated {
            let expected = format!("at least {} features", self.rotated);
            return Err(Error::shape("input", &input.dims(), expected));
        }
        let half = self.rotated / 2;
        let [cos, sin] = self.turns(start, length, &crate::ops::constants(&input.device()));
        // An empty `narrow` is refused, so what does not turn is cut off only if there is any.
        let rest = (width > self.rotated).then(|| input.clone().narrow(3, self.rotated, width - self.rotated));
        let input = input.narrow(3, 0, self.rotated);
        let turned = match self.pairs {
            Pairs::Halves => {
                let (a, b) = (input.clone().narrow(3, 0, half), input.narrow(3, half, half));
                let first = a.clone() * cos.clone() - b.clone() * sin.clone();
                Tensor::cat(vec![first, b * cos + a * sin], 3)
            }
            Pairs::Interleaved => {
                let pairs = input.reshape([batch, heads, length, half, 2]);
                let a: Tensor<4> = pairs.clone().narrow(4, 0, 1).squeeze_dim(4);
                let b: Tensor<4> = pairs.narrow(4, 1, 1).squeeze_dim(4);
                let first = a.clone() * cos.clone() - b.clone() * sin.clone();
                let both: Tensor<5> = Tensor::stack(vec![first, b * cos + a * sin], 4);
                both.reshape([batch, heads, length, self.rotated])
            }
        };
        Ok(match rest {
            Some(rest) => Tensor::cat(vec![turned, rest], 3),
            None => turned,
        })
    }

    /// Turns one row further, in place: as if it stood so many positions later.
    pub(crate) fn turn(&self, row: &mut [f32], by: f64) {
        for (i, frequency) in self.frequencies.iter().enumerate() {
            let (a, b) = match self.pairs {
                Pairs::Halves => (i, i + self.rotated / 2),
                Pairs::Interleaved => (2 * i, 2 * i + 1),
            };
            let (sin, cos) = (by * frequency).sin_cos();
            let (x, y) = (f64::from(row[a]), f64::from(row[b]));
            row[a] = (x * cos - y * sin) as f32;
            row[b] = (y * cos + x * sin) as f32;
        }
    }

    fn turns(&self, start: usize, length: usize, device: &Device) -> [Tensor<4>; 2] {
        let shape = [1, 1, length, self.frequencies.len()];
        let table = |turn: fn(f64) -> f64| -> Vec<f32> {
            (start..start + length)
                .flat_map(|position| {
                    self.frequencies.iter().map(move |f| (self.magnitude * turn(position as f64 * f)) as f32)
                })
                .collect()
        };
        [f64::cos, f64::sin].map(|turn| Tensor::from_data(TensorData::new(table(turn), shape), device))
    }
}
