//! Attention by its definition: double precision, one loop after another, every weight held.

#![allow(dead_code)]

pub mod elements;

use regard_kernel::normalize::gumbel;
use regard_kernel::{Shape, View};

/// Everything that gradients are taken of.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    pub q: Vec<f64>,
    pub k: Vec<f64>,
    pub v: Vec<f64>,
    pub score: Vec<f64>,
    pub biases: Vec<Vec<f64>>,
    pub sink: Vec<f64>,
}

/// A pair: batch, head, query, key.
pub type Pair = [usize; 4];
/// The score of a query and a key in a head, given parameters.
pub type ScoreFn = fn(head: usize, q: &[f64], k: &[f64], parameters: &[f64]) -> f64;
/// What a bias makes of a score, given parameters.
pub type BiasFn = Box<dyn Fn(Pair, f64, &[f64]) -> f64>;

/// How a row of scores becomes weights.
#[derive(Clone, Copy, Debug)]
pub enum Normalize {
    /// With the sink of [`Inputs`].
    Softmax {
        temperature: f64,
    },
    /// With −ln S unless given.
    Sigmoid {
        bias: Option<f64>,
    },
    TopK(usize),
    Sparsemax,
    Entmax15,
    Entmax(f64),
    Hard,
    Gumbel {
        temperature: f64,
        seed: u64,
        hard: bool,
    },
    Sampled(u64),
}

impl Normalize {
    /// The weights of a row, of which `None` is hidden, and the number that is kept of it.
    pub fn row(self, scores: &[Option<f64>], sink: f64) -> (Vec<f64>, f64) {
        let weigh = |weight: &dyn Fn(f64) -> f64| scores.iter().map(|e| e.map_or(0.0, weight)).collect();
        let sum = |term: &dyn Fn(f64) -> f64| scores.iter().flatten().map(|&e| term(e)).sum::<f64>();
        let max = scores.iter().flatten().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
        match self {
            Self::Softmax { temperature } => {
                let max = sink.max(max / temperature);
                let weight = |e: f64| (e / temperature - max).exp();
                let total = (sink - max).exp() + sum(&weight);
                (weigh(&|e| weight(e) / total), if max == f64::NEG_INFINITY { max } else { max + total.ln() })
            }
            Self::Sigmoid { bias } => {
                let bias = bias.unwrap_or(-(scores.len() as f64).ln());
                // Below 2⁻¹⁰⁰ the kernel's exponential is 0, and a row of such weights sees nothing.
                let nothing = max + bias < -100.0 * std::f64::consts::LN_2;
                (weigh(&|e| 1.0 / (1.0 + (-e - bias).exp())), if nothing { f64::NEG_INFINITY } else { -bias })
            }
            Self::Sparsemax => {
                let total = |tau: f64| sum(&|e| (e - tau).max(0.0));
                let tau = threshold(max, total);
                (weigh(&|e| (e - tau).max(0.0)), tau)
            }
            Self::Entmax15 => {
                let total = |tau: f64| sum(&|e| (e / 2.0 - tau).max(0.0).powi(2));
                let tau = threshold(max / 2.0, total);
                (weigh(&|e| (e / 2.0 - tau).max(0.0).powi(2)), tau)
            }
            Self::Entmax(alpha) => {
                let weight = |e: f64, tau: f64| ((alpha - 1.0) * e - tau).max(0.0).powf(1.0 / (alpha - 1.0));
                let tau = threshold((alpha - 1.0) * max, |tau| sum(&|e| weight(e, tau)));
                (weigh(&|e| weight(e, tau)), tau)
            }
            Self::Hard | Self::Gumbel { .. } | Self::Sampled(_) => self.placed([0; 3], scores),
            Self::TopK(k) => {
                let mut order: Vec<usize> = (0..scores.len()).filter(|&j| scores[j].is_some()).collect();
                order.sort_by(|&a, &b| scores[b].partial_cmp(&scores[a]).unwrap()); // stable: earlier keys first
                let mut best = vec![None; scores.len()];
                order.iter().take(k).for_each(|&j| best[j] = scores[j]);
                Self::Softmax { temperature: 1.0 }.row(&best, sink)
            }
        }
    }
}

impl Normalize {
    /// As [`row`](Normalize::row), for those that depend on the row's batch, head and query, and for choices.
    fn placed(self, place: [usize; 3], scores: &[Option<f64>]) -> (Vec<f64>, f64) {
        let softmax =
            |temperature, scores: &[Option<f64>]| Self::Softmax { temperature }.row(scores, f64::NEG_INFINITY);
        match self {
            Self::Hard => (choice(scores), softmax(1.0, scores).1),
            Self::Gumbel { temperature, seed, hard } => {
                let scores = noisy(seed, place, scores);
                let (soft, kept) = softmax(temperature, &scores);
                (if hard { choice(&scores) } else { soft }, kept)
            }
            Self::Sampled(seed) => (choice(&noisy(seed, place, scores)), softmax(1.0, scores).1),
            _ => self.row(scores, f64::NEG_INFINITY),
        }
    }

    /// The probabilities behind the weights of a choice.
    fn soft(self, place: [usize; 3], scores: &[Option<f64>]) -> Option<Vec<f64>> {
        let softmax =
            |temperature, scores: &[Option<f64>]| Self::Softmax { temperature }.row(scores, f64::NEG_INFINITY).0;
        match self {
            Self::Hard | Self::Sampled(_) => Some(softmax(1.0, scores)),
            Self::Gumbel { temperature, seed, hard: true } => Some(softmax(temperature, &noisy(seed, place, scores))),
            _ => None,
        }
    }

    /// What a choice's weight is for those who take gradients: the probability moves in its place, or, of a sample, the
    /// logarithm of the probability of what was drawn.
    fn moved(self, chosen: f64, soft: f64, base: f64) -> f64 {
        match self {
            Self::Sampled(_) if chosen > 0.0 => chosen * (1.0 + (soft / base).ln()),
            Self::Sampled(_) => 0.0,
            _ => chosen + soft - base,
        }
    }
}

/// Scores and the noise of their places.
pub fn noisy(seed: u64, [b, h, i]: [usize; 3], scores: &[Option<f64>]) -> Vec<Option<f64>> {
    let noise = |j| f64::from(gumbel(seed, b, h, i, j));
    scores.iter().enumerate().map(|(j, score)| score.map(|score| score + noise(j))).collect()
}

/// All weight to the first of the greatest.
fn choice(scores: &[Option<f64>]) -> Vec<f64> {
    let mut weights = vec![0.0; scores.len()];
    let best = scores.iter().flatten().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    if let Some(chosen) = scores.iter().position(|&score| score == Some(best)) {
        weights[chosen] = 1.0;
    }
    weights
}

/// Where a falling function that is at least 1 at `max - 1` and 0 at `max` is 1.
fn threshold(max: f64, f: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (max - 1.0, max);
    for _ in 0..55 {
        let middle = (low + high) / 2.0;
        if f(middle) > 1.0 { low = middle } else { high = middle }
    }
    high
}

pub struct Oracle {
    pub shape: Shape,
    pub score: ScoreFn,
    pub biases: Vec<BiasFn>,
    pub mask: Box<dyn Fn(Pair) -> bool>,
    pub normalize: Normalize,
    /// What dropout multiplies a weight with.
    pub keep: Box<dyn Fn(Pair) -> f64>,
    /// The answer around which gradients are taken, if the normalizer makes choices: those stay as they are, and what
    /// stands in for them moves.
    pub base: Option<Answer>,
}

#[derive(Clone)]
pub struct Answer {
    pub context: Vec<f64>,
    /// What is kept of each row.
    pub lse: Vec<f64>,
    /// `[batch, head, query, key]`, before dropout.
    pub weights: Vec<f64>,
    /// The probabilities behind them, if the normalizer makes choices.
    pub soft: Vec<f64>,
}

impl Oracle {
    pub fn forward(&self, inputs: &Inputs) -> Answer {
        let Shape { batch, heads, key_heads, queries, keys, query_width, key_width, value_width } = self.shape;
        let mut answer = Answer { context: vec![], lse: vec![], weights: vec![], soft: vec![] };
        for b in 0..batch {
            for h in 0..heads {
                let unit = b * key_heads + h / (heads / key_heads);
                for i in 0..queries {
                    let q = &inputs.q[((b * heads + h) * queries + i) * query_width..][..query_width];
                    let scores: Vec<Option<f64>> = (0..keys)
                        .map(|j| {
                            let k = &inputs.k[(unit * keys + j) * key_width..][..key_width];
                            let score = (self.score)(h, q, k, &inputs.score);
                            let biases = self.biases.iter().zip(&inputs.biases);
                            let score = biases.fold(score, |e, (bias, parameters)| bias([b, h, i, j], e, parameters));
                            (self.mask)([b, h, i, j]).then_some(score)
                        })
                        .collect();
                    let sink = inputs.sink.get(h).copied().unwrap_or(f64::NEG_INFINITY);
                    let (mut weights, kept) = match self.normalize {
                        Normalize::Gumbel { .. } | Normalize::Sampled(_) => self.normalize.placed([b, h, i], &scores),
                        normalize => normalize.row(&scores, sink),
                    };
                    if let Some(soft) = self.normalize.soft([b, h, i], &scores) {
                        if let Some(base) = &self.base {
                            for (j, weight) in weights.iter_mut().enumerate() {
                                let at = ((b * heads + h) * queries + i) * keys + j;
                                *weight = self.normalize.moved(base.weights[at], soft[j], base.soft[at]);
                            }
                        }
                        answer.soft.extend(soft);
                    }
                    answer.lse.push(kept);
                    for f in 0..value_width {
                        let sum = (0..keys).filter(|&j| scores[j].is_some()).map(|j| {
                            let v = inputs.v[(unit * keys + j) * value_width + f];
                            weights[j] * (self.keep)([b, h, i, j]) * v
                        });
                        answer.context.push(sum.sum());
                    }
                    answer.weights.extend(weights);
                }
            }
        }
        answer
    }

    /// `Σ context · grad`, of which gradients are taken.
    pub fn loss(&self, inputs: &Inputs, grad: &[f64]) -> f64 {
        self.forward(inputs).context.iter().zip(grad).map(|(c, g)| c * g).sum()
    }
}

/// Who sees whom by window, global and random blocks, drawn by Floyd's algorithm among those that are neither.
pub fn bird(
    [block, window, global, random]: [usize; 4],
    seed: u64,
    keys: usize,
    offset: isize,
) -> impl Fn(Pair) -> bool {
    let near = move |query: isize, key: usize| query.abs_diff(key as isize) <= window;
    let drawn = move |head: usize, query: isize| -> Vec<usize> {
        let others: Vec<usize> = (global..keys / block).filter(|&key| !near(query, key)).collect();
        let seed = scramble(scramble(seed ^ scramble(head as u64)) ^ query as u64);
        let mut numbers: Vec<usize> = Vec::new();
        for last in others.len().saturating_sub(random)..others.len() {
            let number = (scramble(seed ^ scramble(last as u64)) % (last as u64 + 1)) as usize;
            numbers.push(if numbers.contains(&number) { last } else { number });
        }
        numbers.into_iter().map(|number| others[number]).collect()
    };
    move |[_, h, i, j]| {
        let (query, key) = ((i as isize + offset).div_euclid(block as isize), j / block);
        let all = key < global || (0..global as isize).contains(&query);
        all || near(query, key) || drawn(h, query).contains(&key)
    }
}

/// The finaliser of SplitMix64.
fn scramble(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Numbers between -1 and 1 that look random and are the same every time.
pub fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc_def1);
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
        })
        .collect()
}

pub fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// The greatest difference, relative to the greatest number (or 1).
pub fn difference(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().filter(|b| b.is_finite()).fold(1.0f64, |m, b| m.max(b.abs()));
    a.iter().zip(b).fold(0.0, |worst: f64, (&a, &b)| {
        let a = f64::from(a);
        if a == b {
            worst
        } else {
            worst.max(((a - b) / scale).abs()).max(if (a - b).is_nan() { f64::NAN } else { 0.0 })
        }
    })
}

pub fn query_shape(s: &Shape) -> [usize; 4] {
    [s.batch, s.heads, s.queries, s.query_width]
}

pub fn key_shape(s: &Shape) -> [usize; 4] {
    [s.batch, s.key_heads, s.keys, s.key_width]
}

pub fn value_shape(s: &Shape) -> [usize; 4] {
    [s.batch, s.key_heads, s.keys, s.value_width]
}

pub fn context_shape(s: &Shape) -> [usize; 4] {
    [s.batch, s.heads, s.queries, s.value_width]
}

pub fn view(data: &[f32], shape: [usize; 4]) -> View<'_> {
    View::new(data, shape).unwrap()
}

pub fn size(shape: [usize; 4]) -> usize {
    shape.iter().product()
}
