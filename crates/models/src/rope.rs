//! Rotary positions as Hugging Face's configurations have them.

use regard::position::RotaryScaling;

use crate::error::{Error, Result};
use crate::pretrained::Fields;

/// The wavelengths' base and what slows them down.
pub(crate) struct Rope {
    pub(crate) base: f64,
    pub(crate) scaling: Option<RotaryScaling>,
    /// The share of a head's features that turn.
    pub(crate) share: f64,
}

impl Rope {
    /// From `rope_parameters`, or from `rope_theta` and `rope_scaling` of older configurations.
    pub(crate) fn of(fields: &Fields) -> Result<Self> {
        let new = fields.within("rope_parameters")?;
        let old = fields.within("rope_scaling")?;
        let base = match new.maybe("rope_theta")? {
            Some(base) => base,
            None => match fields.maybe("rope_theta")? {
                Some(base) => base,
                None => fields.or("rotary_emb_base", 10_000.0)?,
            },
        };
        let share = match new.maybe("partial_rotary_factor")? {
            Some(share) => share,
            None => match fields.maybe("partial_rotary_factor")? {
                Some(share) => share,
                None => fields.or("rotary_pct", 1.0)?,
            },
        };
        let from_old = new.maybe::<String>("rope_type")?.is_none();
        let given = if from_old { old } else { new };
        let kind: Option<String> = given.maybe("rope_type")?;
        let kind = kind.or(given.maybe("type")?).unwrap_or("default".into());
        let trained = || -> Result<usize> {
            let trained: Option<usize> = given.maybe("original_max_position_embeddings")?;
            trained.map_or_else(|| fields.get("max_position_embeddings"), Ok)
        };
        let scaling = match &*kind {
            "default" => None,
            "linear" => Some(RotaryScaling::Linear { factor: given.get("factor")? }),
            "llama3" => Some(RotaryScaling::Llama3 {
                factor: given.get("factor")?,
                length: trained()?,
                low: given.get("low_freq_factor")?,
                high: given.get("high_freq_factor")?,
            }),
            "yarn" => Some(RotaryScaling::Yarn {
                factor: given.get("factor")?,
                length: trained()?,
                fast: given.or("beta_fast", 32.0)?,
                slow: given.or("beta_slow", 1.0)?,
            }),
            other => {
                let expected = "default, linear, llama3 or yarn".into();
                return Err(Error::Config { argument: "rope_type", given: format!("{other:?}"), expected });
            }
        };
        Ok(Rope { base, scaling, share })
    }
}
