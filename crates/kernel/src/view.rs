//! Borrowed strided arrays: how tensors come in without being copied.

use std::ops::Range;

use crate::element::{Data, Element};
use crate::stored::Stored;
use crate::{Error, Result};

/// A borrowed strided array `[batch, head, position, feature]` of `f32`, `f16`, `bf16`, or whole numbers with scales.
///
/// Strides count elements and may be anything, zero (broadcast) included; every index of the shape is checked to lie
/// inside the data when the view is made.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    data: Data<'a>,
    shape: [usize; 4],
    strides: [usize; 4],
    /// Those of the scales; zeros if there are none.
    scale_strides: [usize; 3],
}

impl<'a> View<'a> {
    /// A contiguous array: the last axis varies fastest.
    ///
    /// # Errors
    /// If `data` does not hold exactly as many numbers as `shape` says.
    pub fn new<T: Element>(data: &'a [T], shape: [usize; 4]) -> Result<Self> {
        check_product("data", data.len(), &shape)?;
        Ok(Self { data: T::data(data), shape, strides: contiguous(shape), scale_strides: [0; 3] })
    }

    /// An array with any strides, in elements.
    ///
    /// # Errors
    /// If an index of `shape` would lie outside `data`.
    pub fn strided<T: Element>(data: &'a [T], shape: [usize; 4], strides: [usize; 4]) -> Result<Self> {
        check_strides("data", data.len(), &shape, &strides)?;
        Ok(Self { data: T::data(data), shape, strides, scale_strides: [0; 3] })
    }

    /// A contiguous array of whole numbers, of which those of a row `[batch, head, position]` are to be multiplied with
    /// the row's own scale.
    ///
    /// # Errors
    /// If `data` does not hold exactly as many numbers as `shape` says, or `scales` as it has rows.
    pub fn quantized(data: &'a [i8], scales: &'a [f32], shape: [usize; 4]) -> Result<Self> {
        check_product("data", data.len(), &shape)?;
        check_product("scales", scales.len(), &shape[..3])?;
        let strides = contiguous(shape);
        let [batch, heads, positions, _] = shape;
        let [_, head, position, _] = contiguous([batch, heads, positions, 1]);
        let scale_strides = [heads.saturating_mul(head), head, position];
        Ok(Self { data: Data::I8(data, scales), shape, strides, scale_strides })
    }

    /// As [`quantized`](View::quantized), with any strides, in elements of `data` and of `scales`.
    ///
    /// # Errors
    /// If an index of `shape` would lie outside `data` or `scales`.
    pub fn quantized_strided(
        data: &'a [i8],
        scales: &'a [f32],
        shape: [usize; 4],
        strides: [usize; 4],
        scale_strides: [usize; 3],
    ) -> Result<Self> {
        check_strides("data", data.len(), &shape, &strides)?;
        if shape[3] != 0 {
            check_strides("scales", scales.len(), &shape[..3], &scale_strides)?;
        }
        Ok(Self { data: Data::I8(data, scales), shape, strides, scale_strides })
    }

    /// Memory that is known to hold every index of the shape.
    pub(crate) fn of_memory(data: Data<'a>, shape: [usize; 4], strides: [usize; 4], scale_strides: [usize; 3]) -> Self {
        Self { data, shape, strides, scale_strides }
    }

    /// The first positions, of at least as many.
    pub(crate) fn positions(self, length: usize) -> Self {
        let [batch, heads, _, width] = self.shape;
        Self { shape: [batch, heads, length, width], ..self }
    }

    /// An axis of 1 repeated; other axes stay as they are.
    pub(crate) fn broadcast(mut self, axis: usize, length: usize) -> Self {
        if self.shape[axis] == 1 {
            self.shape[axis] = length;
            self.strides[axis] = 0;
            if let Some(stride) = self.scale_strides.get_mut(axis) {
                *stride = 0;
            }
        }
        self
    }

    /// The same numbers with the last two axes exchanged; they must not have scales.
    pub(crate) fn transposed(mut self) -> Self {
        self.shape.swap(2, 3);
        self.strides.swap(2, 3);
        self
    }

    /// `[batch, head, position, feature]`.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// The numbers that the view looks at, where they lie, if they are of this type.
    pub fn data<T: Element>(&self) -> Option<&'a [T]> {
        T::numbers(self.data)
    }

    /// Elements from one index of each axis to the next.
    pub fn strides(&self) -> [usize; 4] {
        self.strides
    }

    /// The `[position, feature]` matrix of one batch and head; both must be inside the shape.
    pub(crate) fn matrix(&self, batch: usize, head: usize) -> Stored<'a> {
        debug_assert!(batch < self.shape[0] && head < self.shape[1]);
        let [_, _, rows, columns] = self.shape;
        let start = batch * self.strides[0] + head * self.strides[1];
        let scale = batch * self.scale_strides[0] + head * self.scale_strides[1];
        let data = match self.data {
            Data::Pages(pages) => Data::Pages(pages.of(batch, head)),
            data => data.skip(start, scale),
        };
        Stored {
            data,
            rows,
            columns,
            row_stride: self.strides[2],
            column_stride: self.strides[3],
            scale_stride: self.scale_strides[2],
        }
    }
}

/// The strides of an array without gaps.
fn contiguous([_, heads, positions, features]: [usize; 4]) -> [usize; 4] {
    let row = positions.saturating_mul(features);
    [heads.saturating_mul(row), row, features, 1]
}

/// Refuses an array that does not hold exactly as many numbers as its shape says.
fn check_product(argument: &str, given: usize, shape: &[usize]) -> Result<()> {
    if shape.iter().try_fold(1usize, |size, &n| size.checked_mul(n)) == Some(given) {
        return Ok(());
    }
    Err(Error::new(argument, format!("{given} numbers"), format!("the product of {shape:?}")))
}

/// Refuses an array outside of which an index would lie.
fn check_strides(argument: &str, given: usize, shape: &[usize], strides: &[usize]) -> Result<()> {
    if shape.contains(&0) {
        return Ok(());
    }
    let last = shape
        .iter()
        .zip(strides)
        .try_fold(0usize, |last, (&n, &stride)| last.checked_add((n - 1).checked_mul(stride)?));
    if last.is_some_and(|last| last < given) {
        return Ok(());
    }
    let expected = format!("enough for the shape {shape:?} with the strides {strides:?}");
    Err(Error::new(argument, format!("{given} numbers"), expected))
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

    /// Some of the rows.
    pub(crate) fn slice(self, rows: Range<usize>) -> Self {
        let data = self.data.get(rows.start * self.row_stride..).unwrap_or_default();
        Self { data, rows: rows.len(), ..self }
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

    /// Whether every index lies inside the data.
    pub(crate) fn in_bounds(&self) -> bool {
        self.rows == 0
            || self.columns == 0
            || (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride < self.data.len()
    }
}
