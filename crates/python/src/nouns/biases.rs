//! What is added to scores, or reshapes them?

use std::sync::Arc;

use pyo3::prelude::*;
use regard_kernel as kernel;

use super::{axes, numbers};
use crate::arrays::Array;
use crate::refused;

/// What is added to scores, or reshapes them.
#[pyclass(frozen, module = "regard._regard")]
pub struct Bias(pub Source);

/// Where a bias comes from.
pub enum Source {
    /// It was made with the noun.
    Made(Arc<dyn kernel::Bias>),
    /// An array, looked up at each call and read where it lies: between calls its library may move it.
    Array(Py<PyAny>),
}

impl Bias {
    fn new(bias: impl kernel::Bias + 'static) -> Self {
        Self(Source::Made(Arc::new(bias)))
    }
}

#[pymethods]
impl Bias {
    /// The paper's slopes for a number of heads.
    #[staticmethod]
    fn alibi(heads: usize) -> Self {
        Self::new(kernel::Alibi::new(heads))
    }

    #[staticmethod]
    fn alibi_slopes(slopes: &Bound<PyAny>) -> PyResult<Self> {
        Ok(Self::new(kernel::Alibi::with_slopes(numbers("slopes", slopes)?.1)))
    }

    #[staticmethod]
    fn relative_buckets(table: &Bound<PyAny>, bidirectional: bool, max_distance: usize) -> PyResult<Self> {
        let (shape, table) = numbers("table", table)?;
        let [_, heads] = shape[..] else { return Err(axes("table", &shape, "[bucket, head]")) };
        let buckets = kernel::RelativeBuckets::new(table, heads, bidirectional, max_distance);
        Ok(Self::new(buckets.map_err(refused)?))
    }

    #[staticmethod]
    fn soft_cap(cap: f32) -> PyResult<Self> {
        Ok(Self::new(kernel::SoftCap::new(cap).map_err(refused)?))
    }

    /// Numbers for each pair, `[batch or 1, head or 1, query or 1, key or 1]` or the last of these axes.
    #[staticmethod]
    fn dense(values: &Bound<PyAny>) -> PyResult<Self> {
        Array::read("bias", values)?.pairs()?;
        Ok(Self(Source::Array(values.clone().unbind())))
    }
}
