//! What masks save, and what normalizers cost.
//!
//! `cargo run --release -p regard-kernel --example modifiers`: prints the best of several runs that take turns, forward and
//! backward, beside plain softmax attention. A mask should take the share of the time that its visible pairs are of all.

use std::time::Instant;

use regard_kernel::{
    Attention, Blocks, Causal, Dilated, Documents, Entmax15, Global, Normalizer, Result, Sigmoid, Sparsemax, TopK,
    View, Window,
};

const RUNS: usize = 7;

fn main() -> Result<()> {
    println!("{} threads", rayon::current_num_threads());
    let plain = Attention::default;

    let length = 8192;
    let dense = (length * length) as f64;
    let windowed = |past: usize| (0..length).map(|i| (i + 1).min(past + 1)).sum::<usize>() as f64 / dense;
    let documents: Vec<usize> = (0..=20).map(|i| (length * i * (i + 60)) / 1600).collect();
    let packed = documents.windows(2).map(|ends| (ends[1] - ends[0]).pow(2)).sum::<usize>() as f64 / dense;
    let layout = |side: usize, seed: usize| -> Vec<bool> {
        (0..(length / side).pow(2)).map(|i| i.wrapping_mul(seed).wrapping_mul(0x9e37_79b9) % 65536 < 6554).collect()
    };
    let blocks = |side: usize| -> Result<(f64, Attention)> {
        let layout = layout(side, 0x85eb_ca6b);
        let share = layout.iter().filter(|&&seen| seen).count() as f64 / layout.len() as f64;
        Ok((share, plain().mask(Blocks::from_layout(&layout, [1, 1, length, length], side)?)))
    };
    let global = Window::new(Some(256), Some(256)) | Global::new([0]);
    let (by_64, by_32) = (blocks(64)?, blocks(32)?);
    compare(
        length,
        2,
        vec![
            ("no mask", 1.0, plain()),
            ("causal", 0.5, plain().mask(Causal::default())),
            ("window 256", windowed(256), plain().mask(Window::new(Some(256), Some(0)))),
            ("window 256 as blocks", windowed(256), {
                let seen = |_, _, i: usize, j: usize| j <= i && i - j <= 256;
                plain().mask(Blocks::new([1, 1, length, length], seen)?)
            }),
            ("every 4th of 256", windowed(256) / 4.0, plain().mask(Dilated::new(Some(64), Some(0), 4)?)),
            ("±256, 1 global", 2.0 * windowed(256) + 2.0 / length as f64, plain().mask(global)),
            ("20 documents", packed, plain().mask(Documents::new(documents)?)),
            ("10 % of blocks of 64", by_64.0, by_64.1),
            ("10 % of blocks of 32", by_32.0, by_32.1),
        ],
    )?;

    fn with(name: &'static str, normalizer: impl Normalizer + 'static) -> (&'static str, f64, Attention) {
        (name, 1.0, Attention::default().normalizer(normalizer))
    }
    compare(
        2048,
        8,
        vec![
            ("softmax", 1.0, plain()),
            with("sigmoid", Sigmoid::default()),
            with("top 8", TopK::new(8)?),
            with("top 64", TopK::new(64)?),
            with("sparsemax", Sparsemax),
            with("1.5-entmax", Entmax15),
        ],
    )
}

/// Measures all cases by turns and prints a table; the first is what the others are compared with.
fn compare(length: usize, heads: usize, cases: Vec<(&str, f64, Attention)>) -> Result<()> {
    println!("\nB 1, H {heads}, L {length}, D 64         visible   forward ms   of plain   backward ms   of plain");
    let shape = [1, heads, length, 64];
    // Scores with a standard deviation of about 1, as a fresh layer has them.
    let mut state = 1u64;
    let mut input = || -> Vec<f32> {
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        (0..shape.iter().product()).map(|_| 3.46 * next()).collect()
    };
    let (q, k, v) = (input(), input(), input());
    let (q, k, v) = (View::new(&q, shape)?, View::new(&k, shape)?, View::new(&v, shape)?);
    let mut best = vec![[f64::INFINITY; 2]; cases.len()];
    for _ in 0..RUNS {
        for ((_, _, attention), best) in cases.iter().zip(&mut best) {
            let start = Instant::now();
            let output = attention.forward(&q, &k, &v)?;
            best[0] = best[0].min(start.elapsed().as_secs_f64());
            let start = Instant::now();
            attention.backward(&q, &k, &v, &output.context, &output.lse, &v)?;
            best[1] = best[1].min(start.elapsed().as_secs_f64());
        }
    }
    for ((name, visible, _), [forward, backward]) in cases.iter().zip(&best) {
        println!(
            "{name:<28} {:11.1} % {:12.2} {:8.1} % {:13.2} {:8.1} %",
            100.0 * visible,
            1e3 * forward,
            100.0 * forward / best[0][0],
            1e3 * backward,
            100.0 * backward / best[0][1],
        );
    }
    Ok(())
}
