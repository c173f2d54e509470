//! The weight of a linear layer, where and as it is stored.

use crate::element::Element;
use crate::stored::Stored;
use crate::{Error, Result};

/// A borrowed weight of so many features from rows of some width: numbers of any type in either direction, or those of a
/// [`Quantized`](super::Quantized).
///
/// Files of PyTorch's networks have the numbers of a feature together (`[feature, width]`), others those of an input
/// (`[width, feature]`). Either is used where it lies; numbers of less than 32 bits are widened right before they are used.
#[derive(Clone, Copy, Debug)]
pub struct Weight<'a> {
    /// `[feature, width]`; one of the strides is 1.
    pub(super) matrix: Stored<'a>,
}

impl<'a> Weight<'a> {
    /// Contiguous numbers `[width, feature]`; `sizes` is that.
    ///
    /// # Errors
    /// If there are fewer or more numbers.
    pub fn new<T: Element>(numbers: &'a [T], sizes: [usize; 2]) -> Result<Self> {
        let [width, features] = sizes;
        if width.checked_mul(features) != Some(numbers.len()) {
            return Err(refused(numbers.len(), format!("{width} rows of {features} features")));
        }
        Self::strided(numbers, sizes, [features, 1])
    }

    /// Contiguous numbers `[feature, width]`; `sizes` is `[width, feature]`.
    ///
    /// # Errors
    /// If there are fewer or more numbers.
    pub fn turned<T: Element>(numbers: &'a [T], sizes: [usize; 2]) -> Result<Self> {
        let [width, features] = sizes;
        if width.checked_mul(features) != Some(numbers.len()) {
            return Err(refused(numbers.len(), format!("{features} features of {width}")));
        }
        Self::strided(numbers, sizes, [1, width])
    }

    /// Numbers `[width, feature]` with any strides, in elements, one of which is 1; `sizes` is `[width, feature]`.
    ///
    /// # Errors
    /// If a size is 0, no stride is 1, or an index would lie outside the numbers.
    pub fn strided<T: Element>(numbers: &'a [T], sizes: [usize; 2], strides: [usize; 2]) -> Result<Self> {
        let [width, features] = sizes;
        let last = |axis: usize| sizes[axis].checked_sub(1)?.checked_mul(strides[axis]);
        let inside = last(0).zip(last(1)).and_then(|(a, b)| a.checked_add(b)).is_some_and(|last| last < numbers.len());
        // An axis of one element has no stride worth the name: the other one may be the contiguous one.
        let [mut across, mut along] = strides;
        if features == 1 {
            along = if across == 1 { width } else { 1 };
        }
        if width == 1 {
            across = if along == 1 { features } else { 1 };
        }
        if !inside || (across != 1 && along != 1) {
            let expected = format!("sizes {sizes:?} > 0 inside the numbers, one of the strides {strides:?} 1");
            return Err(refused(numbers.len(), expected));
        }
        let data = T::data(numbers);
        let matrix =
            Stored { data, rows: features, columns: width, row_stride: along, column_stride: across, scale_stride: 0 };
        Ok(Self { matrix })
    }

    /// `[width, feature]`.
    pub fn sizes(&self) -> [usize; 2] {
        [self.matrix.columns, self.matrix.rows]
    }
}

fn refused(given: usize, expected: String) -> Error {
    Error::new("weight", format!("{given} numbers"), expected)
}
