//! How long linear attention takes: with and without gates, a whole text and one token at a time.
//!
//! `cargo run --release -p regard-kernel --example linear`

use std::hint::black_box;
use std::time::Instant;

use regard_kernel::linear::{Gates, LinearAttention};
use regard_kernel::{Attention, Causal, View};

const HEADS: usize = 8;

fn main() -> regard_kernel::Result<()> {
    println!("{HEADS} heads, best of several; GF/s counts what the mechanism asks for one position after another");
    for width in [64, 128] {
        for length in [1, 1024, 4096] {
            let numbers: Vec<f32> = (0..HEADS * length * width).map(|i| (i as f32 * 0.37).sin() / 8.0).collect();
            let decays: Vec<f32> = numbers.iter().map(|x| -x.abs()).collect();
            let betas = vec![0.5; HEADS * length];
            let x = View::new(&numbers, [1, HEADS, length, width])?;
            let decay = Some(View::new(&decays, [1, HEADS, length, width])?);
            let beta = Some(View::new(&betas, [1, HEADS, length, 1])?);
            let state = LinearAttention::default().forward(&x, &x, &x, &Gates::default(), None)?.state;
            let state = View::new(&state, [1, HEADS, width, width])?;
            let rules =
                [("linear", None, None), ("gated", decay, None), ("delta", None, beta), ("gated delta", decay, beta)];
            for (name, decay, beta) in rules {
                let gates = Gates { decay, beta };
                let time = best(|| LinearAttention::default().forward(&x, &x, &x, &gates, Some(&state)));
                // Writing, reading, correcting (two each), fading.
                let each = 4 + if beta.is_some() { 2 } else { 0 } + usize::from(decay.is_some());
                let work = (HEADS * length * width * width * each) as f64;
                println!("d {width:4}  L {length:5}  {name:12} {:9.3} ms  {:6.1} GF/s", time * 1e3, work / time / 1e9);
            }
            if length == 1 {
                continue;
            }
            let causal = Attention::default().mask(Causal::default());
            let time = best(|| causal.forward(&x, &x, &x));
            println!("d {width:4}  L {length:5}  {:12} {:9.3} ms", "exact", time * 1e3);
        }
    }
    Ok(())
}

/// The least time of several runs, in seconds.
fn best<R>(run: impl Fn() -> R) -> f64 {
    let time = || {
        let start = Instant::now();
        black_box(run());
        start.elapsed().as_secs_f64()
    };
    (0..10).map(|_| time()).fold(f64::INFINITY, f64::min)
}
