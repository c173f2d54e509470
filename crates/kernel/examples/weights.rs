//! How fast linear layers are: weights of every type and direction, with one row, a few and many.
//!
//! `cargo run --release -p regard-kernel --example weights [width features]`

use std::hint::black_box;
use std::time::Instant;

use regard_kernel::rows::{Quantized, Weight, linear};
use regard_kernel::{bf16, f16};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given: Vec<usize> = std::env::args().skip(1).map(|x| x.parse()).collect::<Result<_, _>>()?;
    let all = [[768, 768], [768, 2048], [2048, 768], [768, 32000]];
    let sizes = if let [width, features] = given[..] { vec![[width, features]] } else { all.to_vec() };
    println!("best of several; GB/s counts the weight once, GF/s two operations a number of the weight and row");
    // The calling thread is one of the pool's, as in a program that stays in it.
    rayon::scope(|_| sizes.into_iter().try_for_each(measure))?;
    Ok(())
}

fn measure(sizes @ [width, features]: [usize; 2]) -> regard_kernel::Result<()> {
    let numbers: Vec<f32> = (0..width * features).map(|i| (i as f32 * 0.37).sin() / 8.0).collect();
    let halves: Vec<f16> = numbers.iter().map(|&x| f16::from_f32(x)).collect();
    let brains: Vec<bf16> = numbers.iter().map(|&x| bf16::from_f32(x)).collect();
    let quantized = Quantized::new(&Weight::turned(&numbers, sizes)?)?;
    let weights = [
        ("f32 [width, feature]", Weight::new(&numbers, sizes)?, 4.0),
        ("f32 [feature, width]", Weight::turned(&numbers, sizes)?, 4.0),
        ("f16 [feature, width]", Weight::turned(&halves, sizes)?, 2.0),
        ("bf16 [feature, width]", Weight::turned(&brains, sizes)?, 2.0),
        ("blocks of 8 bits", quantized.weight(), 34.0 / 32.0),
    ];
    let rows: Vec<f32> = (0..512 * width).map(|i| (i as f32 * 0.77).sin()).collect();
    for (name, weight, bytes) in weights {
        for count in [1, 4, 16, 32, 128, 512] {
            let time = best(|| linear(&rows[..count * width], &weight, &[]));
            let (read, work) = ((width * features) as f64 * bytes, (2 * width * features * count) as f64);
            println!(
                "{width:5} → {features:5}  {name:22} {count:4} rows {:9.3} ms {:7.1} GB/s {:7.1} GF/s",
                time * 1e3,
                read / time / 1e9,
                work / time / 1e9
            );
        }
    }
    Ok(())
}

/// The least time of several runs, in seconds.
fn best<R>(mut run: impl FnMut() -> R) -> f64 {
    let mut time = || {
        let start = Instant::now();
        black_box(run());
        start.elapsed().as_secs_f64()
    };
    (0..10).map(|_| time()).fold(f64::INFINITY, f64::min)
}
