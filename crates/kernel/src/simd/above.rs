//! Comparisons whose outcome is a bit a number.

use super::Lanes;

/// Which numbers of `x` exceed those of `y`, the first number lowest; a NaN exceeds nothing.
#[inline(always)]
pub(super) fn above(x: Lanes, y: Lanes) -> u16 {
    x.0.iter().zip(&y.0).enumerate().fold(0, |bits, (i, (x, y))| bits | u16::from(x > y) << i)
}

/// As [`above`], in one instruction, which portable code cannot name.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn above_avx512(x: Lanes, y: Lanes) -> u16 {
    use std::arch::x86_64::*;
    // SAFETY: only `Avx512` calls this, inside functions that are compiled for these instructions and run where `level`
    // has found them; a `Lanes` is sixteen numbers.
    unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(_mm512_loadu_ps(x.0.as_ptr()), _mm512_loadu_ps(y.0.as_ptr())) }
}

/// As [`above`], eight numbers at a time.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn above_avx2(x: Lanes, y: Lanes) -> u16 {
    use std::arch::x86_64::*;
    // SAFETY: only `Avx2` calls this, inside functions that are compiled for these instructions and run where `level` has
    // found them; a `Lanes` is sixteen numbers.
    unsafe {
        let (x, y) = (x.0.as_ptr(), y.0.as_ptr());
        let low = _mm256_cmp_ps::<_CMP_GT_OQ>(_mm256_loadu_ps(x), _mm256_loadu_ps(y));
        let high = _mm256_cmp_ps::<_CMP_GT_OQ>(_mm256_loadu_ps(x.add(8)), _mm256_loadu_ps(y.add(8)));
        (_mm256_movemask_ps(low) | _mm256_movemask_ps(high) << 8) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Baseline, Isa, LANES, Lanes, multiversion};

    multiversion! {
        fn above<I>(x: Lanes, y: Lanes) -> u16 {
            I::above(x, y)
        }
    }

    #[test]
    fn bits_are_those_of_the_definition() {
        let y = Lanes(std::array::from_fn(|i| [0.0, 1.0, f32::NAN, f32::INFINITY][i % 4]));
        for shift in 0..LANES {
            let x = Lanes(std::array::from_fn(|i| [0.5, -1.0, f32::NAN, f32::INFINITY, 2.0][(i + shift) % 5]));
            let expected = (0..LANES).filter(|&i| x.0[i] > y.0[i]).fold(0u16, |bits, i| bits | 1 << i);
            assert_eq!(above(x, y), expected);
            assert_eq!(Baseline::above(x, y), expected);
        }
    }
}
