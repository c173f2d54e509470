//! The sizes of a problem, and where a tile lies in it.

use std::ops::Range;

use crate::{Error, Result};

/// Most queries in a tile.
pub const QUERY_BLOCK: usize = 64;
/// Most keys in a tile.
pub const KEY_BLOCK: usize = 64;

/// The sizes of an attention problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Independent problems.
    pub batch: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; `heads` is a multiple of it, and consecutive query heads share one.
    pub key_heads: usize,
    /// Queries, L.
    pub queries: usize,
    /// Keys, S.
    pub keys: usize,
    /// Features of a query.
    pub query_width: usize,
    /// Features of a key.
    pub key_width: usize,
    /// Features of a value.
    pub value_width: usize,
}

impl Shape {
    /// The sizes of `q` and `k` if they fit together; there are no values yet.
    pub(crate) fn of(q: [usize; 4], k: [usize; 4]) -> Result<Self> {
        let [batch, heads, queries, query_width] = q;
        let [key_batch, key_heads, keys, key_width] = k;
        if key_batch != batch {
            return Err(Error::new("keys", format!("batch {key_batch}"), format!("{batch} as the queries have")));
        }
        if heads != 0 && (key_heads == 0 || !heads.is_multiple_of(key_heads)) {
            return Err(Error::new(
                "keys",
                format!("{key_heads} heads"),
                format!("a divisor of the {heads} query heads"),
            ));
        }
        Self { batch, heads, key_heads, queries, keys, query_width, key_width, value_width: 0 }.fits()
    }

    /// Refuses sizes with which not even one array could be held in memory; a broadcast view can have any.
    fn fits(self) -> Result<Self> {
        let width = self.query_width.max(self.key_width).max(self.value_width);
        let sizes = [self.batch, self.heads, self.queries.max(self.keys), width];
        let most = sizes.iter().try_fold(size_of::<f32>(), |size, &n| size.checked_mul(n.max(1)));
        if most.is_some_and(|most| most <= isize::MAX as usize) {
            return Ok(self);
        }
        Err(Error::new("sizes [batch, head, position, feature]", format!("{sizes:?}"), "less than memory can hold"))
    }

    /// The same sizes with those of `v`.
    pub(crate) fn with_values(self, v: [usize; 4]) -> Result<Self> {
        let [batch, heads, keys, value_width] = v;
        if [batch, heads, keys] != [self.batch, self.key_heads, self.keys] {
            let expected = format!("{:?} as the keys have", [self.batch, self.key_heads, self.keys]);
            return Err(Error::new("values", format!("[batch, head, position] {:?}", [batch, heads, keys]), expected));
        }
        Self { value_width, ..self }.fits()
    }

    /// How many query heads share a key head.
    pub fn group(&self) -> usize {
        self.heads.checked_div(self.key_heads).unwrap_or(0)
    }

    /// How many keys precede the first query when both sequences end together (bottom-right alignment): S − L.
    pub fn offset(&self) -> isize {
        self.keys as isize - self.queries as isize
    }

    /// Blocks of queries, in order.
    pub(crate) fn query_blocks(&self) -> impl Iterator<Item = Range<usize>> + Clone + use<> {
        blocks(0..self.queries, QUERY_BLOCK)
    }

    /// Blocks of keys, in order.
    pub(crate) fn key_blocks(&self) -> impl Iterator<Item = Range<usize>> + Clone + use<> {
        blocks(0..self.keys, KEY_BLOCK)
    }
}

/// Cuts a range into blocks of at most `size`.
pub(crate) fn blocks(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let end = range.end;
    range.step_by(size).map(move |start| start..end.min(start + size))
}

/// Where a tile lies: some queries of one batch and head against some keys.
#[derive(Clone, Debug)]
pub struct Tile<'a> {
    /// The whole problem.
    pub shape: &'a Shape,
    /// The tile's batch.
    pub batch: usize,
    /// The tile's query head.
    pub head: usize,
    /// Its queries, at most [`QUERY_BLOCK`].
    pub queries: Range<usize>,
    /// Its keys, at most [`KEY_BLOCK`].
    pub keys: Range<usize>,
}
