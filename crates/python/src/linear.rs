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
    let [q, k, v] = [Array::read("query", query)?, Array::read("key", key)?, Array::read("value", value)?];
    let [decay, beta, state] = [read("decay", decay)?, read("beta", beta)?, read("state", state)?];
    let (q, k, v) = (q.view()?, k.view()?, v.view()?);
    let gates = Gates { decay: view(&decay)?, beta: view(&beta)? };
    let state = view(&state)?;
    let [batch, heads, positions, width] = q.shape();
    let (key_heads, value_width) = (k.shape()[1], v.shape()[3]);
    let attention = attention(scale);
    // Room first: a view can be broadcast to any size, and the kernel cannot say that memory has run out.
    let context = Fresh::like(query, &[batch, heads, positions, value_width])?;
    let after = Fresh::typed(query, "float32", &[batch, key_heads, width, value_width])?;
    let run = || attention.forward(&q, &k, &v, &gates, state.as_ref());
    let output = threads::run(query.py(), work(&q, value_width), run)?.map_err(crate::refused)?;
    Ok((context.write(&output.context), after.write(&output.state)))
}

/// `(query, key, value, decay, beta, state)`: each like what it is the gradient of, if that was given. `gradients` are
/// those of the context and of the state.
#[pyfunction]
#[expect(clippy::too_many_arguments)]
pub fn linear_attention_backward<'py>(
    query: &Bound<'py, PyAny>,
    key: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
    gradients: (Bound<'py, PyAny>, Option<Bound<'py, PyAny>>),
    decay: Option<&Bound<'py, PyAny>>,
    beta: Option<&Bound<'py, PyAny>>,
    state: Option<&Bound<'py, PyAny>>,
    scale: Option<f32>,
) -> PyResult<[Option<Bound<'py, PyAny>>; 6]> {
    let given = [Some(query), Some(key), Some(value), decay, beta, state];
    let [q, k, v] = [Array::read("query", query)?, Array::read("key", key)?, Array::read("value", value)?];
    let arrays = [read("decay", decay)?, read("beta", beta)?, read("state", state)?];
    let of_context = Array::read("gradient", &gradients.0)?;
    let of_state = read("state_gradient", gradients.1.as_ref())?;
    // Room first, as there.
    let shapes = [Some(&q), Some(&k), Some(&v), arrays[0].as_ref(), arrays[1].as_ref(), arrays[2].as_ref()];
    let fresh = |(like, array): (Option<&Bound<'py, PyAny>>, Option<&Array>)| {
        like.zip(array).map(|(like, array)| Fresh::like(like, array.shape())).transpose()
    };
    let mut room = given.into_iter().zip(shapes).map(fresh).collect::<PyResult<Vec<_>>>()?.into_iter();
    let (q, k, v) = (q.view()?, k.view()?, v.view()?);
    let gates = Gates { decay: view(&arrays[0])?, beta: view(&arrays[1])? };
    let (state, of_context, of_state) = (view(&arrays[2])?, of_context.view()?, view(&of_state)?);
    let attention = attention(scale);
    let run = || attention.backward(&q, &k, &v, &gates, state.as_ref(), &of_context, of_state.as_ref());
    let found = threads::run(query.py(), 4.0 * work(&q, v.shape()[3]), run)?.map_err(crate::refused)?;
    let numbers = [&found.queries, &found.keys, &found.values, &found.decay, &found.beta, &found.state];
    Ok(numbers.map(|numbers| Some(room.next()??.write(numbers))))
}

fn attention(scale: Option<f32>) -> LinearAttention {
    scale.map_or_else(LinearAttention::default, LinearAttention::with_scale)
}

/// Multiplications and additions, about.
fn work(q: &View, value_width: usize) -> f64 {
    4.0 * q.shape().map(|n| n as f64).iter().product::<f64>() * value_width.max(8) as f64
}

/// An array that need not be there.
fn read<'py>(name: &str, array: Option<&Bound<'py, PyAny>>) -> PyResult<Option<Array<'py>>> {
    array.map(|array| Array::read(name, array)).transpose()
}

/// A view of an array that need not be there.
fn view<'a>(array: &'a Option<Array>) -> PyResult<Option<View<'a>>> {
    array.as_ref().map(Array::view).transpose()
}
