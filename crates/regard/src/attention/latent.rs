//! Multi-head latent attention (MLA): keys and values of all heads are made of one short vector a position, and that is
//! all a decoder has to keep.
//!
//! `c_j = norm(W_D x_j)`, `k_j^h = [W_UK^h c_j; R_j W_R x_j]`, `v_j^h = W_UV^h c_j`, `q_i^h = [W_Q^h x_i; R_i W_QR^h x_i]`: a head
//! compares by content, and by position through features that rotate (`R`), whose keys all heads share. Queries may go
//! through a short vector of their own. DeepSeek-AI, "DeepSeek-V2", 2024, arXiv:2405.04434.
//!
//! Two ways to the same numbers. A whole sequence is attended to with keys and values written out, in time O(L·S·H·d). When
//! decoding, `W_UK` is absorbed into the queries and `W_UV` into the output: `q · W_UK c = W_UKᵀ q · c`, so that H queries of
//! rank + rotated features meet one head of keys, the cache itself, whose first rank features are the values too. It holds
//! rank + rotated numbers a position, 4.5 head widths with the paper's sizes, for any number of heads; multi-head attention
//! holds 2·H. Both ways are fused. Reach for it in large decoders, where reading the cache is what takes the time.

use burn::config::Config;
use burn::module::Module;
use burn::nn::Initializer;
use burn::tensor::{Device, Int, Tensor};
use regard_kernel::Attention;

use super::cache::Store;
use super::multi_head::{check_dropout, dropping, join};
use super::{Look, MultiHeadOutput, check_width, split};
use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};
use crate::noise::Mode;
use crate::norm::{RmsNorm, RmsNormConfig};
use crate::ops;
use crate::position::{Pairs, Rotary, RotaryConfig};
use crate::projection::{Linear, LinearConfig};

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "Mla",
    family: Family::Heads,
    sentence: "Keys and values of all heads are made of one short vector a position, all that a decoder keeps.",
    equation: "c_j = norm(W_D x_j); e_ij = (q_i · W_UK c_j + R_i q'_i · R_j k'_j) / √d, v_j = W_UV c_j; decoding: W_UKᵀ q_i · c_j",
    paper: "DeepSeek-AI 2024 (DeepSeek-V2, multi-head latent attention), arXiv:2405.04434",
    cost: "time O(L·S·H·d), decoding O(S·H·(rank + rotated)); a cache of rank + rotated numbers a position; fused",
    when: "Large decoders that wait for their cache: 4.5 head widths a position, where MultiHead keeps 2·H.",
};

/// Configuration of [`LatentAttention`].
#[derive(Config, Debug)]
pub struct LatentAttentionConfig {
    /// Features of the input and output.
    pub width: usize,
    /// Heads.
    pub heads: usize,
    /// Features of a head that are compared by content; `width / heads` unless given.
    pub head_width: Option<usize>,
    /// Features of a head that rotate, an even number; half of the head width unless given.
    pub rotated: Option<usize>,
    /// Features of a head's values; the head width unless given.
    pub value_width: Option<usize>,
    /// Features that keys and values are made of; 4 head widths unless given.
    pub rank: Option<usize>,
    /// Features that queries are made of; they are made of the input unless given.
    pub query_rank: Option<usize>,
    /// The base of the rotation's wavelengths.
    #[config(default = 10000.0)]
    pub base: f64,
    /// Probability that a weight is dropped in training.
    #[config(default = 0.0)]
    pub dropout: f32,
}

/// Self-attention by way of short vectors; no biases, as in the paper.
#[derive(Module, Debug)]
pub struct LatentAttention {
    /// `[width, query rank]`, if queries are made of a short vector.
    pub query_down: Option<Linear>,
    /// Normalises that vector.
    pub query_norm: Option<RmsNorm>,
    /// `[width or query rank, heads · (head width + rotated)]`
    pub query: Linear,
    /// `W_D` and `W_R`, `[width, rank + rotated]`
    pub down: Linear,
    /// Normalises the short vector, not the features that rotate.
    pub norm: RmsNorm,
    /// `W_UK` and `W_UV` of each head, `[rank, heads · (head width + value width)]`
    pub up: Linear,
    /// `[heads · value width, width]`
    pub output: Linear,
    #[module(skip)]
    rotary: Rotary,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    rotated: usize,
    #[module(skip)]
    dropout: f32,
}

/// What is kept of the positions decoded so far: the short vector and the shared rotated key of each, and nothing else.
#[derive(Debug, Clone)]
pub struct LatentCache(Store);

impl LatentCache {
    /// Positions held.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers held for each position of a sequence.
    pub fn numbers(&self) -> usize {
        self.0.rows().dims()[3]
    }

    /// Keeps these rows of the batch, in this order.
    pub fn select(&mut self, rows: Tensor<1, Int>) {
        self.0.select(rows);
    }
}

impl LatentAttentionConfig {
    /// Random projections (Xavier).
    ///
    /// # Errors
    /// When a size is 0, `rotated` is odd, `base` not positive, or `dropout` not in `[0, 1)`.
    pub fn init(&self, device: &Device) -> Result<LatentAttention> {
        let head_width = self.head_width.unwrap_or(self.width / self.heads.max(1));
        let rotated = self.rotated.unwrap_or(head_width / 2);
        let value_width = self.value_width.unwrap_or(head_width);
        let rank = self.rank.unwrap_or(4 * head_width);
        let sizes = [
            ("width", self.width),
            ("heads", self.heads),
            ("head_width", head_width),
            ("value_width", value_width),
            ("rank", rank),
            ("query_rank", self.query_rank.unwrap_or(1)),
        ];
        if let Some((argument, given)) = sizes.into_iter().find(|(_, size)| *size == 0) {
            return Err(Error::value(argument, given, "at least 1"));
        }
        if rotated == 0 || !rotated.is_multiple_of(2) {
            return Err(Error::value("rotated", rotated, "an even number of at least 2"));
        }
        check_dropout(self.dropout)?;
        let rotary = RotaryConfig::new(rotated).with_base(self.base).with_pairs(Pairs::Interleaved).init()?;
        let linear = |from, to| {
            let initializer = Initializer::XavierUniform { gain: 1.0 };
            LinearConfig::new(from, to).with_bias(false).with_initializer(Some(initializer)).init(device)
        };
        Ok(LatentAttention {
            query_down: self.query_rank.map(|rank| linear(self.width, rank)),
            query_norm: self.query_rank.map(|rank| RmsNormConfig::new(rank).init(device)),
            query: linear(self.query_rank.unwrap_or(self.width), self.heads * (head_width + rotated)),
            down: linear(self.width, rank + rotated),
            norm: RmsNormConfig::new(rank).init(device),
            up: linear(rank, self.heads * (head_width + value_width)),
            output: linear(self.heads * value_width, self.width),
            rotary,
            heads: self.heads,
            rotated,
            dropout: self.dropout,
        })
    }
}

impl LatentAttention {
    /// Every position of `input [batch, position, width]` looks at all of them, as `attention` says: keys and values are
    /// written out.
    ///
    /// # Errors
    /// When the input is not as wide as the layer, or the attention's modifiers do not fit.
    pub fn forward(&self, input: Tensor<3>, attention: &Attention, mode: Mode) -> Result<MultiHeadOutput> {
        check_width("input", &input, &self.down)?;
        let queries = Tensor::cat(self.queries(input.clone(), 0)?.into(), 3);
        let latents = self.latents(input, 0)?;
        let [batch, _, length, _] = latents.dims();
        let rank = self.norm.weight.dims()[0];
        let made = split(self.up.forward(latents.clone().narrow(3, 0, rank).squeeze_dim::<3>(1)), self.heads);
        let [head_width, value_width] = self.widths();
        let shared = latents.narrow(3, rank, self.rotated).expand([batch, self.heads, length, self.rotated]);
        let keys = Tensor::cat(vec![made.clone().narrow(3, 0, head_width), shared], 3);
        let values = made.narrow(3, head_width, value_width);
        let attended = ops::attend(queries.clone(), keys.clone(), values, &dropping(attention, self.dropout, mode)?)?;
        let look = Look { queries, keys, lse: attended.lse, attention: attention.clone() };
        Ok(MultiHeadOutput { output: self.output.forward(join(attended.context)), look })
    }

    /// The next positions of a sequence look at it and at all before them, of which `cache` holds the short vectors: the
    /// same numbers as [`Self::forward`] has, without writing out keys or values.
    ///
    /// # Errors
    /// As [`Self::forward`], when scores are no dot products, and when the cache holds another batch.
    pub fn decode(
        &self,
        input: Tensor<3>,
        cache: &mut Option<LatentCache>,
        attention: &Attention,
    ) -> Result<MultiHeadOutput> {
        check_width("input", &input, &self.down)?;
        let ([head_width, value_width], rank) = (self.widths(), self.norm.weight.dims()[0]);
        let attention = attention.clone().scaled_as(head_width + self.rotated)?;
        let start = cache.as_ref().map_or(0, LatentCache::len);
        let latents = self.latents(input.clone(), start)?;
        let LatentCache(store) = match cache {
            Some(cache) => {
                cache.0.check_batch(&input)?;
                cache.0.append(latents);
                cache
            }
            empty => empty.insert(LatentCache(Store::new(latents))),
        };
        let up = self.up.weight.val().reshape([rank, self.heads, head_width + value_width]);
        let [content, rotated] = self.queries(input, start)?;
        let to_latent: Tensor<4> = up.clone().narrow(2, 0, head_width).permute([1, 2, 0]).unsqueeze();
        let queries = Tensor::cat(vec![content.matmul(to_latent), rotated], 3);
        let keys = store.rows();
        let attended = ops::attend(queries.clone(), keys.clone(), keys.clone().narrow(3, 0, rank), &attention)?;
        let to_values: Tensor<4> = up.narrow(2, head_width, value_width).permute([1, 0, 2]).unsqueeze();
        let context = join(attended.context.matmul(to_values));
        let look = Look { queries, keys, lse: attended.lse, attention };
        Ok(MultiHeadOutput { output: self.output.forward(context), look })
    }

    /// Features of a head compared by content, and of its values.
    fn widths(&self) -> [usize; 2] {
        let head_width = self.query.weight.dims()[1] / self.heads - self.rotated;
        [head_width, self.up.weight.dims()[1] / self.heads - head_width]
    }

    /// What queries compare by content, and by position: `[batch, head, position, feature]`, the first at `start`.
    fn queries(&self, input: Tensor<3>, start: usize) -> Result<[Tensor<4>; 2]> {
        let input = self.query_down.iter().fold(input, |input, down| down.forward(input));
        let input = self.query_norm.iter().fold(input, |input, norm| norm.forward(input));
        let [head_width, _] = self.widths();
        let queries = split(self.query.forward(input), self.heads);
        let rotated = self.rotary.forward(queries.clone().narrow(3, head_width, self.rotated), start)?;
        Ok([queries.narrow(3, 0, head_width), rotated])
    }

    /// What is kept of each position, `[batch, 1, position, rank + rotated]`, the first at `start`.
    fn latents(&self, input: Tensor<3>, start: usize) -> Result<Tensor<4>> {
        let down: Tensor<4> = self.down.forward(input).unsqueeze_dim(1);
        let rank = self.norm.weight.dims()[0];
        let short = self.norm.forward(down.clone().narrow(3, 0, rank));
        let rotated = self.rotary.forward(down.narrow(3, rank, self.rotated), start)?;
        Ok(Tensor::cat(vec![short, rotated], 3))
    }
}
