//! A trace as JSON, weights and all.

use std::borrow::Cow;

use serde::Serialize;

use crate::{Error, Head, Result, Trace};

/// States are small and their weights many: without a limit, a small file could fill the memory.
const MOST_WEIGHTS: usize = 1 << 28;

/// What JSON and the HTML page hold of a trace; they differ in how they write the weights of a site.
#[derive(Serialize)]
pub(crate) struct Document<'a, W> {
    title: &'a str,
    model: &'a str,
    axes: Vec<AxisDocument<'a>>,
    sites: Vec<SiteDocument<'a, W>>,
}

#[derive(Serialize)]
struct AxisDocument<'a> {
    name: &'a str,
    tokens: Vec<Cow<'a, str>>,
}

#[derive(Serialize)]
struct SiteDocument<'a, W> {
    name: &'a str,
    layer: usize,
    queries: usize,
    keys: usize,
    heads: usize,
    weights: W,
}

impl<'a, W> Document<'a, W> {
    /// `token` writes a token; `weights` is given the heads of a site, each a row-major map, and the length of a row.
    pub(crate) fn new(
        trace: &'a Trace,
        token: impl Fn(&'a str) -> Cow<'a, str>,
        weights: impl Fn(Vec<Vec<f32>>, usize) -> W,
    ) -> Result<Self> {
        let axes = trace.axes().iter().map(|axis| {
            let tokens = axis.tokens.iter().map(|text| token(text)).collect();
            AxisDocument { name: &axis.name, tokens }
        });
        let axes = axes.collect();
        let mut sites = Vec::with_capacity(trace.sites().len());
        let mut written = 0usize;
        for (index, site) in trace.sites().iter().enumerate() {
            let (rows, columns) = (trace.queries(site).len(), trace.keys(site).len());
            written = written.saturating_add(rows.saturating_mul(columns).saturating_mul(site.heads));
            if written > MOST_WEIGHTS {
                return Err(Error::TooLarge { what: "weights as text", rows, columns, limit: "268,435,456" });
            }
            let maps = (0..site.heads).map(|head| Ok(trace.map(index, Head::One(head))?.weights));
            sites.push(SiteDocument {
                name: &site.name,
                layer: site.layer,
                queries: site.queries,
                keys: site.keys,
                heads: site.heads,
                weights: weights(maps.collect::<Result<_>>()?, columns),
            });
        }
        Ok(Self { title: &trace.title, model: &trace.model, axes, sites })
    }
}

impl Trace {
    /// The whole trace as one line of JSON: `title`, `model`, `axes` (`name`, `tokens`) and `sites` (`name`, `layer`,
    /// `queries` and `keys` as positions in `axes`, `heads`, and `weights` as `[head][query][key]`, exact).
    ///
    /// # Errors
    /// [`Error::TooLarge`] for over 2²⁸ weights, and what [`Trace::map`] says of states.
    pub fn to_json(&self) -> Result<String> {
        let nested = |heads: Vec<Vec<f32>>, row: usize| -> Vec<Vec<Vec<f32>>> {
            heads.into_iter().map(|map| map.chunks(row.max(1)).map(<[f32]>::to_vec).collect()).collect()
        };
        Ok(to_string(&Document::new(self, Cow::Borrowed, nested)?))
    }
}

/// Strings and finite numbers always have a JSON form.
pub(crate) fn to_string(document: &impl Serialize) -> String {
    serde_json::to_string(document).unwrap_or_default()
}
