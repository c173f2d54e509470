//! Many documents packed into one sequence.

use super::{Coverage, Mask, Visible, low_bits};
use crate::shape::{Shape, Tile};
use crate::{Error, Result};

/// Several documents lie end to end in one sequence; a query sees the keys of its own document only.
///
/// Offsets are where documents begin, with the total length at the end: `[0, 3, 8]` is a document of three positions and
/// one of five. All batches are packed alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documents {
    queries: Vec<usize>,
    keys: Vec<usize>,
}

impl Documents {
    /// Documents that begin at `offsets`, among queries and keys alike (self-attention).
    ///
    /// # Errors
    /// As [`Documents::cross`].
    pub fn new(offsets: impl Into<Vec<usize>>) -> Result<Self> {
        let offsets = offsets.into();
        Self::cross(offsets.clone(), offsets)
    }

    /// The n-th document of the queries sees the n-th of the keys.
    ///
    /// # Errors
    /// If offsets do not start at 0, ever decrease, or differ in number between queries and keys.
    pub fn cross(queries: impl Into<Vec<usize>>, keys: impl Into<Vec<usize>>) -> Result<Self> {
        let (queries, keys) = (queries.into(), keys.into());
        for (argument, offsets) in [("query offsets", &queries), ("key offsets", &keys)] {
            if offsets.first() != Some(&0) || !offsets.is_sorted() {
                return Err(Error::new(argument, format!("{offsets:?}"), "a rising sequence that starts with 0"));
            }
        }
        if queries.len() != keys.len() {
            let given = format!("{} documents", keys.len() - 1);
            return Err(Error::new("key offsets", given, format!("{} as the queries have", queries.len() - 1)));
        }
        Ok(Self { queries, keys })
    }

    /// The document of a query.
    fn document(&self, query: usize) -> usize {
        self.queries.partition_point(|&start| start <= query) - 1
    }
}

impl Mask for Documents {
    fn check(&self, shape: &Shape) -> Result<()> {
        for (argument, offsets, length) in
            [("query offsets", &self.queries, shape.queries), ("key offsets", &self.keys, shape.keys)]
        {
            if offsets.last() != Some(&length) {
                let given = format!("an end at {}", offsets.last().unwrap_or(&0));
                return Err(Error::new(argument, given, format!("the length, {length}")));
            }
        }
        Ok(())
    }

    fn coverage(&self, tile: &Tile) -> Coverage {
        let (first, last) = (self.document(tile.queries.start), self.document(tile.queries.end - 1));
        let (start, end) = (self.keys[first], self.keys[last + 1]);
        if end <= tile.keys.start || tile.keys.end <= start {
            Coverage::Empty
        } else if first == last && start <= tile.keys.start && tile.keys.end <= end {
            Coverage::Full
        } else {
            Coverage::Mixed
        }
    }

    fn fill(&self, tile: &Tile, visible: &mut Visible) {
        let mut start = tile.queries.start;
        while start < tile.queries.end {
            let document = self.document(start);
            let end = self.queries[document + 1].min(tile.queries.end);
            let queries = low_bits(end - tile.queries.start) & !low_bits(start - tile.queries.start);
            let [from, to] = [self.keys[document], self.keys[document + 1]]
                .map(|key| key.clamp(tile.keys.start, tile.keys.end) - tile.keys.start);
            visible.words_mut()[from..to].iter_mut().for_each(|word| *word |= queries);
            start = end;
        }
    }
}
