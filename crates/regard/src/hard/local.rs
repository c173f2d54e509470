//! Local attention with a predicted position (local-p): each query says where to look, and looks around there.
//!
//! `p_i = S · σ(vᵀ tanh(W q_i))`, `a_ij = softmax_j(q_i · k_j / √d) · exp(−(j − p_i)² / 2σ²)` for `|j − p_i| ≤ D`, `σ = D/2`.
//! Luong, Pham & Manning, "Effective Approaches to Attention-based Neural Machine Translation", EMNLP 2015, arXiv:1508.04025.
//!
//! The paper's other form, local-m, has `p_i = i` and no bell curve: that is the mask [`Window`](regard_kernel::Window), and
//! the one that can be causal, since a predicted position may lie ahead.
//!
//! Time O(L·D·d), whatever S is, memory O(L·d); the windows are fused ([`ops::attend_local`]), the prediction is a layer.
//! Reach for it where the place can be told from the query, as in translation between languages of like word order, or in
//! reading aloud. W and v learn through the bell curve alone, so they have to start near where they should be.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};
use regard_kernel::LocalAttention;

use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};
use crate::mechanism::{Mechanism, fits};
use crate::noise::{Mode, mix};
use crate::ops;
use crate::random::uniforms;

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "HardLocal",
    family: Family::Efficient,
    sentence: "Each query predicts a position and looks at a window around it, less at its edges.",
    equation: "a_ij = softmax_j(q_i · k_j / √d) · exp(-(j - p_i)² / 2σ²), |j - p_i| ≤ D; p_i = S · σ(vᵀ tanh(W q_i)); causal (local-m): a_ij = softmax_j(q_i · k_j / √d), i - D ≤ j ≤ i",
    paper: "Luong, Pham & Manning 2015 (local-p), arXiv:1508.04025",
    cost: "time O(L·D·d), for any number of keys, memory O(L·d); fused",
    when: "Where the place can be told from the query, as in translation of like word order.",
};

/// Configuration of [`HardLocal`].
#[derive(Config, Debug)]
pub struct HardLocalConfig {
    /// Features of a query.
    pub width: usize,
    /// How far from the predicted position keys are seen, D.
    #[config(default = 10)]
    pub reach: usize,
    /// Where the first weights come from.
    #[config(default = 0)]
    pub seed: u64,
}

/// Local attention around predicted positions; heads share the prediction's weights.
#[derive(Module, Debug)]
pub struct HardLocal {
    /// `W`, `[width, width]`
    pub project: Param<Tensor<2>>,
    /// `v`, `[width]`
    pub vector: Param<Tensor<1>>,
    #[module(skip)]
    reach: usize,
}

impl HardLocalConfig {
    /// Random weights, uniform up to 1/√width.
    ///
    /// # Errors
    /// When queries have no features, or nothing is in reach.
    pub fn init(&self, device: &Device) -> Result<HardLocal> {
        let HardLocalConfig { width, reach, seed } = *self;
        for (argument, given) in [("width", width), ("reach", reach)] {
            if given == 0 {
                return Err(Error::value(argument, given, "at least 1"));
            }
        }
        let bound = (width as f64).powf(-0.5);
        Ok(HardLocal {
            project: Param::from_tensor(uniforms(seed, bound, [width, width], device)),
            vector: Param::from_tensor(uniforms(mix(seed), bound, [width], device)),
            reach,
        })
    }
}

impl HardLocal {
    /// Where each query looks, from 0 to the number of keys: `[batch, head, query, 1]`.
    pub fn positions(&self, queries: Tensor<4>, keys: usize) -> Tensor<4> {
        let hidden = ops::linear(queries, self.project.val(), None).tanh();
        sigmoid(ops::linear(hidden, self.vector.val().unsqueeze_dim(1), None)) * keys as f64
    }
}

impl Mechanism for HardLocal {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn mix(&self, queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>, _: Mode) -> Result<Tensor<4>> {
        fits(&queries, &keys, &values)?;
        let ([_, _, _, width], [_, _, count, _]) = (queries.dims(), values.dims());
        if width != self.vector.dims()[0] {
            return Err(Error::shape("queries", &queries.dims(), format!("a last axis of {}", self.vector.dims()[0])));
        }
        if count == 0 {
            return Err(Error::shape("keys", &keys.dims(), "at least 1 position"));
        }
        let positions = self.positions(queries.clone(), count);
        ops::attend_local(queries, keys, values, positions, LocalAttention::new(self.reach)?)
    }
}
