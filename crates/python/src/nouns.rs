//! Handles: the kernel's nouns, to be held by the dataclasses that people meet.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use regard_kernel as kernel;
use regard_kernel::{Corner, SharedMask};

use crate::arrays::Array;
use crate::refused;

/// How alike are a query and a key?
#[pyclass(frozen, module = "regard._regard")]
pub struct Score(pub Arc<dyn kernel::Score>);

#[pymethods]
impl Score {
    #[staticmethod]
    fn dot() -> Self {
        Self(Arc::new(kernel::Dot))
    }

    #[staticmethod]
    fn scaled_dot(scale: Option<f32>) -> Self {
        Self(Arc::new(kernel::ScaledDot { scale }))
    }

    #[staticmethod]
    fn cosine(tau: &Bound<PyAny>) -> PyResult<Self> {
        Ok(Self(Arc::new(kernel::Cosine::new(numbers("tau", tau)?.1))))
    }

    #[staticmethod]
    fn bilinear(weights: &Bound<PyAny>) -> PyResult<Self> {
        let (shape, weights) = numbers("weights", weights)?;
        let ([query, key] | [_, query, key]) = shape[..] else {
            return Err(axes("weights", &shape, "[query feature, key feature] or [head, query feature, key feature]"));
        };
        Ok(Self(Arc::new(kernel::Bilinear::new(weights, query, key).map_err(refused)?)))
    }

    #[staticmethod]
    fn additive(v: &Bound<PyAny>) -> PyResult<Self> {
        let (shape, v) = numbers("v", v)?;
        let ([width] | [_, width]) = shape[..] else {
            return Err(axes("v", &shape, "[feature] or [head, feature]"));
        };
        Ok(Self(Arc::new(kernel::Additive::new(v, width))))
    }
}

/// Who may see whom.
#[pyclass(frozen, module = "regard._regard")]
pub struct Mask(pub SharedMask);

impl Mask {
    fn new(mask: impl kernel::Mask + 'static) -> Self {
        Self(SharedMask::new(mask))
    }
}

#[pymethods]
impl Mask {
    #[staticmethod]
    fn causal(corner: &str) -> PyResult<Self> {
        Ok(Self::new(kernel::Causal::new(corner_of(corner)?)))
    }

    #[staticmethod]
    fn window(past: Option<usize>, future: Option<usize>, corner: &str) -> PyResult<Self> {
        Ok(Self::new(kernel::Window { past, future, corner: corner_of(corner)? }))
    }

    #[staticmethod]
    fn dilated(past: Option<usize>, future: Option<usize>, step: usize, corner: &str) -> PyResult<Self> {
        let dilated = kernel::Dilated::new(past, future, step).map_err(refused)?;
        Ok(Self::new(dilated.corner(corner_of(corner)?)))
    }

    #[staticmethod]
    fn global_(positions: Vec<Vec<usize>>, corner: &str) -> PyResult<Self> {
        Ok(Self::new(kernel::Global::batches(positions).corner(corner_of(corner)?)))
    }

    #[staticmethod]
    fn padding(lengths: Vec<usize>) -> Self {
        Self::new(kernel::Padding::new(lengths))
    }

    #[staticmethod]
    fn prefix(lengths: Vec<usize>) -> Self {
        Self::new(kernel::Prefix::new(lengths))
    }

    #[staticmethod]
    fn documents(queries: Vec<usize>, keys: Vec<usize>) -> PyResult<Self> {
        Ok(Self::new(kernel::Documents::cross(queries, keys).map_err(refused)?))
    }

    #[staticmethod]
    fn keys(visible: &Bound<PyAny>) -> PyResult<Self> {
        let array = Array::read("visible", visible)?;
        let ([keys] | [_, keys]) = array.shape()[..] else {
            return Err(axes("visible", array.shape(), "[key] or [batch, key]"));
        };
        Ok(Self::new(kernel::KeyMask::new(array.booleans()?, keys).map_err(refused)?))
    }

    #[staticmethod]
    fn layout(layout: &Bound<PyAny>, queries: usize, keys: usize, side: usize) -> PyResult<Self> {
        let array = Array::read("layout", layout)?;
        let [batch, heads, _, _] = four("layout", array.shape())?;
        let shape = [batch, heads, queries, keys];
        Ok(Self::new(kernel::Blocks::from_layout(&array.booleans()?, shape, side).map_err(refused)?))
    }

    /// A boolean for each pair, `[batch or 1, head or 1, query, key]` or the last of these axes. With `pairs`, the
    /// numbers of queries and keys, the axes of 1 among the last two are shared.
    #[staticmethod]
    fn dense(visible: &Bound<PyAny>, pairs: Option<[usize; 2]>) -> PyResult<Self> {
        let array = Array::read("mask", visible)?;
        let [batch, heads, queries, keys] = four("mask", array.shape())?;
        let [all_queries, all_keys] = pairs.unwrap_or([queries, keys]);
        let full = |n: usize, all: usize| if n == 1 { all } else { n };
        let shape = [batch, heads, full(queries, all_queries), full(keys, all_keys)];
        if heads == 1 && queries == 1 && keys == shape[3] {
            return Ok(Self::new(kernel::KeyMask::new(array.booleans()?, keys).map_err(refused)?));
        }
        let bytes = array.bytes()?;
        let mut strides = [0; 4];
        strides[4 - array.strides().len()..].copy_from_slice(array.strides());
        let row = |batch, head, query, keys: Range<usize>| {
            let first = batch * strides[0] + head * strides[1] + query * strides[2] + keys.start * strides[3];
            word(&bytes[first..], strides[3], keys.len())
        };
        Ok(Self::new(kernel::Blocks::from_rows(shape, row).map_err(refused)?))
    }

    /// `rows(batch, head, first, end)` gives booleans `[query, key]` for the queries from `first` to `end`; it is
    /// called for all of them in order, for some `step` at a time.
    #[staticmethod]
    fn by_rows(shape: [usize; 4], step: usize, rows: &Bound<PyAny>) -> PyResult<Self> {
        let [_, _, queries, keys] = shape;
        let (part, failed) = (RefCell::new((None, None::<Array>)), RefCell::new(None));
        let ask = |place: (usize, usize, usize)| {
            let end = (place.2 + step).min(queries);
            let array = Array::read("mask", &rows.call1((place.0, place.1, place.2, end))?)?;
            if array.shape() != [end - place.2, keys] {
                return Err(axes("mask", array.shape(), &format!("[{}, {keys}]", end - place.2)));
            }
            array.bytes()?;
            Ok(array)
        };
        let blocks = kernel::Blocks::from_rows(shape, |batch, head, query, some| {
            if failed.borrow().is_some() {
                return 0;
            }
            let place = (batch, head, query - query % step);
            let (known, visible) = &mut *part.borrow_mut();
            if *known != Some(place) {
                *known = Some(place);
                match ask(place) {
                    Ok(array) => *visible = Some(array),
                    Err(error) => {
                        failed.replace(Some(error));
                        return 0;
                    }
                }
            }
            let Some(array) = visible else { return 0 };
            let (Ok(bytes), &[row, key]) = (array.bytes(), array.strides()) else { return 0 };
            word(&bytes[query % step * row + some.start * key..], key, some.len())
        });
        match failed.into_inner() {
            Some(error) => Err(error),
            None => Ok(Self::new(blocks.map_err(refused)?)),
        }
    }

    fn __and__(&self, other: &Self) -> Self {
        Self::new(self.0.clone() & other.0.clone())
    }

    fn __or__(&self, other: &Self) -> Self {
        Self::new(self.0.clone() | other.0.clone())
    }

    fn __invert__(&self) -> Self {
        Self::new(!self.0.clone())
    }
}

/// What is added to scores, or reshapes them.
#[pyclass(frozen, module = "regard._regard")]
pub struct Bias(pub Arc<dyn kernel::Bias>);

#[pymethods]
impl Bias {
    /// The paper's slopes for a number of heads.
    #[staticmethod]
    fn alibi(heads: usize) -> Self {
        Self(Arc::new(kernel::Alibi::new(heads)))
    }

    #[staticmethod]
    fn alibi_slopes(slopes: &Bound<PyAny>) -> PyResult<Self> {
        Ok(Self(Arc::new(kernel::Alibi::with_slopes(numbers("slopes", slopes)?.1))))
    }

    #[staticmethod]
    fn relative_buckets(table: &Bound<PyAny>, bidirectional: bool, max_distance: usize) -> PyResult<Self> {
        let (shape, table) = numbers("table", table)?;
        let [_, heads] = shape[..] else { return Err(axes("table", &shape, "[bucket, head]")) };
        let buckets = kernel::RelativeBuckets::new(table, heads, bidirectional, max_distance);
        Ok(Self(Arc::new(buckets.map_err(refused)?)))
    }

    #[staticmethod]
    fn soft_cap(cap: f32) -> PyResult<Self> {
        Ok(Self(Arc::new(kernel::SoftCap::new(cap).map_err(refused)?)))
    }

    #[staticmethod]
    fn dense(values: &Bound<PyAny>) -> PyResult<Self> {
        let (shape, values) = numbers("bias", values)?;
        Ok(Self(Arc::new(kernel::DenseBias::new(values, four("bias", &shape)?).map_err(refused)?)))
    }
}

/// How scores become weights.
#[pyclass(frozen, module = "regard._regard")]
pub struct Normalizer(pub Arc<dyn kernel::Normalizer>);

#[pymethods]
impl Normalizer {
    #[staticmethod]
    fn softmax(temperature: f32, sink: Option<&Bound<PyAny>>) -> PyResult<Self> {
        let mut softmax = kernel::Softmax::default().temperature(temperature).map_err(refused)?;
        if let Some(sink) = sink {
            softmax = softmax.sink(numbers("sink", sink)?.1);
        }
        Ok(Self(Arc::new(softmax)))
    }

    #[staticmethod]
    fn sigmoid(bias: Option<f32>) -> PyResult<Self> {
        Ok(Self(Arc::new(match bias {
            Some(bias) => kernel::Sigmoid::new(bias).map_err(refused)?,
            None => kernel::Sigmoid::default(),
        })))
    }

    #[staticmethod]
    fn top_k(k: usize) -> PyResult<Self> {
        Ok(Self(Arc::new(kernel::TopK::new(k).map_err(refused)?)))
    }

    #[staticmethod]
    fn sparsemax() -> Self {
        Self(Arc::new(kernel::Sparsemax))
    }

    #[staticmethod]
    fn entmax15() -> Self {
        Self(Arc::new(kernel::Entmax15))
    }
}

/// Up to 64 booleans as bits, the first lowest.
fn word(bytes: &[u8], stride: usize, count: usize) -> u64 {
    if stride != 1 {
        return (0..count).fold(0, |word, i| word | u64::from(bytes[i * stride] != 0) << i);
    }
    let (eights, rest) = bytes[..count].as_chunks::<8>();
    let whole = eights.iter().enumerate().fold(0, |word, (i, &eight)| {
        // The highest bit of each byte becomes whether the byte is not 0, and a product gathers the eight.
        let eight = u64::from_le_bytes(eight);
        let high = ((eight & 0x7f7f_7f7f_7f7f_7f7f) + 0x7f7f_7f7f_7f7f_7f7f) | eight;
        let seen = (high >> 7) & 0x0101_0101_0101_0101;
        word | (seen.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * i)
    });
    let done = 8 * eights.len();
    rest.iter().enumerate().fold(whole, |word, (i, &byte)| word | u64::from(byte != 0) << (done + i))
}

fn corner_of(corner: &str) -> PyResult<Corner> {
    match corner {
        "bottom-right" => Ok(Corner::BottomRight),
        "top-left" => Ok(Corner::TopLeft),
        _ => Err(PyValueError::new_err(format!("corner is {corner:?}: expected \"bottom-right\" or \"top-left\""))),
    }
}

/// An array's shape, and a copy of its numbers.
fn numbers(name: &str, object: &Bound<PyAny>) -> PyResult<(Vec<usize>, Vec<f32>)> {
    let array = Array::read(name, object)?;
    Ok((array.shape().to_vec(), array.numbers()?.into_owned()))
}

/// A shape of up to four axes, with axes of 1 before those given.
fn four(name: &str, shape: &[usize]) -> PyResult<[usize; 4]> {
    let missing = 4usize.checked_sub(shape.len());
    let missing = missing.ok_or_else(|| axes(name, shape, "at most [batch, head, query, key]"))?;
    let mut four = [1; 4];
    four[missing..].copy_from_slice(shape);
    Ok(four)
}

fn axes(name: &str, given: &[usize], expected: &str) -> PyErr {
    PyValueError::new_err(format!("{name} has the shape {given:?}: expected {expected}"))
}
