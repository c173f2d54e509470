//! Keys and values of everything so far, for generating.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use regard_kernel as kernel;
use regard_kernel::Precision;

use crate::arrays::Array;
use crate::attention::Attention;

/// Keys and values of sequences that grow together; made for the sizes of the first that are appended.
///
/// Whoever attends does so with what is held at that moment, however much is appended by other threads meanwhile. A
/// thread that waits for the lock is never attached to the interpreter.
#[pyclass(frozen, module = "regard._regard")]
pub struct KeyValueCache {
    precision: Precision,
    cache: Mutex<Option<Arc<kernel::KeyValueCache>>>,
}

impl KeyValueCache {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<kernel::KeyValueCache>>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl KeyValueCache {
    #[new]
    fn new(precision: &str) -> PyResult<Self> {
        let precision = precision_of(precision)?;
        Ok(Self { precision, cache: Mutex::new(None) })
    }

    fn append(&self, key: &Bound<PyAny>, value: &Bound<PyAny>) -> PyResult<()> {
        let (k, v) = (Array::read("key", key)?, Array::read("value", value)?);
        let (k, v) = (k.view()?, v.view()?);
        let appended = key.py().detach(|| {
            let mut cache = self.lock();
            if let Some(cache) = &mut *cache {
                return Arc::make_mut(cache).append(&k, &v);
            }
            let ([batch, heads, _, key_width], [_, _, _, value_width]) = (k.shape(), v.shape());
            let mut new = kernel::KeyValueCache::with_precision(batch, heads, key_width, value_width, self.precision);
            new.append(&k, &v)?;
            *cache = Some(Arc::new(new));
            Ok(())
        });
        appended.map_err(crate::refused)
    }

    fn truncate(&self, py: Python, len: usize) {
        py.detach(|| {
            if let Some(cache) = &mut *self.lock() {
                Arc::make_mut(cache).truncate(len);
            }
        });
    }

    fn __len__(&self, py: Python) -> usize {
        py.detach(|| self.lock().as_ref().map_or(0, |cache| cache.len()))
    }

    /// As [`Attention::forward`], with the keys and values held.
    fn attend<'py>(
        &self,
        query: &Bound<'py, PyAny>,
        attention: &Bound<'py, Attention>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let held = query.py().detach(|| self.lock().clone());
        let held = held.ok_or_else(|| PyValueError::new_err("the cache is empty: append keys and values first"))?;
        attention.get().attend(query, &held.keys(), &held.values())
    }

    /// `[batch, key head, position]`, if anything was ever appended.
    fn shape(&self, py: Python) -> Option<[usize; 3]> {
        let held = py.detach(|| self.lock().clone())?;
        let [batch, heads, positions, _] = held.keys().shape();
        Some([batch, heads, positions])
    }
}

/// How numbers are kept.
pub fn precision_of(precision: &str) -> PyResult<Precision> {
    Ok(match precision {
        "float32" => Precision::F32,
        "float16" => Precision::F16,
        "bfloat16" => Precision::BF16,
        "int8" => Precision::I8,
        _ => {
            let expected = "expected \"float32\", \"float16\", \"bfloat16\" or \"int8\"";
            return Err(PyValueError::new_err(format!("precision is {precision:?}: {expected}")));
        }
    })
}
