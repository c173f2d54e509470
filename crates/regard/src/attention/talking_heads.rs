//! Talking-heads attention: heads exchange their scores before the softmax, and their weights after it.
//!
//! `e_h = Σ_k S_kh · q_k k_kᵀ / √d`, `a_h = softmax(e_h)`, `c_n = Σ_h P_hn · a_h v_n`, with learned `S` and `P`, one number
//! for each pair of heads. Shazeer, Lan, Cheng, Ding & Hou, "Talking-Heads Attention", 2020, arXiv:2003.02436.
//!
//! Nothing of it needs the L×S weights. A sum of products of heads is one product of all their features put together, the
//! queries' weighed by `S`; and as mixing weights is linear, each softmax weighs the values of all heads, of which `P` then
//! makes a sum. So this is fused attention of H heads over one head of keys and values with H·d features each.
//!
//! Time O(L·S·H·d) a head, H times that of multi-head attention; memory O(L·H²·d), whatever S. Reach for it in small
//! models with many narrow heads, where the paper and CaiT (Touvron et al. 2021, arXiv:2103.17239) find it worth its time.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};
use regard_kernel::Attention;

use super::multi_head::{check_dropout, dropping};
use super::{Look, MultiHeadOutput, check_width};
use crate::cache::{Next, Policy};
use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};
use crate::noise::Mode;
use crate::ops;
use crate::projection::{Linear, LinearConfig};

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "TalkingHeads",
    family: Family::Heads,
    sentence: "Heads exchange their scores before the softmax, and their weights after it.",
    equation: "e_h = Σ_k S_kh q_k · k_k / √d, a_h = softmax(e_h), c_n = Σ_h P_hn a_h v_n",
    paper: "Shazeer et al. 2020, arXiv:2003.02436",
    cost: "time O(L·S·H²·d), H times that of MultiHead; memory O(L·H²·d); fused, forward and backward",
    when: "Small models with many narrow heads. The price grows with the number of heads.",
};

/// Configuration of [`TalkingHeads`].
#[derive(Config, Debug)]
pub struct TalkingHeadsConfig {
    /// Features of the input and output.
    pub width: usize,
    /// Heads, H; `width` is a multiple of it.
    pub heads: usize,
    /// Features of what is attended to; `width` unless given.
    pub memory_width: Option<usize>,
    /// Whether the projections have biases.
    #[config(default = true)]
    pub bias: bool,
    /// Probability that a weight is dropped in training, before weights are mixed.
    #[config(default = 0.0)]
    pub dropout: f32,
}

/// Multi-head attention whose heads talk to each other, self or cross.
#[derive(Module, Debug)]
pub struct TalkingHeads {
    /// `[width, heads · head width]`
    pub query: Linear,
    /// `[memory width, heads · head width]`
    pub key: Linear,
    /// `[memory width, heads · head width]`
    pub value: Linear,
    /// `[heads · head width, width]`
    pub output: Linear,
    /// `S`, `[head of queries and keys, head of the softmax]`
    pub scores: Param<Tensor<2>>,
    /// `P`, `[head of the softmax, head of values]`
    pub weights: Param<Tensor<2>>,
    #[module(skip)]
    dropout: f32,
}

impl TalkingHeadsConfig {
    /// Random projections (Xavier); heads begin by listening to themselves alone, which is multi-head attention.
    ///
    /// # Errors
    /// When `heads` does not divide `width`, or `dropout` is not in `[0, 1)`.
    pub fn init(&self, device: &Device) -> Result<TalkingHeads> {
        let (width, heads) = (self.width, self.heads);
        if heads == 0 || width == 0 || !width.is_multiple_of(heads) {
            return Err(Error::value("heads", heads, format!("a divisor of the width {width}")));
        }
        check_dropout(self.dropout)?;
        let memory = self.memory_width.unwrap_or(width);
        let linear = |from| {
            let initializer = Initializer::XavierUniform { gain: 1.0 };
            LinearConfig::new(from, width).with_bias(self.bias).with_initializer(Some(initializer)).init(device)
        };
        let themselves = || Param::from_tensor(Tensor::eye(heads, device));
        Ok(TalkingHeads {
            query: linear(width),
            key: linear(memory),
            value: linear(memory),
            output: linear(width),
            scores: themselves(),
            weights: themselves(),
            dropout: self.dropout,
        })
    }
}

impl TalkingHeads {
    /// Every position of `input [batch, query, width]` looks at `memory [batch, key, memory width]` (itself, for self
    /// attention), as `attention` says; its score must be a dot product. What can be looked at afterwards are the weights of
    /// the softmax, which `weights` has not mixed yet.
    ///
    /// # Errors
    /// When the shapes do not fit each other or the attention's modifiers, or scores are no dot products.
    pub fn forward(
        &self,
        input: Tensor<3>,
        memory: Tensor<3>,
        attention: &Attention,
        mode: Mode,
    ) -> Result<MultiHeadOutput> {
        check_width("memory", &memory, &self.key)?;
        check_width("input", &input, &self.query)?;
        let attention = attention.clone().scaled_as(self.head_width())?;
        let ((keys, values), queries) = (self.project(memory), self.queries(input));
        let dropping = dropping(&attention, self.dropout, mode)?;
        let attended = ops::attend(queries.clone(), keys.clone(), values, &dropping)?;
        let look = Look { queries, keys, lse: attended.lse, attention };
        Ok(MultiHeadOutput { output: self.finish(attended.context), look })
    }

    /// The next positions of a sequence look at themselves and at what `cache` holds of those before: the output,
    /// `[batch, position, width]`.
    ///
    /// # Errors
    /// As [`Self::forward`], and when the cache holds another batch.
    pub fn decode(&self, input: Tensor<3>, cache: &mut dyn Policy, attention: &Attention) -> Result<Tensor<3>> {
        check_width("input", &input, &self.key)?;
        check_width("input", &input, &self.query)?;
        let attention = &attention.clone().scaled_as(self.head_width())?;
        let ((keys, values), queries) = (self.project(input.clone()), self.queries(input));
        let context = cache.attend(Next { queries, keys, values, rotary: None, attention })?;
        Ok(self.finish(context))
    }

    fn head_width(&self) -> usize {
        self.query.weight.dims()[1] / self.scores.dims()[0]
    }

    /// The keys of all heads side by side, `[batch, 1, key, heads · head width]`, and the values: one head, which all
    /// softmaxes share.
    fn project(&self, memory: Tensor<3>) -> (Tensor<4>, Tensor<4>) {
        (self.key.forward(memory.clone()).unsqueeze_dim(1), self.value.forward(memory).unsqueeze_dim(1))
    }

    /// For each softmax the queries of all heads, weighed by how much it hears of them:
    /// `[batch, head, query, heads · head width]`.
    fn queries(&self, input: Tensor<3>) -> Tensor<4> {
        let ([batch, length, _], [heads, _]) = (input.dims(), self.scores.dims());
        let queries = self.query.forward(input).reshape([batch, 1, length, heads, self.head_width()]);
        let heard = self.scores.val().transpose().reshape([1, heads, 1, heads, 1]);
        (queries * heard).reshape([batch, heads, length, heads * self.head_width()])
    }

    /// Mixes what the softmaxes found in the values of all heads, and maps it.
    fn finish(&self, context: Tensor<4>) -> Tensor<3> {
        let [batch, heads, length, width] = context.dims();
        let found = context.reshape([batch, heads, length, heads, self.head_width()]);
        let heard = self.weights.val().reshape([1, heads, 1, heads, 1]);
        self.output.forward((found * heard).sum_dim(1).reshape([batch, length, width]))
    }
}
