//! The same numbers in every type that an array may hold.

use regard_kernel::{View, bf16, f16};

use super::numbers;

/// The same numbers in a type and in single precision.
pub struct Numbers {
    typed: Typed,
    single: Vec<f32>,
}

enum Typed {
    F32(Vec<f32>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
    I8(Vec<i8>, Vec<f32>),
}

pub const TYPES: [&str; 4] = ["f32", "f16", "bf16", "i8"];

impl Numbers {
    /// `count` numbers in rows of `width`.
    pub fn new(kind: &str, seed: u64, count: usize, width: usize) -> Self {
        let x = numbers(seed, count);
        let (typed, single) = match kind {
            "f16" => {
                let x: Vec<f16> = x.iter().map(|&x| f16::from_f32(x)).collect();
                let single = x.iter().map(|x| x.to_f32()).collect();
                (Typed::F16(x), single)
            }
            "bf16" => {
                let x: Vec<bf16> = x.iter().map(|&x| bf16::from_f32(x)).collect();
                let single = x.iter().map(|x| x.to_f32()).collect();
                (Typed::BF16(x), single)
            }
            "i8" => {
                let x: Vec<i8> = x.iter().map(|x| (x * 127.0) as i8).collect();
                let scales: Vec<f32> = numbers(seed + 1, count / width).iter().map(|s| s / 127.0).collect();
                let single = x.iter().enumerate().map(|(i, &x)| f32::from(x) * scales[i / width]).collect();
                (Typed::I8(x, scales), single)
            }
            _ => (Typed::F32(x.clone()), x),
        };
        Self { typed, single }
    }

    /// The typed numbers and the single ones; strides are those of a contiguous array, or with positions before heads.
    pub fn views(&self, shape: [usize; 4], by_position: bool) -> [View<'_>; 2] {
        let [_, heads, positions, width] = shape;
        let strides = if by_position {
            [heads * positions * width, width, heads * width, 1]
        } else {
            [heads * positions * width, positions * width, width, 1]
        };
        let scale_strides = [0, 1, 2].map(|axis| strides[axis] / width);
        let single = View::strided(&self.single, shape, strides).unwrap();
        let typed = match &self.typed {
            Typed::F32(x) => View::strided(x, shape, strides),
            Typed::F16(x) => View::strided(x, shape, strides),
            Typed::BF16(x) => View::strided(x, shape, strides),
            Typed::I8(x, scales) => View::quantized_strided(x, scales, shape, strides, scale_strides),
        };
        [typed.unwrap(), single]
    }
}
