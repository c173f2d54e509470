//! Working memory that every thread keeps, so that no problem, however small, waits for the allocator.

use std::cell::RefCell;

use crate::simd::{LANES, Lanes, floats_mut, pad};

thread_local! {
    static POOL: RefCell<Vec<Vec<Lanes>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with buffers of at least the given sizes, each aligned to a cache line. What they hold is left over from
/// earlier work.
pub(crate) fn with<const N: usize, R>(sizes: [usize; N], f: impl FnOnce([&mut [f32]; N]) -> R) -> R {
    let mut memory = POOL.with_borrow_mut(Vec::pop).unwrap_or_default();
    let total = sizes.iter().map(|&size| pad(size) / LANES).sum();
    if memory.len() < total {
        memory.resize(total, Lanes::ZERO);
    }
    let mut rest = floats_mut(&mut memory);
    let result = f(sizes.map(|size| {
        let (buffer, others) = std::mem::take(&mut rest).split_at_mut(pad(size));
        rest = others;
        buffer
    }));
    POOL.with_borrow_mut(|pool| pool.push(memory));
    result
}
