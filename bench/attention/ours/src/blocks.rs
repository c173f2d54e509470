//! A mask of one's own: square blocks that are seen or not.

use regard_kernel::mask::{Coverage, Visible};
use regard_kernel::{Mask, Tile};

/// `seen[row * columns + column]` says whether a block of queries sees a block of keys.
#[derive(Debug)]
pub struct BlockMask {
    pub seen: Vec<bool>,
    pub columns: usize,
    pub size: usize,
}

impl BlockMask {
    fn sees(&self, query: usize, key: usize) -> bool {
        self.seen[query / self.size * self.columns + key / self.size]
    }
}

impl Mask for BlockMask {
    fn coverage(&self, tile: &Tile) -> Coverage {
        let rows = tile.queries.start / self.size..=(tile.queries.end - 1) / self.size;
        let columns = tile.keys.start / self.size..=(tile.keys.end - 1) / self.size;
        let mut blocks = rows.flat_map(|row| columns.clone().map(move |column| row * self.columns + column));
        let first = blocks.next().is_some_and(|block| self.seen[block]);
        if !blocks.all(|block| self.seen[block] == first) {
            Coverage::Mixed
        } else if first {
            Coverage::Full
        } else {
            Coverage::Empty
        }
    }

    fn fill(&self, tile: &Tile, visible: &mut Visible) {
        visible.each(tile, |query, key| self.sees(query, key));
    }
}
