//! How do scores become weights?

use std::sync::Arc;

use pyo3::prelude::*;
use regard_kernel as kernel;

use super::numbers;
use crate::refused;

/// How scores become weights.
#[pyclass(frozen, module = "regard._regard")]
pub struct Normalizer(pub Arc<dyn kernel::Normalizer>);

#[pymethods]
impl Normalizer {
    #[staticmethod]
    fn softmax(temperature: f32, sink: Option<&Bound<PyAny>>) -> PyResult<Self> {
        let mut softmax = kernel::Softmax::default().temperature(temperature).map_err(refused)?;
        if let Some(sink) = sink {
            softmax = softmax.sink(numbers("sink", sink)?.1);
        }
        Ok(Self(Arc::new(softmax)))
    }

    #[staticmethod]
    fn sigmoid(bias: Option<f32>) -> PyResult<Self> {
        Ok(Self(Arc::new(match bias {
            Some(bias) => kernel::Sigmoid::new(bias).map_err(refused)?,
            None => kernel::Sigmoid::default(),
        })))
    }

    #[staticmethod]
    fn top_k(k: usize) -> PyResult<Self> {
        Ok(Self(Arc::new(kernel::TopK::new(k).map_err(refused)?)))
    }

    #[staticmethod]
    fn sparsemax() -> Self {
        Self(Arc::new(kernel::Sparsemax))
    }

    #[staticmethod]
    fn entmax15() -> Self {
        Self(Arc::new(kernel::Entmax15))
    }

    #[staticmethod]
    fn entmax(alpha: f32) -> PyResult<Self> {
        Ok(Self(Arc::new(kernel::Entmax::new(alpha).map_err(refused)?)))
    }

    #[staticmethod]
    fn hard() -> Self {
        Self(Arc::new(kernel::Hard))
    }

    #[staticmethod]
    fn gumbel(temperature: f32, seed: u64, hard: bool) -> PyResult<Self> {
        let gumbel = kernel::Gumbel::new(temperature, seed).map_err(refused)?;
        Ok(Self(Arc::new(if hard { gumbel.hard() } else { gumbel })))
    }

    #[staticmethod]
    fn sampled(seed: u64) -> Self {
        Self(Arc::new(kernel::Sampled::new(seed)))
    }
}
