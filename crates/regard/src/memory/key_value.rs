//! Key-value memory network: a question reads an external store by content, is updated by what it found, and reads again.
//!
//! `p_j = softmax_i(q_j · A k_i)`, `o_j = Σ_i p_ji · A v_i`, `q_{j+1} = R_j (q_j + o_j)`, `q_1 = A x`.
//! Miller et al., "Key-Value Memory Networks for Directly Reading Documents", EMNLP 2016, arXiv:1606.03126.
//!
//! Time O(hops·S·d), memory O(S·d); each hop is fused. Reach for it when facts have a form that they are found by and
//! another that answers, and when an answer takes several facts; one hop is attention with a residual.

use burn::config::Config;
use burn::module::Module;
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};
use regard_kernel::{Attention, Dot, Mask};

use super::{expect_width, positive};
use crate::attention::Look;
use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};
use crate::ops;
use crate::projection::{Linear, LinearConfig};

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "KeyValueMemory",
    family: Family::Memory,
    sentence: "A question reads an external store by content, changes by what it found, and reads again.",
    equation: "p = softmax(q · A k_i); o = Σ_i p_i · A v_i; q ← R (q + o), hop by hop",
    paper: "Miller et al. 2016, arXiv:1606.03126",
    cost: "time O(hops·S·d), memory O(S·d); each hop fused",
    when: "Facts found by one form and answered by another, or chained over several hops.",
};

/// Configuration of [`KeyValueMemory`].
#[derive(Config, Debug)]
pub struct KeyValueMemoryConfig {
    /// Features of questions, keys and values (a bag of words in the paper).
    pub features: usize,
    /// Features of their embedding.
    pub width: usize,
    /// How often the store is read; the paper's best results have two.
    #[config(default = 2)]
    pub hops: usize,
}

/// A memory read by content in several hops; no biases, as in the paper.
#[derive(Module, Debug)]
pub struct KeyValueMemory {
    /// `A`, `[features, width]`: one embedding for questions, keys and values.
    pub embed: Linear,
    /// `R`, `[width, width]`, one a hop.
    pub hops: Vec<Linear>,
}

/// What [`KeyValueMemory::forward`] returns.
#[derive(Debug, Clone)]
pub struct KeyValueAnswer {
    /// The question after the last hop, `[batch, question, width]`.
    pub state: Tensor<3>,
    /// Where each hop looked.
    pub looks: Vec<Look>,
}

impl KeyValueMemoryConfig {
    /// Random maps (Xavier).
    ///
    /// # Errors
    /// When there is no hop.
    pub fn init(&self, device: &Device) -> Result<KeyValueMemory> {
        positive("hops", self.hops)?;
        let linear = |from| {
            let initializer = Initializer::XavierUniform { gain: 1.0 };
            LinearConfig::new(from, self.width).with_bias(false).with_initializer(Some(initializer)).init(device)
        };
        let hops = (0..self.hops).map(|_| linear(self.width)).collect();
        Ok(KeyValueMemory { embed: linear(self.features), hops })
    }
}

impl KeyValueMemory {
    /// `questions [batch, question, features]` read a store of `keys` and `values`, `[batch, slot, features]`, as far as
    /// `mask` lets them.
    ///
    /// # Errors
    /// When the shapes do not fit each other, the layer or the mask.
    pub fn forward(
        &self,
        questions: Tensor<3>,
        keys: Tensor<3>,
        values: Tensor<3>,
        mask: impl Mask + 'static,
    ) -> Result<KeyValueAnswer> {
        let features = self.embed.weight.dims()[0];
        for (argument, tensor) in [("questions", &questions), ("keys", &keys), ("values", &values)] {
            expect_width(argument, tensor.dims(), features)?;
        }
        if values.dims() != keys.dims() {
            return Err(Error::shape("values", &values.dims(), format!("{:?}, one a key", keys.dims())));
        }
        let attention = Attention::new(Dot).mask(mask);
        let [mut state, keys, values] =
            [questions, keys, values].map(|tensor| self.embed.forward(tensor).unsqueeze_dim::<4>(1));
        let mut looks = Vec::with_capacity(self.hops.len());
        for hop in &self.hops {
            let found = ops::attend(state.clone(), keys.clone(), values.clone(), &attention)?;
            let look =
                Look { queries: state.clone(), keys: keys.clone(), lse: found.lse, attention: attention.clone() };
            looks.push(look);
            state = hop.forward(state + found.context);
        }
        Ok(KeyValueAnswer { state: state.squeeze_dim(1), looks })
    }
}
