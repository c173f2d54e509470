//! Learned positions: one vector a position, trained like any other embedding.
//!
//! Gehring et al., "Convolutional Sequence to Sequence Learning", ICML 2017, arXiv:1705.03122; used by BERT and GPT-2.
//!
//! Undefined beyond the length it was made for, which is an error here.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "Learned",
    family: Family::Positions,
    sentence: "One vector a position, trained like any other embedding.",
    equation: "x_p + E[p]",
    paper: "Gehring et al. 2017, arXiv:1705.03122",
    cost: "O(length·d) parameters",
    when: "A fixed, known longest input (BERT, GPT-2, ViT).",
};

/// Configuration of [`LearnedPositions`].
#[derive(Config, Debug)]
pub struct LearnedPositionsConfig {
    /// The longest sequence.
    pub length: usize,
    /// Features of a position.
    pub width: usize,
}

/// A table of positions.
#[derive(Module, Debug)]
pub struct LearnedPositions {
    /// `[length, width]`
    pub table: Param<Tensor<2>>,
}

impl LearnedPositionsConfig {
    /// Small random vectors (normal, 0.02, as BERT's and GPT-2's).
    pub fn init(&self, device: &Device) -> LearnedPositions {
        let initializer = Initializer::Normal { mean: 0.0, std: 0.02 };
        LearnedPositions { table: initializer.init([self.length, self.width], device) }
    }
}

impl LearnedPositions {
    /// Positions `start .. start + length` as `[length, width]`.
    ///
    /// # Errors
    /// When they reach beyond the table.
    pub fn forward(&self, start: usize, length: usize) -> Result<Tensor<2>> {
        let [room, _] = self.table.dims();
        match start.checked_add(length) {
            Some(end) if end <= room => Ok(self.table.val().slice(burn::tensor::s![start..end])),
            _ => Err(Error::value("length", start.saturating_add(length), format!("at most {room} positions"))),
        }
    }
}
