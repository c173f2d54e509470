//! What the tests share: fixtures, comparisons, numbers, and gradients from differences.

// Each test program uses its own part.
#![allow(dead_code)]

pub mod case;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use regard::{Linear, mix};
use safetensors::SafeTensors;

/// The CPU with gradient tracking.
pub fn tracked() -> Device {
    Device::default().autodiff()
}

/// A file that `oracle/write.py` wrote.
pub struct Oracle(Vec<u8>);

impl Oracle {
    pub fn open(name: &str) -> Self {
        let path = format!("{}/tests/oracle/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        Oracle(std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    fn read<const N: usize, const D: usize, T>(&self, name: &str, number: fn([u8; N]) -> T) -> ([usize; D], Vec<T>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let numbers = view.data().as_chunks().0.iter().map(|&bytes| number(bytes)).collect();
        (view.shape().try_into().unwrap(), numbers)
    }

    /// A tensor of f32.
    pub fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        let (shape, numbers) = self.read::<4, D, _>(name, f32::from_le_bytes);
        Tensor::from_data(TensorData::new(numbers, shape), device)
    }

    /// A linear map's weight as burn has it, `[in, out]`.
    pub fn weight(&self, name: &str, device: &Device) -> Tensor<2> {
        self.tensor::<2>(name, device).transpose()
    }

    /// A vector of i32 that are lengths.
    pub fn lengths(&self, name: &str) -> Vec<usize> {
        self.read::<4, 1, _>(name, i32::from_le_bytes).1.into_iter().map(|length| length as usize).collect()
    }
}

/// The numbers of a tensor.
pub fn numbers<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().try_into_vec().unwrap()
}

/// Fails unless every element is within `tolerance` of the expected one, relative to the largest (at least 1).
#[track_caller]
pub fn close<const D: usize>(what: &str, given: &Tensor<D>, expected: &Tensor<D>, tolerance: f32) {
    assert_eq!(given.dims(), expected.dims(), "shape of {what}");
    let (given, expected) = (numbers(given), numbers(expected));
    let scale = expected.iter().fold(1f32, |most, value| most.max(value.abs()));
    for (at, (given, expected)) in given.iter().zip(&expected).enumerate() {
        // A NaN is not close to anything.
        let near = (given - expected).abs() <= tolerance * scale;
        assert!(near, "{what}: element {at} is {given}, expected {expected}");
    }
}

/// Reproducible numbers in `[-1, 1)`.
pub fn random<const D: usize>(seed: u64, shape: [usize; D], device: &Device) -> Tensor<D> {
    let number = |at: u64| (mix(mix(seed) ^ at) >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
    let count = shape.iter().product::<usize>() as u64;
    Tensor::from_data(TensorData::new((0..count).map(number).collect::<Vec<f32>>(), shape), device)
}

/// Gives a layer weights that are the same in every run.
pub fn fix(linear: &mut Linear, seed: u64) {
    let device = linear.weight.val().device();
    linear.weight = Param::from_tensor(random(seed, linear.weight.dims(), &device));
    if let Some(bias) = &mut linear.bias {
        *bias = Param::from_tensor(random(seed + 50, bias.dims(), &device));
    }
}

/// Fails unless `gradient` agrees, along each axis of `at`, with the central differences of `function` in f64.
#[track_caller]
pub fn agrees_with_differences(what: &str, gradient: &[f32], at: &[f64], function: impl Fn(&[f64]) -> f64) {
    let step = 1e-5;
    assert_eq!(gradient.len(), at.len(), "length of the gradient of {what}");
    for (index, &gradient) in gradient.iter().enumerate() {
        let moved = |by: f64| {
            let mut at = at.to_vec();
            at[index] += by;
            function(&at)
        };
        let slope = (moved(step) - moved(-step)) / (2.0 * step);
        let near = (f64::from(gradient) - slope).abs() <= 2e-5 * slope.abs().max(1.0);
        assert!(near, "gradient of {what}: element {index} is {gradient}, differences say {slope}");
    }
}

/// The numbers of a tensor in double precision.
pub fn wide<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    numbers(tensor).into_iter().map(f64::from).collect()
}
