//! Location-aware attention: a decoder step also sees where the step before it looked, and can move on from there.
//!
//! `f_i = F * a_{i-1}` (a convolution along the keys), `e_ij = v · tanh(W q_i + U k_j + V f_ij + b)`.
//! Chorowski, Bahdanau, Serdyuk, Cho & Bengio, "Attention-Based Models for Speech Recognition", NeurIPS 2015,
//! arXiv:1506.07503.
//!
//! Time O(S·filters·(a + reach)) a step, memory O(S·a). Composed, not fused: the weights of a step are input of the next,
//! and gradients flow through them. Reach for it when reading is monotonic (speech, handwriting) and content repeats;
//! where all queries are known at once it forces a loop that other scores do not need.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::conv::{Conv1d, Conv1dConfig};
use burn::nn::{Initializer, PaddingConfig1d};
use burn::tensor::activation::tanh;
use burn::tensor::{Bool, Device, Tensor};

use super::{distribution, expect, expect_width, positive};
use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};
use crate::ops;
use crate::projection::{Linear, LinearConfig};

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "LocationAware",
    family: Family::Scores,
    sentence: "Additive attention that also sees where the step before it looked.",
    equation: "e_ij = v · tanh(W q_i + U k_j + V f_ij + b), f_i = F * a_{i-1}",
    paper: "Chorowski et al. 2015, arXiv:1506.07503",
    cost: "time O(S·filters·(a + reach)) and memory O(S·a) a step; composed, a step after the other",
    when: "Recurrent decoders that read monotonically (speech). Nothing that must see all queries at once.",
};

/// Configuration of [`LocationAware`]; 10 filters of reach 201 as in the paper.
#[derive(Config, Debug)]
pub struct LocationAwareConfig {
    /// Features of a query.
    pub query_width: usize,
    /// Features of a memory position.
    pub memory_width: usize,
    /// Features of the hidden layer, `a`.
    pub width: usize,
    /// Filters that read the previous weights.
    #[config(default = 10)]
    pub filters: usize,
    /// Positions that a filter covers, odd, so that it has a centre.
    #[config(default = 201)]
    pub reach: usize,
}

/// Additive attention with features of the previous step's weights.
#[derive(Module, Debug)]
pub struct LocationAware {
    /// `W` and `b`, `[query width, a]`
    pub query: Linear,
    /// `U`, `[memory width, a]`
    pub key: Linear,
    /// `F`, `[filter, 1, reach]`
    pub filters: Conv1d,
    /// `V`, `[filter, a]`
    pub location: Linear,
    /// `v`, `[a]`
    pub vector: Param<Tensor<1>>,
}

impl LocationAwareConfig {
    /// Random weights (Xavier).
    ///
    /// # Errors
    /// When there is no filter, or their reach is even.
    pub fn init(&self, device: &Device) -> Result<LocationAware> {
        positive("filters", self.filters)?;
        if self.reach.is_multiple_of(2) {
            return Err(Error::value("reach", self.reach, "an odd number of positions"));
        }
        let initializer = Initializer::XavierUniform { gain: 1.0 };
        let linear = |from, bias| {
            LinearConfig::new(from, self.width).with_bias(bias).with_initializer(Some(initializer.clone())).init(device)
        };
        let side = self.reach / 2;
        let filters = Conv1dConfig::new(1, self.filters, self.reach)
            .with_padding(PaddingConfig1d::Explicit(side, side))
            .with_bias(false);
        Ok(LocationAware {
            query: linear(self.query_width, true),
            key: linear(self.memory_width, false),
            filters: filters.init(device),
            location: linear(self.filters, false),
            vector: initializer.init_with([self.width], Some(self.width), Some(1), device),
        })
    }
}

impl LocationAware {
    /// `U k` of every memory position, `[batch, key, a]`: computed once a sentence.
    ///
    /// # Panics
    /// When `memory` is not as wide as the layer was made for.
    pub fn project(&self, memory: Tensor<3>) -> Tensor<3> {
        self.key.forward(memory)
    }

    /// One step: `query [batch, query width]`, `projected` from [`Self::project`], `memory [batch, key, memory width]`,
    /// the weights of the step before, and which keys are real (`visible [batch, key]`; all, if not given) → context
    /// `[batch, memory width]` and weights `[batch, key]`. Before the first step the weights are uniform.
    ///
    /// # Errors
    /// When the shapes do not fit each other or the layer.
    pub fn forward(
        &self,
        query: Tensor<2>,
        projected: Tensor<3>,
        memory: Tensor<3>,
        previous: Option<Tensor<2>>,
        visible: Option<&Tensor<2, Bool>>,
    ) -> Result<(Tensor<2>, Tensor<2>)> {
        let ([batch, length, width], [_, _, features]) = (memory.dims(), projected.dims());
        expect_width("query", query.dims(), self.query.weight.dims()[0])?;
        expect_width("projected", projected.dims(), self.vector.dims()[0])?;
        expect("query", query.dims(), [batch, query.dims()[1]])?;
        expect("projected", projected.dims(), [batch, length, features])?;
        if let Some(visible) = visible {
            expect("visible", visible.dims(), [batch, length])?;
        }
        let previous = match previous {
            Some(previous) => previous,
            None => distribution(Tensor::zeros([batch, length], &ops::constants(&memory.device())), visible),
        };
        expect("previous", previous.dims(), [batch, length])?;

        let traces: Tensor<3> = self.filters.forward(previous.unsqueeze_dim(1)).swap_dims(1, 2);
        let query: Tensor<3> = self.query.forward(query).unsqueeze_dim(1);
        let hidden = tanh(projected + self.location.forward(traces) + query);
        let scores: Tensor<2> = (hidden * self.vector.val().unsqueeze()).sum_dim(2).squeeze_dim(2);
        let weights = distribution(scores, visible);
        let memory = match visible {
            // Zero times a NaN is a NaN.
            Some(visible) => {
                let hidden: Tensor<3, Bool> = visible.clone().bool_not().unsqueeze_dim(2);
                memory.mask_fill(hidden.expand([batch, length, width]), 0.0)
            }
            None => memory,
        };
        let row: Tensor<3> = weights.clone().unsqueeze_dim(1);
        Ok((row.matmul(memory).squeeze_dim(1), weights))
    }
}
