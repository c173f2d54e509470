//! Exponentials and logarithms that vectorise.

use super::Isa;
#[cfg(target_arch = "x86_64")]
use super::Lanes;

/// `e^x` to about one unit in the last place, for x up to 88; exactly 0 below e⁻⁶⁹, so that no denormal number ever slows
/// a loop down. A NaN comes out as one.
///
/// `e^x = 2^n · 2^f` with n the whole number nearest to `x · log₂e`: 2^n is made from bits, 2^f is a polynomial through
/// the seven Chebyshev points of [-½, ½] (relative error 2e-8).
#[inline(always)]
pub(crate) fn exp<I: Isa>(x: f32) -> f32 {
    // Adding 1.5 · 2^23 leaves the nearest whole number in the low bits of the mantissa.
    const SHIFT: f32 = 12_582_912.0;
    // What log₂e has beyond single precision.
    const LOG2_E_REST: f32 = 1.925_963e-8;
    let power = x * std::f32::consts::LOG2_E;
    let shifted = power + SHIFT;
    let f = I::fma(x, LOG2_E_REST, I::fma(x, std::f32::consts::LOG2_E, SHIFT - shifted));
    let mut y = 1.546_144_5e-4;
    for c in [1.340_042_8e-3, 9.618_057e-3, 5.550_327e-2, 2.402_265e-1, std::f32::consts::LN_2, 1.0] {
        y = I::fma(y, f, c);
    }
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    if power < -100.0 { 0.0 } else { y * scale }
}

/// As [`exp`], of sixteen numbers: the hottest function after the matrix product, and the one place where AVX-512 has
/// instructions that portable code cannot name: `vreduceps` takes the fraction, `vscalefps` multiplies with 2^n.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn exp_avx512(x: Lanes) -> Lanes {
    use std::arch::x86_64::*;
    const DOWN: i32 = 0x09;
    // SAFETY: only `Avx512` calls this, inside functions that are compiled for these instructions and run where `level`
    // has found them; a `Lanes` is sixteen numbers.
    unsafe {
        let power = _mm512_mul_ps(_mm512_loadu_ps(x.0.as_ptr()), _mm512_set1_ps(std::f32::consts::LOG2_E));
        let f = _mm512_reduce_ps::<DOWN>(power);
        // (2^f - 1) / f through the six Chebyshev points of [0, 1], so that 2^0 is exactly 1 (relative error 1e-8).
        let mut y = _mm512_set1_ps(2.081_791_5e-4);
        for c in [1.269_216_6e-3, 9.652_195e-3, 5.549_602_4e-2, 2.402_272e-1, 6.931_472e-1, 1.0] {
            y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(c));
        }
        // Not less than, so that a NaN goes through.
        let kept = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(power, _mm512_set1_ps(-100.0));
        let mut result = x;
        _mm512_storeu_ps(result.0.as_mut_ptr(), _mm512_maskz_scalef_ps(kept, y, power));
        result
    }
}

/// `tanh x` to about 2e-7 of 1, from `e^(-2|x|)`.
#[inline(always)]
pub(crate) fn tanh<I: Isa>(x: f32) -> f32 {
    let e = exp::<I>(-2.0 * x.abs());
    // Near 0 the quotient cancels; the polynomial does not.
    if x.abs() < TANH_NEAR { tanh_near::<I>(x) } else { ((1.0 - e) / (1.0 + e)).copysign(x) }
}

/// Below this, [`tanh_near`] is as exact as [`tanh`].
pub(crate) const TANH_NEAR: f32 = 0.2;

/// `tanh x` for x near 0: its odd Taylor polynomial.
#[inline(always)]
pub(crate) fn tanh_near<I: Isa>(x: f32) -> f32 {
    let square = x * x;
    I::fma(I::fma(I::fma(-17.0 / 315.0, square, 2.0 / 15.0), square, -1.0 / 3.0), square * x, x)
}

/// `ln x` to about 2e-7 of itself, for positive, normal x; finite for 0. A NaN comes out as one.
///
/// `x = 2^n · (1 + f)` with 1 + f between √½ and √2, and `ln(1 + f) = f - f²/2 + f³ P(f)`, P fitted to an error of 3e-8
/// relative to the logarithm. No division: it would take as long as all the rest.
#[inline(always)]
pub(crate) fn ln<I: Isa>(x: f32) -> f32 {
    let bits = x.to_bits().wrapping_sub(std::f32::consts::FRAC_1_SQRT_2.to_bits());
    let n = (bits as i32 >> 23) as f32;
    let f = f32::from_bits((bits & 0x007f_ffff).wrapping_add(std::f32::consts::FRAC_1_SQRT_2.to_bits())) - 1.0;
    let mut y = 8.700_418e-2;
    for c in [-1.426_748_4e-1, 1.491_477_2e-1, -1.657_758_5e-1, 1.996_306_3e-1, -2.500_133_7e-1, 3.333_391e-1, -0.5] {
        y = I::fma(y, f, c);
    }
    let ln = I::fma(n, std::f32::consts::LN_2, I::fma(f * f, y, f));
    if x.is_nan() { x } else { ln }
}

#[cfg(test)]
mod tests {
    use super::super::{Baseline, Lanes, multiversion};

    multiversion! {
        fn exp_of_all<I>(numbers: &mut [Lanes]) {
            numbers.iter_mut().for_each(|x| *x = x.exp::<I>());
        }
    }

    #[test]
    fn vectors_of_exponentials_are_as_exact() {
        let mut x: Vec<f32> = (-60_000..=20_000).map(|i| i as f32 * 1e-3).collect();
        x.extend([0.0, -0.0, f32::NEG_INFINITY, -1e30, -70.0, f32::NAN, 89.0, f32::INFINITY]);
        let mut numbers: Vec<Lanes> = x.chunks(16).map(|x| Lanes::load_or(x, 0.0)).collect();
        exp_of_all(&mut numbers);
        let results: Vec<f32> = numbers.iter().flat_map(|lanes| lanes.0).collect();
        let (ordinary, special) = results[..x.len()].split_at(x.len() - 8);
        for (&x, &result) in x.iter().zip(ordinary) {
            let exact = f64::from(x).exp();
            let error = (f64::from(result) - exact).abs() / exact;
            assert!(error < 2.5e-7 + 1e-7 * f64::from(x.abs()), "exp({x}) is off by {error:e}");
        }
        assert_eq!(special[..5], [1.0, 1.0, 0.0, 0.0, 0.0]);
        assert!(special[5].is_nan() && special[6..].iter().all(|x| *x > 1e38 || x.is_nan()));
    }

    #[test]
    fn exp_is_exact_to_a_unit_or_two() {
        for i in -60_000..=20_000 {
            let x = i as f32 * 1e-3;
            let exact = f64::from(x).exp();
            let error = (f64::from(super::exp::<Baseline>(x)) - exact).abs() / exact;
            // The product x · log2 e is rounded without a fused multiply-add, which shows far from 0.
            assert!(error < 2.5e-7 + 1e-7 * f64::from(x.abs()), "exp({x}) is off by {error:e}");
        }
        assert_eq!(super::exp::<Baseline>(0.0), 1.0);
        assert_eq!(super::exp::<Baseline>(f32::NEG_INFINITY), 0.0);
        assert_eq!(super::exp::<Baseline>(-1e30), 0.0);
        assert!(super::exp::<Baseline>(f32::NAN).is_nan());
    }

    #[test]
    fn ln_is_exact_to_3e_7() {
        for i in -37_000..=37_000 {
            let x = 10f32.powf(i as f32 * 1e-3);
            let exact = f64::from(x).ln();
            let error = (f64::from(super::ln::<Baseline>(x)) - exact).abs();
            assert!(error <= 3e-7 * exact.abs(), "ln({x}) is off by {error:e}");
        }
        assert_eq!(super::ln::<Baseline>(1.0), 0.0);
        assert!(super::ln::<Baseline>(f32::NAN).is_nan());
    }

    #[test]
    fn tanh_is_exact_to_3e_7() {
        for i in -20_000..=20_000 {
            let x = i as f32 * 1e-3;
            let exact = f64::from(x).tanh();
            let error = (f64::from(super::tanh::<Baseline>(x)) - exact).abs();
            assert!(error < 3e-7 * exact.abs().max(1e-3), "tanh({x}) is off by {error:e}");
        }
        assert!(super::tanh::<Baseline>(f32::NAN).is_nan());
        assert_eq!(super::tanh::<Baseline>(f32::INFINITY), 1.0);
    }
}
