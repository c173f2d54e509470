//! How alike are a query and a key?

use std::sync::Arc;

use pyo3::prelude::*;
use regard_kernel as kernel;

use super::{axes, numbers};
use crate::refused;

/// How alike are a query and a key?
#[pyclass(frozen, module = "regard._regard")]
pub struct Score(pub Arc<dyn kernel::Score>);

#[pymethods]
impl Score {
    #[staticmethod]
    fn dot() -> Self {
        Self(Arc::new(kernel::Dot))
    }

    #[staticmethod]
    fn scaled_dot(scale: Option<f32>) -> Self {
        Self(Arc::new(kernel::ScaledDot { scale }))
    }

    #[staticmethod]
    fn distance(scale: Option<f32>) -> Self {
        Self(Arc::new(kernel::Distance { scale }))
    }

    #[staticmethod]
    fn cosine(tau: &Bound<PyAny>) -> PyResult<Self> {
        Ok(Self(Arc::new(kernel::Cosine::new(numbers("tau", tau)?.1))))
    }

    #[staticmethod]
    fn bilinear(weights: &Bound<PyAny>) -> PyResult<Self> {
        let (shape, weights) = numbers("weights", weights)?;
        let ([query, key] | [_, query, key]) = shape[..] else {
            return Err(axes("weights", &shape, "[query feature, key feature] or [head, query feature, key feature]"));
        };
        Ok(Self(Arc::new(kernel::Bilinear::new(weights, query, key).map_err(refused)?)))
    }

    #[staticmethod]
    fn additive(v: &Bound<PyAny>) -> PyResult<Self> {
        let (shape, v) = numbers("v", v)?;
        let ([width] | [_, width]) = shape[..] else {
            return Err(axes("v", &shape, "[feature] or [head, feature]"));
        };
        Ok(Self(Arc::new(kernel::Additive::new(v, width))))
    }
}
