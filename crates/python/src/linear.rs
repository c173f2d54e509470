//! Linear attention.

use pyo3::prelude::*;
use regard_kernel::View;
use regard_kernel::linear::{Gates, LinearAttention};

use crate::arrays::Array;
use crate::results::Fresh;
use crate::threads;

/// `(context, state)`: the context in the queries' type, the state in `float32`.
#[pyfunction]
pub fn linear_attention<'py>(
    query: &Bound<'py, PyAny>,
    key: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
    decay: Option<&Bound<'py, PyAny>>,
    beta: Option<&Bound<'py, PyAny>>,
    state: Option<&Bound<'py, PyAny>>,
    scale: Option<f32>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let read = |name: &str, array: Option<&Bound<'py, PyAny>>| array.map(|array| Array::read(name, array)).transpose();
    let [q, k, v] = [Array::read("query", query)?, Array::read("key", key)?, Array::read("value", value)?];
    let [decay, beta, state] = [read("decay", decay)?, read("beta", beta)?, read("state", state)?];
    let (q, k, v) = (q.view()?, k.view()?, v.view()?);
    let gates = Gates { decay: view(&decay)?, beta: view(&beta)? };
    let state = view(&state)?;
    let attention = scale.map_or_else(LinearAttention::default, LinearAttention::with_scale);
    let [batch, heads, positions, width] = q.shape();
    let (key_heads, value_width) = (k.shape()[1], v.shape()[3]);
    let work = [batch, heads, positions, width, value_width.max(8)].iter().map(|&n| 4.0 * n as f64).product();
    let output = threads::run(query.py(), work, || attention.forward(&q, &k, &v, &gates, state.as_ref()))?;
    let output = output.map_err(crate::refused)?;
    let context = Fresh::like(query, &[batch, heads, positions, value_width])?.write(&output.context);
    let state = Fresh::typed(query, "float32", &[batch, key_heads, width, value_width])?.write(&output.state);
    Ok((context, state))
}

/// A view of an array that need not be there.
fn view<'a>(array: &'a Option<Array>) -> PyResult<Option<View<'a>>> {
    array.as_ref().map(Array::view).transpose()
}
