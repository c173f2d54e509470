//! Rotary position embedding.

use pyo3::prelude::*;
use regard_kernel::rows::{self, Pairs};

use crate::arrays::Array;
use crate::results::Fresh;
use crate::threads;

/// Turned features, in the type of `x`; `positions` are `[batch, position]`, flat.
#[pyfunction]
pub fn rotate<'py>(
    x: &Bound<'py, PyAny>,
    cos: &Bound<'py, PyAny>,
    sin: &Bound<'py, PyAny>,
    positions: Option<Vec<usize>>,
    interleaved: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let [array, cos, sin] = [Array::read("x", x)?, Array::read("cos", cos)?, Array::read("sin", sin)?];
    let (view, cos, sin) = (array.view()?, cos.view()?, sin.view()?);
    let pairs = if interleaved { Pairs::Neighbours } else { Pairs::Halves };
    let mut turned = Fresh::like(x, array.shape())?;
    let size: usize = array.shape().iter().product();
    let turn = |out: &mut [f32]| {
        threads::run(x.py(), 4.0 * size as f64, || rows::rotate(&view, &cos, &sin, positions.as_deref(), pairs, out))?
            .map_err(crate::refused)
    };
    if let Some(out) = turned.numbers_mut() {
        turn(out)?;
        return Ok(turned.done());
    }
    let mut out = vec![0.0; size];
    turn(&mut out)?;
    Ok(turned.write(&out))
}
