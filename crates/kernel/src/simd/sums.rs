//! The sums over the lanes of four vectors at once, which would take four times as many instructions one by one.

use super::Lanes;

/// Adds up in registers of four numbers.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn four(vectors: &[Lanes; 4]) -> [f32; 4] {
    use std::arch::x86_64::{_MM_TRANSPOSE4_PS, _mm_add_ps, _mm_loadu_ps, _mm_setzero_ps, _mm_storeu_ps};
    let mut sums = [0.0; 4];
    // SAFETY: a vector holds four times four numbers, and every x86-64 processor has these instructions.
    unsafe {
        let mut quarters = [_mm_setzero_ps(); 4];
        for (quarter, Lanes(x)) in quarters.iter_mut().zip(vectors) {
            let x = x.as_ptr();
            let low = _mm_add_ps(_mm_loadu_ps(x), _mm_loadu_ps(x.add(4)));
            let high = _mm_add_ps(_mm_loadu_ps(x.add(8)), _mm_loadu_ps(x.add(12)));
            *quarter = _mm_add_ps(low, high);
        }
        let [mut a, mut b, mut c, mut d] = quarters;
        _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
        _mm_storeu_ps(sums.as_mut_ptr(), _mm_add_ps(_mm_add_ps(a, b), _mm_add_ps(c, d)));
    }
    sums
}

/// Adds up one by one.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(super) fn four(vectors: &[Lanes; 4]) -> [f32; 4] {
    vectors.map(Lanes::sum)
}

/// Turns squares of four in all registers at once.
///
/// # Safety
/// The processor has AVX-512F and AVX-512DQ.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn avx512(vectors: &[Lanes; 4]) -> [f32; 4] {
    use std::arch::x86_64::*;
    const { assert!(super::LANES == 16) };
    let mut sums = [0.0; 4];
    // SAFETY: a vector holds sixteen numbers, and the caller promises the instructions.
    unsafe {
        let (a, b) = (_mm512_loadu_ps(vectors[0].0.as_ptr()), _mm512_loadu_ps(vectors[1].0.as_ptr()));
        let (c, d) = (_mm512_loadu_ps(vectors[2].0.as_ptr()), _mm512_loadu_ps(vectors[3].0.as_ptr()));
        // a0+a2 b0+b2 a1+a3 b1+b3 in each quarter
        let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        // The sums of a, b, c and d over each quarter
        let low = _mm512_shuffle_ps::<0b01_00_01_00>(ab, cd);
        let high = _mm512_shuffle_ps::<0b11_10_11_10>(ab, cd);
        let quarters = _mm512_add_ps(low, high);
        let halves = _mm256_add_ps(_mm512_castps512_ps256(quarters), _mm512_extractf32x8_ps::<1>(quarters));
        let whole = _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps::<1>(halves));
        _mm_storeu_ps(sums.as_mut_ptr(), whole);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::super::multiversion;
    use super::*;

    multiversion! {
        fn sums<I>(vectors: &[Lanes; 4]) -> [f32; 4] {
            <I as super::super::Isa>::sums(vectors)
        }
    }

    #[test]
    fn each_vector_is_summed() {
        let vectors = [0, 1, 2, 3].map(|i| {
            let mut lanes = Lanes::ZERO;
            lanes
                .0
                .iter_mut()
                .enumerate()
                .for_each(|(lane, x)| *x = (1 << lane) as f32 * if i == 2 { -1.0 } else { 1.0 } + i as f32);
            lanes
        });
        assert_eq!(sums(&vectors), vectors.map(Lanes::sum));
        assert_eq!(four(&vectors), vectors.map(Lanes::sum));
    }
}
