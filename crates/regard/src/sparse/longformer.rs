//! Longformer: every position sees a window, and a few global ones see all and are seen by all.
//!
//! `c_i = attend(q_i; k_j, v_j for |i − j| ≤ w or j ∈ G)`, and for `i ∈ G`, with projections of their own,
//! `c_i = attend(q'_i; k'_j, v'_j for all j)`. Beltagy, Peters & Cohan, "Longformer", 2020, arXiv:2004.05150.
//!
//! Time O(L·(w + |G|)·d), memory O(L·d). Fused.
//! Reach for it with documents: local structure, and a class token, a question or separators that tie it together. Without
//! the projections it is the masks `Window | Global`, which the catalogue lists.

use burn::config::Config;
use burn::module::Module;
use burn::nn::Initializer;
use burn::tensor::{Device, Int, Tensor, TensorData};
use regard_kernel::{Attention, Window, mask::Global};

use crate::attention::{check_width, split};
use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};
use crate::ops;
use crate::{Linear, LinearConfig};

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "Longformer",
    family: Family::Efficient,
    sentence: "Every position sees a window; a few global ones, with projections of their own, see and are seen by all.",
    equation: "i sees j if |i - j| ≤ w or j ∈ G; i ∈ G sees all, by q', k', v'",
    paper: "Beltagy, Peters & Cohan 2020, arXiv:2004.05150",
    cost: "time O(L·(w + |G|)·d), memory O(L·d); fused",
    when: "Long documents with a class token or a question that has to read everything.",
};

/// Configuration of [`Longformer`].
#[derive(Config, Debug)]
pub struct LongformerConfig {
    /// Features of the input and output.
    pub width: usize,
    /// Heads; `width` is a multiple of it.
    pub heads: usize,
    /// Positions to each side that are seen, w.
    #[config(default = 256)]
    pub window: usize,
}

/// Self-attention with a window and global positions. All maps are `[width, width]`.
#[derive(Module, Debug)]
pub struct Longformer {
    /// Of positions that see a window.
    pub query: Linear,
    /// Of what they see.
    pub key: Linear,
    /// Of what they see.
    pub value: Linear,
    /// Of global positions.
    pub global_query: Linear,
    /// Of what those see.
    pub global_key: Linear,
    /// Of what those see.
    pub global_value: Linear,
    /// Of what was found.
    pub output: Linear,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    window: usize,
}

impl LongformerConfig {
    /// Random projections (Xavier).
    ///
    /// # Errors
    /// When `heads` does not divide `width`, or nothing is in the window.
    pub fn init(&self, device: &Device) -> Result<Longformer> {
        if self.heads == 0 || self.width == 0 || !self.width.is_multiple_of(self.heads) {
            return Err(Error::value("heads", self.heads, format!("a divisor of the width {}", self.width)));
        }
        if self.window == 0 {
            return Err(Error::value("window", 0, "at least 1 position to each side"));
        }
        let initializer = Initializer::XavierUniform { gain: 1.0 };
        let linear =
            || LinearConfig::new(self.width, self.width).with_initializer(Some(initializer.clone())).init(device);
        Ok(Longformer {
            query: linear(),
            key: linear(),
            value: linear(),
            global_query: linear(),
            global_key: linear(),
            global_value: linear(),
            output: linear(),
            heads: self.heads,
            window: self.window,
        })
    }
}

impl Longformer {
    /// `input [batch, position, width]`, and so the output; `global` positions, the same in every batch.
    ///
    /// # Errors
    /// When the input has another width, or a global position is past its end or given twice.
    pub fn forward(&self, input: Tensor<3>, global: &[usize]) -> Result<Tensor<3>> {
        check_width("input", &input, &self.query)?;
        let [batch, length, width] = input.dims();
        // Where in the end each position is found: among all, or after them among the global ones.
        let mut places: Vec<i64> = (0..length as i64).collect();
        for (at, &position) in global.iter().enumerate() {
            match places.get_mut(position) {
                Some(place) if *place == position as i64 => *place = (length + at) as i64,
                _ => return Err(Error::value("global", position, format!("different positions below {length}"))),
            }
        }
        let project = |linear: &Linear| split(linear.forward(input.clone()), self.heads);
        let window = Window::new(Some(self.window), Some(self.window));
        let near = Attention::default().mask(window | Global::new(global));
        let mut context = ops::attend(project(&self.query), project(&self.key), project(&self.value), &near)?.context;
        if !global.is_empty() {
            let constants = ops::constants(&input.device());
            let indices = |of: Vec<i64>| Tensor::<1, Int>::from_data(TensorData::from(&of[..]), &constants);
            let chosen = input.clone().select(1, indices(global.iter().map(|&at| at as i64).collect()));
            let queries = split(self.global_query.forward(chosen), self.heads);
            let (keys, values) = (project(&self.global_key), project(&self.global_value));
            let all = ops::attend(queries, keys, values, &Attention::default())?.context;
            context = Tensor::cat(vec![context, all], 2).select(2, indices(places));
        }
        Ok(self.output.forward(context.swap_dims(1, 2).reshape([batch, length, width])))
    }
}
