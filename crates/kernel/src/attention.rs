//! The attention that a caller puts together and runs.

use std::ops::Range;
use std::sync::Arc;

use crate::bias::Bias;
use crate::dropout::Dropout;
use crate::error::check_len;
use crate::mask::{And, Mask};
use crate::normalize::{Normalizer, Softmax};
use crate::probe::Probe;
use crate::problem::Problem;
use crate::score::{ScaledDot, Score};
use crate::shape::Shape;
use crate::view::View;
use crate::{Error, Result, backward, decode, forward, probe};

/// So few queries are attended with as when decoding: they would leave most lanes of a tile empty.
const FEW: usize = 4;

/// Attention: a score, and what is done to it on the way to weights.
///
/// Cheap to clone, and shared by any number of threads. Every combination is fused, forward and backward, in memory that
/// grows with L and S, not with L·S.
#[derive(Clone, Debug)]
pub struct Attention {
    pub(crate) score: Arc<dyn Score>,
    pub(crate) mask: Option<Arc<dyn Mask>>,
    pub(crate) biases: Vec<Arc<dyn Bias>>,
    pub(crate) normalizer: Arc<dyn Normalizer>,
    pub(crate) dropout: Option<Dropout>,
}

impl Default for Attention {
    /// [`ScaledDot`] and softmax, everyone sees everyone.
    fn default() -> Self {
        Self::new(ScaledDot::default())
    }
}

impl Attention {
    /// Softmax over the given score; no mask, no bias, no dropout.
    pub fn new(score: impl Score + 'static) -> Self {
        Self {
            score: Arc::new(score),
            mask: None,
            biases: Vec::new(),
            normalizer: Arc::new(Softmax::default()),
            dropout: None,
        }
    }

    /// Hides pairs; a second mask hides more (`&`).
    pub fn mask(mut self, mask: impl Mask + 'static) -> Self {
        self.mask = Some(match self.mask {
            None => Arc::new(mask),
            Some(earlier) => Arc::new(And(earlier, mask)),
        });
        self
    }

    /// Adds a bias after those that were added before.
    pub fn bias(mut self, bias: impl Bias + 'static) -> Self {
        self.biases.push(Arc::new(bias));
        self
    }

    /// Replaces the softmax.
    pub fn normalizer(mut self, normalizer: impl Normalizer + 'static) -> Self {
        self.normalizer = Arc::new(normalizer);
        self
    }

    /// Drops weights with the given probability and scales the others up, keyed by `seed` and the place of the weight
    /// (see [`dropout`](crate::dropout)); 0 drops nothing.
    ///
    /// # Errors
    /// If the probability is not in [0, 1).
    pub fn dropout(mut self, probability: f32, seed: u64) -> Result<Self> {
        let dropout = Dropout::new(probability, seed)?;
        self.dropout = (probability > 0.0).then_some(dropout);
        Ok(self)
    }

    /// The same attention with the scale that it has for queries of `width` features, whatever the width of those it meets:
    /// for queries and keys that were taken to other widths without changing their products.
    ///
    /// # Errors
    /// If the score is no dot product.
    pub fn scaled_as(mut self, width: usize) -> Result<Self> {
        let Some(scale) = self.score.dot_factor(width) else {
            return Err(Error::new("score", "no dot product", "q · k with any factor"));
        };
        self.score = Arc::new(ScaledDot { scale: Some(scale) });
        Ok(self)
    }

    /// Attends: `q` `[batch, head, L, d]`, `k` `[batch, key head, S, d]`, `v` `[batch, key head, S, dv]`.
    ///
    /// # Errors
    /// If the shapes do not fit each other or a modifier.
    pub fn forward(&self, q: &View, k: &View, v: &View) -> Result<Output> {
        let problem = Problem::new(self, q, k)?.with_values(v)?;
        if problem.shape.queries <= FEW {
            return self.decode(q, (k, v));
        }
        let mut context = vec![0.0; problem.size(problem.shape.value_width)];
        let mut lse = vec![0.0; problem.size(1)];
        forward::run(&problem, v, &mut context, &mut lse);
        Ok(Output { context, lse })
    }

    /// As [`forward`](Attention::forward), into memory of the caller's: `context` `[batch, head, L, dv]` and `lse`
    /// `[batch, head, L]`, both contiguous.
    ///
    /// # Errors
    /// If the shapes do not fit each other, a modifier or the given memory.
    pub fn forward_into(&self, q: &View, k: &View, v: &View, context: &mut [f32], lse: &mut [f32]) -> Result<()> {
        let problem = Problem::new(self, q, k)?.with_values(v)?;
        check_len("context", context.len(), problem.size(problem.shape.value_width))?;
        check_len("lse", lse.len(), problem.size(1))?;
        if problem.shape.queries <= FEW {
            let output = self.decode(q, (k, v))?;
            context.copy_from_slice(&output.context);
            lse.copy_from_slice(&output.lse);
            return Ok(());
        }
        forward::run(&problem, v, context, lse);
        Ok(())
    }

    /// As [`forward`](Attention::forward) for few queries against many keys, as when a text is generated: the work is
    /// split over the keys, in fixed blocks, and each key and value is read once for all query heads that share it. `past`
    /// is a cache ([`KeyValueCache`](crate::KeyValueCache), [`PagedCache`](crate::PagedCache)), or `(&k, &v)`.
    ///
    /// ```
    /// use regard_kernel::{Attention, KeyValueCache, Precision, View};
    ///
    /// # fn main() -> regard_kernel::Result<()> {
    /// // Eight query heads share two key heads; keys and values are kept in half precision.
    /// let mut cache = KeyValueCache::with_precision(1, 2, 16, 16, Precision::F16);
    /// for step in 0..3 {
    ///     let (q, k, v) = (vec![0.5; 8 * 16], vec![0.25; 2 * 16], vec![step as f32; 2 * 16]);
    ///     cache.append(&View::new(&k, [1, 2, 1, 16])?, &View::new(&v, [1, 2, 1, 16])?)?;
    ///     let output = Attention::default().decode(&View::new(&q, [1, 8, 1, 16])?, &cache)?;
    ///     assert_eq!(output.context[0], step as f32 / 2.0); // equal keys: the mean of the values so far
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`forward`](Attention::forward).
    pub fn decode<'a>(&self, q: &View, past: impl Into<decode::Past<'a>>) -> Result<Output> {
        decode::run(self, q, &past.into())
    }

    /// Gradients, given what [`forward`](Attention::forward) returned and the gradient of the context.
    ///
    /// The weights are computed again, tile by tile; dropout drops the same ones.
    ///
    /// # Errors
    /// If the shapes do not fit each other or a modifier.
    pub fn backward(
        &self,
        q: &View,
        k: &View,
        v: &View,
        context: &[f32],
        lse: &[f32],
        grad_context: &View,
    ) -> Result<Gradients> {
        let problem = Problem::new(self, q, k)?.with_values(v)?;
        let Shape { batch, heads, queries, value_width, .. } = problem.shape;
        check_len("context", context.len(), problem.size(value_width))?;
        check_len("lse", lse.len(), problem.size(1))?;
        let expected = [batch, heads, queries, value_width];
        if grad_context.shape() != expected {
            let given = format!("{:?}", grad_context.shape());
            return Err(Error::new("gradient of the context", given, format!("{expected:?}")));
        }
        Ok(backward::run(&problem, v, context, lse, grad_context))
    }

    /// Shows the exact weights, made again from `q`, `k` and `lse` a tile at a time, to every probe. Dropout is not
    /// applied.
    ///
    /// # Errors
    /// If the shapes do not fit each other, a modifier or a probe.
    pub fn observe(&self, q: &View, k: &View, lse: &[f32], probes: &mut [&mut dyn Probe]) -> Result<()> {
        self.observe_within(q, k, lse, [0..q.shape()[2], 0..k.shape()[2]], probes)
    }

    /// As [`observe`](Attention::observe), but shows some queries' weights on some keys only, as when a person looks at a
    /// part of a long map from near. To the probes the first of either is number 0. Time follows the size of the part.
    ///
    /// ```
    /// use regard_kernel::{Attention, View, probe::Weights};
    ///
    /// # fn main() -> regard_kernel::Result<()> {
    /// let q = vec![0.0; 100 * 8];
    /// let q = View::new(&q, [1, 1, 100, 8])?;
    /// let lse = Attention::default().forward(&q, &q, &q)?.lse;
    /// let mut weights = Weights::new();
    /// Attention::default().observe_within(&q, &q, &lse, [7..8, 90..92], &mut [&mut weights])?;
    /// assert!(weights.values().iter().all(|weight| (weight - 0.01).abs() < 1e-6));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`observe`](Attention::observe), and if there are no such queries or keys.
    pub fn observe_within(
        &self,
        q: &View,
        k: &View,
        lse: &[f32],
        within: [Range<usize>; 2],
        probes: &mut [&mut dyn Probe],
    ) -> Result<()> {
        let problem = Problem::new(self, q, k)?;
        check_len("lse", lse.len(), problem.size(1))?;
        for (what, part, all) in
            [("queries", &within[0], problem.shape.queries), ("keys", &within[1], problem.shape.keys)]
        {
            if part.start > part.end || part.end > all {
                return Err(Error::new(what, format!("{part:?}"), format!("a range within 0..{all}")));
            }
        }
        probe::run(&problem, lse, within, probes)
    }

    /// Whether queries, keys and values of these shapes can be attended with, which [`forward`](Attention::forward) would
    /// otherwise say.
    ///
    /// # Errors
    /// If the shapes do not fit each other or a modifier.
    pub fn fits(&self, queries: [usize; 4], keys: [usize; 4], values: [usize; 4]) -> Result<()> {
        self.check(&Shape::of(queries, keys)?.with_values(values)?)
    }

    /// Refuses a problem that a modifier was not made for.
    pub(crate) fn check(&self, shape: &Shape) -> Result<()> {
        self.score.check(shape)?;
        if let Some(mask) = &self.mask {
            mask.check(shape)?;
        }
        for bias in &self.biases {
            bias.check(shape)?;
        }
        self.normalizer.check(shape)
    }
}

/// What attention gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// `[batch, head, query, value feature]`, contiguous.
    pub context: Vec<f32>,
    /// Each row's log-sum-exp `[batch, head, query]`, or what another [normalizer](crate::normalize) keeps in its place; −∞
    /// for a query that sees no key.
    pub lse: Vec<f32>,
}

/// What a gradient of the context means for everything that led to it; all contiguous.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// In the shape of the queries.
    pub queries: Vec<f32>,
    /// In the shape of the keys, summed over the query heads that share one.
    pub keys: Vec<f32>,
    /// In the shape of the values, summed as the keys.
    pub values: Vec<f32>,
    /// For [`Score::parameters`].
    pub score: Vec<f32>,
    /// For [`Bias::parameters`] of each bias, in order.
    pub biases: Vec<Vec<f32>>,
    /// For [`Normalizer::parameters`].
    pub normalizer: Vec<f32>,
}
