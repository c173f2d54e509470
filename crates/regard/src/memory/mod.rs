//! Mechanisms that carry something from one step to the next: a state, a running average, a memory to read and write.

mod damped_ema;
mod ema_distribution;
mod hopfield;
mod key_value;
mod location_aware;
mod lstm_attention;
mod mega;
mod ntm;

pub use damped_ema::{DampedEma, DampedEmaConfig};
pub use ema_distribution::{EmaDistribution, EmaDistributionConfig};
pub use hopfield::{Hopfield, HopfieldConfig, HopfieldPooling, HopfieldPoolingConfig, energy, retrieve};
pub use key_value::{KeyValueAnswer, KeyValueMemory, KeyValueMemoryConfig};
pub use location_aware::{LocationAware, LocationAwareConfig};
pub use lstm_attention::{LstmAttention, LstmAttentionConfig, LstmState, Match, Matching};
pub use mega::{MegaEma, MegaEmaConfig};
pub use ntm::{NtmMemory, NtmMemoryConfig, NtmState};

use burn::tensor::activation::softmax;
use burn::tensor::{Bool, Tensor};

use crate::catalogue::Card;
use crate::error::{Error, Result};

pub(crate) const CARDS: [Card; 7] = [
    ema_distribution::CARD,
    hopfield::CARD,
    key_value::CARD,
    location_aware::CARD,
    lstm_attention::CARD,
    mega::CARD,
    ntm::CARD,
];

/// Softmax over the visible elements of each row. A row that sees nothing is all zeros, and no value behind the mask,
/// NaN included, has any influence.
fn distribution(scores: Tensor<2>, visible: Option<&Tensor<2, Bool>>) -> Tensor<2> {
    let Some(visible) = visible else { return softmax(scores, 1) };
    let hidden = visible.clone().bool_not();
    // Finite, so that a row of nothing else has a softmax, too.
    softmax(scores.mask_fill(hidden.clone(), f32::MIN), 1).mask_fill(hidden, 0.0)
}

/// Refuses a tensor of another shape.
fn expect<const D: usize>(argument: &'static str, given: [usize; D], expected: [usize; D]) -> Result<()> {
    if given == expected { Ok(()) } else { Err(Error::shape(argument, &given, format!("{expected:?}"))) }
}

/// Refuses a tensor whose last axis is not as wide.
fn expect_width<const D: usize>(argument: &'static str, given: [usize; D], width: usize) -> Result<()> {
    if given[D - 1] == width { Ok(()) } else { Err(Error::shape(argument, &given, format!("a last axis of {width}"))) }
}

/// Refuses a size of zero.
fn positive(argument: &'static str, given: usize) -> Result<()> {
    if given > 0 { Ok(()) } else { Err(Error::value(argument, given, "at least 1")) }
}
