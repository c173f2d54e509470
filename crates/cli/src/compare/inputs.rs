//! What mechanisms are compared on: random states, or those of a trained model.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use regard::mix;
use regard_explain::{Evidence, Trace};

use crate::Result;

/// Queries, keys and values, each `[1, head, position, feature]`.
pub struct Sample {
    pub queries: Tensor<4>,
    pub keys: Tensor<4>,
    pub values: Tensor<4>,
}

/// Where samples of any length come from.
pub struct Inputs {
    pub title: String,
    pub heads: usize,
    pub width: usize,
    seed: u64,
    /// Queries and keys, `[head, position, feature]`, and how many positions there are; none for random ones.
    states: Option<(Vec<f32>, Vec<f32>, usize)>,
}

impl Inputs {
    /// Queries, keys and values with independent normal features.
    pub fn random(heads: usize, width: usize, seed: u64) -> Self {
        let title = format!("{heads} heads of {width} features, random queries, keys and values (seed {seed})");
        Inputs { title, heads, width, seed, states: None }
    }

    /// The queries and keys of a self-attention that a trace keeps as states. Values are random.
    ///
    /// # Errors
    /// If the file cannot be read, or keeps no such states.
    pub fn of_trace(path: &Path, site: Option<&str>) -> Result<Self> {
        let trace = Trace::load(path)?;
        let found = trace.sites().iter().find_map(|candidate| match &candidate.evidence {
            Evidence::States(states) if site.is_none_or(|site| site == candidate.name) => Some((candidate, states)),
            _ => None,
        });
        let Some((site, states)) = found else {
            let which = site.map(|site| format!(" called {site:?}")).unwrap_or_default();
            return Err(format!(
                "{} keeps no attention{which} as queries and keys; it has\n{}",
                path.display(),
                trace.list().trim_end()
            )
            .into());
        };
        let length = trace.queries(site).len().min(trace.keys(site).len());
        let (heads, width, group) = (site.heads, states.width, site.heads / states.key_heads.max(1));
        let rows = |all: &[f32], head: usize, positions: usize| -> Vec<f32> {
            all[head * positions * width..][..length * width].to_vec()
        };
        // Scores of another scale than the usual one are as if the queries were longer.
        let scale = states.scale * (width as f32).sqrt();
        let queries = (0..heads).flat_map(|head| rows(&states.q, head, trace.queries(site).len()));
        let keys = (0..heads).flat_map(|head| rows(&states.k, head / group.max(1), trace.keys(site).len()));
        let title = format!(
            "{heads} heads of {width} features, queries and keys of {} ({}), random values",
            site.name,
            path.display()
        );
        Ok(Inputs {
            title,
            heads,
            width,
            seed: 1,
            states: Some((queries.map(|x| x * scale).collect(), keys.collect(), length)),
        })
    }

    /// The first positions.
    ///
    /// # Errors
    /// If there are not as many.
    pub fn take(&self, length: usize) -> Result<Sample> {
        let shape = [1, self.heads, length, self.width];
        let tensor = |values| Tensor::from_data(TensorData::new(values, shape), &Device::default());
        let random = |which| tensor(normal(self.seed ^ which, shape.iter().product()));
        let Some((queries, keys, held)) = &self.states else {
            return Ok(Sample { queries: random(1 << 32), keys: random(2 << 32), values: random(3 << 32) });
        };
        if length > *held {
            return Err(format!("length {length} is more than the {held} positions of the trace").into());
        }
        let first = |all: &[f32]| -> Vec<f32> {
            all.chunks(held * self.width).flat_map(|head| &head[..length * self.width]).copied().collect()
        };
        Ok(Sample { queries: tensor(first(queries)), keys: tensor(first(keys)), values: random(3 << 32) })
    }
}

/// Independent normal numbers (Box and Muller 1958).
fn normal(seed: u64, count: usize) -> Vec<f32> {
    let uniform = |at: u64| (mix(mix(seed) ^ at) >> 40) as f32 / (1 << 24) as f32;
    let pair = |at: usize| {
        let (radius, angle) = (1.0 - uniform(2 * at as u64), uniform(2 * at as u64 + 1) * std::f32::consts::TAU);
        (-2.0 * radius.ln()).sqrt() * angle.cos()
    };
    (0..count).map(pair).collect()
}
