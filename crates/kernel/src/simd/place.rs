//! Where a product goes.

use std::marker::PhantomData;
use std::ops::Range;

/// Some columns of some rows of a matrix that others may be writing elsewhere in. They may hold nothing yet; then they are
/// written before anything is added to them, for which whoever asks for room answers.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    all: Rows,
    rows: usize,
    columns: usize,
    owner: PhantomData<&'a mut [f32]>,
}

/// Rows that follow each other every `stride` numbers. Copies stay in registers; a [`Place`] behind a reference would be read
/// again after every number that is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    pub(super) start: *mut f32,
    pub(super) stride: usize,
}

// SAFETY: a place is used by one at a time, like the slice that it is a part of.
unsafe impl Send for Place<'_> {}

impl<'a> Place<'a> {
    /// Some columns of rows that follow each other every `stride` numbers.
    #[inline(always)]
    pub(crate) fn of(numbers: &'a mut [f32], rows: usize, columns: Range<usize>, stride: usize) -> Self {
        assert!(columns.start <= columns.end && columns.end <= stride);
        assert!(rows == 0 || numbers.len() >= (rows - 1) * stride + columns.end);
        let all = Rows { start: numbers.as_mut_ptr().wrapping_add(columns.start), stride };
        Self { all, rows, columns: columns.len(), owner: PhantomData }
    }

    /// Room after what a vector holds, in which nothing has been written.
    pub(crate) fn after(vector: &'a mut Vec<f32>, rows: usize, columns: usize) -> Self {
        vector.reserve_exact(rows.checked_mul(columns).expect("a result has a size"));
        let all = Rows { start: vector.spare_capacity_mut().as_mut_ptr().cast(), stride: columns };
        Self { all, rows, columns, owner: PhantomData }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// A part of it.
    ///
    /// # Safety
    /// While the part is used, nobody uses what it shares with others.
    pub(crate) unsafe fn part(&self, rows: Range<usize>, columns: Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.rows);
        assert!(columns.start <= columns.end && columns.end <= self.columns);
        let start = self.all.start.wrapping_add(rows.start * self.all.stride + columns.start);
        Self { all: Rows { start, ..self.all }, rows: rows.len(), columns: columns.len(), owner: PhantomData }
    }

    /// Where a row starts.
    #[inline(always)]
    pub(crate) fn row(&mut self, row: usize) -> *mut f32 {
        debug_assert!(row < self.rows);
        self.all.start.wrapping_add(row * self.all.stride)
    }

    /// Makes each row these numbers.
    pub(crate) fn fill(&mut self, numbers: &[f32]) {
        assert_eq!(numbers.len(), self.columns);
        for row in 0..self.rows {
            // SAFETY: the row is there, and is nobody else's.
            unsafe { self.row(row).copy_from_nonoverlapping(numbers.as_ptr(), numbers.len()) };
        }
    }

    /// All rows.
    pub(super) fn all(&mut self) -> Rows {
        self.all
    }
}
