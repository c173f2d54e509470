//! Attention put together from handles, and run.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use regard_kernel as kernel;
use regard_kernel::{LentBias, PagedCache, View};

use crate::arrays::Array;
use crate::nouns::{Bias, Mask, Normalizer, Score, Source};
use crate::probes::Probe;
use crate::results::Fresh;
use crate::threads;

/// A score, and what is done to it on the way to weights.
#[pyclass(frozen, module = "regard._regard")]
pub struct Attention {
    /// All but the biases.
    nouns: kernel::Attention,
    biases: Vec<Py<Bias>>,
}

/// An attention that can run.
pub struct Ready<'py> {
    /// It reads the arrays: no copy of it may leave here.
    attention: kernel::Attention,
    _arrays: Vec<Array<'py>>,
}

/// What a score, biases and a normalizer learn.
type Parameters<'py> = (Option<Bound<'py, PyAny>>, Vec<Option<Bound<'py, PyAny>>>, Option<Bound<'py, PyAny>>);

/// `(query, key, value, score, biases, normalizer)`.
type Gradients<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Option<Bound<'py, PyAny>>,
    Vec<Option<Bound<'py, PyAny>>>,
    Option<Bound<'py, PyAny>>,
);

#[pymethods]
impl Attention {
    #[new]
    fn new(
        score: Option<&Bound<Score>>,
        mask: Option<&Bound<Mask>>,
        biases: Vec<Bound<Bias>>,
        normalizer: Option<&Bound<Normalizer>>,
        dropout: Option<(f32, u64)>,
    ) -> PyResult<Self> {
        let mut attention =
            score.map_or_else(kernel::Attention::default, |it| kernel::Attention::new(it.get().0.clone()));
        if let Some(mask) = mask {
            attention = attention.mask(mask.get().0.clone());
        }
        if let Some(normalizer) = normalizer {
            attention = attention.normalizer(normalizer.get().0.clone());
        }
        if let Some((probability, seed)) = dropout {
            attention = attention.dropout(probability, seed).map_err(crate::refused)?;
        }
        Ok(Self { nouns: attention, biases: biases.into_iter().map(Bound::unbind).collect() })
    }

    /// `(context, lse)`: the context in the queries' type, the row's log-sum-exp in `float32`.
    pub fn forward<'py>(
        &self,
        query: &Bound<'py, PyAny>,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let (k, v) = (Array::read("key", key)?, Array::read("value", value)?);
        self.attend(query, &k.view()?, &v.view()?)
    }

    /// Gradients of everything, each like what it is the gradient of; `parameters` are the arrays that the score, the
    /// biases and the normalizer were made from, if they learn.
    #[expect(clippy::too_many_arguments)]
    fn backward<'py>(
        &self,
        query: &Bound<'py, PyAny>,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        lse: &Bound<'py, PyAny>,
        gradient: &Bound<'py, PyAny>,
        parameters: Parameters<'py>,
    ) -> PyResult<Gradients<'py>> {
        let py = query.py();
        let arrays = [Array::read("query", query)?, Array::read("key", key)?, Array::read("value", value)?];
        let [q, k, v] = [arrays[0].view()?, arrays[1].view()?, arrays[2].view()?];
        let [context, lse, gradient] =
            [Array::read("context", context)?, Array::read("lse", lse)?, Array::read("gradient", gradient)?];
        let learns: Vec<_> = parameters.1.iter().map(Option::is_some).collect();
        let ready = self.ready(py, &learns)?;
        let [batch, heads, queries, _] = fits(&ready.attention, &q, &k, Some(&v))?;
        let out = [batch, heads, queries, v.shape()[3]];
        same_shape("context", context.shape(), &out)?;
        same_shape("gradient", gradient.shape(), &out)?;
        same_shape("lse", lse.shape(), &out[..3])?;
        let (context, lse, gradient) = (context.numbers()?, lse.numbers()?, gradient.view()?);
        // Room first: a view can be broadcast to any size, and the kernel cannot say that memory has run out.
        let learned = |like: &Option<Bound<'py, PyAny>>| {
            like.as_ref().map(|like| Fresh::like(like, Array::read("parameter", like)?.shape())).transpose()
        };
        let inputs = [
            Fresh::like(query, arrays[0].shape())?,
            Fresh::like(key, arrays[1].shape())?,
            Fresh::like(value, arrays[2].shape())?,
        ];
        let (score, biases, normalizer) = parameters;
        let (score, normalizer) = (learned(&score)?, learned(&normalizer)?);
        let biases = biases.iter().map(learned).collect::<PyResult<Vec<_>>>()?;
        let attention = &ready.attention;
        let gradients = threads::run(py, f64::INFINITY, || attention.backward(&q, &k, &v, &context, &lse, &gradient))?
            .map_err(crate::refused)?;
        let [d_query, d_key, d_value] = inputs;
        Ok((
            d_query.write(&gradients.queries),
            d_key.write(&gradients.keys),
            d_value.write(&gradients.values),
            score.map(|to| to.write(&gradients.score)),
            biases.into_iter().zip(&gradients.biases).map(|(to, numbers)| Some(to?.write(numbers))).collect(),
            normalizer.map(|to| to.write(&gradients.normalizer)),
        ))
    }

    /// What each probe has seen, as [`Probe`] says, of some queries and keys: each is the first and past the last, or none
    /// for all.
    fn observe<'py>(
        &self,
        query: &Bound<'py, PyAny>,
        key: &Bound<'py, PyAny>,
        lse: &Bound<'py, PyAny>,
        probes: Vec<Bound<'py, Probe>>,
        within: [Option<(usize, usize)>; 2],
    ) -> PyResult<Vec<Vec<Bound<'py, PyAny>>>> {
        let (q, k, lse) = (Array::read("query", query)?, Array::read("key", key)?, Array::read("lse", lse)?);
        let (q, k) = (q.view()?, k.view()?);
        let ready = self.ready(query.py(), &[])?;
        let attention = &ready.attention;
        let [batch, heads, queries, _] = fits(attention, &q, &k, None)?;
        same_shape("lse", lse.shape(), &[batch, heads, queries])?;
        let lse = lse.numbers()?;
        let [rows, columns] = within;
        let rows = rows.map_or(0..queries, |(first, end)| first..end);
        let columns = columns.map_or(0..k.shape()[2], |(first, end)| first..end);
        let seen = [batch, heads, rows.len(), columns.len()];
        let mut running = probes.iter().map(|probe| probe.get().start()).collect::<PyResult<Vec<_>>>()?;
        threads::run(query.py(), work(&q, &k), || {
            let mut probes = running.iter_mut().map(|probe| probe.kernel()).collect::<Vec<_>>();
            attention.observe_within(&q, &k, &lse, [rows, columns], &mut probes)
        })?
        .map_err(crate::refused)?;
        running.iter().map(|probe| probe.results(query, seen)).collect()
    }
}

impl Attention {
    /// Looks up the arrays that biases are; of those that learn, a copy is made, and [`kernel::DenseBias`] has a gradient.
    fn ready<'py>(&self, py: Python<'py>, learns: &[bool]) -> PyResult<Ready<'py>> {
        let (mut attention, mut arrays) = (self.nouns.clone(), Vec::new());
        for (bias, learns) in self.biases.iter().zip(learns.iter().chain(std::iter::repeat(&false))) {
            let values = match &bias.get().0 {
                Source::Made(bias) => {
                    attention = attention.bias(bias.clone());
                    continue;
                }
                Source::Array(values) => Array::read("bias", values.bind(py))?,
            };
            if *learns {
                let shape = values.pairs()?.shape();
                let bias = kernel::DenseBias::new(values.numbers()?.into_owned(), shape);
                attention = attention.bias(bias.map_err(crate::refused)?);
            } else {
                // SAFETY: `Ready` drops the array after the attention, of which this file keeps no copy.
                attention = attention.bias(LentBias(unsafe { values.lend()? }));
                arrays.push(values);
            }
        }
        Ok(Ready { attention, _arrays: arrays })
    }

    /// Attends with keys and values from wherever.
    pub fn attend<'py>(
        &self,
        query: &Bound<'py, PyAny>,
        k: &View,
        v: &View,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let py = query.py();
        let array = Array::read("query", query)?;
        let q = array.view()?;
        let ready = self.ready(py, &[])?;
        let attention = &ready.attention;
        let [batch, heads, queries, _] = fits(attention, &q, k, Some(v))?;
        let shape = [batch, heads, queries, v.shape()[3]];
        let mut context = Fresh::like(query, &shape)?;
        let mut lse = Fresh::typed(query, "float32", &shape[..3])?;
        let into = lse.numbers_mut().unwrap_or_default();
        let work = work(&q, k);
        let context = if let Some(context_into) = context.numbers_mut() {
            threads::run(py, work, || attention.forward_into(&q, k, v, context_into, into))?.map_err(crate::refused)?;
            context.done()
        } else {
            let output = threads::run(py, work, || attention.forward(&q, k, v))?.map_err(crate::refused)?;
            into.copy_from_slice(&output.lse);
            context.write(&output.context)
        };
        Ok((context, lse.done()))
    }

    /// Attends with what each sequence of a cache holds.
    pub fn decode<'py>(
        &self,
        query: &Bound<'py, PyAny>,
        q: &View,
        held: &PagedCache,
        [key_width, value_width]: [usize; 2],
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let ready = self.ready(query.py(), &[])?;
        let attention = &ready.attention;
        let [batch, heads, queries, width] = q.shape();
        // Room first, as for the gradients.
        let context = Fresh::like(query, &[batch, heads, queries, value_width])?;
        let lse = Fresh::typed(query, "float32", &[batch, heads, queries])?;
        let keys: usize = (0..held.sequences()).filter_map(|sequence| held.len(sequence)).sum();
        let work = 2.0 * [heads, queries, keys, width.max(8)].iter().map(|&n| n as f64).product::<f64>();
        let refused = |error: kernel::Error| match error.argument.as_str() {
            "keys" if width != key_width => {
                PyValueError::new_err(format!("query has {width} features, the cache {key_width}"))
            }
            _ => crate::refused(error),
        };
        let output = threads::run(query.py(), work, || attention.decode(q, held))?.map_err(refused)?;
        Ok((context.write(&output.context), lse.write(&output.lse)))
    }
}

/// The shape of an array `[batch, head, position, feature]`.
#[pyfunction]
pub fn shape(name: &str, array: &Bound<PyAny>) -> PyResult<[usize; 4]> {
    Ok(Array::read(name, array)?.view()?.shape())
}

/// Multiplications and additions of the product of queries and keys, and of weights and values.
fn work(q: &View, k: &View) -> f64 {
    let [batch, heads, queries, width] = q.shape();
    2.0 * [batch, heads, queries, k.shape()[2], width.max(8)].iter().map(|&n| n as f64).product::<f64>()
}

/// The shape of the queries, if all fits together.
fn fits(attention: &kernel::Attention, q: &View, k: &View, v: Option<&View>) -> PyResult<[usize; 4]> {
    let ([batch, heads, queries, width], [key_batch, key_heads, keys, key_width]) = (q.shape(), k.shape());
    let differ = |name: &str, what: &str, given, other: &str, expected| {
        Err(PyValueError::new_err(format!("{name} has {given} {what}, {other} {expected}")))
    };
    if key_batch != batch {
        return differ("key", "batches", key_batch, "query", batch);
    }
    if heads != 0 && (key_heads == 0 || heads % key_heads != 0) {
        let given = format!("key has {key_heads} heads, query {heads}");
        return Err(PyValueError::new_err(format!(
            "{given}: expected a divisor, so that each serves some query heads"
        )));
    }
    let [value_batch, value_heads, positions, value_width] = v.map_or([key_batch, key_heads, keys, 0], View::shape);
    if value_batch != batch {
        return differ("value", "batches", value_batch, "query", batch);
    }
    if value_heads != key_heads {
        return differ("value", "heads", value_heads, "key", key_heads);
    }
    if positions != keys {
        return differ("value", "positions", positions, "key", keys);
    }
    let fits = attention.fits(q.shape(), k.shape(), [value_batch, value_heads, positions, value_width]);
    match fits {
        Err(error) if error.argument == "keys" && key_width != width => {
            differ("key", "features", key_width, "query", width)
        }
        Err(error) => Err(crate::refused(error)),
        Ok(()) => Ok([batch, heads, queries, width]),
    }
}

fn same_shape(name: &str, given: &[usize], expected: &[usize]) -> PyResult<()> {
    if given == expected {
        return Ok(());
    }
    Err(PyValueError::new_err(format!("{name} has the shape {given:?}: expected {expected:?}")))
}
