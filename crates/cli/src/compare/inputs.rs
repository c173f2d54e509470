//! What mechanisms are compared on: random states, or those of a trained model.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use regard::mix;
use regard_explain::{Evidence, Rule, Trace};

use crate::{Result, catalogue, shipped};

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

    /// What the encoder of the shipped translator compares while it reads the sentences of the catalogue's cards.
    ///
    /// # Errors
    /// If it has no such attention.
    pub fn of_translator(site: Option<&str>) -> Result<Self> {
        let interpreter = shipped::interpreter(None)?;
        let cards = catalogue::all();
        let texts =
            cards.iter().flat_map(|card| [card.sentence, card.when]).flat_map(|text| text.split_inclusive(". "));
        let sentences: Vec<&str> = texts.map(str::trim).filter(|text| !text.is_empty()).collect();
        let trace = interpreter.read(&sentences)?;
        let count = sentences.len();
        Self::of_trace(&trace, site, &format!("the shipped translator, reading {count} sentences of the catalogue"))
    }

    /// The queries and keys of an attention that a trace file keeps as states.
    ///
    /// # Errors
    /// If the file cannot be read, or keeps no such states.
    pub fn of_file(path: &Path, site: Option<&str>) -> Result<Self> {
        Self::of_trace(&Trace::load(path)?, site, &path.display().to_string())
    }

    /// Of the last such site with this name, or the last there is. Values are random.
    fn of_trace(trace: &Trace, site: Option<&str>, origin: &str) -> Result<Self> {
        let found = trace.sites().iter().rev().find_map(|candidate| match &candidate.evidence {
            Evidence::States(states) if site.is_none_or(|site| site == candidate.name) => Some((candidate, states)),
            _ => None,
        });
        let Some((site, states)) = found else {
            let which = site.map(|site| format!(" called {site:?}")).unwrap_or_default();
            return Err(format!(
                "{origin} keeps no attention{which} as queries and keys, as traces of Python's regard.look do; those of `regard \
                 translate` keep weights (--input translator has its queries and keys). It has\n{}",
                trace.list().trim_end()
            )
            .into());
        };
        let (rows, columns) = (trace.queries(site).len(), trace.keys(site).len());
        let length = rows.min(columns);
        let (heads, width, group) = (site.heads, states.width, site.heads / states.key_heads.max(1));
        let first = |all: &[f32], head: usize, positions: usize| -> Vec<f32> {
            all[head * positions * width..][..length * width].to_vec()
        };
        // Scores of another scale than the usual one are as if the queries were longer.
        let scale = states.scale * (width as f32).sqrt();
        let queries = (0..heads).flat_map(|head| first(&states.q, head, rows)).map(|x| x * scale).collect();
        let keys = (0..heads).flat_map(|head| first(&states.k, head / group.max(1), columns)).collect();
        let alone = states.rules.iter().any(|rule| matches!(rule, Rule::Documents(_)));
        let title = format!(
            "{heads} heads of {width} features: queries and keys of {}, layer {} ({origin}); random values\n{length} positions{}{}",
            site.name,
            site.layer + 1,
            if rows == columns { String::new() } else { format!(", the first of {rows} queries and {columns} keys") },
            if alone { ": sentences end to end, each read on its own, here compared across their ends" } else { "" },
        );
        Ok(Inputs { title, heads, width, seed: 1, states: Some((queries, keys, length)) })
    }

    /// How many positions there are, if there is an end to them.
    pub fn held(&self) -> Option<usize> {
        self.states.as_ref().map(|(_, _, held)| *held)
    }

    /// The first positions, of which there must be as many.
    pub fn take(&self, length: usize) -> Sample {
        let shape = [1, self.heads, length, self.width];
        let tensor = |values| Tensor::from_data(TensorData::new(values, shape), &Device::default());
        let random = |which| tensor(normal(self.seed ^ which, shape.iter().product()));
        let Some((queries, keys, held)) = &self.states else {
            return Sample { queries: random(1 << 32), keys: random(2 << 32), values: random(3 << 32) };
        };
        let first = |all: &[f32]| -> Vec<f32> {
            all.chunks(held * self.width).flat_map(|head| &head[..length * self.width]).copied().collect()
        };
        Sample { queries: tensor(first(queries)), keys: tensor(first(keys)), values: random(3 << 32) }
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
