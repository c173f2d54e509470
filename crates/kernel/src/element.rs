//! What numbers may be in memory. All are worked on as `f32`, and made so a tile at a time, right before they are needed.

use std::fmt::Debug;

use half::{bf16, f16};

use crate::decode::Pages;

/// A type of numbers that an array may hold. (Whole numbers with scales are an array of their own kind, see
/// [`View::quantized`](crate::View::quantized).)
pub trait Element: Copy + Debug + Send + Sync + Sealed {}

impl Element for f32 {}
impl Element for f16 {}
impl Element for bf16 {}

/// What the crate must know about an element, which is nobody else's business.
pub trait Sealed: Sized {
    /// Names the type of the numbers.
    fn data(numbers: &[Self]) -> Data<'_>;

    /// The numbers, if they are of this type.
    fn numbers(data: Data<'_>) -> Option<&[Self]>;
}

macro_rules! element {
    ($type:ty, $variant:ident) => {
        impl Sealed for $type {
            fn data(numbers: &[Self]) -> Data<'_> {
                Data::$variant(numbers)
            }

            fn numbers(data: Data<'_>) -> Option<&[Self]> {
                if let Data::$variant(numbers) = data { Some(numbers) } else { None }
            }
        }
    };
}
element!(f32, F32);
element!(f16, F16);
element!(bf16, BF16);

/// How many numbers of a row share a scale, where a row has several.
pub(crate) const QUANTIZED: usize = 32;

/// Numbers where they lie.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Half precision: 5 bits of exponent, 10 of fraction.
    F16(&'a [f16]),
    /// The upper half of a single: 8 bits of exponent, 7 of fraction.
    BF16(&'a [bf16]),
    /// Whole numbers, and what those of a row are to be multiplied with.
    I8(&'a [i8], &'a [f32]),
    /// Whole numbers, and what each [`QUANTIZED`] of a row are to be multiplied with.
    Quantized(&'a [i8], &'a [f16]),
    /// Any of these, in pages; rows must be chosen before numbers can be read.
    Pages(Pages<'a>),
}

impl<'a> Data<'a> {
    /// How many numbers there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(x) => x.len(),
            Self::F16(x) => x.len(),
            Self::BF16(x) => x.len(),
            Self::I8(x, _) | Self::Quantized(x, _) => x.len(),
            Self::Pages(_) => 0,
        }
    }

    /// The numbers from the `start`-th on; nothing if there are fewer. The scales from the `scale`-th on.
    pub(crate) fn skip(self, start: usize, scale: usize) -> Self {
        fn from<T>(numbers: &[T], start: usize) -> &[T] {
            numbers.get(start..).unwrap_or_default()
        }
        match self {
            Self::F32(x) => Self::F32(from(x, start)),
            Self::F16(x) => Self::F16(from(x, start)),
            Self::BF16(x) => Self::BF16(from(x, start)),
            Self::I8(x, scales) => Self::I8(from(x, start), from(scales, scale)),
            Self::Quantized(x, scales) => Self::Quantized(from(x, start), from(scales, scale)),
            Self::Pages(pages) => Self::Pages(pages),
        }
    }
}
