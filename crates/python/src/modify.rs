//! Python functions on the way from scores to weights, called once a tile.
//!
//! The kernel's threads take turns with the interpreter to call them. Should one raise, its exception unwinds the kernel,
//! as a panic that nobody prints, and [`threads::run`](crate::threads::run) hands it on.

use std::panic::resume_unwind;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use regard_kernel::normalize::{Limits, Rows, Scan};
use regard_kernel::{QUERY_BLOCK, Scores, Shape, Tile};

use crate::arrays::Array;
use crate::nouns::{Bias, Normalizer, Source};
use crate::results::NUMPY;

/// `function(score, batch, head, query, key)` makes other scores of a tile's.
#[pyfunction]
pub fn modify(function: Py<PyAny>) -> Bias {
    Bias(Source::Made(Arc::new(Modify(Function(function)))))
}

/// `function(weight)` makes other weights of a softmax's.
#[pyfunction]
pub fn reweight(function: Py<PyAny>) -> Normalizer {
    Normalizer(Arc::new(Reweight(Function(function))))
}

/// A function of arrays `[1, 1, query, key]`.
#[derive(Debug)]
struct Function(Py<PyAny>);

impl Function {
    /// Replaces a tile by what the function makes of it, given what else it is to know.
    fn apply(
        &self,
        scores: &mut Scores,
        others: impl for<'py> FnOnce(Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>>,
    ) {
        let changed = Python::attach(|py| {
            let numpy = NUMPY.import(py)?;
            // A key's scores lie side by side, here and there; the function gets the array turned.
            let [queries, keys] = [scores.queries().len(), scores.keys().len()];
            let memory = numpy.call_method1(intern!(py, "empty"), ((1, 1, keys, queries), intern!(py, "float32")))?;
            let mut array = Array::read("score", &memory)?;
            for (to, key) in array.elements_mut::<f32>().chunks_exact_mut(queries.max(1)).zip(scores.keys()) {
                to.copy_from_slice(scores.row(key));
            }
            let arguments = [vec![turn(&memory)?], others(py)?].concat();
            let made = self.0.bind(py).call1(PyTuple::new(py, arguments)?)?;
            let made = numpy.call_method1(intern!(py, "asarray"), (made, intern!(py, "float32")))?;
            let made = numpy.call_method1(intern!(py, "broadcast_to"), (made, (1, 1, queries, keys)))?;
            let made = Array::read("result", &turn(&made)?)?;
            for (made, key) in made.numbers()?.chunks_exact(queries.max(1)).zip(scores.keys()) {
                scores.row_mut(key).copy_from_slice(made);
            }
            Ok(())
        });
        if let Err(error) = changed {
            raise(error);
        }
    }
}

/// An array with queries and keys exchanged, where it lies.
fn turn<'py>(array: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    array.call_method1(intern!(array.py(), "swapaxes"), (2, 3))
}

/// Leaves the kernel with an exception.
fn raise(error: PyErr) -> ! {
    resume_unwind(Box::new(error))
}

#[derive(Debug)]
struct Modify(Function);

impl regard_kernel::Bias for Modify {
    fn add(&self, tile: &Tile, scores: &mut Scores) {
        self.0.apply(scores, |py| {
            let numpy = NUMPY.import(py)?;
            let places = |places: std::ops::Range<usize>, shape: [isize; 4]| {
                let range = numpy.call_method1(intern!(py, "arange"), (places.start, places.end))?;
                range.call_method1(intern!(py, "reshape"), (shape,))
            };
            Ok(vec![
                places(tile.batch..tile.batch + 1, [1, 1, 1, 1])?,
                places(tile.head..tile.head + 1, [1, 1, 1, 1])?,
                places(tile.queries.clone(), [1, 1, -1, 1])?,
                places(tile.keys.clone(), [1, 1, 1, -1])?,
            ])
        });
    }

    fn backward(&self, _: &Tile, _: &Scores, _: &mut Scores, _: &mut [f32]) {
        raise(no_gradient("Modify"));
    }
}

#[derive(Debug)]
struct Reweight(Function);

impl Reweight {
    /// Makes weights of scores (−∞ where hidden), given each row's log-sum-exp.
    fn weigh(&self, lse: &[f32; QUERY_BLOCK], scores: &mut Scores) {
        let mut hidden = Vec::new();
        for key in scores.keys() {
            for (score, lse) in scores.row_mut(key).iter_mut().zip(lse) {
                hidden.push(*score == f32::NEG_INFINITY);
                *score = if *score == f32::NEG_INFINITY { 0.0 } else { (*score - lse).exp() };
            }
        }
        self.0.apply(scores, |_| Ok(Vec::new()));
        let mut hidden = hidden.into_iter();
        for key in scores.keys() {
            for weight in scores.row_mut(key) {
                if hidden.next() == Some(true) {
                    *weight = 0.0;
                }
            }
        }
    }
}

impl regard_kernel::Normalizer for Reweight {
    fn scan(&self, _: &Shape, kept: bool) -> Option<Box<dyn Scan>> {
        (!kept).then(|| Box::new(LogSumExp::new()) as Box<dyn Scan>)
    }

    fn absorb(&self, scores: &mut Scores, rows: &mut Rows) {
        self.weigh(&rows.reference, scores);
        rows.rescale = [1.0; QUERY_BLOCK];
    }

    fn finish(&self, _: usize, rows: &mut Rows) {
        rows.scale = [1.0; QUERY_BLOCK];
        rows.lse = rows.reference;
    }

    fn weights(&self, lse: &[f32; QUERY_BLOCK], scores: &mut Scores) {
        self.weigh(lse, scores);
    }

    fn backward(&self, _: &Scores, _: &[f32; QUERY_BLOCK], _: &mut Scores) {
        raise(no_gradient("Reweight"));
    }
}

/// The log-sum-exp of each row, in one pass.
struct LogSumExp {
    greatest: [f32; QUERY_BLOCK],
    total: [f32; QUERY_BLOCK],
}

impl LogSumExp {
    fn new() -> Self {
        Self { greatest: [f32::NEG_INFINITY; QUERY_BLOCK], total: [0.0; QUERY_BLOCK] }
    }
}

impl Scan for LogSumExp {
    fn tile(&mut self, scores: &Scores) {
        for key in scores.keys() {
            for (row, &score) in scores.row(key).iter().enumerate() {
                // Nothing is added by a hidden key, and ∞ − ∞ is no number.
                if score == f32::NEG_INFINITY {
                    continue;
                }
                if score > self.greatest[row] {
                    self.total[row] *= (self.greatest[row] - score).exp();
                    self.greatest[row] = score;
                }
                self.total[row] += (score - self.greatest[row]).exp();
            }
        }
    }

    fn again(&mut self) -> bool {
        false
    }

    fn limits(&mut self) -> Limits {
        let mut scores = self.greatest;
        scores.iter_mut().zip(self.total).for_each(|(score, total)| *score += total.ln());
        Limits { scores, keys: [usize::MAX; QUERY_BLOCK] }
    }
}

fn no_gradient(noun: &str) -> PyErr {
    PyValueError::new_err(format!("{noun} has no gradient: the kernel cannot differentiate a function of Python's"))
}
