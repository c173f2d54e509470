//! Borrowed strided arrays: how tensors come in without being copied.

use std::ops::Range;

use crate::{Error, Result};

/// A borrowed strided array `[batch, head, position, feature]`.
///
/// Strides count elements and may be anything, zero (broadcast) included; every index of the shape is checked to lie
/// inside the data when the view is made.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    data: &'a [f32],
    shape: [usize; 4],
    strides: [usize; 4],
}

impl<'a> View<'a> {
    /// A contiguous array: the last axis varies fastest.
    ///
    /// # Errors
    /// If `data` does not hold exactly as many numbers as `shape` says.
    pub fn new(data: &'a [f32], shape: [usize; 4]) -> Result<Self> {
        let [_, heads, positions, features] = shape;
        let size = shape.iter().try_fold(1usize, |size, &n| size.checked_mul(n));
        if size != Some(data.len()) {
            return Err(Error::new("data", format!("{} numbers", data.len()), format!("the product of {shape:?}")));
        }
        let row = positions.saturating_mul(features);
        Ok(Self { data, shape, strides: [heads.saturating_mul(row), row, features, 1] })
    }

    /// An array with any strides, in elements.
    ///
    /// # Errors
    /// If an index of `shape` would lie outside `data`.
    pub fn strided(data: &'a [f32], shape: [usize; 4], strides: [usize; 4]) -> Result<Self> {
        if !shape.contains(&0) {
            let last = shape
                .iter()
                .zip(strides)
                .try_fold(0usize, |last, (&n, stride)| last.checked_add((n - 1).checked_mul(stride)?));
            if last.is_none_or(|last| last >= data.len()) {
                return Err(Error::new(
                    "data",
                    format!("{} numbers", data.len()),
                    format!("enough for the shape {shape:?} with the strides {strides:?}"),
                ));
            }
        }
        Ok(Self { data, shape, strides })
    }

    /// `[batch, head, position, feature]`.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// The numbers that the view looks at, where they lie.
    pub fn data(&self) -> &'a [f32] {
        self.data
    }

    /// Elements from one index of each axis to the next.
    pub fn strides(&self) -> [usize; 4] {
        self.strides
    }

    /// The `[position, feature]` matrix of one batch and head; both must be inside the shape.
    pub(crate) fn matrix(&self, batch: usize, head: usize) -> Matrix<'a> {
        debug_assert!(batch < self.shape[0] && head < self.shape[1]);
        let [_, _, rows, columns] = self.shape;
        let start = batch * self.strides[0] + head * self.strides[1];
        Matrix {
            data: self.data.get(start..).unwrap_or_default(),
            rows,
            columns,
            row_stride: self.strides[2],
            column_stride: self.strides[3],
        }
    }
}

/// A borrowed strided matrix. Whoever makes one keeps every index inside the data, or leaves a side empty.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows that follow each other every `stride` elements.
    pub(crate) fn panel(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        Self { data, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns there are.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The element in `row` and `column`.
    ///
    /// # Panics
    /// If the element lies outside the data.
    #[inline(always)]
    pub fn get(&self, row: usize, column: usize) -> f32 {
        self.data[row * self.row_stride + column * self.column_stride]
    }

    /// The same numbers with rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// Some of the rows.
    pub(crate) fn slice(self, rows: Range<usize>) -> Self {
        let data = self.data.get(rows.start * self.row_stride..).unwrap_or_default();
        Self { data, rows: rows.len(), ..self }
    }

    /// Whether every index lies inside the data.
    pub(crate) fn in_bounds(&self) -> bool {
        self.rows == 0
            || self.columns == 0
            || (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride < self.data.len()
    }
}
