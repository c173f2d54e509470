//! Results, handed back as what was given: numpy arrays for numpy arrays, tensors for tensors.
//!
//! The caller's library makes the memory and the kernel writes into it.

use half::slice::HalfFloatSliceExt;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};
use regard_kernel::{bf16, f16};

use crate::arrays::{Array, Kind};

/// A new array, contiguous, of which nobody else has heard yet.
pub struct Fresh<'py> {
    object: Bound<'py, PyAny>,
    array: Array<'py>,
}

impl<'py> Fresh<'py> {
    /// An array of the same library and type as `like`.
    ///
    /// # Errors
    /// What the library raises, as when memory runs out.
    pub fn like(like: &Bound<'py, PyAny>, shape: &[usize]) -> PyResult<Self> {
        Self::new(like, like.getattr_opt(intern!(like.py(), "dtype"))?, shape)
    }

    /// An array of the same library as `like`, of this type.
    ///
    /// # Errors
    /// What the library raises, as when memory runs out.
    pub fn typed(like: &Bound<'py, PyAny>, dtype: &str, shape: &[usize]) -> PyResult<Self> {
        let py = like.py();
        let library = if is_tensor(like)? { &TORCH } else { &NUMPY };
        Self::new(like, Some(library.import(py)?.getattr(dtype)?), shape)
    }

    fn new(like: &Bound<'py, PyAny>, dtype: Option<Bound<'py, PyAny>>, shape: &[usize]) -> PyResult<Self> {
        let py = like.py();
        let shape = PyTuple::new(py, shape)?;
        let object = if is_tensor(like)? {
            let options = PyDict::new(py);
            options.set_item(intern!(py, "dtype"), dtype)?;
            options.set_item(intern!(py, "device"), intern!(py, "cpu"))?;
            TORCH.import(py)?.call_method(intern!(py, "empty"), (shape,), Some(&options))?
        } else {
            NUMPY.import(py)?.call_method1(intern!(py, "empty"), (shape, dtype))?
        };
        Ok(Self { array: Array::read("result", &object)?, object })
    }

    /// The numbers to be written, if they are `f32`.
    pub fn numbers_mut(&mut self) -> Option<&mut [f32]> {
        (self.array.kind() == Kind::F32).then(|| self.array.elements_mut())
    }

    /// Writes all numbers, rounded to the array's type.
    ///
    /// # Panics
    /// If there are more or fewer than the array holds.
    pub fn write(mut self, numbers: &[f32]) -> Bound<'py, PyAny> {
        match self.array.kind() {
            Kind::F32 => self.array.elements_mut::<f32>().copy_from_slice(numbers),
            Kind::F16 => self.array.elements_mut::<f16>().convert_from_f32_slice(numbers),
            Kind::BF16 => self.array.elements_mut::<bf16>().convert_from_f32_slice(numbers),
            Kind::I64 | Kind::Bool => unreachable!("results are made with a floating type"),
        }
        self.object
    }

    /// Writes all whole numbers into an array of `int64`.
    ///
    /// # Panics
    /// If the array is of another type, or there are more or fewer than it holds.
    pub fn write_whole(mut self, numbers: &[i64]) -> Bound<'py, PyAny> {
        assert_eq!(self.array.kind(), Kind::I64);
        self.array.elements_mut::<i64>().copy_from_slice(numbers);
        self.object
    }

    /// The array, once all is written.
    pub fn done(self) -> Bound<'py, PyAny> {
        self.object
    }
}

/// Whether an object is a tensor of PyTorch; false if that was never imported.
fn is_tensor(object: &Bound<PyAny>) -> PyResult<bool> {
    let py = object.py();
    if TORCH.0.get(py).is_none() && !modules(py)?.contains(intern!(py, "torch"))? {
        return Ok(false);
    }
    object.is_instance(&TORCH.import(py)?.getattr(intern!(py, "Tensor"))?)
}

/// `sys.modules`
fn modules(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static MODULES: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let find = || PyResult::Ok(py.import("sys")?.getattr("modules")?.unbind());
    Ok(MODULES.get_or_try_init(py, find)?.bind(py))
}

/// A module that is looked up once.
pub struct Module(PyOnceLock<Py<PyAny>>, &'static str);

static TORCH: Module = Module(PyOnceLock::new(), "torch");
pub static NUMPY: Module = Module(PyOnceLock::new(), "numpy");

impl Module {
    pub fn import<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        Ok(self.0.get_or_try_init(py, || PyResult::Ok(py.import(self.1)?.into_any().unbind()))?.bind(py))
    }
}
