//! What a model saw while it read one text, as a trace.

use regard_explain::{Evidence, Site, Trace};
use regard_models::Sight;

use crate::error::{Error, Result};

/// Weights that a trace may hold: 2 GiB.
const MOST: usize = 1 << 29;

/// The weights of every layer and head over one text, `axis` its name and tokens.
pub(crate) fn trace(title: String, model: String, axis: (String, Vec<String>), sights: Vec<Sight>) -> Result<Trace> {
    let (name, tokens) = axis;
    let length = tokens.len();
    let heads: usize = sights.iter().flat_map(|sight| sight.looks.first()).map(|look| look.queries.dims()[1]).sum();
    let weights = heads.saturating_mul(length).saturating_mul(length);
    if weights > MOST {
        let most = (MOST / heads.max(1)).isqrt();
        let expected = format!("at most {most}, so that the weights of {heads} heads fit into 2 GiB");
        return Err(Error::option("text", format!("{length} tokens long"), expected));
    }
    let mut trace = Trace::new(title, model);
    let axis = trace.add_axis(name, tokens);
    for sight in sights {
        let weights = sight.weights()?;
        let [_, heads, _, _] = weights.dims();
        let weights = weights.into_data().try_into_vec().expect("weights are f32");
        trace.add_site(Site {
            name: sight.site.name().into(),
            layer: sight.layer,
            queries: axis,
            keys: axis,
            heads,
            evidence: Evidence::Weights(weights.into()),
        })?;
    }
    Ok(trace)
}
