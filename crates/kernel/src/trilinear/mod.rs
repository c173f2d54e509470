//! Trilinear (2-simplicial) attention: a query meets pairs of keys.
//!
//! ```text
//! e_ijk = scale · Σ_f q_if · k_jf · k'_kf        a_i = softmax over all (j, k)        c_i = Σ_jk a_ijk · (v_j ∘ v'_k)
//! ```
//!
//! Clift et al., "Logic and the 2-Simplicial Transformer", 2019, arXiv:1909.00668; with windows, Roy et al., "Fast and
//! Simplex: 2-Simplicial Attention in Triton", 2025, arXiv:2507.02754.
//!
//! A question about two others at once, such as whether they match, takes one layer instead of two. It is causal: query i sees
//! the keys of either kind up to where it stands, the last `windows` of them if there are any. Without windows time grows
//! with L³; with them as L · w · w' · d, and memory grows with L: windows of 512 and 32 are the paper's. There are no
//! weights to observe.
//!
//! For one query, `q ∘ k'_k` are queries of an ordinary attention over the keys k_j, and the softmax runs over all of
//! their rows together. Those are matrix products, forward two and backward six, and the tiles of weights between them hold
//! at most 64 keys of either kind.

mod backward;
mod forward;
mod query;

use std::ops::Range;

use crate::view::View;
use crate::{Error, Output, Result};

pub use backward::Gradients;

/// Trilinear attention; see [the module](self).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Trilinear {
    scale: Option<f32>,
    windows: Option<[usize; 2]>,
}

/// The keys and the values of one kind: `k` `[batch, key head, S, d]`, `v` `[batch, key head, S, dv]`.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Keys.
    pub keys: View<'a>,
    /// Values.
    pub values: View<'a>,
}

impl Trilinear {
    /// Multiplies scores with `scale`; with 1/√d unless given.
    pub fn scale(self, scale: f32) -> Self {
        Self { scale: Some(scale), ..self }
    }

    /// How many of the last keys of the first and of the second kind a query sees, the one at which it stands included.
    ///
    /// # Errors
    /// If one of them is 0: no query would see anything.
    pub fn windows(self, first: usize, second: usize) -> Result<Self> {
        if first == 0 || second == 0 {
            return Err(Error::new("windows", format!("{first} and {second}"), "at least 1 key each"));
        }
        Ok(Self { windows: Some([first, second]), ..self })
    }

    /// Attends: `q` `[batch, head, L, d]`. Heads are a multiple of key heads. Where there are more keys than queries, the
    /// last query stands at the last key; one that stands before the first key gets zeros.
    ///
    /// ```
    /// use regard_kernel::View;
    /// use regard_kernel::trilinear::{Side, Trilinear};
    ///
    /// # fn main() -> regard_kernel::Result<()> {
    /// let zeros = View::new(&[0.0; 2], [1, 1, 2, 1])?;
    /// let first = Side { keys: zeros, values: View::new(&[1.0, 3.0], [1, 1, 2, 1])? };
    /// let second = Side { keys: zeros, values: View::new(&[5.0, 7.0], [1, 1, 2, 1])? };
    /// // Equal scores: the mean of all products of two values that are seen.
    /// let output = Trilinear::default().forward(&zeros, &first, &second)?;
    /// assert_eq!(output.context, [5.0, 12.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the shapes do not fit each other.
    pub fn forward(&self, q: &View, first: &Side, second: &Side) -> Result<Output> {
        Ok(forward::run(&Problem::new(self, q, first, second)?))
    }

    /// Gradients, given what [`forward`](Trilinear::forward) returned and the gradient of the context.
    ///
    /// # Errors
    /// If the shapes do not fit each other.
    pub fn backward(
        &self,
        q: &View,
        first: &Side,
        second: &Side,
        output: &Output,
        grad_context: &View,
    ) -> Result<Gradients> {
        let problem = Problem::new(self, q, first, second)?;
        let Problem { batch, heads, queries, value_width, .. } = problem;
        let expected = [batch, heads, queries, value_width];
        if grad_context.shape() != expected {
            let given = format!("{:?}", grad_context.shape());
            return Err(Error::new("gradient of the context", given, format!("{expected:?}")));
        }
        crate::error::check_len("context", output.context.len(), batch * heads * queries * value_width)?;
        crate::error::check_len("lse", output.lse.len(), batch * heads * queries)?;
        Ok(backward::run(&problem, output, grad_context))
    }
}

/// Arrays that fit each other.
struct Problem<'a> {
    batch: usize,
    heads: usize,
    key_heads: usize,
    queries: usize,
    keys: usize,
    width: usize,
    value_width: usize,
    scale: f32,
    windows: [usize; 2],
    q: View<'a>,
    sides: [Side<'a>; 2],
}

impl<'a> Problem<'a> {
    fn new(attention: &Trilinear, q: &View<'a>, first: &Side<'a>, second: &Side<'a>) -> Result<Self> {
        let [batch, heads, queries, width] = q.shape();
        let [_, key_heads, keys, _] = first.keys.shape();
        let value_width = first.values.shape()[3];
        if heads != 0 && (key_heads == 0 || !heads.is_multiple_of(key_heads)) {
            let expected = format!("a divisor of the {heads} query heads");
            return Err(Error::new("keys", format!("{key_heads} heads"), expected));
        }
        for (what, view, width) in [
            ("keys", first.keys, width),
            ("values", first.values, value_width),
            ("second keys", second.keys, width),
            ("second values", second.values, value_width),
        ] {
            let expected = [batch, key_heads, keys, width];
            if view.shape() != expected {
                return Err(Error::new(what, format!("{:?}", view.shape()), format!("{expected:?}")));
            }
        }
        let sizes = [batch, heads.max(key_heads), queries.max(keys), width.max(value_width)];
        let most = sizes.iter().try_fold(size_of::<f32>(), |size, &n| size.checked_mul(n.max(1)));
        if most.is_none_or(|most| most > isize::MAX as usize) {
            let given = format!("{sizes:?}");
            return Err(Error::new("sizes [batch, head, position, feature]", given, "less than memory can hold"));
        }
        let scale = attention.scale.unwrap_or_else(|| (width.max(1) as f64).sqrt().recip() as f32);
        let windows = attention.windows.unwrap_or([usize::MAX; 2]);
        let sides = [*first, *second];
        Ok(Self { batch, heads, key_heads, queries, keys, width, value_width, scale, windows, q: *q, sides })
    }

    /// How many query heads share a key head.
    fn group(&self) -> usize {
        self.heads.checked_div(self.key_heads).unwrap_or(0)
    }

    /// The keys of both kinds that a query sees.
    fn seen(&self, query: usize) -> [Range<usize>; 2] {
        let end = (query + 1 + self.keys).saturating_sub(self.queries);
        self.windows.map(|window| end.saturating_sub(window)..end)
    }

    /// Multiplications and additions of one product, about.
    fn work(&self) -> f64 {
        let window = |window: usize| window.min(self.keys) as f64;
        let pairs = window(self.windows[0]) * window(self.windows[1]);
        (self.batch * self.heads * self.queries) as f64 * pairs * self.width.max(8) as f64
    }
}
