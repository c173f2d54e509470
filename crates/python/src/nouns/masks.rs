//! Who may see whom?

use std::cell::RefCell;
use std::ops::Range;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use regard_kernel as kernel;
use regard_kernel::{Corner, SharedMask};

use super::{axes, four};
use crate::arrays::Array;
use crate::refused;

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
    fn big_bird(seed: u64, block: usize, window: usize, global: usize, random: usize, corner: &str) -> PyResult<Self> {
        let made = kernel::BigBird::new(seed).block(block).map_err(refused)?;
        Ok(Self::new(made.window(window).global(global).random(random).corner(corner_of(corner)?)))
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
