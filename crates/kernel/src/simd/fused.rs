//! `a · b + c` on whole registers. The compiler takes a loop over sixteen numbers apart if it believes in a better order, as
//! it does where several vectors meet; it leaves these alone.

use std::arch::x86_64::*;

use super::Lanes;

/// One register.
///
/// # Safety
/// The processor has AVX-512F.
#[inline(always)]
pub(super) unsafe fn avx512(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
    let mut lanes = Lanes::ZERO;
    // SAFETY: each vector holds sixteen numbers, and the caller promises the instructions.
    unsafe {
        let (a, b, c) = (_mm512_loadu_ps(a.0.as_ptr()), _mm512_loadu_ps(b.0.as_ptr()), _mm512_loadu_ps(c.0.as_ptr()));
        _mm512_storeu_ps(lanes.0.as_mut_ptr(), _mm512_fmadd_ps(a, b, c));
    }
    lanes
}

/// Two registers.
///
/// # Safety
/// The processor has AVX and FMA.
#[inline(always)]
pub(super) unsafe fn fma3(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
    let mut lanes = Lanes::ZERO;
    // SAFETY: each vector holds two times eight numbers, and the caller promises the instructions.
    unsafe {
        let (a, b, c, to) = (a.0.as_ptr(), b.0.as_ptr(), c.0.as_ptr(), lanes.0.as_mut_ptr());
        _mm256_storeu_ps(to, _mm256_fmadd_ps(_mm256_loadu_ps(a), _mm256_loadu_ps(b), _mm256_loadu_ps(c)));
        let (a, b, c) = (_mm256_loadu_ps(a.add(8)), _mm256_loadu_ps(b.add(8)), _mm256_loadu_ps(c.add(8)));
        _mm256_storeu_ps(to.add(8), _mm256_fmadd_ps(a, b, c));
    }
    lanes
}
