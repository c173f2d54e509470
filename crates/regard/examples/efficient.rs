//! How long the efficient mechanisms take: reads jobs "NAME LENGTH" and answers each with the milliseconds of a forward pass
//! and of one with its backward, of 8 heads of 64 features. `bench/efficient` asks it and its peers in turn.
//!
//! `echo nystrom 4096 | cargo run --release -p regard-cli -p regard --example efficient`

use std::hint::black_box;
use std::io::BufRead;
use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use regard::catalogue::{Setting, mechanisms};
use regard::sparse::{LongformerConfig, LshConfig};
use regard::{Attention, Result, Window, ops};

const HEADS: usize = 8;
const WIDTH: usize = 64;
/// Positions that a window shows to either side, as many as Longformer's.
const REACH: usize = 256;

/// Something that can be timed on a device.
type Work = Box<dyn Fn() -> Result<Tensor<4>>>;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (mut ready, mut works) = (String::new(), None);
    for job in std::io::stdin().lock().lines() {
        let job = job?;
        if works.is_none() || ready != job {
            let (name, length) = job.split_once(' ').ok_or("a job is NAME LENGTH")?;
            let build = |device| work(name, length.trim().parse()?, &device);
            let both = [build(Device::default())?, build(Device::default().autodiff())?];
            run(&both)?;
            (ready, works) = (job.clone(), Some(both));
        }
        if let Some(works) = &works {
            let [forward, both] = run(works)?;
            println!("{:.4} {:.4}", 1e3 * forward, 1e3 * both);
        }
    }
    Ok(())
}

/// Seconds of a forward pass, and of one with its backward.
fn run([plain, tracked]: &[Work; 2]) -> Result<[f64; 2]> {
    let start = Instant::now();
    black_box(plain()?);
    let forward = start.elapsed().as_secs_f64();
    let start = Instant::now();
    black_box(tracked()?.sum().backward());
    Ok([forward, start.elapsed().as_secs_f64()])
}

fn work(name: &str, length: usize, device: &Device) -> std::result::Result<Work, Box<dyn std::error::Error>> {
    let leaf = || {
        let numbers = Tensor::<4>::random([1, HEADS, length, WIDTH], Distribution::Normal(0.0, 1.0), device);
        if device.is_autodiff() { numbers.require_grad() } else { numbers }
    };
    let [q, k, v] = [leaf(), leaf(), leaf()];
    let (entry, causal) = match name {
        "lsh" => {
            // One vector as query and key, as in the package.
            let lsh = LshConfig::new().init()?;
            let (vectors, values) = (leaf(), leaf());
            let rotations = lsh.rotations(WIDTH, length, &device.clone().inner())?;
            return Ok(Box::new(move || lsh.shared(vectors.clone(), values.clone(), rotations.clone())));
        }
        "longformer" => {
            let layer = LongformerConfig::new(HEADS * WIDTH, HEADS).with_window(REACH).init(device)?;
            let input = leaf().reshape([1, length, HEADS * WIDTH]).detach();
            let input = if device.is_autodiff() { input.require_grad() } else { input };
            return Ok(Box::new(move || Ok(layer.forward(input.clone(), &[0], None)?.output.unsqueeze())));
        }
        "window" => {
            let near = Attention::default().mask(Window::new(Some(REACH), Some(REACH)));
            return Ok(Box::new(move || Ok(ops::attend(q.clone(), k.clone(), v.clone(), &near)?.context)));
        }
        "local" => ("HardLocal", false),
        name => (name.trim_end_matches("-causal"), name.ends_with("-causal")),
    };
    let setting = Setting { heads: HEADS, head_dim: WIDTH, length, causal, seed: 1, device: device.clone() };
    let found = mechanisms().into_iter().find(|known| known.name.eq_ignore_ascii_case(entry));
    let found = found.ok_or_else(|| format!("no mechanism is called {entry}"))?;
    let mechanism = (found.build)(&setting)?;
    Ok(Box::new(move || mechanism.mix(q.clone(), k.clone(), v.clone())))
}
