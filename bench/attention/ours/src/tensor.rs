//! Inputs in every type that the kernel reads.

use protocol::{Element, Layout};
use regard_kernel::{Result, View, bf16, f16};

/// Numbers as they are stored.
enum Data {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    /// With a scale for each row.
    Int8(Vec<i8>, Vec<f32>),
}

/// Numbers and how they lie.
pub struct Tensor {
    data: Data,
    /// `[batch, head, position, feature]`
    shape: [usize; 4],
    layout: Layout,
}

impl Tensor {
    /// Rounds numbers to the element.
    pub fn new(numbers: Vec<f32>, shape: [usize; 4], element: Element, layout: Layout) -> Self {
        let data = match element {
            Element::F32 => Data::F32(numbers),
            Element::F16 => Data::F16(numbers.into_iter().map(f16::from_f32).collect()),
            Element::Bf16 => Data::Bf16(numbers.into_iter().map(bf16::from_f32).collect()),
            Element::Int8 => {
                let rows = numbers.chunks_exact(shape[3]);
                let scales: Vec<f32> = rows
                    .clone()
                    .map(|row| row.iter().fold(f32::MIN_POSITIVE, |most, x| most.max(x.abs())) / 127.0)
                    .collect();
                let rounded =
                    rows.zip(&scales).flat_map(|(row, scale)| row.iter().map(move |x| (x / scale).round() as i8));
                Data::Int8(rounded.collect(), scales)
            }
        };
        Self { data, shape, layout }
    }

    /// What the kernel is given.
    pub fn view(&self) -> Result<View<'_>> {
        let [_, heads, positions, features] = self.shape;
        let (strides, scale_strides) = match self.layout {
            Layout::Heads => {
                ([heads * positions * features, positions * features, features, 1], [heads * positions, positions, 1])
            }
            Layout::Positions => {
                ([positions * heads * features, features, heads * features, 1], [positions * heads, 1, heads])
            }
        };
        match &self.data {
            Data::F32(data) => View::strided(data, self.shape, strides),
            Data::F16(data) => View::strided(data, self.shape, strides),
            Data::Bf16(data) => View::strided(data, self.shape, strides),
            Data::Int8(data, scales) => View::quantized_strided(data, scales, self.shape, strides, scale_strides),
        }
    }
}
