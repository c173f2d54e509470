//! A block of queries, packed for the backward pass.

use std::ops::Range;

use super::Inputs;
use super::parameters::Layout;
use super::tile::Parts;
use crate::mask::Visible;
use crate::normalize::Limits;
use crate::pack;
use crate::problem::{Problem, Seen};
use crate::score::{Queries, dot};
use crate::scratch;
use crate::shape::{QUERY_BLOCK, Shape, Tile};
use crate::simd::pad;
use crate::view::Matrix;

/// Some queries of a head, and the gradient of their context.
pub(super) struct QueryBlock<'a> {
    pub(super) queries: Queries<'a>,
    /// dCᵀ, `[value feature][lane]`
    pub(super) grad_transposed: &'a [f32],
    /// dC, `[query][value feature]`, rows padded to whole vectors; all zeros where it is not finite.
    grad_rows: &'a [f32],
    /// dC where it lies.
    grad: Matrix<'a>,
    /// Whether dC is finite.
    finite: bool,
    /// What the normalizer kept of each row; +∞, which makes every weight 0, past the queries.
    pub(super) lse: [f32; QUERY_BLOCK],
    /// What a scan has found again, if the normalizer asks for it.
    pub(super) limits: Option<Limits>,
    /// Each row's δ.
    pub(super) inner: [f32; QUERY_BLOCK],
    head: usize,
}

impl QueryBlock<'_> {
    /// Packs a block for as long as `f` runs.
    pub(super) fn with(inputs: &Inputs, batch: usize, head: usize, range: Range<usize>, f: impl FnOnce(&QueryBlock)) {
        let Shape { heads, queries, query_width, value_width, .. } = inputs.problem.shape;
        let (count, lanes) = (range.len(), pad(range.len()));
        let sizes = [query_width * lanes, pad(query_width) * count, value_width * lanes, pad(value_width) * count];
        scratch::with(sizes, |[transposed, rows, grad_transposed, grad_rows]| {
            let source = inputs.problem.queries.matrix(batch, head).slice(range.clone());
            source.with(|source| {
                pack::transpose(source, transposed);
                pack::finite_rows(source, rows);
            });
            let first = (batch * heads + head) * queries + range.start;
            let context = &inputs.context[first * value_width..][..count * value_width];
            let mut lse = [f32::INFINITY; QUERY_BLOCK];
            lse[..count].copy_from_slice(&inputs.lse[first..][..count]);
            let mut inner = [0.0; QUERY_BLOCK];
            let queries = Queries { transposed, rows, count, width: query_width };
            let limits = inputs.limits.as_ref().map(|limits| limits.of(first..first + count));
            inputs.grad.matrix(batch, head).slice(range.clone()).with(|grad| {
                pack::transpose(grad, grad_transposed);
                let finite = pack::finite_rows(grad, grad_rows);
                match &inputs.gathered {
                    Some(gathered) => inner[..count].copy_from_slice(&gathered[first..][..count]),
                    // A row that saw nothing has the context 0, and no gradient whatever is given for it.
                    None => pack::row_products(grad, context, &mut inner[..count]),
                }
                f(&QueryBlock { queries, grad_transposed, grad_rows, grad, finite, lse, limits, inner, head });
            });
        });
    }

    /// Adds what these rows mean for the normalizer's parameters.
    pub(super) fn normalizer_parameters(&self, problem: &Problem, layout: &Layout, parameters: &mut [f32]) {
        let parameters = &mut parameters[layout.normalizer()];
        for (&lse, &inner) in self.lse.iter().zip(&self.inner).take(self.queries.count) {
            problem.attention.normalizer.backward_parameters(self.head, lse, inner, parameters);
        }
    }

    /// dV += (P ∘ D)ᵀ dC, in which a gradient never meets the weight 0 of a key that its query cannot see.
    pub(super) fn add_values(&self, parts: &Parts, tile: &Tile, d_values: &mut [f32]) {
        let width = self.grad.columns;
        dot::add_to_keys(1.0, &parts.weights, self.grad_rows, d_values, pad(width));
        if !self.finite {
            let sees = |query, key| match &parts.seen {
                Seen::Some(visible) => Visible::get(visible, query, key),
                _ => true,
            };
            self.add_seen(parts, tile, sees, d_values);
        }
    }

    /// Adds the gradients that are not finite to the values of the keys that their queries see.
    fn add_seen(&self, parts: &Parts, tile: &Tile, sees: impl Fn(usize, usize) -> bool, d_values: &mut [f32]) {
        let width = self.grad.columns;
        for query in (0..tile.queries.len()).filter(|&i| (0..width).any(|f| !self.grad.get(i, f).is_finite())) {
            for (i, key) in tile.keys.clone().enumerate().filter(|&(i, _)| sees(query, i)) {
                let weight = parts.weights.row(key)[query];
                for (f, d_value) in d_values[i * pad(width)..][..width].iter_mut().enumerate() {
                    *d_value += weight * self.grad.get(query, f);
                }
            }
        }
    }
}

/// Calls `f` with a panel, `[row][column]` with rows padded to whole vectors, that is added up in place of `rows`: the
/// memory itself where no padding is needed. `rows` holds zeros.
pub(super) fn with_panel(rows: Option<&mut [f32]>, count: usize, width: usize, f: impl FnOnce(Option<&mut [f32]>)) {
    let Some(rows) = rows else { return f(None) };
    if width == pad(width) {
        return f(Some(rows));
    }
    scratch::with([count * pad(width)], |[panel]| {
        panel.fill(0.0);
        f(Some(panel));
        for (row, panel) in rows.chunks_exact_mut(width).zip(panel.chunks_exact(pad(width))) {
            row.copy_from_slice(&panel[..width]);
        }
    });
}
