//! Where a product goes.

use std::marker::PhantomData;
use std::ops::Range;

/// Some columns of some rows of a matrix that others may be writing elsewhere in. They may hold nothing yet; then they are
/// written before anything is added to them, for which whoever asks for room answers.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    stride: usize,
    owner: PhantomData<&'a mut [f32]>,
}

// SAFETY: a place is used by one at a time, like the slice that it is a part of.
unsafe impl Send for Place<'_> {}

impl<'a> Place<'a> {
    /// Some columns of rows that follow each other every `stride` numbers.
    #[inline(always)]
    pub(crate) fn of(numbers: &'a mut [f32], rows: usize, columns: Range<usize>, stride: usize) -> Self {
        assert!(columns.start <= columns.end && columns.end <= stride);
        assert!(rows == 0 || numbers.len() >= (rows - 1) * stride + columns.end);
        let start = numbers.as_mut_ptr().wrapping_add(columns.start);
        Self { start, rows, columns: columns.len(), stride, owner: PhantomData }
    }

    /// Room after what a vector holds, in which nothing has been written.
    pub(crate) fn after(vector: &'a mut Vec<f32>, rows: usize, columns: usize) -> Self {
        vector.reserve_exact(rows.checked_mul(columns).expect("a result has a size"));
        let start = vector.spare_capacity_mut().as_mut_ptr().cast();
        Self { start, rows, columns, stride: columns, owner: PhantomData }
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
        let start = self.start.wrapping_add(rows.start * self.stride + columns.start);
        Self { start, rows: rows.len(), columns: columns.len(), ..*self }
    }

    /// Where a row starts.
    #[inline(always)]
    pub(crate) fn row(&mut self, row: usize) -> *mut f32 {
        debug_assert!(row < self.rows);
        self.start.wrapping_add(row * self.stride)
    }
}
