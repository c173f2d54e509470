//! Gradients by definition: one loop after another, every weight held.

use crate::bias::Back;
use crate::case::Case;
use crate::oracle::{Answer, Normalize, Oracle};
use crate::score::derive;

/// As [`regard_kernel::Gradients`].
pub struct Gradients {
    pub queries: Vec<f64>,
    pub keys: Vec<f64>,
    pub values: Vec<f64>,
    pub score: Vec<f64>,
    pub biases: Vec<Vec<f64>>,
    pub sink: Vec<f64>,
}

/// What the gradient of the context means for everything that led to it.
pub fn run(case: &Case, answer: &Answer, grad: &[f64]) -> Gradients {
    let Case { oracle, inputs, .. } = case;
    let s = oracle.shape;
    let mut gradients = Gradients {
        queries: vec![0.0; inputs.q.len()],
        keys: vec![0.0; inputs.k.len()],
        values: vec![0.0; inputs.v.len()],
        score: vec![0.0; inputs.score.len()],
        biases: inputs.biases.iter().map(|parameters| vec![0.0; parameters.len()]).collect(),
        sink: vec![0.0; inputs.sink.len()],
    };
    let mut d_weights = vec![0.0; s.keys];
    for row in 0..s.batch * s.heads * s.queries {
        let (b, h, i) = (row / s.queries / s.heads, row / s.queries % s.heads, row % s.queries);
        let unit = b * s.key_heads + h / s.group();
        let weights = &answer.weights[row * s.keys..][..s.keys];
        let soft = answer.soft.get(row * s.keys..(row + 1) * s.keys).unwrap_or(weights);
        let grad = &grad[row * s.value_width..][..s.value_width];
        for (j, d_weight) in d_weights.iter_mut().enumerate() {
            let kept = (oracle.keep)([b, h, i, j]);
            let values = (unit * s.keys + j) * s.value_width..(unit * s.keys + j + 1) * s.value_width;
            let mut sum = 0.0;
            for ((v, d_v), g) in inputs.v[values.clone()].iter().zip(&mut gradients.values[values]).zip(grad) {
                *d_v += weights[j] * kept * g;
                sum += v * g;
            }
            *d_weight = sum * kept;
        }
        // From here on, the gradient of the scores.
        let d_sink = normalize(oracle.normalize, weights, soft, &mut d_weights);
        if let (Some(to), Some(&sink)) = (gradients.sink.get_mut(h), inputs.sink.get(h)) {
            *to -= (sink - answer.lse[row]).exp() * d_sink;
        }
        let at = row * s.query_width;
        let q = &inputs.q[at..at + s.query_width];
        for (j, &d_score) in d_weights.iter().enumerate() {
            let pair = [b, h, i, j];
            if d_score == 0.0 || !(oracle.mask)(pair) {
                continue;
            }
            let keys = (unit * s.keys + j) * s.key_width..(unit * s.keys + j + 1) * s.key_width;
            let d_score = biases(case, pair, q, &inputs.k[keys.clone()], d_score, &mut gradients.biases);
            let (d_q, d_k) = (&mut gradients.queries[at..at + s.query_width], &mut gradients.keys[keys.clone()]);
            derive(case.score, h, q, &inputs.k[keys], &inputs.score, d_score, d_q, d_k, &mut gradients.score);
        }
    }
    gradients
}

/// Makes the gradient of weights that of scores; returns Σ weight · gradient.
fn normalize(normalize: Normalize, weights: &[f64], soft: &[f64], grad: &mut [f64]) -> f64 {
    let inner: f64 = weights.iter().zip(&*grad).map(|(a, g)| a * g).sum();
    // The mean of the gradient under the derivative of the weights.
    let mean = |derivative: &dyn Fn(f64) -> f64, grad: &[f64]| {
        let total: f64 = weights.iter().map(|&a| derivative(a)).sum();
        let sum: f64 = weights.iter().zip(grad).map(|(&a, g)| derivative(a) * g).sum();
        if total == 0.0 { 0.0 } else { sum / total }
    };
    let seen = |a: f64| f64::from(a > 0.0);
    match normalize {
        Normalize::Softmax { temperature } => {
            grad.iter_mut().zip(weights).for_each(|(g, a)| *g = a * (*g - inner) / temperature);
        }
        Normalize::TopK(_) => grad.iter_mut().zip(weights).for_each(|(g, a)| *g = a * (*g - inner)),
        Normalize::Sigmoid { .. } => grad.iter_mut().zip(weights).for_each(|(g, a)| *g *= a * (1.0 - a)),
        Normalize::Sparsemax => {
            let mean = mean(&seen, grad);
            grad.iter_mut().zip(weights).for_each(|(g, &a)| *g = seen(a) * (*g - mean));
        }
        Normalize::Hard | Normalize::Gumbel { .. } => {
            let temperature = if let Normalize::Gumbel { temperature, .. } = normalize { temperature } else { 1.0 };
            let inner: f64 = soft.iter().zip(&*grad).map(|(a, g)| a * g).sum();
            grad.iter_mut().zip(soft).for_each(|(g, a)| *g = a * (*g - inner) / temperature);
        }
        Normalize::Sampled(_) => {
            grad.iter_mut().zip(weights).zip(soft).for_each(|((g, a), p)| *g = inner * (a - p));
        }
        Normalize::Entmax(alpha) => {
            let slope = |a: f64| if a > 0.0 { a.powf(2.0 - alpha) } else { 0.0 };
            let mean = mean(&slope, grad);
            grad.iter_mut().zip(weights).for_each(|(g, &a)| *g = slope(a) * (*g - mean));
        }
        Normalize::Entmax15 => {
            let mean = mean(&f64::sqrt, grad);
            grad.iter_mut().zip(weights).for_each(|(g, a)| *g = a.sqrt() * (*g - mean));
        }
    }
    inner
}

/// From the gradient of the last bias' score to that of the first one's.
fn biases(case: &Case, pair: [usize; 4], q: &[f64], k: &[f64], grad: f64, into: &mut [Vec<f64>]) -> f64 {
    let Case { oracle: Oracle { score, biases, .. }, inputs, .. } = case;
    let mut scores = vec![score(pair[1], q, k, &inputs.score)];
    for (bias, parameters) in biases.iter().zip(&inputs.biases) {
        scores.push(bias(pair, scores[scores.len() - 1], parameters));
    }
    case.backs.iter().zip(&scores).zip(into).rev().fold(grad, |grad, ((back, e), into)| match back {
        Back::Nothing => grad,
        Back::Cap(cap) => grad * (1.0 - (e / cap).tanh().powi(2)),
        Back::Parameter(place) => {
            into[place(pair)] += grad;
            grad
        }
    })
}
