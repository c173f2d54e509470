//! Squares of numbers, turned about their diagonal in registers.

/// The side of a square.
pub(crate) const SIDE: usize = 4;

/// Turns the square that lies in `from`, `stride` numbers from row to row, and puts it into `to` likewise.
///
/// # Panics
/// If a square does not lie in its slice.
#[inline(always)]
pub(crate) fn turn(from: &[f32], stride: usize, to: &mut [f32], to_stride: usize) {
    assert!(from.len() >= 3 * stride + SIDE && to.len() >= 3 * to_stride + SIDE);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the squares lie in their slices, and every x86-64 processor has these instructions.
    unsafe {
        use std::arch::x86_64::{_MM_TRANSPOSE4_PS, _mm_loadu_ps, _mm_storeu_ps};
        let (from, to) = (from.as_ptr(), to.as_mut_ptr());
        let (mut a, mut b) = (_mm_loadu_ps(from), _mm_loadu_ps(from.add(stride)));
        let (mut c, mut d) = (_mm_loadu_ps(from.add(2 * stride)), _mm_loadu_ps(from.add(3 * stride)));
        _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
        _mm_storeu_ps(to, a);
        _mm_storeu_ps(to.add(to_stride), b);
        _mm_storeu_ps(to.add(2 * to_stride), c);
        _mm_storeu_ps(to.add(3 * to_stride), d);
    }
    #[cfg(not(target_arch = "x86_64"))]
    for row in 0..SIDE {
        for column in 0..SIDE {
            to[row * to_stride + column] = from[column * stride + row];
        }
    }
}
