//! BigBird: a window, global tokens and random blocks; Zaheer et al. 2020, arXiv:2007.14062.
//!
//! Positions are cut into blocks. Blocks near each other see each other, the first blocks see everything and are seen by all,
//! and each block of queries sees some others at random: so few steps lead from anywhere to anywhere, and the work grows
//! with the length. Random blocks are a function of the seed, the head and the block of queries. In all heads and batches,
//! window and global blocks are the same.

use std::ops::Range;

use super::{Coverage, Mask, Visible, low_bits};
use crate::dropout::mix_long;
use crate::shape::{Shape, Tile};
use crate::{Corner, Error, Result};

/// Who sees whom by blocks; what the paper's base model has unless said: blocks of 64, a window of three, two global blocks
/// and three random ones.
///
/// Keys are cut into blocks from the first on; where the length is no multiple of the block, [`check`](Mask::check) refuses
/// it: mask what is padded with [`Padding`](super::Padding). A query belongs to the block in which it stands. Blocks that are
/// no multiple of 64 make more tiles that hold visible pairs, which are computed whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BigBird {
    block: usize,
    window: usize,
    global: usize,
    random: usize,
    seed: u64,
    corner: Corner,
}

impl BigBird {
    /// The pattern of the paper's base model, with the random blocks that the seed gives.
    pub fn new(seed: u64) -> Self {
        Self { block: 64, window: 1, global: 2, random: 3, seed, corner: Corner::default() }
    }

    /// Positions of a block.
    ///
    /// # Errors
    /// If it is 0.
    pub fn block(self, positions: usize) -> Result<Self> {
        if positions == 0 {
            return Err(Error::new("block of BigBird", positions, "at least 1 position"));
        }
        Ok(Self { block: positions, ..self })
    }

    /// Blocks on either side of its own that a block sees; 0 leaves its own.
    pub fn window(self, blocks: usize) -> Self {
        Self { window: blocks, ..self }
    }

    /// How many of the first blocks see everything and are seen by all.
    pub fn global(self, blocks: usize) -> Self {
        Self { global: blocks, ..self }
    }

    /// How many other blocks a block sees at random; all of them if there are no more.
    pub fn random(self, blocks: usize) -> Self {
        Self { random: blocks, ..self }
    }

    /// Stands the queries elsewhere.
    pub fn corner(self, corner: Corner) -> Self {
        Self { corner, ..self }
    }

    /// Whether a query that stands in one block sees the keys of another, in a head of a problem with so many blocks of keys.
    fn sees(&self, head: usize, query: isize, key: usize, blocks: usize) -> bool {
        let global = |block: isize| (0..self.global.min(blocks) as isize).contains(&block);
        global(query)
            || global(key as isize)
            || query.abs_diff(key as isize) <= self.window
            || self.drawn(head, query, blocks).any(|drawn| drawn == key)
    }

    /// The random blocks of a block of queries: among those that are neither global nor in the window.
    fn drawn(&self, head: usize, query: isize, blocks: usize) -> impl Iterator<Item = usize> {
        let global = self.global.min(blocks);
        let near = |end: isize| end.clamp(global as isize, blocks as isize) as usize;
        let window = self.window.min(isize::MAX as usize / 4) as isize;
        let near = near(query.saturating_sub(window))..near(query.saturating_add(window).saturating_add(1));
        let others = blocks - global - near.len();
        let key = mix_long(mix_long(self.seed ^ mix_long(head as u64)) ^ query as u64);
        // Floyd's way of drawing distinct numbers.
        let mut numbers = Vec::with_capacity(self.random.min(others));
        for last in others - self.random.min(others)..others {
            let number = (mix_long(key ^ mix_long(last as u64)) % (last as u64 + 1)) as usize;
            numbers.push(if numbers.contains(&number) { last } else { number });
        }
        numbers.into_iter().map(move |number| {
            let block = global + number;
            if block < near.start { block } else { block + near.len() }
        })
    }

    /// The blocks of the tile's keys, and those in which its queries stand.
    fn blocks(&self, tile: &Tile) -> (Range<usize>, Range<isize>) {
        let offset = self.corner.offset(tile.shape);
        let block = |position: isize| position.div_euclid(self.block.min(isize::MAX as usize) as isize);
        let first = block(tile.queries.start as isize + offset);
        let last = block(tile.queries.end as isize - 1 + offset);
        (tile.keys.start / self.block..(tile.keys.end - 1) / self.block + 1, first..last + 1)
    }

    /// How many blocks of keys there are.
    fn count(&self, shape: &Shape) -> usize {
        shape.keys.div_ceil(self.block)
    }
}

impl Mask for BigBird {
    fn check(&self, shape: &Shape) -> Result<()> {
        if shape.keys.is_multiple_of(self.block) {
            return Ok(());
        }
        let expected = format!("a multiple of the block of BigBird, {}", self.block);
        Err(Error::new("keys", format!("{} positions", shape.keys), expected))
    }

    fn coverage(&self, tile: &Tile) -> Coverage {
        let (keys, queries) = self.blocks(tile);
        let blocks = self.count(tile.shape);
        let mut pairs = queries
            .flat_map(|query| keys.clone().map(move |key| (query, key)))
            .map(|(query, key)| self.sees(tile.head, query, key, blocks));
        let first = pairs.next().unwrap_or(false);
        match (first, pairs.all(|seen| seen == first)) {
            (true, true) => Coverage::Full,
            (false, true) => Coverage::Empty,
            _ => Coverage::Mixed,
        }
    }

    fn fill(&self, tile: &Tile, visible: &mut Visible) {
        let (keys, queries) = self.blocks(tile);
        let (blocks, offset) = (self.count(tile.shape), self.corner.offset(tile.shape));
        // Where a block begins, counted from the tile's first position.
        let place = |block: isize, first: isize| (block * self.block as isize - first).clamp(0, 64) as usize;
        for query in queries {
            let first = tile.queries.start as isize + offset;
            let word = low_bits(place(query + 1, first)) & !low_bits(place(query, first));
            for key in keys.clone().filter(|&key| self.sees(tile.head, query, key, blocks)) {
                let first = tile.keys.start as isize;
                let within = place(key as isize, first)..place(key as isize + 1, first).min(tile.keys.len());
                visible.words_mut()[within].iter_mut().for_each(|seen| *seen |= word);
            }
        }
    }
}
