//! Sinusoidal positions: each pair of features is a clock hand, turning slower along the width.
//!
//! `P[p, 2i] = sin(p / 10000^(2i/d))`, `P[p, 2i+1] = cos(p / 10000^(2i/d))`.
//! Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arXiv:1706.03762.
//!
//! Costs nothing to learn and is defined at any length; models seldom use lengths well that they never trained on.

use burn::tensor::{Device, Tensor, TensorData};

use crate::catalogue::{Card, Family};

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "Sinusoidal",
    family: Family::Positions,
    sentence: "Each pair of features is a clock hand, turning slower along the width.",
    equation: "P[p, 2i] = sin(p / 10000^(2i/d)), P[p, 2i+1] = cos(p / 10000^(2i/d))",
    paper: "Vaswani et al. 2017, arXiv:1706.03762",
    cost: "O(L·d) once; nothing to learn",
    when: "A plain Transformer of moderate length.",
};

/// Positions `start .. start + length` as `[length, width]`, sine and cosine interleaved as in the paper. An odd last
/// feature is a sine.
pub fn sinusoidal(start: usize, length: usize, width: usize, device: &Device) -> Tensor<2> {
    let angle = |position: usize, pair: usize| position as f64 / 10000f64.powf((2 * pair) as f64 / width as f64);
    let values: Vec<f32> = (start..start + length)
        .flat_map(|position| {
            (0..width).map(move |feature| {
                let angle = angle(position, feature / 2);
                if feature % 2 == 0 { angle.sin() as f32 } else { angle.cos() as f32 }
            })
        })
        .collect();
    Tensor::from_data(TensorData::new(values, [length, width]), device)
}
