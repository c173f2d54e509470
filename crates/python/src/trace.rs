//! The trace of `regard-explain`: what files and pictures are made from.

use std::path::PathBuf;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use regard_explain::render::{Figure, html, png, svg};
use regard_explain::{Error, Evidence, Head, Site, States};

use crate::arrays::Array;
use crate::results::Fresh;

/// Tokens and attention, in memory.
#[pyclass(module = "regard._regard")]
pub struct Trace(regard_explain::Trace);

/// The trace's refusal, in Python's terms, with what caused it.
fn refused(error: Error) -> PyErr {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        message += &format!(": {cause}");
        source = cause.source();
    }
    match error {
        Error::Io { .. } => PyOSError::new_err(message),
        _ => PyValueError::new_err(message),
    }
}

fn parsed<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> PyResult<T> {
    serde_json::from_str(text).map_err(|error| PyValueError::new_err(format!("{name}: {error}")))
}

#[pymethods]
impl Trace {
    #[new]
    fn new(title: String, model: String) -> Self {
        Self(regard_explain::Trace::new(title, model))
    }

    /// Adds a sequence and returns its number.
    fn add_axis(&mut self, name: String, tokens: Vec<String>) -> usize {
        self.0.add_axis(name, tokens)
    }

    /// Adds attention as `[head, query, key]` weights.
    fn add_weights(
        &mut self,
        name: String,
        layer: usize,
        queries: usize,
        keys: usize,
        weights: &Bound<PyAny>,
    ) -> PyResult<()> {
        let weights = Array::read("weights", weights)?;
        let heads = weights.shape().first().copied().unwrap_or(0);
        let evidence = Evidence::Weights(weights.numbers()?.into_owned().into());
        self.0.add_site(Site { name, layer, queries, keys, heads, evidence }).map_err(refused)?;
        Ok(())
    }

    /// Adds attention as queries `[head, query, feature]`, keys `[key head, key, feature]` and log-sum-exps `[head, query]`,
    /// with rules and biases as the file format writes them.
    #[expect(clippy::too_many_arguments, reason = "one site")]
    fn add_states(
        &mut self,
        name: String,
        layer: usize,
        queries: usize,
        keys: usize,
        states: [Bound<PyAny>; 3],
        scale: f32,
        rules: &str,
        biases: &str,
    ) -> PyResult<()> {
        let [q, k, lse] = [("query", 0), ("key", 1), ("lse", 2)].map(|(name, i)| Array::read(name, &states[i]));
        let (q, k, lse) = (q?, k?, lse?);
        let (&[heads, _, width], &[key_heads, _, _]) = (q.shape(), k.shape()) else {
            return Err(PyValueError::new_err("states are [head, position, feature]"));
        };
        let states = States {
            q: q.numbers()?.into_owned().into(),
            k: k.numbers()?.into_owned().into(),
            lse: lse.numbers()?.into_owned().into(),
            key_heads,
            width,
            scale,
            rules: parsed("rules", rules)?,
            biases: parsed("biases", biases)?,
        };
        let evidence = Evidence::States(states);
        self.0.add_site(Site { name, layer, queries, keys, heads, evidence }).map_err(refused)?;
        Ok(())
    }

    /// Reads a trace file.
    #[staticmethod]
    fn load(py: Python, path: PathBuf) -> PyResult<Self> {
        py.detach(|| regard_explain::Trace::load(path)).map(Self).map_err(refused)
    }

    /// Writes a trace file, whole or not at all.
    fn save(&self, py: Python, path: PathBuf) -> PyResult<()> {
        py.detach(|| self.0.save(path)).map_err(refused)
    }

    #[getter]
    fn title(&self) -> &str {
        &self.0.title
    }

    #[getter]
    fn model(&self) -> &str {
        &self.0.model
    }

    /// `(name, tokens)` of each sequence.
    fn axes(&self) -> Vec<(String, Vec<String>)> {
        self.0.axes().iter().map(|axis| (axis.name.clone(), axis.tokens.clone())).collect()
    }

    /// `(name, layer, axis of queries, axis of keys, heads)` of each attention.
    fn sites(&self) -> Vec<(String, usize, usize, usize, usize)> {
        let site = |site: &Site| (site.name.clone(), site.layer, site.queries, site.keys, site.heads);
        self.0.sites().iter().map(site).collect()
    }

    /// What an attention is known by: `{"weights": …}`, or `{"query", "key", "lse", "scale", "rules", "biases"}`. Arrays are
    /// of the library of `like`.
    fn evidence<'py>(&self, py: Python<'py>, site: usize, like: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let count = self.0.sites().len();
        let found = self.0.sites().get(site).ok_or_else(|| refused(Error::NoSuchSite { site, sites: count }))?;
        let [queries, keys] = [self.0.queries(found).len(), self.0.keys(found).len()];
        let array =
            |shape: &[usize], numbers: &[f32]| PyResult::Ok(Fresh::typed(like, "float32", shape)?.write(numbers));
        let made = PyDict::new(py);
        match &found.evidence {
            Evidence::Weights(weights) => made.set_item("weights", array(&[found.heads, queries, keys], weights)?)?,
            Evidence::States(states) => {
                made.set_item("query", array(&[found.heads, queries, states.width], &states.q)?)?;
                made.set_item("key", array(&[states.key_heads, keys, states.width], &states.k)?)?;
                made.set_item("lse", array(&[found.heads, queries], &states.lse)?)?;
                made.set_item("scale", states.scale)?;
                made.set_item("rules", written(&states.rules)?)?;
                made.set_item("biases", written(&states.biases)?)?;
            }
        }
        Ok(made)
    }

    /// The page, every axis shrunk to at most `pixels`.
    fn html(&self, py: Python, pixels: usize) -> PyResult<String> {
        py.detach(|| html::page(&[self.0.shrunk(pixels)?])).map_err(refused)
    }

    /// A figure of one head, or the mean of all: an SVG as text.
    fn svg(&self, py: Python, site: usize, head: Option<usize>, pixels: usize) -> PyResult<String> {
        py.detach(|| self.figure(site, head, pixels)).map_err(refused)
    }

    /// A figure of one head, or the mean of all: the bytes of a PNG.
    fn png(&self, py: Python, site: usize, head: Option<usize>, pixels: usize) -> PyResult<Vec<u8>> {
        py.detach(|| png::picture(&self.figure(site, head, pixels)?)).map_err(refused)
    }
}

impl Trace {
    fn figure(&self, site: usize, head: Option<usize>, pixels: usize) -> regard_explain::Result<String> {
        let count = self.0.sites().len();
        let found = self.0.sites().get(site).ok_or(Error::NoSuchSite { site, sites: count })?;
        let all = [0..self.0.queries(found).len(), 0..self.0.keys(found).len()];
        let part = self.0.part(site, all, pixels)?;
        svg::heat_map(&Figure::of(&part, 0, head.map_or(Head::Mean, Head::One))?)
    }
}

fn written(value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(|error| PyValueError::new_err(error.to_string()))
}
