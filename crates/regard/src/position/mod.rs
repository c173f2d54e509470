//! Positions: how a mechanism that sees a set learns about order.

mod learned;
mod rotary;
mod sinusoidal;

pub use learned::{LearnedPositions, LearnedPositionsConfig};
pub use rotary::{Pairs, Rotary, RotaryConfig};
pub use sinusoidal::sinusoidal;

pub(crate) use learned::CARD as LEARNED;
pub(crate) use rotary::CARD as ROTARY;
pub(crate) use sinusoidal::CARD as SINUSOIDAL;
