//! Weights of eight bits: whole numbers in blocks of 32 with a scale each, as GGUF's `Q8_0` has them.
//!
//! `w ≈ s · n`, n from −127 to 127, s a half; 8.5 bits a weight. With `s = max |w| / 127` over the block, the error of a
//! weight is at most half a step, 1/254 of the greatest in its block (and the rounding of s). A decode waits for the weights
//! to arrive from memory, so it is nearly four times as fast as with singles; a few rows are rounded too, but to 16 bits, which is
//! next to nothing. Many rows are rounded to 8 bits on processors with VNNI, which multiply those faster than singles; others
//! widen the weights. Sums are singles. (Dettmers et al., "8-bit Optimizers via Block-wise Quantization", ICLR 2022,
//! arXiv:2110.02861, is the reason for blocks.)

use std::fmt::{self, Debug, Formatter};

use half::f16;

use super::Weight;
use crate::element::{Data, QUANTIZED};
use crate::stored::Stored;
use crate::{Error, Result};

/// A weight in blocks; see the module's page.
#[derive(Clone, PartialEq)]
pub struct Quantized {
    /// `[feature, width]`, the width filled up with 0 to whole blocks.
    numbers: Vec<i8>,
    /// `[feature, block]`
    scales: Vec<f16>,
    sizes: [usize; 2],
}

impl Quantized {
    /// How many weights of a feature share a scale.
    pub const BLOCK: usize = QUANTIZED;

    /// Rounds a weight to the nearest whole numbers.
    ///
    /// # Errors
    /// If a number is infinite, not a number or so great that its scale is no half (above 8 million).
    pub fn new(weight: &Weight) -> Result<Self> {
        let sizes @ [width, features] = weight.sizes();
        let blocks = width.div_ceil(QUANTIZED);
        let mut quantized =
            Self { numbers: vec![0; features * blocks * QUANTIZED], scales: vec![f16::ZERO; features * blocks], sizes };
        let rows =
            quantized.numbers.chunks_exact_mut(blocks * QUANTIZED).zip(quantized.scales.chunks_exact_mut(blocks));
        for (feature, (numbers, scales)) in rows.enumerate() {
            weight.matrix.slice(feature..feature + 1).with(|row| {
                let row: Vec<f32> = (0..width).map(|i| row.get(0, i)).collect();
                let blocks = row.chunks(QUANTIZED).zip(numbers.chunks_exact_mut(QUANTIZED));
                blocks.zip(scales).try_for_each(|((from, to), scale)| round(from, to).map(|rounded| *scale = rounded))
            })?;
        }
        Ok(quantized)
    }

    /// Takes whole numbers `[feature, width]` and scales `[feature, block]` as they are, the width filled up with 0 to whole
    /// blocks of 32; `sizes` is `[width, feature]`. Formats of fewer bits have such numbers, too, once they are unpacked.
    ///
    /// # Errors
    /// If a size is 0, there are fewer or more numbers or scales, or a scale is infinite or not a number.
    pub fn of_blocks(numbers: Vec<i8>, scales: Vec<f16>, sizes: [usize; 2]) -> Result<Self> {
        let [width, features] = sizes;
        let blocks = width.div_ceil(QUANTIZED);
        if width == 0 || blocks.checked_mul(features) != Some(scales.len()) || scales.is_empty() {
            let expected = format!("{features} features of {blocks}, both sizes ({width}, {features}) > 0");
            return Err(Error::new("scales", format!("{} numbers", scales.len()), expected));
        }
        if scales.len().checked_mul(QUANTIZED) != Some(numbers.len()) {
            let expected = format!("{QUANTIZED} for each of {} scales", scales.len());
            return Err(Error::new("numbers", format!("{} numbers", numbers.len()), expected));
        }
        if let Some(bad) = scales.iter().find(|scale| !scale.is_finite()) {
            return Err(Error::new("scales", bad, "finite numbers"));
        }
        Ok(Self { numbers, scales, sizes })
    }

    /// As a layer uses it.
    pub fn weight(&self) -> Weight<'_> {
        let [width, features] = self.sizes;
        let blocks = width.div_ceil(QUANTIZED);
        Weight {
            matrix: Stored {
                data: Data::Quantized(&self.numbers, &self.scales),
                rows: features,
                columns: width,
                row_stride: blocks * QUANTIZED,
                column_stride: 1,
                scale_stride: blocks,
            },
        }
    }

    /// `[width, feature]`.
    pub fn sizes(&self) -> [usize; 2] {
        self.sizes
    }

    /// The numbers, `[feature, width]`, the width filled up with 0 to whole blocks, and their scales, `[feature, block]`.
    pub fn blocks(&self) -> (&[i8], &[f16]) {
        (&self.numbers, &self.scales)
    }
}

impl Debug for Quantized {
    /// The sizes alone.
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        f.debug_struct("Quantized").field("sizes", &self.sizes).finish_non_exhaustive()
    }
}

/// Fills `to` with whole numbers and returns what they are to be multiplied with.
fn round(from: &[f32], to: &mut [i8]) -> Result<f16> {
    // A comparison passes over NaN, an addition does not.
    let greatest =
        from.iter().fold(0.0f32, |greatest, x| greatest.max(x.abs())) + from.iter().map(|x| x * 0.0).sum::<f32>();
    let scale = greatest / 127.0;
    let rounded = f16::from_f32(scale);
    if !rounded.is_finite() {
        return Err(Error::new("weight", format!("a number of {greatest}"), "finite numbers of at most 8 million"));
    }
    // A scale can be too small for its inverse; the numbers are 0, then.
    let inverse = if scale >= f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 };
    for (to, x) in to.iter_mut().zip(from) {
        *to = (x * inverse).round() as i8;
    }
    Ok(rounded)
}
