//! BigBird: BERT for documents, whose blocks of positions see the blocks beside them, the first, the last, and some at random.
//!
//! Zaheer et al., "Big Bird: Transformers for Longer Sequences", NeurIPS 2020, arXiv:2007.14062. The network is [`Bert`]. Random
//! blocks are for training: when it only reads, transformers, which these checkpoints are made for, lets each block of queries see the
//! first block in the place of every random one. A key that is seen 1 + r times has the weight of a score greater by ln(1 + r), and
//! so it is computed here. Texts of at most 5 + 2r blocks are looked at as BERT does; what counts is the longest of a batch.

use std::ops::Range;

use regard::catalogue::{Card, Family};
use regard::{Attention, Bias, Blocks, Scores, Tile};
use serde::{Deserialize, Serialize};

use crate::bert::{self, Bert, Pattern};
use crate::error::{Error, Result};
use crate::pretrained::encoders::Layout;
use crate::pretrained::{Checkpoint, Fields};

/// See the module's page.
pub const CARD: Card = Card {
    name: "BigBirdEncoder",
    family: Family::Models,
    sentence: "BERT for documents: blocks of positions see the blocks beside them, the first and the last.",
    equation: "block b sees b - 1, b, b + 1, the first (1 + r times) and the last; those two see all",
    paper: "Zaheer et al. 2020, arXiv:2007.14062",
    cost: "time O(L·block·d + L·d²) a layer, memory O(L·d)",
    when: "Documents of thousands of tokens. Checkpoints whose config.json says big_bird.",
};

/// Who sees whom in a text that is long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockSparse {
    /// Positions of a block, at least 1.
    pub block: usize,
    /// Random blocks that a block sees in training, r.
    pub random: usize,
}

impl BlockSparse {
    /// `plain`, for texts of `length` positions.
    pub(crate) fn of(self, length: usize, plain: Attention) -> Result<Attention> {
        let all = self.random.saturating_mul(2).saturating_add(5).saturating_mul(self.block);
        if length <= all {
            return Ok(plain);
        }
        let blocks = length.div_ceil(self.block);
        let ends = [0, blocks - 1];
        let sees = |query: usize, key: usize| query.abs_diff(key) <= 1 || ends.contains(&query) || ends.contains(&key);
        let layout: Vec<bool> = (0..blocks * blocks).map(|at| sees(at / blocks, at % blocks)).collect();
        let mask = Blocks::from_layout(&layout, [1, 1, length, length], self.block).map_err(regard::Error::from)?;
        let again = SeenAgain {
            queries: self.block..(blocks - 1) * self.block,
            keys: self.block,
            more: (self.random as f32).ln_1p(),
        };
        Ok(plain.mask(mask).bias(again))
    }
}

/// Some queries see the first keys more than once.
#[derive(Debug)]
struct SeenAgain {
    queries: Range<usize>,
    keys: usize,
    /// The logarithm of how often.
    more: f32,
}

impl Bias for SeenAgain {
    fn add(&self, tile: &Tile, scores: &mut Scores) {
        if tile.keys.start < self.keys {
            scores.each(|query, key, score| {
                let again = key < self.keys && self.queries.contains(&query);
                if again { score + self.more } else { score }
            });
        }
    }
}

const LAYOUT: Layout = Layout { card: CARD, labels: ["/classifier.dense", "/classifier.out_proj"], ..bert::LAYOUT };

/// The model of a checkpoint.
pub(crate) fn open(fields: &Fields, file: &Checkpoint) -> Result<Bert> {
    let activation = fields.activation("hidden_act", "gelu_new")?;
    let sparse = BlockSparse { block: fields.or("block_size", 64)?, random: fields.or("num_random_blocks", 3)? };
    let kind: String = fields.or("attention_type", "block_sparse".into())?;
    let pattern = match kind.as_str() {
        "original_full" => Pattern::Full,
        "block_sparse" => Pattern::Blocks(sparse),
        _ => {
            let expected = "original_full or block_sparse".into();
            return Err(Error::Config { argument: "attention_type", given: format!("{kind:?}"), expected });
        }
    };
    let config = bert::configuration(fields)?
        .with_context(fields.or("max_position_embeddings", 4096)?)
        .with_activation(activation)
        .with_bias(fields.or("use_bias", true)?)
        .with_rescaled(fields.or("rescale_embeddings", false)?)
        .with_pattern(pattern);
    LAYOUT.open(config, [activation, activation], fields, file)
}
