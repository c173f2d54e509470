//! Products of 8-bit and 16-bit numbers, which neighbours are added of: each instruction does the work of two multiply-adds.

use super::{LANES, Lanes};

/// One by one.
#[inline(always)]
pub(super) fn portable(a: &[i8; 2 * LANES], b: &[i16; 2 * LANES]) -> Lanes {
    let mut lanes = Lanes::ZERO;
    for (i, lane) in lanes.0.iter_mut().enumerate() {
        let product = |i: usize| i32::from(a[i]) * i32::from(b[i]);
        *lane = (product(2 * i) + product(2 * i + 1)) as f32;
    }
    lanes
}

/// All at once.
///
/// # Safety
/// The processor has AVX-512BW.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn avx512(a: &[i8; 2 * LANES], b: &[i16; 2 * LANES]) -> Lanes {
    use std::arch::x86_64::*;
    let mut lanes = Lanes::ZERO;
    // SAFETY: both arrays hold 32 numbers, and the caller promises the instructions.
    unsafe {
        let wide = _mm512_cvtepi8_epi16(_mm256_loadu_si256(a.as_ptr().cast()));
        let sums = _mm512_madd_epi16(wide, _mm512_loadu_si512(b.as_ptr().cast()));
        _mm512_storeu_ps(lanes.0.as_mut_ptr(), _mm512_cvtepi32_ps(sums));
    }
    lanes
}

/// In halves.
///
/// # Safety
/// The processor has AVX2.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn avx2(a: &[i8; 2 * LANES], b: &[i16; 2 * LANES]) -> Lanes {
    use std::arch::x86_64::*;
    let mut lanes = Lanes::ZERO;
    for half in 0..2 {
        // SAFETY: both arrays hold two times 16 numbers, and the caller promises the instructions.
        unsafe {
            let wide = _mm256_cvtepi8_epi16(_mm_loadu_si128(a.as_ptr().add(16 * half).cast()));
            let sums = _mm256_madd_epi16(wide, _mm256_loadu_si256(b.as_ptr().add(16 * half).cast()));
            _mm256_storeu_ps(lanes.0.as_mut_ptr().add(8 * half), _mm256_cvtepi32_ps(sums));
        }
    }
    lanes
}
