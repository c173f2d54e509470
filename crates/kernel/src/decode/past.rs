//! What decoding reads.

use std::ops::Range;

use super::KeyValueCache;
use crate::Result;
use crate::attention::Attention;
use crate::problem::Problem;
use crate::view::View;

/// Keys `[batch, key head, position, key width]` and values `[batch, key head, position, value width]` of everything so far:
/// a cache, or memory of the caller's.
#[derive(Clone, Debug)]
pub struct Past<'a> {
    pub(super) keys: View<'a>,
    pub(super) values: View<'a>,
    /// How many positions each batch has, if not all that the views say.
    pub(super) lengths: Option<Vec<usize>>,
}

impl<'a> From<&'a KeyValueCache> for Past<'a> {
    fn from(cache: &'a KeyValueCache) -> Self {
        Self { keys: cache.keys(), values: cache.values(), lengths: None }
    }
}

impl<'a> From<(&View<'a>, &View<'a>)> for Past<'a> {
    fn from((keys, values): (&View<'a>, &View<'a>)) -> Self {
        Self { keys: *keys, values: *values, lengths: None }
    }
}

/// Some batches that have equally many keys.
pub(super) struct Group<'a> {
    pub(super) problem: Problem<'a>,
    pub(super) values: View<'a>,
    pub(super) batches: Range<usize>,
}

impl<'a> Past<'a> {
    /// The batches by how many keys they have.
    ///
    /// # Errors
    /// If queries, past and attention do not fit.
    pub(super) fn groups(&self, attention: &'a Attention, queries: &View<'a>) -> Result<Vec<Group<'a>>> {
        let batch = queries.shape()[0];
        let group = |(keys, values): (View<'a>, View<'a>), batches| {
            let problem = Problem::new(attention, queries, &keys)?.with_values(&values)?;
            Ok(Group { problem, values, batches })
        };
        match &self.lengths {
            Some(lengths) if lengths.len() == batch && lengths.iter().any(|length| *length != lengths[0]) => {
                let first = |length| (self.keys.positions(length), self.values.positions(length));
                let lengths = lengths.iter().enumerate();
                lengths.map(|(batch, &length)| group(first(length), batch..batch + 1)).collect()
            }
            _ => Ok(vec![group((self.keys, self.values), 0..batch)?]),
        }
    }
}
