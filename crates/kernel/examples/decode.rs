//! How near does decoding come to the speed of memory?
//!
//! `cargo run --release -p regard-kernel --example decode`: the best of several runs, for one query of 32 heads of width 128,
//! beside the best at which the same threads, in turn, add up 512 MB.

use std::time::Instant;

use rayon::prelude::*;
use regard_kernel::{Attention, Result, View, bf16, f16};

const HEADS: usize = 32;
const WIDTH: usize = 128;

fn main() -> Result<()> {
    let memory = vec![1u64; 1 << 26];
    println!("{} threads", rayon::current_num_threads());
    println!("  keys  key heads  type        ms   GB/s  of reading's");
    for keys in [4096, 32768] {
        for key_heads in [32, 8] {
            let shape = [1, key_heads, keys, WIDTH];
            let count = key_heads * keys * WIDTH;
            let x: Vec<f32> =
                (0..count as u32).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 8) as f32 * 1e-7 - 0.8).collect();
            let half: Vec<f16> = x.iter().map(|&x| f16::from_f32(x)).collect();
            let brain: Vec<bf16> = x.iter().map(|&x| bf16::from_f32(x)).collect();
            let whole: Vec<i8> = x.iter().map(|&x| (x * 127.0) as i8).collect();
            row("f32", &memory, x, |x, _| View::new(x, shape))?;
            row("f16", &memory, half, |x, _| View::new(x, shape))?;
            row("bf16", &memory, brain, |x, _| View::new(x, shape))?;
            row("int8", &memory, whole, |x, scales| View::quantized(x, scales, shape))?;
        }
    }
    Ok(())
}

/// Decodes with one layer after another and prints the best time.
fn row<T: Clone>(
    name: &str,
    memory: &[u64],
    numbers: Vec<T>,
    view: impl for<'a> Fn(&'a [T], &'a [f32]) -> Result<View<'a>>,
) -> Result<()> {
    let queries: Vec<f32> = (0..HEADS * WIDTH).map(|i| (i % 17) as f32 * 0.1 - 0.8).collect();
    let queries = View::new(&queries, [1, HEADS, 1, WIDTH])?;
    let attention = Attention::default();
    // So many layers that no cache holds them: every run reads from memory.
    let scales = vec![1.0 / 127.0; numbers.len() / WIDTH];
    let bytes = 2 * size_of_val(&numbers[..]);
    let layers = vec![[numbers.clone(), numbers]; (1usize << 28).div_ceil(bytes)];
    let (mut best, mut best_read, mut shape) = (f64::INFINITY, f64::INFINITY, [0; 4]);
    for _ in 0..3 {
        for [keys, values] in layers.iter().cycle().take(layers.len().max(6)) {
            let (keys, values) = (view(keys, &scales)?, view(values, &scales)?);
            shape = keys.shape();
            let start = Instant::now();
            attention.decode(&queries, (&keys, &values))?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        for _ in 0..3 {
            best_read = best_read.min(read(memory));
        }
    }
    let speed = bytes as f64 / best * 1e-9;
    let share = 100.0 * speed / (size_of_val(memory) as f64 / best_read * 1e-9);
    println!("{:6} {:10}  {name:<5} {:8.2} {speed:6.1} {share:12.0} %", shape[2], shape[1], best * 1e3);
    Ok(())
}

/// How many seconds all threads together take to read memory.
fn read(memory: &[u64]) -> f64 {
    let start = Instant::now();
    let part = |part: &[u64]| part.iter().fold(0, |sum: u64, x| sum.wrapping_add(*x));
    let sum: u64 = memory.par_chunks(1 << 16).map(part).sum();
    assert_eq!(sum, memory.len() as u64);
    start.elapsed().as_secs_f64()
}
