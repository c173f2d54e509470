//! Nyström attention: the matrix of weights is put together from a few of its rows and columns.
//!
//! `c = F A⁺ B V + conv(V)`, with `F = softmax(Q K̃ᵀ/√d)`, `A = softmax(Q̃ K̃ᵀ/√d)`, `B = softmax(Q̃ Kᵀ/√d)`. The landmarks `Q̃` and `K̃`
//! are means of L/m neighbours. The pseudo-inverse `A⁺` comes from an iteration of third order,
//! `Z ← ¼ Z (13 I − A Z (15 I − A Z (7 I − A Z)))`; the residual is a convolution along the positions, one filter a head.
//! Xiong, Zeng, Chakraborty, Tan, Fung, Li & Singh, "Nyströmformer", AAAI 2021, arXiv:2102.03902.
//!
//! Time O(L·m·d + m³), memory O(L·d + m²): products with F and B are exact attentions over m keys and by m queries, fused.
//! Reach for it to make a trained encoder's attention linear; it has no causal form, since landmarks look ahead.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};
use regard_kernel::Attention;

use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};
use crate::mechanism::{Mechanism, fits};
use crate::noise::Mode;
use crate::ops;
use crate::random::uniforms;

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "Nystrom",
    family: Family::Efficient,
    sentence: "The matrix of weights is put together from those of a few landmarks, the means of neighbours.",
    equation: "c = softmax(Q K̃ᵀ/√d) softmax(Q̃ K̃ᵀ/√d)⁺ softmax(Q̃ Kᵀ/√d) V + conv(V)",
    paper: "Xiong et al. 2021 (Nyströmformer), arXiv:2102.03902",
    cost: "time O(L·m·d + m³), memory O(L·d + m²); both attentions are fused",
    when: "To make a trained encoder linear in its length. It has no causal form.",
};

/// Configuration of [`Nystrom`].
#[derive(Config, Debug)]
pub struct NystromConfig {
    /// Heads.
    pub heads: usize,
    /// Landmarks, m; a divisor of the lengths.
    #[config(default = 64)]
    pub landmarks: usize,
    /// Steps towards the pseudo-inverse.
    #[config(default = 6)]
    pub iterations: usize,
    /// Positions that the residual's filter covers, an odd number; no residual if 0.
    #[config(default = 33)]
    pub filter: usize,
    /// Where the first filter comes from.
    #[config(default = 0)]
    pub seed: u64,
}

/// Attention by way of landmarks.
#[derive(Module, Debug)]
pub struct Nystrom {
    /// A filter for each head, `[head, 1, filter, 1]`.
    pub residual: Option<Param<Tensor<4>>>,
    #[module(skip)]
    landmarks: usize,
    #[module(skip)]
    iterations: usize,
}

impl NystromConfig {
    /// A random filter, uniform up to 1/√filter.
    ///
    /// # Errors
    /// When there are no heads or landmarks, or the filter has no middle.
    pub fn init(&self, device: &Device) -> Result<Nystrom> {
        let NystromConfig { heads, landmarks, iterations, filter, seed } = *self;
        for (argument, given) in [("heads", heads), ("landmarks", landmarks)] {
            if given == 0 {
                return Err(Error::value(argument, given, "at least 1"));
            }
        }
        if filter.is_multiple_of(2) && filter > 0 {
            return Err(Error::value("filter", filter, "an odd number of positions, or 0 for no residual"));
        }
        let weight = || uniforms(seed, (filter as f64).powf(-0.5), [heads, 1, filter, 1], device);
        let residual = (filter > 0).then(|| Param::from_tensor(weight()));
        Ok(Nystrom { residual, landmarks, iterations })
    }
}

impl Nystrom {
    /// Means of neighbours, `[batch, head, landmark, feature]`.
    fn landmarks(&self, argument: &'static str, x: Tensor<4>) -> Result<Tensor<4>> {
        let [batch, heads, length, width] = x.dims();
        let landmarks = self.landmarks;
        if length < landmarks || !length.is_multiple_of(landmarks) {
            let expected = format!("a multiple of the {landmarks} landmarks as positions");
            return Err(Error::shape(argument, &x.dims(), expected));
        }
        let groups = x.reshape([batch, heads, landmarks, length / landmarks, width]);
        Ok(groups.mean_dim(3).squeeze_dim(3))
    }

    /// `A⁺` of each `[landmark, landmark]`, started at `Aᵀ/(‖A‖₁ ‖A‖∞)`. Each head has its own norms, so that it does not
    /// depend on the others or on the batch.
    fn pseudo_inverse(&self, matrix: Tensor<4>) -> Result<Tensor<4>> {
        let identity = Tensor::<2>::eye(self.landmarks, &ops::constants(&matrix.device())).unsqueeze::<4>();
        let norms = matrix.clone().sum_dim(3).max_dim(2) * matrix.clone().sum_dim(2).max_dim(3);
        let mut inverse = matrix.clone().swap_dims(2, 3) / norms;
        for _ in 0..self.iterations {
            let product = ops::product(matrix.clone(), inverse.clone())?;
            let inner = identity.clone() * 7.0 - product.clone();
            let inner = identity.clone() * 15.0 - ops::product(product.clone(), inner)?;
            let inner = identity.clone() * 13.0 - ops::product(product, inner)?;
            inverse = ops::product(inverse, inner)? * 0.25;
        }
        Ok(inverse)
    }
}

impl Mechanism for Nystrom {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn mix(&self, queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>, _: Mode) -> Result<Tensor<4>> {
        fits(&queries, &keys, &values)?;
        let plain = Attention::default();
        let few_queries = self.landmarks("queries", queries.clone())?;
        let few_keys = self.landmarks("keys", keys.clone())?;
        let scale = (queries.dims()[3] as f64).powf(-0.5);
        let among = ops::product(few_queries.clone() * scale, few_keys.clone().swap_dims(2, 3))?;
        let found = ops::attend(few_queries, keys, values.clone(), &plain)?.context;
        let found = ops::product(self.pseudo_inverse(softmax(among, 3))?, found)?;
        let context = ops::attend(queries.clone(), few_keys, found, &plain)?.context;
        let Some(filter) = &self.residual else { return Ok(context) };
        let [heads, _, size, _] = filter.dims();
        if values.dims()[1] != heads || values.dims()[2] != queries.dims()[2] {
            let expected = format!("{heads} heads and a position for each query, which the residual is added to");
            return Err(Error::shape("values", &values.dims(), expected));
        }
        Ok(context + ops::filter(values, filter.val().reshape([heads, size]))?)
    }
}
