//! What the tests of explanations share: files of numbers, subjects whose truth is known, and stacks of attention.

// Each test program uses its own part.
#![allow(dead_code)]

use regard_explain::{BoxError, Differentiable, Evidence, Site, Subject, Trace};
use safetensors::SafeTensors;

/// A file that `oracle/write.py` wrote.
pub struct Oracle(Vec<u8>);

impl Oracle {
    pub fn open(name: &str) -> Self {
        let path = format!("{}/tests/oracle/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        Oracle(std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    pub fn numbers(&self, name: &str) -> Vec<f32> {
        self.array(name).1
    }

    pub fn array(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let numbers = view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        (view.shape().to_vec(), numbers)
    }
}

/// Fails unless every number is within `tolerance` of the expected one, relative to the largest (at least 1).
#[track_caller]
pub fn close(what: &str, given: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(given.len(), expected.len(), "length of {what}");
    let scale = expected.iter().fold(1.0f32, |largest, x| largest.max(x.abs()));
    for (at, (a, b)) in given.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance * scale, "{what}, number {at}: {a} given, {b} expected");
    }
}

/// `f(x) = Σ_i w_i · x_i + constant` of places with one feature: every place's part is known.
pub struct Linear {
    pub weights: Vec<f32>,
    pub input: Vec<f32>,
    pub baseline: Vec<f32>,
    pub constant: f32,
}

impl Linear {
    pub fn new(weights: &[f32]) -> Self {
        let places = weights.len();
        Self { weights: weights.to_vec(), input: vec![1.0; places], baseline: vec![0.0; places], constant: 0.5 }
    }

    fn number(&self, input: impl Iterator<Item = f32>) -> f32 {
        self.weights.iter().zip(input).map(|(weight, x)| weight * x).sum::<f32>() + self.constant
    }
}

impl Subject for Linear {
    fn places(&self) -> usize {
        self.weights.len()
    }

    fn baseline(&self) -> &str {
        "zeros"
    }

    fn hidden(&self, kept: &[Vec<bool>]) -> Result<Vec<f32>, BoxError> {
        let one = |kept: &Vec<bool>| {
            let places = kept.iter().zip(&self.input).zip(&self.baseline);
            self.number(places.map(|((&kept, &x), &baseline)| if kept { x } else { baseline }))
        };
        Ok(kept.iter().map(one).collect())
    }
}

impl Differentiable for Linear {
    fn width(&self) -> usize {
        1
    }

    fn input(&self) -> &[f32] {
        &self.input
    }

    fn baseline_input(&self) -> &[f32] {
        &self.baseline
    }

    fn gradients(&self, inputs: &[Vec<f32>]) -> Result<(Vec<f32>, Vec<Vec<f32>>), BoxError> {
        let numbers = inputs.iter().map(|input| self.number(input.iter().copied())).collect();
        Ok((numbers, vec![self.weights.clone(); inputs.len()]))
    }
}

/// A site, its axes by index and its weights.
pub fn site(name: &str, layer: usize, queries: usize, keys: usize, heads: usize, weights: &[f32]) -> Site {
    Site { name: name.to_owned(), layer, queries, keys, heads, evidence: Evidence::Weights(weights.to_vec()) }
}

/// A stack of self-attention over these tokens, one head a layer, `weights[layer]` `[query, key]`.
pub fn stack(tokens: &[&str], weights: &[Vec<f32>]) -> Trace {
    let mut trace = Trace::new(tokens.join(" "), "made by hand");
    let axis = trace.add_axis("text", tokens.iter().map(|token| (*token).to_owned()).collect());
    for (layer, weights) in weights.iter().enumerate() {
        trace.add_site(site("decoder.self", layer, axis, axis, 1, weights)).unwrap();
    }
    trace
}
