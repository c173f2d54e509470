//! Trilinear attention.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use regard_kernel::trilinear::{Side, Trilinear};
use regard_kernel::{Output, View};

use crate::arrays::Array;
use crate::results::Fresh;
use crate::threads;

/// What each of the arrays is called: the queries, then keys and values of the first and of the second kind.
const NAMES: [&str; 5] = ["query", "key", "value", "second_key", "second_value"];

/// `(context, lse)` of `[query, key, value, second key, second value]`.
#[pyfunction]
pub fn trilinear_attention<'py>(
    inputs: [Bound<'py, PyAny>; 5],
    scale: Option<f32>,
    windows: Option<(usize, usize)>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let py = inputs[0].py();
    let arrays = read(&inputs)?;
    let views = arrays.iter().map(Array::view).collect::<PyResult<Vec<_>>>()?;
    let (attention, q) = (attention(scale, windows)?, &views[0]);
    let [batch, heads, queries, _] = q.shape();
    let context = Fresh::like(&inputs[0], &[batch, heads, queries, views[2].shape()[3]])?;
    let lse = Fresh::typed(&inputs[0], "float32", &[batch, heads, queries])?;
    let [first, second] = [side(&views[1..3]), side(&views[3..5])];
    let run = || attention.forward(q, &first, &second);
    let output = threads::run(py, f64::INFINITY, run)?.map_err(crate::refused)?;
    Ok((context.write(&output.context), lse.write(&output.lse)))
}

/// The gradients of the five inputs, each like its own.
#[pyfunction]
pub fn trilinear_attention_backward<'py>(
    inputs: [Bound<'py, PyAny>; 5],
    context: &Bound<'py, PyAny>,
    lse: &Bound<'py, PyAny>,
    gradient: &Bound<'py, PyAny>,
    scale: Option<f32>,
    windows: Option<(usize, usize)>,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let py = inputs[0].py();
    let arrays = read(&inputs)?;
    let [context, lse, gradient] =
        [Array::read("context", context)?, Array::read("lse", lse)?, Array::read("gradient", gradient)?];
    let views = arrays.iter().map(Array::view).collect::<PyResult<Vec<_>>>()?;
    let (attention, q) = (attention(scale, windows)?, &views[0]);
    let [batch, heads, queries, _] = q.shape();
    let out = [batch, heads, queries, views[2].shape()[3]];
    for (name, array, expected) in
        [("context", &context, &out[..]), ("lse", &lse, &out[..3]), ("gradient", &gradient, &out[..])]
    {
        if array.shape() != expected {
            let given = format!("{name} has the shape {:?}: expected {expected:?}", array.shape());
            return Err(PyValueError::new_err(given));
        }
    }
    // Room first: a view can be broadcast to any size, and the kernel cannot say that memory has run out.
    let room = inputs.iter().zip(&arrays).map(|(like, array)| Fresh::like(like, array.shape()));
    let room = room.collect::<PyResult<Vec<_>>>()?;
    let output = Output { context: context.numbers()?.into_owned(), lse: lse.numbers()?.into_owned() };
    let ([first, second], gradient) = ([side(&views[1..3]), side(&views[3..5])], gradient.view()?);
    let run = || attention.backward(q, &first, &second, &output, &gradient);
    let found = threads::run(py, f64::INFINITY, run)?.map_err(crate::refused)?;
    let ([key, second_key], [value, second_value]) = (&found.keys, &found.values);
    let numbers = [&found.queries, key, value, second_key, second_value];
    Ok(room.into_iter().zip(numbers).map(|(room, numbers)| room.write(numbers)).collect())
}

fn attention(scale: Option<f32>, windows: Option<(usize, usize)>) -> PyResult<Trilinear> {
    let attention = scale.map_or_else(Trilinear::default, |scale| Trilinear::default().scale(scale));
    windows.map_or(Ok(attention), |(first, second)| attention.windows(first, second)).map_err(crate::refused)
}

fn read<'py>(inputs: &[Bound<'py, PyAny>; 5]) -> PyResult<Vec<Array<'py>>> {
    NAMES.iter().zip(inputs).map(|(name, input)| Array::read(name, input)).collect()
}

/// Keys and values of one kind.
fn side<'a>(views: &[View<'a>]) -> Side<'a> {
    Side { keys: views[0], values: views[1] }
}
