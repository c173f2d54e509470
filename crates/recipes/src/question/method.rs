//! The methods that explain a question, by name.

use std::fmt;
use std::str::FromStr;

use regard_explain::attribution::{gradient_input, integrated_gradients, leave_one_out, occlusion};
use regard_explain::relevance::{Attended, Relevance};
use regard_explain::{Explanation, Perturbation, Progress, Subject, flow, rollout};

use super::{Inside, Question};
use crate::error::{Error, Result};

/// Steps of integrated gradients.
const STEPS: usize = 64;
/// Neighbouring tokens that occlusion hides at once.
const WINDOW: usize = 3;

/// How the places of a question are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// The answer less that with one place hidden.
    LeaveOneOut,
    /// The same for windows of three.
    Occlusion,
    /// The answer less that where nobody receives a place's values.
    ValueZeroing,
    /// Gradient times input.
    GradientInput,
    /// Gradients on the way from the baseline.
    IntegratedGradients,
    /// Attention weights times their gradients, through all layers.
    GradientAttention,
    /// Attention weights through all layers.
    Rollout,
    /// The most that the layers' attention weights let through.
    Flow,
    /// The last layer's attention weights.
    Attention,
}

impl Method {
    /// All, in the order in which they are shown.
    pub const ALL: [Method; 9] = [
        Method::LeaveOneOut,
        Method::Occlusion,
        Method::ValueZeroing,
        Method::GradientInput,
        Method::IntegratedGradients,
        Method::GradientAttention,
        Method::Rollout,
        Method::Flow,
        Method::Attention,
    ];

    /// What it is called on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Method::LeaveOneOut => "leave-one-out",
            Method::Occlusion => "occlusion",
            Method::ValueZeroing => "value-zeroing",
            Method::GradientInput => "gradient-input",
            Method::IntegratedGradients => "integrated-gradients",
            Method::GradientAttention => "gradient-attention",
            Method::Rollout => "rollout",
            Method::Flow => "flow",
            Method::Attention => "attention",
        }
    }

    /// Scores the places of a question.
    ///
    /// # Errors
    /// As the model; when its attention is not made of heads and the method looks into it; and when `progress` stops it.
    pub fn explain(self, question: &Question, progress: Progress) -> Result<Explanation> {
        let hidden = Perturbation::Hidden;
        Ok(match self {
            Method::LeaveOneOut => leave_one_out(question, hidden, progress)?,
            Method::Occlusion => {
                let places = question.places();
                occlusion(question, [1, places], [1, WINDOW.min(places)], hidden, progress)?
            }
            Method::ValueZeroing => value_zeroing(question, progress)?,
            Method::GradientInput => gradient_input(question)?,
            Method::IntegratedGradients => integrated_gradients(question, STEPS, progress)?,
            Method::GradientAttention => gradient_attention(question)?,
            Method::Rollout | Method::Flow | Method::Attention => self.follow(question, progress)?,
        })
    }

    /// What attention weights alone say, of the positions that the answer is read from.
    fn follow(self, question: &Question, progress: Progress) -> Result<Explanation> {
        let Inside { trace, read_from, .. } = question.looks()?;
        let last = trace.sites().len() - 1;
        let (own, keys) = (trace.queries(&trace.sites()[last]).len(), trace.keys(&trace.sites()[last]).len());
        let parts = question.parts().len();
        // For each position that the answer is read from, what it has to do with each part.
        let mut rows: Vec<Vec<Vec<f32>>> = Vec::new();
        let of_row = |values: &[f32], row: usize, columns: usize| values[row * columns..][..columns].to_vec();
        match self {
            Method::Flow => {
                for &row in &read_from {
                    let found = flow(&trace, last, row, &mut *progress)?;
                    rows.push(found.source.into_iter().chain([found.own]).collect());
                }
            }
            Method::Rollout => {
                let found = rollout(&trace, last, progress)?;
                for &row in &read_from {
                    let source = found.source.iter().map(|map| of_row(&map.weights, row, map.columns));
                    rows.push(source.chain([of_row(&found.own.weights, row, own)]).collect());
                }
            }
            _ => {
                let map = trace.map(last, regard_explain::Head::Mean)?;
                for &row in &read_from {
                    let mut of_parts = vec![of_row(&map.weights, row, keys)];
                    of_parts.resize(parts, vec![0.0; own]);
                    rows.push(of_parts);
                }
            }
        }
        Ok(Explanation {
            method: self.to_string(),
            scores: question.of_positions(&rows),
            note: match self {
                Method::Attention => "attention weights of the last layer, mean over heads".into(),
                _ => "attention weights of all layers, mean over heads".into(),
            },
            completeness: None,
        })
    }
}

fn value_zeroing(question: &Question, progress: Progress) -> Result<Explanation> {
    let places = question.places();
    let mut kept = vec![vec![true; places]; places + 1];
    (0..places).for_each(|place| kept[place + 1][place] = false);
    let mut numbers = Vec::with_capacity(kept.len());
    for some in kept.chunks(question.fits()) {
        question.goes_on(progress, "value zeroing", numbers.len(), kept.len())?;
        numbers.extend(question.without_values(some)?);
    }
    question.goes_on(progress, "value zeroing", kept.len(), kept.len())?;
    Ok(Explanation {
        method: Method::ValueZeroing.to_string(),
        scores: numbers[1..].iter().map(|without| numbers[0] - without).collect(),
        note: "the values of each place zero in every layer".into(),
        completeness: None,
    })
}

fn gradient_attention(question: &Question) -> Result<Explanation> {
    let Inside { trace, gradients, read_from, .. } = question.inside()?;
    let lengths: Vec<usize> = trace.axes().iter().map(|axis| axis.tokens.len()).collect();
    let mut relevance = Relevance::new(&lengths)?;
    for (site, gradients) in trace.sites().iter().zip(&gradients) {
        let regard_explain::Evidence::Weights(weights) = &site.evidence else { continue };
        let attended = Attended { heads: site.heads, weights, gradients };
        match site.queries == site.keys {
            true => relevance.add_self(site.queries, attended)?,
            false => relevance.add_cross(site.queries, attended)?,
        }
    }
    let last = lengths.len() - 1;
    let found: Vec<Vec<f32>> = (0..lengths.len()).map(|part| relevance.of(last, part)).collect();
    let row = |row: usize| {
        let parts = found.iter().enumerate().map(|(part, values)| {
            let mut mine = values[row * lengths[part]..][..lengths[part]].to_vec();
            if part == last {
                // Every position begins with being itself.
                mine[row] -= 1.0;
            }
            mine
        });
        parts.collect::<Vec<_>>()
    };
    let rows: Vec<_> = read_from.iter().map(|&position| row(position)).collect();
    Ok(Explanation {
        method: Method::GradientAttention.to_string(),
        scores: question.of_positions(&rows),
        note: "what is positive of attention weights times their gradients, all layers".into(),
        completeness: None,
    })
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::LeaveOneOut => "leave-one-out",
            Method::Occlusion => "occlusion",
            Method::ValueZeroing => "value zeroing",
            Method::GradientInput => "gradient × input",
            Method::IntegratedGradients => "integrated gradients",
            Method::GradientAttention => "gradient × attention",
            Method::Rollout => "attention rollout",
            Method::Flow => "attention flow",
            Method::Attention => "attention weights",
        })
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Method::ALL.into_iter().find(|method| method.name() == name).ok_or_else(|| {
            let known = Method::ALL.map(Method::name).join(", ");
            Error::option("method", format!("{name:?}"), format!("one of {known}"))
        })
    }
}
