//! How fast is fused attention beside the same written as two matrix products with a softmax between them?
//!
//! `cargo run --release -p regard-kernel --example speed`: prints the best of several runs, forward and backward, and the
//! unfused forward pass on the same threads.

use std::time::Instant;

use rayon::prelude::*;
use regard_kernel::{Attention, Causal, Result, ScaledDot, View};

fn main() -> Result<()> {
    println!("{} threads", rayon::current_num_threads());
    println!("     B  H     L   D   mask    forward ms  GF/s   backward ms  GF/s   unfused forward ms");
    for (batch, heads, length, width) in [(64, 8, 24, 32), (1, 8, 128, 64), (1, 8, 1024, 64), (1, 8, 1024, 128)] {
        let shape = [batch, heads, length, width];
        let size = batch * heads * length * width;
        let input = |seed: usize| -> Vec<f32> { (0..size).map(|i| ((i * seed) % 101) as f32 / 50.0 - 1.0).collect() };
        let (q, k, v) = (input(7), input(11), input(13));
        let (q, k, v) = (View::new(&q, shape)?, View::new(&k, shape)?, View::new(&v, shape)?);
        for causal in [false, true] {
            let attention = Attention::new(ScaledDot::default());
            let attention = if causal { attention.mask(Causal::default()) } else { attention };
            let output = attention.forward(&q, &k, &v)?;
            let (mut context, mut lse) = (output.context.clone(), output.lse.clone());
            let forward = best(|| attention.forward_into(&q, &k, &v, &mut context, &mut lse))?;
            let backward = best(|| attention.backward(&q, &k, &v, &output.context, &output.lse, &v).map(drop))?;
            let unfused = best(|| {
                unfused(&q, &k, &v, [batch * heads, length, width]);
                Ok(())
            })?;
            let work = if causal { 0.5 } else { 1.0 } * (2 * size * length) as f64;
            println!(
                "{batch:6} {heads:2} {length:5} {width:3} {:>6} {:13.3} {:5.0} {:13.3} {:5.0} {:16.3}",
                if causal { "causal" } else { "none" },
                forward * 1e3,
                2.0 * work / forward * 1e-9,
                backward * 1e3,
                5.0 * work / backward * 1e-9,
                unfused * 1e3,
            );
        }
    }
    Ok(())
}

/// The shortest time of several runs, in seconds.
fn best(mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..15 {
        let start = Instant::now();
        run()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// Attention as it is written on a blackboard: all scores, then all weights, then all contexts.
fn unfused(q: &View, k: &View, v: &View, [units, length, width]: [usize; 3]) -> Vec<f32> {
    let [q, k, v] = [q, k, v].map(|x| x.data::<f32>().expect("single precision"));
    let mut context = vec![0.0; units * length * width];
    context.par_chunks_mut(length * width).enumerate().for_each(|(unit, context)| {
        let part = unit * length * width..(unit + 1) * length * width;
        let (q, k, v) = (&q[part.clone()], &k[part.clone()], &v[part]);
        let turned: Vec<f32> = (0..width * length).map(|i| k[i % length * width + i / length]).collect();
        let mut weights = vec![0.0f32; length * length];
        for (q, weights) in q.chunks_exact(width).zip(weights.chunks_exact_mut(length)) {
            for (q, k) in q.iter().zip(turned.chunks_exact(length)) {
                let q = q / (width as f32).sqrt();
                weights.iter_mut().zip(k).for_each(|(weight, k)| *weight += q * k);
            }
        }
        for row in weights.chunks_exact_mut(length) {
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().for_each(|x| *x = (*x - max).exp());
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|x| *x /= sum);
        }
        for (weights, context) in weights.chunks_exact(length).zip(context.chunks_exact_mut(width)) {
            for (weight, v) in weights.iter().zip(v.chunks_exact(width)) {
                context.iter_mut().zip(v).for_each(|(c, v)| *c += weight * v);
            }
        }
    });
    context
}
