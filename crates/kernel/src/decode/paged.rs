//! Keys and values of sequences that each grow on their own, in pages (Kwon et al., "PagedAttention", 2023,
//! arXiv:2309.06180).

use std::ops::Range;
use std::sync::Arc;

use crate::element::Data;
use crate::error::Error;
use crate::memory::{Memory, Precision};
use crate::shape::KEY_BLOCK;
use crate::stored::Stored;
use crate::view::View;
use crate::{Result, decode::Past};

/// Keys and values of sequences of different lengths, in pages of a fixed number of positions.
///
/// A sequence takes no more memory than it needs, up to a page. Sequences that were [selected](PagedCache::select) more than
/// once share their pages; one that writes to a shared page gets a copy of its own. Decoding reads pages where they lie.
///
/// The queries' batch is the sequences, in order. To masks and biases, each sequence has its own number of keys:
/// bottom-right means its own end.
#[derive(Clone, Debug)]
pub struct PagedCache {
    key_heads: usize,
    key_width: usize,
    value_width: usize,
    precision: Precision,
    page: usize,
    sequences: Vec<Sequence>,
}

#[derive(Clone, Debug, Default)]
struct Sequence {
    pages: Vec<Arc<Page>>,
    len: usize,
}

/// Keys and values `[key head, position, feature]`.
#[derive(Clone, Debug)]
struct Page {
    keys: Memory,
    values: Memory,
}

impl PagedCache {
    /// A page of this many positions is neither slow to read nor much to waste.
    pub const PAGE: usize = 256;

    /// A cache of no sequences, whose pages hold [`PagedCache::PAGE`] positions.
    pub fn new(key_heads: usize, key_width: usize, value_width: usize, precision: Precision) -> Self {
        Self { key_heads, key_width, value_width, precision, page: Self::PAGE, sequences: Vec::new() }
    }

    /// The same cache, empty, with pages of another size.
    ///
    /// # Errors
    /// If `positions` is not a positive multiple of [`KEY_BLOCK`].
    pub fn with_page(self, positions: usize) -> Result<Self> {
        if positions == 0 || !positions.is_multiple_of(KEY_BLOCK) {
            return Err(Error::new("page", positions, format!("a positive multiple of {KEY_BLOCK}")));
        }
        Ok(Self { page: positions, sequences: Vec::new(), ..self })
    }

    /// How many sequences there are.
    pub fn sequences(&self) -> usize {
        self.sequences.len()
    }

    /// How many positions a sequence holds; `None` if there is no such sequence.
    pub fn len(&self, sequence: usize) -> Option<usize> {
        Some(self.sequences.get(sequence)?.len)
    }

    /// Whether no sequence holds any position.
    pub fn is_empty(&self) -> bool {
        self.sequences.iter().all(|sequence| sequence.len == 0)
    }

    /// How many pages are in use; those that several sequences share count once.
    pub fn pages(&self) -> usize {
        let all = self.sequences.iter().flat_map(|sequence| &sequence.pages);
        all.map(Arc::as_ptr).collect::<std::collections::HashSet<_>>().len()
    }

    /// Adds an empty sequence after the others and returns its number.
    pub fn push(&mut self) -> usize {
        self.sequences.push(Sequence::default());
        self.sequences.len() - 1
    }

    /// Adds positions to a sequence: `k` `[1, key head, n, key width]` and `v` `[1, key head, n, value width]`.
    ///
    /// # Errors
    /// If there is no such sequence, or the shapes do not fit the cache or each other; the cache is then as it was.
    pub fn append(&mut self, sequence: usize, k: &View, v: &View) -> Result<()> {
        self.check(sequence)?;
        let added = k.shape()[2];
        for (argument, view, width) in [("keys", k, self.key_width), ("values", v, self.value_width)] {
            let expected = [1, self.key_heads, added, width];
            if view.shape() != expected {
                return Err(Error::new(argument, format!("{:?}", view.shape()), format!("{expected:?}")));
            }
        }
        let (page, heads) = (self.page, self.key_heads);
        let empty = |width| Memory::new(self.precision, heads * page, width);
        let to = &mut self.sequences[sequence];
        let mut done = 0;
        while done < added {
            let place = to.len % page;
            if place == 0 {
                to.pages.push(Arc::new(Page { keys: empty(self.key_width), values: empty(self.value_width) }));
            }
            let count = (page - place).min(added - done);
            let last = Arc::make_mut(to.pages.last_mut().expect("a sequence has a page for every position"));
            for head in 0..heads {
                last.keys.write(head * page + place, k.matrix(0, head).slice(done..done + count));
                last.values.write(head * page + place, v.matrix(0, head).slice(done..done + count));
            }
            to.len += count;
            done += count;
        }
        Ok(())
    }

    /// Forgets every position of a sequence after the first `len`.
    ///
    /// # Errors
    /// If there is no such sequence.
    pub fn truncate(&mut self, sequence: usize, len: usize) -> Result<()> {
        self.check(sequence)?;
        let sequence = &mut self.sequences[sequence];
        sequence.len = sequence.len.min(len);
        sequence.pages.truncate(sequence.len.div_ceil(self.page));
        Ok(())
    }

    /// Replaces all sequences by some of them, in the order given, any number of times each: to fork one, to drop those that
    /// are done, to follow a beam. Nothing is copied.
    ///
    /// # Errors
    /// If there is no such sequence; the cache is then as it was.
    pub fn select(&mut self, sequences: &[usize]) -> Result<()> {
        sequences.iter().try_for_each(|&sequence| self.check(sequence))?;
        self.sequences = sequences.iter().map(|&sequence| self.sequences[sequence].clone()).collect();
        Ok(())
    }

    fn check(&self, sequence: usize) -> Result<()> {
        if sequence < self.sequences.len() {
            return Ok(());
        }
        Err(Error::new("sequence", sequence, format!("less than {} sequences", self.sequences.len())))
    }
}

impl<'a> From<&'a PagedCache> for Past<'a> {
    fn from(cache: &'a PagedCache) -> Self {
        let longest = cache.sequences.iter().map(|sequence| sequence.len).max().unwrap_or(0);
        let view = |width, values| {
            let shape = [cache.sequences.len(), cache.key_heads, longest, width];
            View::of_memory(Data::Pages(Pages { cache, values, sequence: 0, head: 0 }), shape, [0; 4], [0; 3])
        };
        let lengths = cache.sequences.iter().map(|sequence| sequence.len).collect();
        Self { keys: view(cache.key_width, false), values: view(cache.value_width, true), lengths: Some(lengths) }
    }
}

/// The keys or values of one head of one sequence, wherever they lie.
#[derive(Clone, Copy, Debug)]
pub struct Pages<'a> {
    cache: &'a PagedCache,
    values: bool,
    sequence: usize,
    head: usize,
}

impl<'a> Pages<'a> {
    /// Those of another sequence and head.
    pub(crate) fn of(self, sequence: usize, head: usize) -> Self {
        Self { sequence, head, ..self }
    }

    /// How many positions there are in the page from this one on.
    pub(crate) fn left(&self, position: usize) -> usize {
        self.cache.page - position % self.cache.page
    }

    /// Some positions, all of them in one page.
    pub(crate) fn rows(&self, positions: Range<usize>) -> Stored<'a> {
        let PagedCache { page, key_width, value_width, .. } = *self.cache;
        let width = if self.values { value_width } else { key_width };
        debug_assert!(positions.len() <= self.left(positions.start));
        let first = self.head * page + positions.start % page;
        let data = match self.cache.sequences[self.sequence].pages.get(positions.start / page) {
            Some(page) if self.values => page.values.data(),
            Some(page) => page.keys.data(),
            None => Data::F32(&[]),
        };
        Stored {
            data: data.skip(first * width, first),
            rows: positions.len(),
            columns: width,
            row_stride: width,
            column_stride: 1,
            scale_stride: 1,
        }
    }
}
