//! Handles: the kernel's nouns, to be held by the dataclasses that people meet.

mod biases;
mod masks;
mod normalizers;
mod scores;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::arrays::Array;

pub use biases::{Bias, Source};
pub use masks::Mask;
pub use normalizers::Normalizer;
pub use scores::Score;

/// An array's shape, and a copy of its numbers.
pub(crate) fn numbers(name: &str, object: &Bound<PyAny>) -> PyResult<(Vec<usize>, Vec<f32>)> {
    let array = Array::read(name, object)?;
    Ok((array.shape().to_vec(), array.numbers()?.into_owned()))
}

/// A shape of up to four axes, with axes of 1 before those given.
pub(crate) fn four(name: &str, shape: &[usize]) -> PyResult<[usize; 4]> {
    let missing = 4usize.checked_sub(shape.len());
    let missing = missing.ok_or_else(|| axes(name, shape, "at most [batch, head, query, key]"))?;
    let mut four = [1; 4];
    four[missing..].copy_from_slice(shape);
    Ok(four)
}

pub(crate) fn axes(name: &str, given: &[usize], expected: &str) -> PyErr {
    PyValueError::new_err(format!("{name} has the shape {given:?}: expected {expected}"))
}
