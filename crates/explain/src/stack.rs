//! The attention that a site's tokens went through before: the steps that rollout and flow follow.

use crate::error::field;
use crate::{Error, Head, Map, Result, Trace};

/// Most tokens of an axis: rollout multiplies maps, in the third power of it.
const MOST_TOKENS: usize = 2048;

/// Which tokens attended to which, one layer of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Source tokens among themselves.
    Source(usize),
    /// The query tokens among themselves.
    Own(usize),
    /// The query tokens to the source.
    Cross(usize),
}

impl Step {
    pub(crate) fn site(self) -> usize {
        match self {
            Self::Source(site) | Self::Own(site) | Self::Cross(site) => site,
        }
    }
}

/// The steps that lead up to a site, the lowest first: self-attention of one axis, or an encoder, then a decoder.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) steps: Vec<Step>,
    /// How many query tokens.
    pub(crate) own: usize,
    /// How many source tokens, where the site attends to another axis.
    pub(crate) source: Option<usize>,
}

impl Stack {
    pub(crate) fn below(trace: &Trace, site: usize) -> Result<Self> {
        let last = trace.sites().get(site).ok_or(Error::NoSuchSite { site, sites: trace.sites().len() })?;
        let (own, keys) = (last.queries, last.keys);
        let (rows, columns) = (trace.queries(last).len(), trace.keys(last).len());
        if rows == 0 || columns == 0 {
            return field("tokens", format!("{rows} × {columns}"), "at least 1 × 1");
        }
        if rows > MOST_TOKENS || columns > MOST_TOKENS {
            return Err(Error::TooLarge { what: "attention through layers", rows, columns, limit: "2,048 × 2,048" });
        }
        let sites = || trace.sites().iter().enumerate();
        let layers = |queries: usize, keys: usize, up_to: usize| -> Result<Vec<(usize, usize)>> {
            let found = sites().filter(|(_, site)| (site.queries, site.keys) == (queries, keys) && site.layer <= up_to);
            let mut layers: Vec<_> = found.map(|(index, site)| (site.layer, index)).collect();
            layers.sort_unstable();
            let numbers: Vec<usize> = layers.iter().map(|&(layer, _)| layer).collect();
            // A layer that the trace lacks would be passed over in silence.
            if numbers.iter().enumerate().any(|(expected, &layer)| layer != expected) {
                let name = trace.sites()[layers[0].1].name.clone();
                return field(&format!("layers of {name}"), format!("{numbers:?}"), "each one from 0, once");
            }
            Ok(layers)
        };
        let mut steps = Vec::new();
        if own == keys {
            steps.extend(layers(own, own, last.layer)?.iter().map(|&(_, site)| Step::Own(site)));
            return Ok(Self { steps, own: rows, source: None });
        }
        steps.extend(layers(keys, keys, usize::MAX)?.iter().map(|&(_, site)| Step::Source(site)));
        let (itself, across) = (layers(own, own, last.layer)?, layers(own, keys, last.layer)?);
        for (layer, &(_, cross)) in across.iter().enumerate() {
            // A recurrent decoder has no attention to itself.
            steps.extend(itself.get(layer).map(|&(_, site)| Step::Own(site)));
            steps.push(Step::Cross(cross));
        }
        Ok(Self { steps, own: rows, source: Some(columns) })
    }

    /// The mean of a step's heads, and of each row the share that stays with the token itself (the residual connection): weights and
    /// an equal part for the token, scaled to add up to 1.
    pub(crate) fn mixing(trace: &Trace, step: Step) -> Result<(Map, Vec<f32>)> {
        let mut map = trace.map(step.site(), Head::Mean)?;
        let mut stays = Vec::with_capacity(map.rows);
        for row in map.weights.chunks_mut(map.columns.max(1)) {
            let stay = 1.0 / (1.0 + row.iter().sum::<f32>());
            row.iter_mut().for_each(|weight| *weight *= stay);
            stays.push(stay);
        }
        Ok((map, stays))
    }
}
