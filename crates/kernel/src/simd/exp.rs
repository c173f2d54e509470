//! Exponentials and logarithms that vectorise.

use super::Isa;

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

/// `tanh x` to about 2e-7 of 1, from `e^(-2|x|)`.
#[inline(always)]
pub(crate) fn tanh<I: Isa>(x: f32) -> f32 {
    let e = exp::<I>(-2.0 * x.abs());
    // Near 0 the quotient cancels; the odd Taylor polynomial does not.
    let square = x * x;
    let near = I::fma(I::fma(I::fma(-17.0 / 315.0, square, 2.0 / 15.0), square, -1.0 / 3.0), square * x, x);
    if x.abs() < 0.2 { near } else { ((1.0 - e) / (1.0 + e)).copysign(x) }
}

/// `ln x` to about 2e-7 of itself, for positive, normal x. A NaN comes out as one.
///
/// `x = 2^n · m` with m between √½ and √2, and `ln m = 2 artanh s` with `s = (m - 1) / (m + 1)`, as its series up to s⁹.
#[inline(always)]
pub(crate) fn ln<I: Isa>(x: f32) -> f32 {
    let bits = x.to_bits().wrapping_sub(std::f32::consts::FRAC_1_SQRT_2.to_bits());
    let n = (bits as i32 >> 23) as f32;
    let m = f32::from_bits((bits & 0x007f_ffff).wrapping_add(std::f32::consts::FRAC_1_SQRT_2.to_bits()));
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let mut y = 1.0 / 9.0;
    for c in [1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0] {
        y = I::fma(y, square, c);
    }
    let ln_m = I::fma(2.0 * s * square, y, 2.0 * s);
    if x.is_nan() { x } else { I::fma(n, std::f32::consts::LN_2, ln_m) }
}

#[cfg(test)]
mod tests {
    use super::super::Baseline;

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
