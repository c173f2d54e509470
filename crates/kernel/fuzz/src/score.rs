//! Scores, what they are by definition, and their derivatives.

use arbitrary::{Result, Unstructured};
use regard_kernel::{Additive, Attention, Bilinear, Cosine, Distance, Dot, ScaledDot, Shape};

use crate::oracle::{ScoreFn, dot, numbers, wide};

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// The factor is the parameter, which the kernel does not learn.
    Dot,
    Cosine,
    Bilinear,
    Additive,
    Distance,
}

pub struct Score {
    pub kind: Kind,
    pub attention: Attention,
    pub value: ScoreFn,
    pub parameters: Vec<f64>,
}

impl Score {
    pub fn new(u: &mut Unstructured, shape: &Shape) -> Result<Self> {
        let (choice, shared, seed) = (u.int_in_range(0..=10)?, u.arbitrary::<bool>()?, u64::from(u.arbitrary::<u8>()?));
        let (width, heads) = (shape.query_width, if shared { 1 } else { shape.heads });
        let factor = 1.0 / (width.max(1) as f64).sqrt();
        let dot_of = |attention, factor| Self { kind: Kind::Dot, attention, value: scaled, parameters: vec![factor] };
        // What has parameters wants some, and the bilinear score is the only one for widths that differ.
        let choice = if shape.key_width != width { 8 } else { choice };
        Ok(match choice {
            4 => dot_of(Attention::new(Dot), 1.0),
            5 => dot_of(Attention::new(ScaledDot { scale: Some(-0.3) }), f64::from(-0.3f32)),
            6 | 7 => {
                let tau: Vec<f32> = numbers(seed, heads).iter().map(|x| x * 3.0 + x.signum()).collect();
                let (attention, parameters) = (Attention::new(Cosine::new(tau.clone())), wide(&tau));
                Self { kind: Kind::Cosine, attention, value: cosine, parameters }
            }
            8 if heads * width * shape.key_width > 0 => {
                let w = numbers(seed, heads * width * shape.key_width);
                let score = Bilinear::new(w.clone(), width, shape.key_width).expect("whole matrices");
                Self { kind: Kind::Bilinear, attention: Attention::new(score), value: bilinear, parameters: wide(&w) }
            }
            9 => {
                let v = numbers(seed, heads * width);
                let attention = Attention::new(Additive::new(v.clone(), width));
                Self { kind: Kind::Additive, attention, value: additive, parameters: wide(&v) }
            }
            10 => {
                let attention = Attention::new(Distance::default());
                Self { kind: Kind::Distance, attention, value: distance, parameters: vec![] }
            }
            _ => dot_of(Attention::default(), factor),
        })
    }
}

fn scaled(_: usize, q: &[f64], k: &[f64], factor: &[f64]) -> f64 {
    factor[0] * dot(q, k)
}

/// Where a head's parameters begin, `each` of which a head has.
fn start(head: usize, each: usize, all: usize) -> usize {
    if all == each { 0 } else { head * each }
}

fn cosine(head: usize, q: &[f64], k: &[f64], tau: &[f64]) -> f64 {
    let lengths = (dot(q, q) * dot(k, k)).sqrt();
    if lengths == 0.0 { 0.0 } else { tau[start(head, 1, tau.len())] * dot(q, k) / lengths }
}

fn bilinear(head: usize, q: &[f64], k: &[f64], w: &[f64]) -> f64 {
    let w = &w[start(head, q.len() * k.len(), w.len())..];
    q.iter().zip(w.chunks(k.len())).map(|(q, w)| q * dot(w, k)).sum()
}

fn distance(_: usize, q: &[f64], k: &[f64], _: &[f64]) -> f64 {
    let squares: f64 = q.iter().zip(k).map(|(q, k)| (q - k).powi(2)).sum();
    -squares / (q.len().max(1) as f64).sqrt()
}

fn additive(head: usize, q: &[f64], k: &[f64], v: &[f64]) -> f64 {
    let v = &v[start(head, q.len(), v.len())..];
    q.iter().zip(k).zip(v).map(|((q, k), v)| v * (q + k).tanh()).sum()
}

/// Adds `grad` times the derivatives of a score.
#[allow(clippy::too_many_arguments)]
pub fn derive(
    kind: Kind,
    head: usize,
    q: &[f64],
    k: &[f64],
    parameters: &[f64],
    grad: f64,
    d_q: &mut [f64],
    d_k: &mut [f64],
    d_parameters: &mut [f64],
) {
    let add = |to: &mut [f64], factor: f64, x: &[f64]| to.iter_mut().zip(x).for_each(|(to, x)| *to += factor * x);
    match kind {
        Kind::Dot => {
            add(d_q, grad * parameters[0], k);
            add(d_k, grad * parameters[0], q);
        }
        Kind::Cosine => {
            let (qq, kk) = (dot(q, q), dot(k, k));
            if qq * kk == 0.0 {
                return;
            }
            let (at, lengths) = (start(head, 1, parameters.len()), (qq * kk).sqrt());
            let (alike, grad) = (dot(q, k) / lengths, grad * parameters[at]);
            add(d_q, grad / lengths, k);
            add(d_q, -grad * alike / qq, q);
            add(d_k, grad / lengths, q);
            add(d_k, -grad * alike / kk, k);
            d_parameters[at] += grad / parameters[at] * alike;
        }
        Kind::Bilinear => {
            let start = start(head, q.len() * k.len(), parameters.len());
            for (a, (&q, d_q)) in q.iter().zip(d_q).enumerate() {
                let row = start + a * k.len()..start + (a + 1) * k.len();
                *d_q += grad * dot(&parameters[row.clone()], k);
                add(d_k, grad * q, &parameters[row.clone()]);
                add(&mut d_parameters[row], grad * q, k);
            }
        }
        Kind::Distance => {
            let factor = 2.0 * grad / (q.len().max(1) as f64).sqrt();
            for f in 0..q.len() {
                d_q[f] += factor * (k[f] - q[f]);
                d_k[f] += factor * (q[f] - k[f]);
            }
        }
        Kind::Additive => {
            let start = start(head, q.len(), parameters.len());
            for f in 0..q.len() {
                let t = (q[f] + k[f]).tanh();
                let d = grad * parameters[start + f] * (1.0 - t * t);
                d_q[f] += d;
                d_k[f] += d;
                d_parameters[start + f] += grad * t;
            }
        }
    }
}
