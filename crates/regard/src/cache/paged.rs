//! Everything, in pages: each sequence takes pages of a fixed number of positions as it grows.
//!
//! A contiguous cache must be copied when it outgrows its room, and while it is, needs room twice; a sequence in pages wastes at
//! most one page, and sequences that begin alike can share theirs. Kwon et al., "PagedAttention", SOSP 2023, arXiv:2309.06180.
//!
//! The same numbers as a contiguous cache, read where they lie. Reach for it when many texts grow and end on their own
//! ([`PagedCache`] forks and drops them); for one text at a time it saves nothing.

use burn::tensor::{Tensor, TensorData};
use regard_kernel::{PagedCache, Precision, View};

use super::{Next, Policy, check_held, sizes};
use crate::catalogue::{Card, Family};
use crate::error::Result;
use crate::ops::numbers;

/// See the module's page.
pub(super) const CARD: Card = Card {
    name: "PagedCache",
    family: Family::Heads,
    sentence: "A decoder keeps each sequence in pages of its own, which sequences with a common past share.",
    equation: "k_j lies in page ⌊j / p⌋ at j mod p",
    paper: "Kwon et al. 2023 (PagedAttention), arXiv:2309.06180",
    cost: "memory O(t·d), at most a page more than is needed; exact",
    when: "Many texts at once that grow, fork and end on their own.",
};

/// See the module's page. Each row of the batch is a sequence.
#[derive(Debug)]
pub struct Paged {
    positions: usize,
    cache: Option<(PagedCache, [[usize; 3]; 2])>,
}

impl Paged {
    /// An empty cache whose pages hold so many positions.
    ///
    /// # Errors
    /// When that is not a positive multiple of the kernel's [`KEY_BLOCK`](regard_kernel::KEY_BLOCK).
    pub fn new(positions: usize) -> Result<Self> {
        PagedCache::new(1, 1, 1, Precision::F32).with_page(positions)?;
        Ok(Paged { positions, cache: None })
    }
}

impl Policy for Paged {
    fn attend(&mut self, next: Next) -> Result<Tensor<4>> {
        let (attention, device) = (next.attention, next.queries.device());
        let new @ [[batch, heads, key_width], [_, _, value_width]] = [sizes(&next.keys), sizes(&next.values)];
        if let Some((_, held)) = &self.cache {
            check_held(*held, &next.keys, &next.values)?;
        }
        let tensors = next.turned(self.held())?;
        let (cache, _) = match &mut self.cache {
            Some(cache) => cache,
            empty => {
                let cache = PagedCache::new(heads, key_width, value_width, Precision::F32);
                let mut cache = cache.with_page(self.positions)?;
                for _ in 0..batch {
                    cache.push();
                }
                empty.insert((cache, new))
            }
        };
        let shapes = tensors.each_ref().map(Tensor::dims);
        let [queries, keys, values] = tensors.map(numbers);
        let (keys, values) = (keys?, values?);
        for row in 0..batch {
            cache.append(row, &sequence(&keys, shapes[1], row)?, &sequence(&values, shapes[2], row)?)?;
        }
        let output = attention.decode(&View::new(&queries?, shapes[0])?, &*cache)?;
        let [_, heads, length, _] = shapes[0];
        Ok(Tensor::from_data(TensorData::new(output.context, [batch, heads, length, value_width]), &device))
    }

    fn held(&self) -> usize {
        self.cache.as_ref().and_then(|(cache, _)| cache.len(0)).unwrap_or(0)
    }
}

/// One row of a batch.
fn sequence(numbers: &[f32], [_, heads, length, width]: [usize; 4], row: usize) -> Result<View<'_>> {
    let size = heads * length * width;
    Ok(View::new(&numbers[row * size..][..size], [1, heads, length, width])?)
}
