//! Probes, from what to look for to arrays of what was seen.

use pyo3::prelude::*;
use regard_kernel::probe::{self, Stage};

use crate::results::Fresh;

/// What to note about the weights.
#[pyclass(frozen, module = "regard._regard")]
pub struct Probe(What);

enum What {
    Weights(Option<Vec<usize>>),
    Scores(Stage),
    Entropy,
    TopKeys(usize),
    Received,
    Pyramid(usize),
}

#[pymethods]
impl Probe {
    /// Gives `weights` `[batch, chosen head, query, key]`.
    #[staticmethod]
    fn weights(heads: Option<Vec<usize>>) -> Self {
        Self(What::Weights(heads))
    }

    /// Gives `scores` `[batch, head, query, key]` after some of the biases, or all of them and the mask.
    #[staticmethod]
    fn scores(biases: Option<usize>) -> Self {
        Self(What::Scores(biases.map_or(Stage::Masked, |biases| Stage::Scores { biases })))
    }

    /// Gives `entropy` `[batch, head, query]`.
    #[staticmethod]
    fn entropy() -> Self {
        Self(What::Entropy)
    }

    /// Gives `keys` and `weights` `[batch, head, query, k]`; where fewer have weight, key −1 and weight 0.
    #[staticmethod]
    fn top_keys(k: usize) -> Self {
        Self(What::TopKeys(k))
    }

    /// Gives `received` `[batch, head, key]`.
    #[staticmethod]
    fn received() -> Self {
        Self(What::Received)
    }

    /// Gives `mean` and `max` `[batch, head, pixel of queries, pixel of keys]`.
    #[staticmethod]
    fn pyramid(side: usize) -> Self {
        Self(What::Pyramid(side))
    }
}

impl Probe {
    /// A probe that has seen nothing.
    pub fn start(&self) -> PyResult<Running> {
        Ok(match &self.0 {
            What::Weights(None) => Running::Weights(probe::Weights::new()),
            What::Weights(Some(heads)) => Running::Weights(probe::Weights::heads(heads.clone())),
            What::Scores(stage) => Running::Weights(probe::Weights::new().at(*stage)),
            What::Entropy => Running::Entropy(probe::Entropy::new()),
            What::TopKeys(k) => Running::TopKeys(probe::TopKeys::new(*k), *k),
            What::Received => Running::Received(probe::Received::new()),
            What::Pyramid(side) => Running::Pyramid(probe::Pyramid::new(*side).map_err(crate::refused)?),
        })
    }
}

/// A probe at work.
pub enum Running {
    Weights(probe::Weights),
    Entropy(probe::Entropy),
    TopKeys(probe::TopKeys, usize),
    Received(probe::Received),
    Pyramid(probe::Pyramid),
}

impl Running {
    /// The kernel's own.
    pub fn kernel(&mut self) -> &mut dyn regard_kernel::Probe {
        match self {
            Self::Weights(probe) => probe,
            Self::Entropy(probe) => probe,
            Self::TopKeys(probe, _) => probe,
            Self::Received(probe) => probe,
            Self::Pyramid(probe) => probe,
        }
    }

    /// What it has seen of `[batch, head, query, key]`, as arrays of the library of `like`.
    pub fn results<'py>(&self, like: &Bound<'py, PyAny>, seen: [usize; 4]) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let give =
            |shape: &[usize], numbers: &[f32]| PyResult::Ok(Fresh::typed(like, "float32", shape)?.write(numbers));
        match self {
            Self::Weights(probe) => Ok(vec![give(&probe.shape(), probe.values())?]),
            Self::Entropy(probe) => Ok(vec![give(&probe.shape(), probe.values())?]),
            Self::Received(probe) => Ok(vec![give(&probe.shape(), probe.values())?]),
            Self::Pyramid(probe) => Ok(vec![give(&probe.shape(), probe.mean())?, give(&probe.shape(), probe.max())?]),
            Self::TopKeys(probe, k) => {
                let [batch, heads, queries, keys] = seen;
                let k = *k.min(&keys);
                let size = batch * heads * queries * k;
                let (mut keys, mut weights) = (Vec::with_capacity(size), Vec::with_capacity(size));
                for row in 0..batch * heads * queries {
                    let best = probe.get(row / queries / heads, row / queries % heads, row % queries);
                    keys.extend(best.iter().map(|top| top.key as i64));
                    weights.extend(best.iter().map(|top| top.weight));
                    keys.resize((row + 1) * k, -1);
                    weights.resize((row + 1) * k, 0.0);
                }
                let shape = [batch, heads, queries, k];
                Ok(vec![Fresh::typed(like, "int64", &shape)?.write_whole(&keys), give(&shape, &weights)?])
            }
        }
    }
}
