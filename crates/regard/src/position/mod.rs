//! Positions: how a mechanism that sees a set learns about order.

mod learned;
mod relative;
mod rotary;
mod scaling;
mod sinusoidal;
mod skew;
mod transformer_xl;

pub use learned::{LearnedPositions, LearnedPositionsConfig};
pub use relative::{RelativePositions, RelativePositionsConfig};
pub use rotary::{Pairs, Rotary, RotaryConfig};
pub use scaling::RotaryScaling;
pub use sinusoidal::sinusoidal;
pub use transformer_xl::{TransformerXlPositions, TransformerXlPositionsConfig};

pub(crate) use learned::CARD as LEARNED;
pub(crate) use relative::CARD as RELATIVE;
pub(crate) use rotary::CARD as ROTARY;
pub(crate) use sinusoidal::CARD as SINUSOIDAL;
pub(crate) use transformer_xl::CARD as TRANSFORMER_XL;
