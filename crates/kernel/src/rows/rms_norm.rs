//! Root-mean-square normalisation (Zhang & Sennrich 2019, arXiv:1910.07467).

use super::rows_a_task;
use crate::Result;
use crate::error::check_len;
use crate::problem::run;
use crate::simd::{LANES, Lanes, multiversion};

/// `out = x · rrms · gamma` along rows of `x` `[row, d]`, d being the length of `gamma`; `rrms = 1 / √(mean(x²) + eps)` takes
/// one number a row, for the backward pass.
///
/// # Errors
/// If a length does not fit the others.
pub fn rms_norm(x: &[f32], gamma: &[f32], eps: f32, out: &mut [f32], rrms: &mut [f32]) -> Result<()> {
    let width = gamma.len();
    check_len("x", x.len(), rrms.len().saturating_mul(width))?;
    check_len("out", out.len(), x.len())?;
    let rows = rows_a_task(width);
    let size = (rows * width).max(1);
    let tasks = x.chunks(size).zip(out.chunks_mut(size)).zip(rrms.chunks_mut(rows));
    run(3.0 * x.len() as f64, tasks.collect(), |((x, out), rrms)| forward(x, gamma, eps, out, rrms));
    Ok(())
}

/// Gradients of [`rms_norm`]: `dx` `[row, d]` and `dgamma` `[d]` are written.
///
/// # Errors
/// If a length does not fit the others.
pub fn rms_norm_backward(
    x: &[f32],
    gamma: &[f32],
    rrms: &[f32],
    grad: &[f32],
    dx: &mut [f32],
    dgamma: &mut [f32],
) -> Result<()> {
    let width = gamma.len();
    check_len("x", x.len(), rrms.len().saturating_mul(width))?;
    check_len("grad", grad.len(), x.len())?;
    check_len("dx", dx.len(), x.len())?;
    check_len("dgamma", dgamma.len(), width)?;
    dgamma.fill(0.0);
    if width == 0 {
        return Ok(());
    }
    let rows = rows_a_task(width);
    let size = rows * width;
    let mut partials = vec![0.0; x.len().div_ceil(size) * width];
    let tasks = x
        .chunks(size)
        .zip(grad.chunks(size))
        .zip(dx.chunks_mut(size))
        .zip(rrms.chunks(rows))
        .zip(partials.chunks_exact_mut(width));
    run(6.0 * x.len() as f64, tasks.collect(), |((((x, grad), dx), rrms), dgamma)| {
        backward(x, gamma, rrms, grad, dx, dgamma);
    });
    for partial in partials.chunks_exact(width) {
        dgamma.iter_mut().zip(partial).for_each(|(sum, x)| *sum += x);
    }
    Ok(())
}

multiversion! {
    fn forward<I>(x: &[f32], gamma: &[f32], eps: f32, out: &mut [f32], rrms: &mut [f32]) {
        let width = gamma.len();
        let rows = x.chunks_exact(width.max(1)).zip(out.chunks_exact_mut(width.max(1)));
        for ((x, out), rrms) in rows.zip(rrms) {
            let (vectors, rest) = x.as_chunks::<LANES>();
            let mut squares = Lanes::load_or(rest, 0.0).map(|x| x * x);
            for vector in vectors {
                squares = Lanes(*vector).fma::<I>(Lanes(*vector), squares);
            }
            let scale = 1.0 / (squares.sum() / width as f32 + eps).sqrt();
            *rrms = scale;
            for ((out, &x), &gamma) in out.iter_mut().zip(x).zip(gamma) {
                *out = x * scale * gamma;
            }
        }
    }

    fn backward<I>(x: &[f32], gamma: &[f32], rrms: &[f32], grad: &[f32], dx: &mut [f32], dgamma: &mut [f32]) {
        let width = gamma.len();
        let rows = x.chunks_exact(width).zip(grad.chunks_exact(width)).zip(dx.chunks_exact_mut(width));
        for (((x, grad), dx), &scale) in rows.zip(rrms) {
            // With y = x · rrms and g = grad · gamma: dx = rrms · (g - y · mean(g · y)).
            let mut product = Lanes::ZERO;
            for ((x, grad), gamma) in x.chunks(LANES).zip(grad.chunks(LANES)).zip(gamma.chunks(LANES)) {
                let g = Lanes::load_or(grad, 0.0).zip(Lanes::load_or(gamma, 0.0), |grad, gamma| grad * gamma);
                product = g.fma::<I>(Lanes::load_or(x, 0.0).map(|x| x * scale), product);
            }
            let product = product.sum() / width as f32;
            for ((dx, dgamma), ((&x, &grad), &gamma)) in dx.iter_mut().zip(&mut *dgamma).zip(x.iter().zip(grad).zip(gamma)) {
                let y = x * scale;
                *dgamma = I::fma(grad, y, *dgamma);
                *dx = scale * (grad * gamma - y * product);
            }
        }
    }
}
