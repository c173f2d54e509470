//! Coarse to fine: blocks are compared by their means, and only the most promising are attended to, exactly.
//!
//! `s_IJ = mean(q_i, i ∈ I) · mean(k_j, j ∈ J)`. The queries of block I see the `keep` blocks J with the greatest `s_IJ`, and
//! always the blocks around their own. With every block kept it is exact attention. Where a query sees only what came before,
//! the first query of a block chooses for all of it, since a mean would know of later ones.
//! Means of keys choose in Lu et al., "MoBA: Mixture of Block Attention", 2025, arXiv:2502.13189, for each query; a selection of
//! blocks beside a window is that of Yuan et al., "Native Sparse Attention", 2025, arXiv:2502.11089, by learned means.
//!
//! Time O(L·b·(keep + 2·near + 1)·d) for blocks of b, and O((L/b)²·d) to choose; memory O(L·d + (L/b)²). Fused.
//! Reach for it with long inputs of which a query needs few places. The choice itself has no gradient, so what is never
//! looked at is never learned to be worth it; means hide a single strong key in a block of weak ones.

use burn::config::Config;
use burn::tensor::Tensor;
use regard_kernel::{Attention, Causal, mask::Blocks};

use crate::catalogue::{Card, Family};
use crate::error::{Error, Result};
use crate::mechanism::{Mechanism, fits};
use crate::noise::Mode;
use crate::ops;

/// See the module's page.
pub(crate) const CARD: Card = Card {
    name: "Hybrid",
    family: Family::Efficient,
    sentence: "Blocks are compared by their means; the most promising, and those nearby, are attended to exactly.",
    equation: "i sees j if mean(q ∈ I)·mean(k ∈ J) is among the greatest for I, or |I - J| ≤ near",
    paper: "Lu et al. 2025 (MoBA), arXiv:2502.13189; Yuan et al. 2025 (NSA, its selection), arXiv:2502.11089",
    cost: "time O(L·b·keep·d + (L/b)²·d), memory O(L·d + (L/b)²); fused",
    when: "Long inputs of which each query needs few places. Exact when every block is kept.",
};

/// Configuration of [`Hybrid`].
#[derive(Config, Debug)]
pub struct HybridConfig {
    /// Positions of a block, b; a divisor of the lengths. Multiples of 64 are fastest.
    #[config(default = 64)]
    pub block: usize,
    /// Blocks that are chosen for each block of queries, of those that are not near.
    #[config(default = 8)]
    pub keep: usize,
    /// Blocks to each side of a query's own that it always sees.
    #[config(default = 1)]
    pub near: usize,
    /// Whether a query sees only what came before.
    #[config(default = false)]
    pub causal: bool,
}

/// Coarse-to-fine attention; nothing to learn.
#[derive(Debug, Clone)]
pub struct Hybrid {
    config: HybridConfig,
}

impl HybridConfig {
    /// Attention of these blocks.
    ///
    /// # Errors
    /// When the blocks are empty.
    pub fn init(&self) -> Result<Hybrid> {
        if self.block == 0 {
            return Err(Error::value("block", self.block, "at least 1"));
        }
        Ok(Hybrid { config: self.clone() })
    }
}

impl Hybrid {
    /// Blocks, without a gradient: `[batch, head, block, position, feature]`.
    fn blocks(&self, x: Tensor<4>) -> Tensor<5> {
        let [batch, heads, length, width] = x.dims();
        x.detach().reshape([batch, heads, length / self.config.block, self.config.block, width])
    }

    /// Which blocks of keys each block of queries sees, `[batch, head, block, block]`, flat.
    fn choose(&self, queries: Tensor<4>, keys: Tensor<4>) -> Result<Vec<bool>> {
        let queries = self.blocks(queries);
        let queries = if self.config.causal { queries.narrow(3, 0, 1) } else { queries.mean_dim(3) };
        let keys = self.blocks(keys).mean_dim(3);
        let alike = ops::product(queries.squeeze_dim(3), keys.squeeze_dim(3).swap_dims(2, 3))?;
        let blocks = alike.dims()[3];
        let alike = ops::numbers(alike)?;
        let mut layout = vec![false; alike.len()];
        let rows = layout.chunks_exact_mut(blocks.max(1)).zip(alike.chunks_exact(blocks.max(1)));
        for (at, (seen, alike)) in rows.enumerate() {
            let own = at % blocks;
            let last = if self.config.causal { own } else { blocks - 1 };
            let near = own.saturating_sub(self.config.near)..=own.saturating_add(self.config.near).min(last);
            let mut far: Vec<usize> = (0..=last).filter(|block| !near.contains(block)).collect();
            let keep = self.config.keep.min(far.len());
            if keep < far.len() {
                // Of equals the earlier, so that the choice is one.
                let better = |a: &usize, b: &usize| alike[*b].total_cmp(&alike[*a]).then(a.cmp(b));
                far.select_nth_unstable_by(keep, better);
            }
            far[..keep].iter().copied().chain(near).for_each(|block| seen[block] = true);
        }
        Ok(layout)
    }
}

impl Mechanism for Hybrid {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn mix(&self, queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>, _: Mode) -> Result<Tensor<4>> {
        fits(&queries, &keys, &values)?;
        let ([batch, heads, length, _], block) = (queries.dims(), self.config.block);
        if !length.is_multiple_of(block) {
            return Err(Error::shape(
                "queries",
                &queries.dims(),
                format!("a multiple of the block, {block} positions"),
            ));
        }
        if keys.dims()[2] != length {
            return Err(Error::shape("keys", &keys.dims(), format!("as many positions as queries, {length}")));
        }
        let layout = self.choose(queries.clone(), keys.clone())?;
        let seen = Blocks::from_layout(&layout, [batch, heads, length, length], block)?;
        let attention = Attention::default().mask(seen);
        let attention = if self.config.causal { attention.mask(Causal::default()) } else { attention };
        Ok(ops::attend(queries, keys, values, &attention)?.context)
    }
}
