//! Rows that are decoded together.

use std::ops::Range;

use crate::mask::{Coverage, Visible, low_bits};
use crate::problem::{Problem, Seen};
use crate::scores::Scores;
use crate::shape::{KEY_BLOCK, QUERY_BLOCK, Shape, Tile, blocks};

/// Some queries of some heads that share a key head, at most [`QUERY_BLOCK`] rows in all. A head's queries follow those of
/// the head before.
pub(super) struct Block {
    pub(super) batch: usize,
    pub(super) heads: Range<usize>,
    pub(super) queries: Range<usize>,
}

impl Block {
    /// All blocks of some batches.
    pub(super) fn all(shape: &Shape, batches: Range<usize>) -> impl Iterator<Item = Self> + use<> {
        let (group, key_heads, query_blocks) = (shape.group(), shape.key_heads, shape.query_blocks());
        let together = (QUERY_BLOCK / shape.queries.max(1)).clamp(1, group.max(1));
        batches.flat_map(move |batch| (0..key_heads).map(move |head| (batch, head))).flat_map(move |(batch, head)| {
            let query_blocks = query_blocks.clone();
            blocks(head * group..(head + 1) * group, together).flat_map(move |heads| {
                query_blocks.clone().map(move |queries| Self { batch, heads: heads.clone(), queries })
            })
        })
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.heads.len() * self.queries.len()
    }

    /// A tile of all rows. It says where scores lie in memory, and not what they belong to.
    pub(super) fn tile<'a>(&self, problem: &'a Problem, keys: Range<usize>) -> Tile<'a> {
        problem.tile(self.batch, self.heads.start, 0..self.rows(), keys)
    }

    /// Calls `f` with each head's place in the block, its tile, and the tile's part of `scores`, for which `memory` has
    /// room.
    pub(super) fn each_head(
        &self,
        problem: &Problem,
        scores: &mut Scores,
        memory: &mut [f32],
        mut f: impl FnMut(usize, &Tile, &mut Scores),
    ) {
        let keys = scores.keys();
        let tile = |head| problem.tile(self.batch, head, self.queries.clone(), keys.clone());
        if self.heads.len() == 1 {
            let tile = tile(self.heads.start);
            return f(0, &tile, &mut Scores::new(&tile, scores.values_mut()));
        }
        for (i, head) in self.heads.clone().enumerate() {
            let tile = tile(head);
            let lanes = i * self.queries.len()..(i + 1) * self.queries.len();
            let mut part = Scores::new(&tile, memory);
            keys.clone().for_each(|key| part.row_mut(key).copy_from_slice(&scores.row(key)[lanes.clone()]));
            f(i, &tile, &mut part);
            keys.clone().for_each(|key| scores.row_mut(key)[lanes.clone()].copy_from_slice(part.row(key)));
        }
    }

    /// How many of some keys, from the first on, every row sees, as far as whole tiles can say.
    pub(super) fn seen_by_all(&self, problem: &Problem, keys: Range<usize>) -> usize {
        let Some(mask) = &problem.attention.mask else { return keys.len() };
        let full = |keys: &Range<usize>| {
            let tile = |head| problem.tile(self.batch, head, self.queries.clone(), keys.clone());
            self.heads.clone().all(|head| mask.coverage(&tile(head)) == Coverage::Full)
        };
        blocks(keys, KEY_BLOCK).take_while(full).map(|keys| keys.len()).sum()
    }

    /// What the masks leave of the rows' tile.
    pub(super) fn seen(&self, problem: &Problem, keys: &Range<usize>) -> Seen {
        let seen = |head| problem.seen(&problem.tile(self.batch, head, self.queries.clone(), keys.clone()));
        if self.heads.len() == 1 || problem.attention.mask.is_none() {
            return seen(self.heads.start);
        }
        let mut joined = Visible::none(&self.tile(problem, keys.clone()));
        let (mut some, mut all) = (false, true);
        for (i, head) in self.heads.clone().enumerate() {
            let (shift, own) = (i * self.queries.len(), low_bits(self.queries.len()));
            let words = joined.words_mut().iter_mut();
            match seen(head) {
                Seen::Nothing => {
                    all = false;
                    continue;
                }
                Seen::Everything => words.for_each(|word| *word |= own << shift),
                Seen::Some(visible) => {
                    all = false;
                    words.zip(visible.words()).for_each(|(word, bits)| *word |= (bits & own) << shift);
                }
            }
            some = true;
        }
        match (some, all) {
            (false, _) => Seen::Nothing,
            (_, true) => Seen::Everything,
            _ => Seen::Some(joined),
        }
    }
}
