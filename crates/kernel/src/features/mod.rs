//! Attention by features: where likeness is the product of positive features, keys can meet the values before the queries
//! come.
//!
//! ```text
//! c_i = φ(q_i)ᵀ (Σ_j φ(k_j) v_jᵀ) / (φ(q_i)ᵀ Σ_j φ(k_j))        over all j, or causal over j ≤ i
//! ```
//!
//! With `φ = elu + 1` it is linear attention (Katharopoulos et al. 2020, arXiv:2006.16236); with positive random features,
//! whose products are on average the exponentials of softmax attention, Performer (Choromanski et al. 2021,
//! arXiv:2009.14794). See [`FeatureMap`].
//!
//! Time grows with L·m·(d + dv) for m features, and memory beyond inputs and outputs with m·dv. Features are made 64
//! positions at a time, right before they are used, and made again in the backward pass: they are never held. Reach for it
//! when texts are very long; for gates and the delta rule, or to go on from a state, see [`linear`](crate::linear).
//!
//! Each batch and head is a task, so results have the same bits for any number of threads.

mod backward;
mod map;
mod unit;

use crate::problem::{cut, run};
use crate::view::View;
use crate::{Error, Result};
use unit::Unit;

pub use backward::FeatureGradients;
pub use map::FeatureMap;

/// Attention by features; see [the module](self).
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureAttention {
    map: FeatureMap,
    causal: bool,
}

/// What attention by features gives; both contiguous.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureOutput {
    /// `[batch, head, query, value feature]`
    pub context: Vec<f32>,
    /// What the weights of a query summed to before they were divided by it, `[batch, head, query]`.
    pub totals: Vec<f32>,
}

impl FeatureAttention {
    /// Every query sees every key.
    pub fn new(map: FeatureMap) -> Self {
        Self { map, causal: false }
    }

    /// Every query sees the keys up to its own position.
    pub fn causal(map: FeatureMap) -> Self {
        Self { map, causal: true }
    }

    /// Attends: `q` `[batch, head, L, d]`, `k` `[batch, head, S, d]`, `v` `[batch, head, S, dv]`; causal, L is S. Without keys
    /// the context is 0.
    ///
    /// ```
    /// use regard_kernel::{FeatureAttention, FeatureMap, View};
    ///
    /// # fn main() -> regard_kernel::Result<()> {
    /// let queries = View::new(&[0.0], [1, 1, 1, 1])?; // φ = 1
    /// let keys = View::new(&[1.0, 0.0], [1, 1, 2, 1])?; // φ = 2 and 1
    /// let values = View::new(&[3.0, 6.0], [1, 1, 2, 1])?;
    /// let output = FeatureAttention::new(FeatureMap::Elu).forward(&queries, &keys, &values)?;
    /// assert_eq!((output.context, output.totals), (vec![4.0], vec![3.0])); // (2·3 + 1·6) / 3
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the shapes do not fit each other or the features.
    pub fn forward(&self, q: &View, k: &View, v: &View) -> Result<FeatureOutput> {
        let [batch, heads, queries, _] = self.check(q.shape(), k.shape(), v.shape())?;
        let (units, width) = (batch * heads, v.shape()[3]);
        let mut output =
            FeatureOutput { context: vec![0.0; units * queries * width], totals: vec![0.0; units * queries] };
        let all = std::iter::once(0..queries);
        let contexts = cut(&mut output.context, units, all.clone(), width);
        let tasks = contexts.into_iter().zip(cut(&mut output.totals, units, all, 1)).enumerate().collect();
        run(self.work(q, k, v), tasks, |(unit, (context, totals)): (usize, (&mut [f32], &mut [f32]))| {
            self.unit([q, k, v], unit / heads, unit % heads).forward(context, totals);
        });
        Ok(output)
    }

    /// What belongs to one batch and head.
    fn unit<'a>(&'a self, [q, k, v]: [&View<'a>; 3], batch: usize, head: usize) -> Unit<'a> {
        Unit::new(&self.map, self.causal, [q, k, v].map(|view| view.matrix(batch, head)))
    }

    /// Whether queries, keys and values of these shapes can be attended with, which [`forward`](FeatureAttention::forward)
    /// would otherwise say.
    ///
    /// # Errors
    /// If the shapes do not fit each other or the features.
    pub fn fits(&self, queries: [usize; 4], keys: [usize; 4], values: [usize; 4]) -> Result<()> {
        self.check(queries, keys, values).map(|_| ())
    }

    /// The shape of the queries, if everything fits.
    fn check(&self, q: [usize; 4], k: [usize; 4], v: [usize; 4]) -> Result<[usize; 4]> {
        let shape @ [batch, heads, queries, width] = q;
        let keys = v[2];
        if let Some(expected) = self.map.width().filter(|&expected| expected != width) {
            return Err(Error::new(
                "queries",
                format!("{width} features"),
                format!("{expected}, as the directions have"),
            ));
        }
        for (argument, given, expected) in
            [("keys", k, [batch, heads, keys, width]), ("values", v, [batch, heads, keys, v[3]])]
        {
            if given != expected {
                return Err(Error::new(argument, format!("{given:?}"), format!("{expected:?}")));
            }
        }
        if self.causal && keys != queries {
            let expected = format!("as many as the {queries} queries, since it is causal");
            return Err(Error::new("keys", format!("{keys} positions"), expected));
        }
        let sizes = [batch, heads, queries.max(keys), width.max(v[3])];
        let most = sizes.iter().try_fold(size_of::<f32>(), |size, &n| size.checked_mul(n.max(1)));
        if most.is_none_or(|most| most > isize::MAX as usize) {
            let given = format!("{sizes:?}");
            return Err(Error::new("sizes [batch, head, position, feature]", given, "less than memory can hold"));
        }
        Ok(shape)
    }

    /// Multiplications and additions, about.
    fn work(&self, q: &View, k: &View, v: &View) -> f64 {
        let [batch, heads, queries, width] = q.shape();
        let each = self.map.count(width) * (width + v.shape()[3]);
        [batch, heads, queries + k.shape()[2], each].iter().map(|&n| n as f64).product()
    }
}
