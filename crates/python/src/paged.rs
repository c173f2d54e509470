//! Keys and values of sequences that each grow on their own, for generating.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use regard_kernel as kernel;

use crate::arrays::Array;
use crate::attention::Attention;
use crate::cache::precision_of;
use crate::refused;

/// Sequences in pages; locked as [`KeyValueCache`](crate::cache::KeyValueCache) is.
#[pyclass(frozen, module = "regard._regard")]
pub struct PagedCache {
    /// Key heads, and the widths of keys and of values.
    sizes: [usize; 3],
    cache: Mutex<Arc<kernel::PagedCache>>,
}

impl PagedCache {
    fn lock(&self) -> MutexGuard<'_, Arc<kernel::PagedCache>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the sequences, of which whoever attends meanwhile has the old ones.
    fn change<R: Send>(&self, py: Python, change: impl FnOnce(&mut kernel::PagedCache) -> R + Send) -> R {
        py.detach(|| change(Arc::make_mut(&mut self.lock())))
    }

    fn held(&self, py: Python) -> Arc<kernel::PagedCache> {
        py.detach(|| self.lock().clone())
    }
}

#[pymethods]
impl PagedCache {
    #[new]
    fn new(key_heads: usize, key_width: usize, value_width: usize, precision: &str, page: usize) -> PyResult<Self> {
        let cache = kernel::PagedCache::new(key_heads, key_width, value_width, precision_of(precision)?);
        let cache = cache.with_page(page).map_err(refused)?;
        Ok(Self { sizes: [key_heads, key_width, value_width], cache: Mutex::new(Arc::new(cache)) })
    }

    fn push(&self, py: Python) -> usize {
        self.change(py, kernel::PagedCache::push)
    }

    fn append(&self, sequence: usize, key: &Bound<PyAny>, value: &Bound<PyAny>) -> PyResult<()> {
        let (k, v) = (Array::read("key", key)?, Array::read("value", value)?);
        let (k, v) = (k.view()?, v.view()?);
        self.change(key.py(), |cache| cache.append(sequence, &k, &v)).map_err(refused)
    }

    fn truncate(&self, py: Python, sequence: usize, length: usize) -> PyResult<()> {
        self.change(py, |cache| cache.truncate(sequence, length)).map_err(refused)
    }

    fn select(&self, py: Python, sequences: Vec<usize>) -> PyResult<()> {
        self.change(py, |cache| cache.select(&sequences)).map_err(refused)
    }

    /// Adds a sequence that begins as another one, after all, and returns its number.
    fn fork(&self, py: Python, sequence: usize) -> PyResult<usize> {
        let fork = |cache: &mut kernel::PagedCache| {
            let number = cache.sequences();
            let all: Vec<_> = (0..number).chain([sequence]).collect();
            cache.select(&all).map(|()| number)
        };
        self.change(py, fork).map_err(refused)
    }

    /// How many positions each sequence holds.
    fn lengths(&self, py: Python) -> Vec<usize> {
        let held = self.held(py);
        (0..held.sequences()).filter_map(|sequence| held.len(sequence)).collect()
    }

    fn pages(&self, py: Python) -> usize {
        self.held(py).pages()
    }

    /// As [`Attention::forward`], each batch with the keys and values of its own sequence.
    fn attend<'py>(
        &self,
        query: &Bound<'py, PyAny>,
        attention: &Bound<'py, Attention>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let held = self.held(query.py());
        let array = Array::read("query", query)?;
        let q = array.view()?;
        let ([batch, heads, _, _], [key_heads, key_width, value_width]) = (q.shape(), self.sizes);
        if batch != held.sequences() {
            let given = format!("query has {batch} batches, the cache {} sequences", held.sequences());
            return Err(PyValueError::new_err(given));
        }
        if heads != 0 && (key_heads == 0 || heads % key_heads != 0) {
            let given = format!("query has {heads} heads, the cache {key_heads}");
            return Err(PyValueError::new_err(format!("{given}: expected a multiple of these")));
        }
        attention.get().decode(query, &q, &held, [key_width, value_width])
    }
}
