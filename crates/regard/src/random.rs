//! Random numbers that are a function of a seed: the same features and rotations in every run, on every machine.

use burn::tensor::{Device, Tensor, TensorData};

use crate::noise::mix;

/// Uniform in (0, 1): the `at`-th number of a seed.
fn uniform(seed: u64, at: u64) -> f64 {
    ((mix(mix(seed) ^ at) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// So many numbers from the standard normal distribution (Box & Muller 1958).
pub(crate) fn normals(seed: u64, count: usize) -> Vec<f64> {
    let normal = |at: u64| {
        let (radius, turn) = (uniform(seed, 2 * at), uniform(seed, 2 * at + 1));
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
    };
    (0..count as u64).map(normal).collect()
}

/// A tensor of numbers uniform in `[-bound, bound]`.
pub(crate) fn uniforms<const D: usize>(seed: u64, bound: f64, shape: [usize; D], device: &Device) -> Tensor<D> {
    let count = shape.iter().product::<usize>() as u64;
    let numbers = (0..count).map(|at| ((2.0 * uniform(seed, at) - 1.0) * bound) as f32).collect::<Vec<_>>();
    Tensor::from_data(TensorData::new(numbers, shape), device)
}
