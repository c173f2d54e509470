//! Everything, in fewer bits: numbers are rounded as they are appended and widened as they are read.
//!
//! Halves (f16: 11 bits of precision), brain floats (bf16: 8 bits, the range of f32) or bytes with a scale for each row
//! (int8: an error of up to 1/254 of the row's greatest number). Half or nearly a quarter of the memory, and since a decode
//! waits for memory, of the time. Of bytes with scales, see Dettmers et al. 2022 (LLM.int8()), arXiv:2208.07339.
//!
//! Keys are rounded after they are turned. Reach for f16 without a thought, for int8 when memory decides; not where rows have
//! outliers a hundred times their other numbers, which then lose most of their bits.

use burn::tensor::{Tensor, TensorData};
use regard_kernel::{KeyValueCache, Precision, View};

use super::{Next, Policy, check_held, sizes};
use crate::catalogue::{Card, Family};
use crate::error::Result;
use crate::ops::numbers;

/// See the module's page.
pub(super) const CARD: Card = Card {
    name: "RoundedCache",
    family: Family::Heads,
    sentence: "A decoder keeps all positions in 16 bits a number, or in 8 with a scale for each row.",
    equation: "k_j ≈ s_j · round(k_j / s_j), s_j = max |k_j| / 127 (int8); v_j likewise",
    paper: "Dettmers et al. 2022, arXiv:2208.07339",
    cost: "memory a half (f16, bf16) or little more than a quarter (int8) of f32's, time with it",
    when: "A cache that is too large or too slow. f16 costs nothing that can be measured, int8 little.",
};

/// See the module's page.
#[derive(Debug)]
pub struct Rounded {
    precision: Precision,
    cache: Option<KeyValueCache>,
}

impl Rounded {
    /// An empty cache of this precision.
    pub fn new(precision: Precision) -> Self {
        Rounded { precision, cache: None }
    }
}

impl Policy for Rounded {
    fn attend(&mut self, next: Next) -> Result<Tensor<4>> {
        let (attention, device) = (next.attention, next.queries.device());
        let [[batch, heads, key_width], [_, _, value_width]] = [sizes(&next.keys), sizes(&next.values)];
        if let Some(cache) = &self.cache {
            let held =
                [cache.keys().shape(), cache.values().shape()].map(|[batch, heads, _, width]| [batch, heads, width]);
            check_held(held, &next.keys, &next.values)?;
        }
        let tensors = next.turned(self.held())?;
        let cache = self
            .cache
            .get_or_insert_with(|| KeyValueCache::with_precision(batch, heads, key_width, value_width, self.precision));
        let shapes = tensors.each_ref().map(Tensor::dims);
        let [queries, keys, values] = tensors.map(numbers);
        cache.append(&View::new(&keys?, shapes[1])?, &View::new(&values?, shapes[2])?)?;
        let output = attention.decode(&View::new(&queries?, shapes[0])?, &*cache)?;
        let [batch, heads, length, _] = shapes[0];
        Ok(Tensor::from_data(TensorData::new(output.context, [batch, heads, length, value_width]), &device))
    }

    fn held(&self) -> usize {
        self.cache.as_ref().map_or(0, KeyValueCache::len)
    }
}
