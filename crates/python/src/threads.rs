//! The threads that the kernel works on.
//!
//! They start with the first call that has work for more than one, not with the import. A forked child, such as a
//! worker of PyTorch's `DataLoader`, has none of its parent's threads and starts its own. The lock is only ever held by
//! a thread that is attached to the interpreter, and so is a fork: no child finds it locked.

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

struct Threads {
    /// As many as the machine has processors, unless said.
    count: Option<usize>,
    /// The process in which the pool was started, and the pool.
    pool: Option<(u32, Arc<ThreadPool>)>,
}

static THREADS: Mutex<Threads> = Mutex::new(Threads { count: None, pool: None });

/// Sets how many threads work on an attention, from the next call on.
#[pyfunction]
pub fn set_threads(count: isize) -> PyResult<()> {
    let wanted = usize::try_from(count).ok().filter(|&count| count > 0);
    let wanted = wanted.ok_or_else(|| PyValueError::new_err(format!("{count} threads: expected at least 1")))?;
    let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    threads.count = Some(wanted);
    retire(threads.pool.take());
    Ok(())
}

/// How many threads work on an attention.
#[pyfunction]
pub fn threads() -> usize {
    count(&THREADS.lock().unwrap_or_else(PoisonError::into_inner))
}

fn count(threads: &Threads) -> usize {
    threads.count.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get))
}

/// Lets go of a pool. Another process's threads cannot be asked to end.
fn retire(pool: Option<(u32, Arc<ThreadPool>)>) {
    if let Some((process, pool)) = pool
        && process != std::process::id()
    {
        std::mem::forget(pool);
    }
}

fn pool() -> PyResult<Arc<ThreadPool>> {
    let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    if let Some((owner, pool)) = &threads.pool
        && *owner == process
    {
        return Ok(pool.clone());
    }
    let pool = ThreadPoolBuilder::new().num_threads(count(&threads)).thread_name(|i| format!("regard-{i}")).build();
    let pool = Arc::new(pool.map_err(|error| PyRuntimeError::new_err(format!("threads cannot be started: {error}")))?);
    retire(threads.pool.replace((process, pool.clone())));
    Ok(pool)
}

/// Below this many multiplications and additions the kernel stays on one thread: then it may be the caller's.
pub const LITTLE: f64 = 4e6;

/// Does `work` multiplications and additions without the interpreter.
///
/// # Errors
/// `RuntimeError` if no thread can be started; what a Python function raised that the kernel called.
pub fn run<R: Send>(py: Python, work: f64, task: impl FnOnce() -> R + Send) -> PyResult<R> {
    // Whatever an exception leaves half done is never looked at.
    let task = AssertUnwindSafe(task);
    let done = if work < LITTLE {
        py.detach(|| catch_unwind(task))
    } else {
        let pool = pool()?;
        py.detach(|| pool.install(|| catch_unwind(task)))
    };
    done.or_else(|panic| match panic.downcast::<PyErr>() {
        Ok(error) => Err(*error),
        Err(panic) => resume_unwind(panic),
    })
}
