//! Layer normalisation (Ba et al. 2016, arXiv:1607.06450).

use super::rows_a_task;
use crate::Result;
use crate::error::check_len;
use crate::problem::run;
use crate::simd::{LANES, Lanes, multiversion};

/// `out = (x - mean) · rstd · gamma + beta` along rows of `x` `[row, d]`, d being the length of `gamma`; `mean` and
/// `rstd = 1 / √(variance + eps)` take one number a row, for the backward pass.
///
/// # Errors
/// If a length does not fit the others.
pub fn layer_norm(
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    eps: f32,
    out: &mut [f32],
    mean: &mut [f32],
    rstd: &mut [f32],
) -> Result<()> {
    let width = gamma.len();
    check_len("beta", beta.len(), width)?;
    check_len("x", x.len(), mean.len().saturating_mul(width))?;
    check_len("out", out.len(), x.len())?;
    check_len("rstd", rstd.len(), mean.len())?;
    let rows = rows_a_task(width);
    let size = (rows * width).max(1);
    let tasks = x.chunks(size).zip(out.chunks_mut(size)).zip(mean.chunks_mut(rows)).zip(rstd.chunks_mut(rows));
    run(4.0 * x.len() as f64, tasks.collect(), |(((x, out), mean), rstd)| {
        forward(x, gamma, beta, eps, out, mean, rstd);
    });
    Ok(())
}

/// Gradients of [`layer_norm`]: `dx` `[row, d]` is written, `dgamma` and `dbeta` `[d]` too.
///
/// # Errors
/// If a length does not fit the others.
#[allow(clippy::too_many_arguments)]
pub fn layer_norm_backward(
    x: &[f32],
    gamma: &[f32],
    mean: &[f32],
    rstd: &[f32],
    grad: &[f32],
    dx: &mut [f32],
    dgamma: &mut [f32],
    dbeta: &mut [f32],
) -> Result<()> {
    let width = gamma.len();
    check_len("x", x.len(), mean.len().saturating_mul(width))?;
    check_len("rstd", rstd.len(), mean.len())?;
    check_len("grad", grad.len(), x.len())?;
    check_len("dx", dx.len(), x.len())?;
    check_len("dgamma", dgamma.len(), width)?;
    check_len("dbeta", dbeta.len(), width)?;
    dgamma.fill(0.0);
    dbeta.fill(0.0);
    if width == 0 {
        return Ok(());
    }
    let rows = rows_a_task(width);
    let size = rows * width;
    let mut partials = vec![0.0; x.len().div_ceil(size) * 2 * width];
    let tasks = x
        .chunks(size)
        .zip(grad.chunks(size))
        .zip(dx.chunks_mut(size))
        .zip(mean.chunks(rows))
        .zip(rstd.chunks(rows))
        .zip(partials.chunks_exact_mut(2 * width));
    run(8.0 * x.len() as f64, tasks.collect(), |(((((x, grad), dx), mean), rstd), partial)| {
        let (dgamma, dbeta) = partial.split_at_mut(width);
        backward(x, gamma, mean, rstd, grad, dx, dgamma, dbeta);
    });
    for partial in partials.chunks_exact(2 * width) {
        let (gamma_part, beta_part) = partial.split_at(width);
        dgamma.iter_mut().zip(gamma_part).for_each(|(sum, x)| *sum += x);
        dbeta.iter_mut().zip(beta_part).for_each(|(sum, x)| *sum += x);
    }
    Ok(())
}

multiversion! {
    fn forward<I>(
        x: &[f32], gamma: &[f32], beta: &[f32], eps: f32, out: &mut [f32], mean: &mut [f32], rstd: &mut [f32]
    ) {
        let width = gamma.len();
        let rows = x.chunks_exact(width.max(1)).zip(out.chunks_exact_mut(width.max(1)));
        for ((x, out), (mean, rstd)) in rows.zip(mean.iter_mut().zip(rstd)) {
            let (vectors, rest) = x.as_chunks::<LANES>();
            let mut sum = Lanes::load_or(rest, 0.0);
            for vector in vectors {
                sum = sum.add(Lanes(*vector));
            }
            *mean = sum.sum() / width as f32;
            // A second look at the row loses no digits, as the mean of squares would.
            let center = *mean;
            let mut squares = Lanes::load_or(rest, center).map(|x| (x - center) * (x - center));
            for vector in vectors {
                let distance = Lanes(*vector).map(|x| x - center);
                squares = distance.fma::<I>(distance, squares);
            }
            *rstd = 1.0 / (squares.sum() / width as f32 + eps).sqrt();
            let scale = *rstd;
            for ((out, &x), (&gamma, &beta)) in out.iter_mut().zip(x).zip(gamma.iter().zip(beta)) {
                *out = I::fma((x - center) * scale, gamma, beta);
            }
        }
    }

    fn backward<I>(
        x: &[f32], gamma: &[f32], mean: &[f32], rstd: &[f32], grad: &[f32],
        dx: &mut [f32], dgamma: &mut [f32], dbeta: &mut [f32]
    ) {
        let width = gamma.len();
        let rows = x.chunks_exact(width).zip(grad.chunks_exact(width)).zip(dx.chunks_exact_mut(width));
        for (((x, grad), dx), (&mean, &rstd)) in rows.zip(mean.iter().zip(rstd)) {
            // With y = (x - mean) · rstd and g = grad · gamma: dx = rstd · (g - mean(g) - y · mean(g · y)).
            let (mut sum, mut product) = (Lanes::ZERO, Lanes::ZERO);
            for ((x, grad), gamma) in x.chunks(LANES).zip(grad.chunks(LANES)).zip(gamma.chunks(LANES)) {
                let y = Lanes::load_or(x, mean).map(|x| (x - mean) * rstd);
                let g = Lanes::load_or(grad, 0.0).zip(Lanes::load_or(gamma, 0.0), |grad, gamma| grad * gamma);
                sum = sum.add(g);
                product = g.fma::<I>(y, product);
            }
            let (sum, product) = (sum.sum() / width as f32, product.sum() / width as f32);
            let sums = dgamma.iter_mut().zip(dbeta.iter_mut());
            let inputs = x.iter().zip(grad).zip(gamma);
            for ((dx, (dgamma, dbeta)), ((&x, &grad), &gamma)) in dx.iter_mut().zip(sums).zip(inputs) {
                let y = (x - mean) * rstd;
                *dgamma = I::fma(grad, y, *dgamma);
                *dbeta += grad;
                *dx = rstd * (I::fma(grad, gamma, -sum) - y * product);
            }
        }
    }
}
