//! Half precision, for which processors have instructions that no portable code compiles to.

use half::f16;

use super::{LANES, Lanes};

/// Widens by arithmetic on bits.
#[inline(always)]
pub(super) fn portable(halves: &[f16; LANES]) -> Lanes {
    let mut lanes = Lanes::ZERO;
    for (lane, half) in lanes.0.iter_mut().zip(halves) {
        let bits = u32::from(half.to_bits());
        let rest = (bits & 0x7fff) << 13;
        // The exponents' biases differ by 112; to multiply by 2^112 is exact and makes subnormal halves normal.
        let finite = (f32::from_bits(rest) * f32::from_bits((127 + 112) << 23)).to_bits();
        let all = if rest >= 0x7c00 << 13 { rest | 0x7f80_0000 } else { finite };
        *lane = f32::from_bits(all | (bits & 0x8000) << 16);
    }
    lanes
}

/// Widens by one instruction.
///
/// # Safety
/// The processor has AVX-512F.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn avx512(halves: &[f16; LANES]) -> Lanes {
    use std::arch::x86_64::{_mm256_loadu_si256, _mm512_cvtph_ps, _mm512_storeu_ps};
    let mut lanes = Lanes::ZERO;
    // SAFETY: both arrays hold sixteen numbers, and a half is as transparent as the bits it is made of.
    unsafe { _mm512_storeu_ps(lanes.0.as_mut_ptr(), _mm512_cvtph_ps(_mm256_loadu_si256(halves.as_ptr().cast()))) };
    lanes
}

/// Widens by two instructions.
///
/// # Safety
/// The processor has AVX and F16C.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn f16c(halves: &[f16; LANES]) -> Lanes {
    use std::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps, _mm256_storeu_ps};
    let mut lanes = Lanes::ZERO;
    for part in 0..2 {
        // SAFETY: both arrays hold two times eight numbers, and a half is as transparent as the bits it is made of.
        unsafe {
            let half = _mm256_cvtph_ps(_mm_loadu_si128(halves.as_ptr().add(8 * part).cast()));
            _mm256_storeu_ps(lanes.0.as_mut_ptr().add(8 * part), half);
        }
    }
    lanes
}
