//! Attention with Linear Biases (ALiBi): nearer keys get a head start, no position embedding.
//!
//! Press et al., "Train Short, Test Long", ICLR 2022, arXiv:2108.12409.

use super::Bias;
use crate::scores::Scores;
use crate::shape::{QUERY_BLOCK, Shape, Tile};
use crate::simd::multiversion;
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
        let first = tile.queries.start as isize + tile.shape.offset() - tile.keys.start as isize;
        let lanes = scores.lanes();
        lean(scores.values_mut(), lanes, slope, first as f32);
    }
}

multiversion! {
    /// `first` is the distance from the tile's first key to its first query. Distances are exact up to 2²⁴.
    fn lean<I>(scores: &mut [f32], lanes: usize, slope: f32, first: f32) {
        let mut places = [0.0f32; QUERY_BLOCK];
        places.iter_mut().enumerate().for_each(|(i, place)| *place = first + i as f32);
        for (key, row) in scores.chunks_exact_mut(lanes.max(1)).enumerate() {
            let key = key as f32;
            for (score, place) in row.iter_mut().zip(&places) {
                *score = I::fma(-slope, (place - key).abs(), *score);
            }
        }
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
