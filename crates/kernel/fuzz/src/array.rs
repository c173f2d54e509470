//! Arrays of any element, anyhow in memory.

use arbitrary::{Result, Unstructured};
use regard_kernel::{View, bf16, f16};

use crate::oracle::numbers;

/// An array and the numbers that it means.
#[derive(Debug)]
pub struct Array {
    data: Data,
    pub shape: [usize; 4],
    strides: [usize; 4],
    scale_strides: [usize; 3],
    /// Contiguous.
    pub single: Vec<f32>,
}

#[derive(Debug)]
enum Data {
    F32(Vec<f32>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
    I8(Vec<i8>, Vec<f32>),
}

impl Array {
    /// Numbers from `-spread` to `spread`.
    pub fn new(u: &mut Unstructured, shape: [usize; 4], spread: f32) -> Result<Self> {
        let (kind, seed) = (u.int_in_range(0..=7)?, u64::from(u.arbitrary::<u16>()?));
        let (strides, size) = strides(u, shape)?;
        let x: Vec<f32> = numbers(seed, size).iter().map(|x| x * spread).collect();
        let [batch, heads, positions, _] = shape;
        let mut scale_strides = [0; 3];
        let data = match kind {
            0 => Data::F16(x.iter().map(|&x| f16::from_f32(x)).collect()),
            1 => Data::BF16(x.iter().map(|&x| bf16::from_f32(x)).collect()),
            2 => {
                let (strides, rows) = self::strides(u, [batch, heads, positions, 1])?;
                scale_strides.copy_from_slice(&strides[..3]);
                let scales = numbers(seed + 1, rows).iter().map(|scale| scale * spread / 127.0).collect();
                Data::I8(x.iter().map(|x| (x / spread * 127.0) as i8).collect(), scales)
            }
            _ => Data::F32(x),
        };
        let mut array = Self { data, shape, strides, scale_strides, single: Vec::new() };
        array.single = indices(shape).map(|index| array.get(index)).collect();
        Ok(array)
    }

    fn get(&self, index: [usize; 4]) -> f32 {
        let place = |strides: &[usize]| -> usize { index.iter().zip(strides).map(|(i, stride)| i * stride).sum() };
        let at = place(&self.strides);
        match &self.data {
            Data::F32(x) => x[at],
            Data::F16(x) => x[at].to_f32(),
            Data::BF16(x) => x[at].to_f32(),
            Data::I8(x, scales) => f32::from(x[at]) * scales[place(&self.scale_strides)],
        }
    }

    pub fn view(&self) -> View<'_> {
        let (shape, strides) = (self.shape, self.strides);
        match &self.data {
            Data::F32(x) => View::strided(x, shape, strides),
            Data::F16(x) => View::strided(x, shape, strides),
            Data::BF16(x) => View::strided(x, shape, strides),
            Data::I8(x, scales) => View::quantized_strided(x, scales, shape, strides, self.scale_strides),
        }
        .expect("the array holds every index of its shape")
    }
}

fn indices([batch, heads, positions, width]: [usize; 4]) -> impl Iterator<Item = [usize; 4]> {
    (0..batch * heads * positions * width)
        .map(move |i| [i / width / positions / heads, i / width / positions % heads, i / width % positions, i % width])
}

/// Axes in any order, with gaps between or without, some of them broadcast; and how many elements that takes.
fn strides(u: &mut Unstructured, shape: [usize; 4]) -> Result<([usize; 4], usize)> {
    let orders = [[0, 1, 2, 3], [0, 2, 1, 3], [0, 1, 3, 2], [3, 2, 1, 0]];
    let order = orders[[0, 0, 0, 1, 1, 2, 3, 0][u.int_in_range(0..=7)?]];
    let odd: u8 = u.arbitrary()?;
    let (gap, broadcast) = match odd {
        0..32 => (usize::from(odd % 3), 0),
        32..48 => (0, odd % 16),
        _ => (0, 0),
    };
    let (mut strides, mut size) = ([0; 4], 1);
    for axis in order.into_iter().rev() {
        if broadcast >> axis & 1 == 0 {
            strides[axis] = size;
            size = size * shape[axis] + gap;
        }
    }
    Ok((strides, size))
}
