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
use regard_kernel::{Attention, Padding, Window, mask::Global};

use crate::attention::{Look, check_width, split};
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

/// What a forward pass returns.
#[derive(Debug, Clone)]
pub struct LongformerOutput {
    /// `[batch, position, width]`
    pub output: Tensor<3>,
    near: Look,
    /// What the global queries saw, and where each position is found: among all, or after them among the global ones.
    far: Option<(Look, Tensor<1, Int>)>,
}

impl Longformer {
    /// `input [batch, position, width]`, and so the output; `global` positions, the same in every batch. Of each batch the first
    /// `lengths` positions are real, all unless given; the others are seen by nobody.
    ///
    /// # Errors
    /// When the input has another width, a global position is given twice or is not real in every batch, or the lengths do not fit
    /// the input.
    pub fn forward(&self, input: Tensor<3>, global: &[usize], lengths: Option<&[usize]>) -> Result<LongformerOutput> {
        check_width("input", &input, &self.query)?;
        let [batch, length, width] = input.dims();
        let end = lengths.into_iter().flatten().fold(length, |end, &real| end.min(real));
        let mut places: Vec<i64> = (0..length as i64).collect();
        for (at, &position) in global.iter().enumerate() {
            match places[..end].get_mut(position) {
                Some(place) if *place == position as i64 => *place = (length + at) as i64,
                _ => return Err(Error::value("global", position, format!("different positions below {end}"))),
            }
        }
        let project = |linear: &Linear| split(linear.forward(input.clone()), self.heads);
        let window = Window::new(Some(self.window), Some(self.window)) | Global::new(global);
        let (mut near, mut all) = (Attention::default().mask(window), Attention::default());
        if let Some(lengths) = lengths {
            (near, all) = (near.mask(Padding::new(lengths)), all.mask(Padding::new(lengths)));
        }
        let seen = |queries: Tensor<4>, keys: Tensor<4>, values, attention: Attention| -> Result<_> {
            let found = ops::attend(queries.clone(), keys.clone(), values, &attention)?;
            Ok((found.context, Look { queries, keys, lse: found.lse, attention }))
        };
        let (mut context, near) = seen(project(&self.query), project(&self.key), project(&self.value), near)?;
        let mut far = None;
        if !global.is_empty() {
            let constants = ops::constants(&input.device());
            let indices = |of: Vec<i64>| Tensor::<1, Int>::from_data(TensorData::from(&of[..]), &constants);
            let chosen = input.clone().select(1, indices(global.iter().map(|&at| at as i64).collect()));
            let queries = split(self.global_query.forward(chosen), self.heads);
            let (found, look) = seen(queries, project(&self.global_key), project(&self.global_value), all)?;
            let places = indices(places);
            context = Tensor::cat(vec![context, found], 2).select(2, places.clone());
            far = Some((look, places));
        }
        let output = self.output.forward(context.swap_dims(1, 2).reshape([batch, length, width]));
        Ok(LongformerOutput { output, near, far })
    }
}

impl LongformerOutput {
    /// What it takes to see the weights of all queries, global ones too. The two kinds of projections lie beside each other: keys are
    /// `[k, k']`, a global query is `[0, q']`, any other `[q, 0]`.
    ///
    /// # Errors
    /// When the kernel refuses scores of that width.
    pub fn look(&self) -> Result<Look> {
        let Look { queries, keys, lse, attention } = self.near.clone();
        let Some((far, places)) = self.far.clone() else { return Ok(self.near.clone()) };
        let attention = attention.scaled_as(queries.dims()[3])?;
        let beside = |left: Tensor<4>, right: Tensor<4>| Tensor::cat(vec![left, right], 3);
        let (no, none) = (queries.zeros_like(), far.queries.zeros_like());
        let all = Tensor::cat(vec![beside(queries, no), beside(none, far.queries)], 2);
        let lse = Tensor::cat(vec![lse, far.lse], 2).select(2, places.clone());
        Ok(Look { queries: all.select(2, places), keys: beside(keys, far.keys), lse, attention })
    }
}
