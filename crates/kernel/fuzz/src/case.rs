//! A problem: arrays, an attention, and the same by definition.

use std::fmt;

use arbitrary::{Result, Unstructured};
use regard_kernel::dropout::keep_weight;
use regard_kernel::{Attention, Shape};

use crate::array::Array;
use crate::bias::{Back, bias};
use crate::mask::mask;
use crate::normalizer::normalizer;
use crate::oracle::{Inputs, Normalize, Oracle, context_shape, key_shape, query_shape, value_shape, wide};
use crate::score::{Kind, Score};

/// A random problem.
pub struct Case {
    pub(crate) attention: Attention,
    pub(crate) oracle: Oracle,
    pub(crate) inputs: Inputs,
    pub(crate) q: Array,
    pub(crate) k: Array,
    pub(crate) v: Array,
    pub(crate) grad: Array,
    pub(crate) score: Kind,
    pub(crate) backs: Vec<Back>,
    pub(crate) dropout: Option<f32>,
    /// What the checks themselves choose by.
    pub(crate) odd: u16,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { attention, oracle, q, k, v, grad, odd, .. } = self;
        let arrays = [q, k, v, grad].map(Array::view);
        write!(f, "{:#?}\n{attention:#?}\n{:?}\n{arrays:?}\nodd {odd}", oracle.shape, oracle.normalize)
    }
}

impl Case {
    /// The problem that the bytes choose.
    ///
    /// # Errors
    /// Never, in fact: where bytes run out, the first choice is taken.
    pub fn new(u: &mut Unstructured) -> Result<Self> {
        let shape = shape(u)?;
        let spread = if u.ratio(1, 8)? { 4.0 } else { 1.0 };
        let q = Array::new(u, query_shape(&shape), spread)?;
        let k = Array::new(u, key_shape(&shape), spread)?;
        let v = Array::new(u, value_shape(&shape), 1.0)?;
        let grad = Array::new(u, context_shape(&shape), 1.0)?;
        let score = Score::new(u, &shape)?;
        let mut inputs = Inputs {
            q: wide(&q.single),
            k: wide(&k.single),
            v: wide(&v.single),
            score: score.parameters,
            ..Inputs::default()
        };
        let mut oracle = Oracle {
            shape,
            score: score.value,
            biases: vec![],
            mask: Box::new(|_| true),
            normalize: Normalize::Softmax { temperature: 1.0 },
            keep: Box::new(|_| 1.0),
            base: None,
        };
        let (mut attention, mut backs) = (score.attention, vec![]);
        if !u.ratio(1, 4)? {
            let (chosen, sees) = mask(u, &shape, 2)?;
            attention = attention.mask(chosen);
            if u.ratio(1, 8)? {
                let (chosen, also) = mask(u, &shape, 0)?;
                attention = attention.mask(chosen);
                oracle.mask = Box::new(move |pair| sees(pair) && also(pair));
            } else {
                oracle.mask = Box::new(move |pair| sees(pair));
            }
        }
        for _ in 0..u.int_in_range(0..=3)? / 2 + u8::from(u.ratio(1, 8)?) {
            let (more, bias) = bias(u, attention, &shape)?;
            attention = more;
            oracle.biases.push(bias.value);
            inputs.biases.push(bias.parameters);
            backs.push(bias.back);
        }
        let (mut attention, normalize, sink) = normalizer(u, attention, &shape)?;
        (oracle.normalize, inputs.sink) = (normalize, wide(&sink));
        let mut dropout = None;
        if u.ratio(1, 6)? {
            let (p, seed) = ([0.1f32, 0.5, 0.9][u.int_in_range(0..=2)?], u.arbitrary()?);
            attention = attention.dropout(p, seed).expect("a probability");
            dropout = Some(p);
            oracle.keep = Box::new(
                move |[b, h, i, j]| {
                    if keep_weight(seed, b, h, i, j, p) { f64::from(1.0 / (1.0 - p)) } else { 0.0 }
                },
            );
        }
        Ok(Self { attention, oracle, inputs, q, k, v, grad, score: score.kind, backs, dropout, odd: u.arbitrary()? })
    }

    /// Whether queries and keys differ in width under a score that cannot have that.
    pub(crate) fn is_refused(&self) -> bool {
        let shape = self.oracle.shape;
        shape.query_width != shape.key_width && !matches!(self.score, Kind::Bilinear)
    }
}

/// Sizes: nearly always tiny, sometimes a few tiles, rarely more keys than one part of a decode.
fn shape(u: &mut Unstructured) -> Result<Shape> {
    let class: u16 = u.arbitrary()?;
    let [queries, keys, width] = match class % 2048 {
        0 => [5, 2300, 8],
        1..=4 => [140, 140, 100],
        5..=20 => [40, 80, 40],
        _ => [8, 8, 5],
    };
    let few = class % 2048 < 5;
    let mut up_to = |n: usize| u.int_in_range(0..=n);
    // Fewer of what only repeats the work, but none of it, too.
    let batch = [1, 1, 1, 2, 1, 1, 2, 0][up_to(if few { 2 } else { 7 })?];
    let (key_heads, group) = if few {
        (1, 1 + up_to(1)?)
    } else {
        ([1, 1, 1, 2, 1, 1, 2, 3][up_to(7)?], [1, 1, 1, 2, 1, 1, 2, 3][up_to(7)?])
    };
    let (queries, keys, query_width, value_width) = (up_to(queries)?, up_to(keys)?, up_to(width)?, up_to(width)?);
    let key_width = if up_to(15)? == 0 && query_width > 0 { 1 + up_to(width)? } else { query_width };
    let heads = if up_to(63)? == 0 { 0 } else { key_heads * group };
    Ok(Shape { batch, heads, key_heads, queries, keys, query_width, key_width, value_width })
}

/// Whether a key of a batch and key head is seen by nobody.
pub(crate) fn unseen(oracle: &Oracle) -> impl Fn(usize, usize, usize) -> bool + '_ {
    let shape = oracle.shape;
    move |batch, key_head, key| {
        let heads = key_head * shape.group()..(key_head + 1) * shape.group();
        heads.into_iter().all(|head| (0..shape.queries).all(|query| !(oracle.mask)([batch, head, query, key])))
    }
}
