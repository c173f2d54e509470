//! Performer: random features whose products are, on average, the exponentials of softmax attention (FAVOR+).
//!
//! `exp(q·k/√d) = E_w[φ_w(q) φ_w(k)]`, `φ_w(x) = exp(w·x/d^¼ − ‖x‖²/2√d)`, for `w` normal. Rows of a block of d features are
//! orthogonal, which lowers the variance. All features are positive, so that no sum of them can come near zero.
//! Choromanski et al., "Rethinking Attention with Performers", ICLR 2021, arXiv:2009.14794.
//!
//! Time O(L·m·d_v), memory O(L·d + m·d_v), for m features (d·ln d unless said). Features are made where they are used and never
//! held; fused: [`ops::attend_features`].
//! Exponents of keys are taken relative to the greatest of all keys, and 1e-4 is added to each feature, as the authors do: in
//! the causal form a much stronger key later on takes that share of the earlier ones' differences.
//! Reach for it to make a trained softmax model linear, and train on a little. The error grows with the norms of queries
//! and keys as an exponential does, so sharp attention needs far more features than d·ln d.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use regard_kernel::{FeatureAttention, FeatureMap};

use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};
use crate::mechanism::Mechanism;
use crate::noise::{Mode, mix};
use crate::ops;
use crate::random::normals;

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "Performer",
    family: Family::Efficient,
    sentence: "Random features of queries and keys whose products are, on average, the exponentials of softmax.",
    equation: "exp(q·k/√d) ≈ 1/m Σ_w φ_w(q) φ_w(k), φ_w(x) = exp(w·x/d^¼ - ‖x‖²/2√d)",
    paper: "Choromanski et al. 2021 (FAVOR+), arXiv:2009.14794",
    cost: "time O(L·m·d_v), memory O(L·d + m·d_v); fused",
    when: "To make a softmax model linear with little retraining. Sharp attention needs far more features than d·ln d.",
};

/// Configuration of [`Performer`].
#[derive(Config, Debug)]
pub struct PerformerConfig {
    /// Features of a query.
    pub width: usize,
    /// Random features, m; `d·ln d` unless given.
    pub features: Option<usize>,
    /// Whether a query sees only what came before.
    #[config(default = false)]
    pub causal: bool,
    /// Where the features come from.
    #[config(default = 0)]
    pub seed: u64,
}

/// FAVOR+; nothing to learn.
#[derive(Module, Debug)]
pub struct Performer {
    /// The random directions `w`, `[features, width]`. To use others, such as those of another program, put them here.
    pub directions: Tensor<2>,
    #[module(skip)]
    causal: bool,
}

impl PerformerConfig {
    /// Random directions.
    ///
    /// # Errors
    /// When there are no features, or they have no width.
    pub fn init(&self, device: &Device) -> Result<Performer> {
        let width = self.width;
        if width == 0 {
            return Err(Error::value("width", width, "at least 1"));
        }
        let features = self.features.unwrap_or(((width as f64 * (width as f64).ln()) as usize).max(1));
        if features == 0 {
            return Err(Error::value("features", features, "at least 1"));
        }
        let data = TensorData::new(orthogonal(self.seed, features, width), [features, width]);
        Ok(Performer { directions: Tensor::from_data(data, device), causal: self.causal })
    }
}

impl Performer {
    /// Draws the directions anew, as the paper does now and then while it trains, so that no model can get used to some.
    pub fn redraw(&mut self, seed: u64) {
        let [features, width] = self.directions.dims();
        let data = TensorData::new(orthogonal(seed, features, width), [features, width]);
        self.directions = Tensor::from_data(data, &self.directions.device());
    }
}

impl Mechanism for Performer {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn mix(&self, queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>, _: Mode) -> Result<Tensor<4>> {
        let width = self.directions.dims()[1];
        if queries.dims()[3] != width {
            return Err(Error::shape("queries", &queries.dims(), format!("a last axis of {width}")));
        }
        let map = FeatureMap::exponential(&ops::numbers(self.directions.clone())?, width)?;
        let attention = if self.causal { FeatureAttention::causal(map) } else { FeatureAttention::new(map) };
        ops::attend_features(queries, keys, values, &attention)
    }
}

/// Directions in blocks of `width` that are orthogonal, with the lengths of normal vectors; `[count, width]`.
fn orthogonal(seed: u64, count: usize, width: usize) -> Vec<f32> {
    let mut directions = normals(seed, count * width);
    let lengths = normals(mix(seed), count * width);
    for block in directions.chunks_mut(width * width) {
        for row in 0..block.len() / width {
            let (before, rest) = block.split_at_mut(row * width);
            let current = &mut rest[..width];
            // Gram and Schmidt; twice is enough (Giraud et al. 2005).
            for other in before.chunks_exact(width).chain(before.chunks_exact(width)) {
                let common: f64 = other.iter().zip(&*current).map(|(a, b)| a * b).sum();
                current.iter_mut().zip(other).for_each(|(x, other)| *x -= common * other);
            }
            let norm = length(current);
            current.iter_mut().for_each(|x| *x /= norm);
        }
    }
    let rows = directions.chunks_exact(width).zip(lengths.chunks_exact(width));
    rows.flat_map(|(row, other)| row.iter().map(|x| (x * length(other)) as f32)).collect()
}

fn length(vector: &[f64]) -> f64 {
    vector.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::orthogonal;

    #[test]
    fn directions_of_a_block_are_orthogonal() {
        let (count, width) = (11, 4);
        let rows = orthogonal(3, count, width);
        let dot = |a: usize, b: usize| -> f32 { (0..width).map(|i| rows[a * width + i] * rows[b * width + i]).sum() };
        for a in 0..count {
            for b in (0..a).filter(|b| b / width == a / width) {
                assert!(dot(a, b).abs() < 1e-5, "{a} and {b}");
            }
            assert!(dot(a, a) > 0.01);
        }
    }
}
