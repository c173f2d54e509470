//! Choosing between numbers by bits.

use super::Lanes;

/// The numbers of `x` whose bit is set, the first lowest, and those of `y` elsewhere.
#[inline(always)]
pub(super) fn portable(bits: u16, x: Lanes, mut y: Lanes) -> Lanes {
    for (lane, (&x, y)) in x.0.iter().zip(&mut y.0).enumerate() {
        // All ones where the bit is set; with a branch in its place the loop would not vectorise.
        let chosen = 0u32.wrapping_sub(u32::from(bits >> lane) & 1);
        *y = f32::from_bits((x.to_bits() & chosen) | (y.to_bits() & !chosen));
    }
    y
}

/// As [`portable`], in one instruction.
///
/// # Safety
/// The processor has AVX-512F.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn avx512(bits: u16, x: Lanes, mut y: Lanes) -> Lanes {
    use std::arch::x86_64::*;
    // SAFETY: a vector holds sixteen numbers, and the caller promises the instruction.
    unsafe { _mm512_mask_storeu_ps(y.0.as_mut_ptr(), bits, _mm512_loadu_ps(x.0.as_ptr())) };
    y
}

#[cfg(test)]
mod tests {
    use super::super::{Baseline, Isa, LANES, Lanes, multiversion};

    multiversion! {
        fn select<I>(bits: u16, x: Lanes, y: Lanes) -> Lanes {
            I::select(bits, x, y)
        }
    }

    #[test]
    fn numbers_are_those_that_bits_say() {
        let (x, y) = (Lanes([1.0; LANES]), Lanes([f32::NEG_INFINITY; LANES]));
        for bits in [0, 1, 0x8000, 0xffff, 0x5aa5] {
            let expected: Vec<f32> =
                (0..LANES).map(|i| if bits >> i & 1 == 1 { 1.0 } else { f32::NEG_INFINITY }).collect();
            assert_eq!(select(bits, x, y).0[..], expected);
            assert_eq!(Baseline::select(bits, x, y).0[..], expected);
        }
    }
}
