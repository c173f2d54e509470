//! `regard._regard`: what the Python package `regard` is built on.
//!
//! The nouns that people meet are dataclasses in `python/regard`. Each of them holds a handle from [`nouns`], which has
//! the kernel's own noun inside; [`attention`] puts handles together and runs them. Memory comes in through [`arrays`],
//! [`interface`] and [`dlpack`], the only files with `unsafe` code, and goes out through [`results`]; [`threads`] keeps
//! the pool that the kernel works on, [`modify`] lets the kernel call Python, and [`trace`] is what files and pictures are
//! made from.

mod arrays;
mod attention;
mod cache;
mod dlpack;
mod interface;
mod linear;
mod modify;
mod nouns;
mod paged;
mod probes;
mod results;
mod rotary;
mod threads;
mod trace;
mod trilinear;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// The kernel's refusal, in Python's terms.
fn refused(error: regard_kernel::Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

#[pymodule]
mod _regard {
    #[pymodule_export]
    use super::attention::{Attention, shape};
    #[pymodule_export]
    use super::cache::KeyValueCache;
    #[pymodule_export]
    use super::linear::{linear_attention, linear_attention_backward};
    #[pymodule_export]
    use super::modify::{modify, reweight};
    #[pymodule_export]
    use super::nouns::{Bias, Mask, Normalizer, Score};
    #[pymodule_export]
    use super::paged::PagedCache;
    #[pymodule_export]
    use super::probes::Probe;
    #[pymodule_export]
    use super::rotary::rotate;
    #[pymodule_export]
    use super::threads::{set_threads, threads};
    #[pymodule_export]
    use super::trace::Trace;
    #[pymodule_export]
    use super::trilinear::{trilinear_attention, trilinear_attention_backward};
}
