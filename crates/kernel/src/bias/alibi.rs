//! Attention with Linear Biases (ALiBi): nearer keys get a head start, no position embedding.
//!
//! Press et al., "Train Short, Test Long", ICLR 2022, arXiv:2108.12409.

use super::Bias;
use crate::scores::Scores;
use crate::shape::{Shape, Tile};
use crate::{Error, Result};

/// `bias(i, j) = -slope_h · |i + S − L − j|`: the distance between query and key, aligned bottom-right.
///
/// Under a causal mask this is the paper's bias; without one it is its symmetric form.
#[derive(Clone, Debug, PartialEq)]
pub struct Alibi {
    slopes: Vec<f32>,
}

impl Alibi {
    /// The paper's slopes for `heads` heads: 2^(-8/H), 2^(-16/H), … if H is a power of two; otherwise those of the
    /// next lower power of two, followed by every other one of the next higher.
    pub fn new(heads: usize) -> Self {
        let geometric = |n: usize| (1..=n).map(move |i| (-8.0 * i as f64 / n as f64).exp2() as f32);
        let lower = if heads == 0 { 0 } else { 1 << heads.ilog2() };
        let slopes = geometric(lower).chain(geometric(2 * lower).step_by(2)).take(heads).collect();
        Self { slopes }
    }

    /// A slope for each query head.
    pub fn with_slopes(slopes: impl Into<Vec<f32>>) -> Self {
        Self { slopes: slopes.into() }
    }

    /// The slope of each head.
    pub fn slopes(&self) -> &[f32] {
        &self.slopes
    }
}

impl Bias for Alibi {
    fn check(&self, shape: &Shape) -> Result<()> {
        if self.slopes.len() == shape.heads {
            return Ok(());
        }
        let given = format!("{} slopes", self.slopes.len());
        Err(Error::new("ALiBi", given, format!("one for each of {} heads", shape.heads)))
    }

    fn add(&self, tile: &Tile, scores: &mut Scores) {
        let slope = self.slopes[tile.head];
        let offset = tile.shape.offset();
        scores.each(|query, key, score| score - slope * (query as isize + offset - key as isize).abs() as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::Alibi;

    #[test]
    fn slopes_of_the_paper() {
        assert_eq!(Alibi::new(8).slopes(), [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625]);
        let six = Alibi::new(6);
        assert_eq!(six.slopes()[..4], [0.25, 0.0625, 0.015625, 0.00390625]);
        assert_eq!(six.slopes()[4..], [0.5, 0.125]);
        assert!(Alibi::new(0).slopes().is_empty());
    }
}
