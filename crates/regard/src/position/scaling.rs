//! Rotary positions beyond the length a model was trained on: the angles are slowed down, so that no position turns
//! further than those it has seen.
//!
//! *Linear* (Chen et al. 2023, arXiv:2306.15595): all angles by `1/s`. *NTK-aware* (bloc97 2023, in the YaRN paper's section
//! 3.1): the base becomes `base · s^(d/(d-2))`, which leaves the fastest pair alone and slows the slowest by `1/s`. *YaRN*
//! (Peng et al. 2024, arXiv:2309.00071): pairs that turn more than `fast` times within the original length stay, those that
//! turn less than `slow` times slow down by `1/s`, a ramp along the pairs lies between them, and cosines and sines are
//! multiplied by `0.1 ln s + 1` against the spread that longer inputs bring.
//!
//! Reach for NTK without fine-tuning, for YaRN with a little of it; linear blurs neighbours.

use std::f64::consts::TAU;

use crate::error::{Error, Result};

/// How rotary angles are slowed down; `factor` is `s`, the new length over the old.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum RotaryScaling {
    /// All angles alike.
    Linear {
        /// At least 1.
        factor: f64,
    },
    /// The slower, the more.
    Ntk {
        /// At least 1.
        factor: f64,
    },
    /// Those whose waves are longer than the original length allows, as LLaMA 3.1 has it.
    Llama3 {
        /// At least 1.
        factor: f64,
        /// Positions that the model was trained on.
        length: usize,
        /// Turns within that length below which a pair slows down by all of the factor; 1 in LLaMA 3.1.
        low: f64,
        /// Turns above which it keeps its angle; 4 in LLaMA 3.1.
        high: f64,
    },
    /// Those that the original length did not complete.
    Yarn {
        /// At least 1.
        factor: f64,
        /// Positions that the model was trained on.
        length: usize,
        /// Turns within that length above which a pair keeps its angle; 32 in the paper.
        fast: f64,
        /// Turns below which it slows down by all of the factor; 1 in the paper.
        slow: f64,
    },
}

impl RotaryScaling {
    /// YaRN with the paper's bounds.
    pub fn yarn(factor: f64, length: usize) -> Self {
        RotaryScaling::Yarn { factor, length, fast: 32.0, slow: 1.0 }
    }

    /// The angles a position, and what cosines and sines are multiplied by.
    pub(super) fn apply(self, frequencies: Vec<f64>, base: f64) -> Result<(Vec<f64>, f64)> {
        let pairs = frequencies.len() as f64;
        let (RotaryScaling::Linear { factor }
        | RotaryScaling::Ntk { factor }
        | RotaryScaling::Llama3 { factor, .. }
        | RotaryScaling::Yarn { factor, .. }) = self;
        if !(factor >= 1.0 && factor.is_finite()) {
            return Err(Error::value("factor", factor, "a number of at least 1"));
        }
        let each = |slowing: &dyn Fn(f64) -> f64| -> Vec<f64> {
            frequencies.iter().enumerate().map(|(pair, frequency)| frequency * slowing(pair as f64)).collect()
        };
        match self {
            RotaryScaling::Linear { factor } => Ok((each(&|_| 1.0 / factor), 1.0)),
            // base^(-2i/d) of the greater base; a single pair is the fastest.
            RotaryScaling::Ntk { factor } => Ok((each(&|pair| factor.powf(-pair / (pairs - 1.0).max(1.0))), 1.0)),
            RotaryScaling::Llama3 { factor, length, low, high } => {
                if length == 0 {
                    return Err(Error::value("length", length, "at least 1 position"));
                }
                if !(low > 0.0 && high > low && high.is_finite()) {
                    return Err(Error::value("high", high, format!("more turns than low, which is {low}")));
                }
                let slowed = |frequency: &f64| {
                    let turns = length as f64 * frequency / TAU;
                    let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                    frequency * (kept + (1.0 - kept) / factor)
                };
                Ok((frequencies.iter().map(slowed).collect(), 1.0))
            }
            RotaryScaling::Yarn { factor, length, fast, slow } => {
                if length == 0 {
                    return Err(Error::value("length", length, "at least 1 position"));
                }
                if !(slow > 0.0 && fast > slow && fast.is_finite()) {
                    return Err(Error::value("fast", fast, format!("more turns than slow, which is {slow}")));
                }
                if base <= 1.0 {
                    return Err(Error::value("base", base, "more than 1, so that later pairs turn more slowly"));
                }
                // The pair, as a fraction, that turns so often within the original length.
                let turning = |turns: f64| pairs * (length as f64 / (turns * TAU)).ln() / base.ln();
                let first = turning(fast).floor().max(0.0);
                let last = turning(slow).ceil().min(2.0 * pairs - 1.0);
                let ramp = |pair: f64| ((pair - first) / (last - first).max(1e-3)).clamp(0.0, 1.0);
                Ok((each(&|pair| 1.0 - ramp(pair) + ramp(pair) / factor), 0.1 * factor.ln() + 1.0))
            }
        }
    }
}
