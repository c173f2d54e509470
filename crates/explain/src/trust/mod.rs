//! How far can an explanation be trusted? Measurements, each beside what a random order of the places would score.
//!
//! | number | question | better |
//! |---|---|---|
//! | comprehensiveness | does the number fall when the places with the highest scores are missing? | higher |
//! | sufficiency | how much is lost when only they stay? | lower |
//! | deletion | how fast does the number fall as places go, the highest first? | lower |
//! | insertion | how fast does it rise as they come, the highest first? | higher |
//! | agreement | do the scores rank places as leaving each out does? | higher |
//! | randomisation | do they rank places as those of a model with random weights do? | near 0 |
//!
//! An explanation that does no better than random orders says nothing of the model, however plausible it looks. All of it depends on
//! how places are made to be missing: inputs with holes may be unlike anything the model learned from (Hooker et al. 2019,
//! arXiv:1806.10758), so the perturbation and its baseline are part of the result. `None` is "not measured".

mod correlation;
mod curve;
mod erasure;
mod measure;
mod strip;
mod summary;

use serde::{Deserialize, Serialize};

use crate::Perturbation;

pub use correlation::spearman;
pub use measure::measure;
pub(crate) use strip::number;
pub use strip::{Better, Line};
pub use summary::mean;

/// How trust is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    /// How places are made to be missing.
    pub perturbation: Perturbation,
    /// Steps of the deletion and insertion curves, or one a place if there are fewer places.
    pub steps: usize,
    /// Random orders that the explanation is compared with.
    pub orders: usize,
    /// Of the random orders and of the bootstrap.
    pub seed: u64,
}

impl Default for Protocol {
    /// Hidden places, curves of 20 steps, 10 random orders.
    fn default() -> Self {
        Self { perturbation: Perturbation::Hidden, steps: 20, orders: 10, seed: 0 }
    }
}

/// The trust strip of an explanation: what was measured, and under which conditions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trust {
    /// The explanation's method.
    pub method: String,
    /// How places were made to be missing, as written to people: "replaced by the token `[MASK]`".
    pub perturbation: String,
    /// How many inputs this is the mean of.
    pub inputs: usize,
    /// Random orders for each input.
    pub orders: usize,
    /// Their seed.
    pub seed: u64,
    /// The number less the number without the highest places, mean over 1, 5, 10, 20 and 50 % of them. Higher is better.
    /// DeYoung et al., "ERASER", ACL 2020, arXiv:1911.03429.
    pub comprehensiveness: Option<Measured>,
    /// The number less the number of the highest places alone, likewise. Lower is better.
    pub sufficiency: Option<Measured>,
    /// The curve as places go, the highest first. A lower area is better. Petsiuk et al., "RISE", BMVC 2018, arXiv:1806.07421.
    pub deletion: Option<Curve>,
    /// The curve as places come, the highest first. A higher area is better.
    pub insertion: Option<Curve>,
    /// Spearman's rank correlation with leave-one-out. Higher is better; a model whose places act together, not one by one, may
    /// keep it low. Jain and Wallace, NAACL 2019, arXiv:1902.10186.
    pub agreement: Option<Measured>,
    /// Spearman's rank correlation with the explanation of the same model with random weights. Near 0 is right: what does not
    /// change with the weights cannot be about them. Adebayo et al., NeurIPS 2018, arXiv:1810.03292.
    pub randomisation: Option<Measured>,
}

/// A measurement beside that of random orders.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Of the explanation; of several inputs, the mean.
    pub value: f32,
    /// 95 % bootstrap interval of that mean, low and high; `None` of a single input, which has no spread.
    pub interval: Option<[f32; 2]>,
    /// Mean over random orders.
    pub random: f32,
    /// 95 % bootstrap interval of the random orders' mean, low and high.
    pub random_interval: [f32; 2],
}

/// The number as places go or come, and its mean over the curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Share of the places that went or came, from 0 to 1, evenly but for rounding.
    pub shares: Vec<f32>,
    /// The number at each share. Of several inputs: the mean at even shares.
    pub values: Vec<f32>,
    /// Mean over random orders, at each share.
    pub random: Vec<f32>,
    /// Area under the curve by the trapezoid rule: the number's mean along it, in its unit.
    pub area: Measured,
}
