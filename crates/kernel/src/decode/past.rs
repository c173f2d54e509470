//! What decoding reads.

use super::KeyValueCache;
use crate::view::View;

/// Keys `[batch, key head, position, key width]` and values `[batch, key head, position, value width]` of everything so far:
/// a cache, or memory of the caller's.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    pub(crate) keys: View<'a>,
    pub(crate) values: View<'a>,
}

impl<'a> From<&'a KeyValueCache> for Past<'a> {
    fn from(cache: &'a KeyValueCache) -> Self {
        Self { keys: cache.keys(), values: cache.values() }
    }
}

impl<'a> From<(&View<'a>, &View<'a>)> for Past<'a> {
    fn from((keys, values): (&View<'a>, &View<'a>)) -> Self {
        Self { keys: *keys, values: *values }
    }
}
