//! Writes a made-up trace of any length as queries, keys and log-sum-exps: `long FILE TOKENS [LAYERS [HEADS [WIDTH]]]`.
//!
//! Heads differ: some look at the key before, some at what is near, some at a few keys far away that all queries find.

use std::env;
use std::process::ExitCode;

use regard_explain::{Evidence, Rule, Site, States, Trace, write_atomically};

const WORDS: [&str; 12] = ["the", "sea", "was", "calm", "and", "a", "boat", "came", "in", "from", "far", "."];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |at: usize, usual: usize| arguments.get(at).map_or(Some(usual), |text| text.parse().ok());
    let sizes = (number(1, 0), number(2, 1), number(3, 8), number(4, 64));
    let (Some(file), (Some(tokens @ 1..), Some(layers), Some(heads), Some(width @ 8..))) = (arguments.first(), sizes)
    else {
        eprintln!("usage: long FILE TOKENS [LAYERS [HEADS [WIDTH]]], a width of at least 8");
        return ExitCode::from(2);
    };
    match trace(tokens, layers, heads, width).and_then(|trace| write_atomically(file, &trace.to_bytes()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn trace(tokens: usize, layers: usize, heads: usize, width: usize) -> regard_explain::Result<Trace> {
    let mut trace = Trace::new(format!("{tokens} made-up tokens"), "made up");
    let axis =
        trace.add_axis("text", (0..tokens).map(|at| WORDS[at * 7 % 11 + usize::from(at % 23 == 22)].into()).collect());
    for layer in 0..layers {
        let (mut q, mut k, mut lse) = (Vec::new(), Vec::new(), Vec::new());
        for head in 0..heads {
            let (queries, keys) = states(tokens, width, head + layer);
            // Exact log-sum-exps would cost the square of the length; of random waves a sample of keys is close enough to look at.
            lse.extend((0..tokens).map(|query| log_sum_exp(&queries, &keys, width, query)));
            q.extend(queries);
            k.extend(keys);
        }
        let states = States {
            q: q.into(),
            k: k.into(),
            lse: lse.into(),
            key_heads: heads,
            width,
            scale: 1.0,
            rules: vec![Rule::CAUSAL],
            biases: vec![],
        };
        let evidence = Evidence::States(states);
        trace.add_site(Site { name: "decoder.self".into(), layer, queries: axis, keys: axis, heads, evidence })?;
    }
    Ok(trace)
}

/// Positions as waves of many lengths, whose product is greatest where positions agree, and a few keys that shine.
fn states(tokens: usize, width: usize, head: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut q, mut k) = (Vec::with_capacity(tokens * width), Vec::with_capacity(tokens * width));
    let sharp = [2.0, 0.6, 0.3, 1.2][head % 4];
    let back = [1.0, 0.0, 40.0, 300.0][head % 4];
    for at in 0..tokens {
        for feature in 0..width / 2 - 1 {
            let speed = 10_000f32.powf(-(feature as f32) / (width / 2) as f32);
            let (there, here) = ((at as f32 - back) * speed, at as f32 * speed);
            q.extend([sharp * there.cos(), sharp * there.sin()]);
            k.extend([here.cos(), here.sin()]);
        }
        let shines = if at == 0 || at % 1543 == 700 { 3.0 } else { 0.0 };
        q.extend([1.0, 0.1]);
        k.extend([shines * (1 + head % 3) as f32, 0.1]);
        q.resize((at + 1) * width, 0.0);
        k.resize((at + 1) * width, 0.0);
    }
    (q, k)
}

fn log_sum_exp(q: &[f32], k: &[f32], width: usize, query: usize) -> f32 {
    let q = &q[query * width..][..width];
    let score = |key: usize| -> f64 { q.iter().zip(&k[key * width..]).map(|(a, b)| f64::from(a * b)).sum() };
    let near = query.saturating_sub(400)..query + 1;
    let far = (700..near.start).step_by(1543);
    let step = (near.start / 64).max(1);
    let sampled = (0..near.start).step_by(step).map(|key| score(key).exp() * step as f64);
    // A little more than the sum, so that no weight exceeds 1.
    let sum: f64 = near.chain(far).map(|key| score(key).exp()).sum::<f64>() + sampled.sum::<f64>();
    (sum * 1.001).ln() as f32
}
