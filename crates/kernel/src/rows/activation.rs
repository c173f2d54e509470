//! The bends between linear layers, alone or as a gate: one pass over memory forward and one backward.
//!
//! `y = f(x)`, or `y = f(x) · up` in gated networks (Shazeer 2020, arXiv:2002.05202).

use super::CHUNK;
use crate::Result;
use crate::error::check_len;
use crate::problem::run;
use crate::simd::{Isa, LANES, Lanes, multiversion};

/// A function of each number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x Φ(x)`, Φ the normal distribution, to about 2e-7. Hendrycks & Gimpel 2016, arXiv:1606.08415.
    Gelu,
    /// The same paper's approximation, `x σ(2u)` with `u = √(2/π) (x + 0.044715 x³)`, which is `x / 2 · (1 + tanh u)`.
    GeluTanh,
    /// `x σ(x)`, also called swish. Ramachandran et al. 2017, arXiv:1710.05941.
    Silu,
}

/// `out = f(x)`, or `f(x) · up` where `up` is not empty.
///
/// # Errors
/// If the lengths differ.
pub fn activate(activation: Activation, x: &[f32], up: &[f32], out: &mut [f32]) -> Result<()> {
    check_len("out", out.len(), x.len())?;
    if !up.is_empty() {
        check_len("up", up.len(), x.len())?;
    }
    let tasks = out.chunks_mut(CHUNK).enumerate().collect();
    run(WORK * x.len() as f64, tasks, |(task, out): (usize, &mut [f32])| {
        let part = task * CHUNK..task * CHUNK + out.len();
        forward(activation, &x[part.clone()], up.get(part).unwrap_or_default(), out);
    });
    Ok(())
}

/// The gradients of [`activate`]: `dx` is written, and `dup`, which is as long as `up`.
///
/// # Errors
/// If the lengths differ.
pub fn activate_backward(
    activation: Activation,
    x: &[f32],
    up: &[f32],
    grad: &[f32],
    dx: &mut [f32],
    dup: &mut [f32],
) -> Result<()> {
    check_len("grad", grad.len(), x.len())?;
    check_len("dx", dx.len(), x.len())?;
    check_len("dup", dup.len(), up.len())?;
    if up.is_empty() {
        let tasks = dx.chunks_mut(CHUNK).enumerate().collect();
        run(WORK * x.len() as f64, tasks, |(task, dx): (usize, &mut [f32])| {
            let part = task * CHUNK..task * CHUNK + dx.len();
            backward(activation, &x[part.clone()], &[], &grad[part], dx, &mut []);
        });
        return Ok(());
    }
    check_len("up", up.len(), x.len())?;
    let tasks = dx.chunks_mut(CHUNK).zip(dup.chunks_mut(CHUNK)).enumerate().collect();
    run(WORK * x.len() as f64, tasks, |(task, (dx, dup)): (usize, (&mut [f32], &mut [f32]))| {
        let part = task * CHUNK..task * CHUNK + dx.len();
        backward(activation, &x[part.clone()], &up[part.clone()], &grad[part], dx, dup);
    });
    Ok(())
}

/// What a number takes, in multiplications.
const WORK: f64 = 30.0;

multiversion! {
    fn forward<I>(activation: Activation, x: &[f32], up: &[f32], out: &mut [f32]) {
        match activation {
            Activation::Gelu => each(x, up, out, |x| gelu::<I>(x).0),
            Activation::GeluTanh => each(x, up, out, |x| gelu_tanh::<I>(x).0),
            Activation::Silu => each(x, up, out, |x| silu::<I>(x).0),
        }
    }

    fn backward<I>(activation: Activation, x: &[f32], up: &[f32], grad: &[f32], dx: &mut [f32], dup: &mut [f32]) {
        match activation {
            Activation::Gelu => each_slope(x, up, grad, dx, dup, gelu::<I>),
            Activation::GeluTanh => each_slope(x, up, grad, dx, dup, gelu_tanh::<I>),
            Activation::Silu => each_slope(x, up, grad, dx, dup, silu::<I>),
        }
    }
}

#[inline(always)]
fn each(x: &[f32], up: &[f32], out: &mut [f32], f: impl Fn(Lanes) -> Lanes) {
    let mut ups = up.chunks(LANES);
    for (x, out) in x.chunks(LANES).zip(out.chunks_mut(LANES)) {
        let mut y = f(load(x));
        if let Some(up) = ups.next() {
            y = y.zip(load(up), |y, up| y * up);
        }
        store(y, out);
    }
}

/// `f` returns the value and the slope.
#[inline(always)]
fn each_slope(
    x: &[f32],
    up: &[f32],
    grad: &[f32],
    dx: &mut [f32],
    dup: &mut [f32],
    f: impl Fn(Lanes) -> (Lanes, Lanes),
) {
    let mut ups = up.chunks(LANES).zip(dup.chunks_mut(LANES));
    for ((x, grad), dx) in x.chunks(LANES).zip(grad.chunks(LANES)).zip(dx.chunks_mut(LANES)) {
        let (y, slope) = f(load(x));
        let mut grad = load(grad);
        if let Some((up, dup)) = ups.next() {
            store(y.zip(grad, |y, grad| y * grad), dup);
            grad = grad.zip(load(up), |grad, up| grad * up);
        }
        store(slope.zip(grad, |slope, grad| slope * grad), dx);
    }
}

#[inline(always)]
fn load(from: &[f32]) -> Lanes {
    if from.len() == LANES { Lanes::load(from) } else { Lanes::load_or(from, 0.0) }
}

#[inline(always)]
fn store(x: Lanes, to: &mut [f32]) {
    if to.len() == LANES {
        x.store(to);
    } else {
        to.copy_from_slice(&x.0[..to.len()]);
    }
}

/// `σ(x)` from `e^(-|x|)`, which cannot overflow.
#[inline(always)]
fn sigmoid<I: Isa>(x: Lanes) -> Lanes {
    let e = x.map(|x| -x.abs()).exp::<I>();
    e.zip(x, |e, x| if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) })
}

/// `x σ(x)`, and its slope `σ (1 + x (1 - σ))`.
#[inline(always)]
fn silu<I: Isa>(x: Lanes) -> (Lanes, Lanes) {
    let s = sigmoid::<I>(x);
    (s.zip(x, |s, x| s * x), s.zip(x, |s, x| s * I::fma(x, 1.0 - s, 1.0)))
}

/// `x σ(v)` with `v = 2u`, and its slope `σ + x σ (1 - σ) v'`.
#[inline(always)]
fn gelu_tanh<I: Isa>(x: Lanes) -> (Lanes, Lanes) {
    // 2 √(2/π)
    const SCALE: f32 = std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::SQRT_2;
    const CUBE: f32 = 0.044_715;
    let s = sigmoid::<I>(x.map(|x| x * I::fma(x * x, SCALE * CUBE, SCALE)));
    let slope = s.zip(x, |s, x| {
        // Where σ is 0, x² may be infinite.
        let inner = I::fma(x.abs().min(1e6) * x.abs().min(1e6), 3.0 * SCALE * CUBE, SCALE);
        I::fma(x * s * (1.0 - s), inner, s)
    });
    (s.zip(x, |s, x| s * x), slope)
}

/// `x Φ(x)`, and its slope `Φ + x φ(x)`.
///
/// `1 - Φ(|x|) = ½ erfc(|x| / √2)`, and `erfc z = e^(-z²) P(t)` with `t = 1 / (1 + p z)` (Hastings, in Abramowitz & Stegun 1964,
/// 7.1.26; error 1.5e-7).
#[inline(always)]
fn gelu<I: Isa>(x: Lanes) -> (Lanes, Lanes) {
    const P: f32 = 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2;
    // 1 / √(2π)
    const DENSITY: f32 = 0.398_942_3;
    let e = x.map(|x| -0.5 * x * x).exp::<I>();
    let tail = e.zip(x, |e, x| {
        let t = 1.0 / I::fma(x.abs(), P, 1.0);
        let mut y = 1.061_405_4;
        for c in [-1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
            y = I::fma(y, t, c);
        }
        0.5 * y * t * e
    });
    let below = tail.zip(x, |tail, x| if x < 0.0 { tail } else { 1.0 - tail });
    let slope = below.zip(e.zip(x, |e, x| e * x), |below, density| I::fma(density, DENSITY, below));
    (below.zip(x, |below, x| below * x), slope)
}
