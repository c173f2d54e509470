//! One tile of the backward pass, from scores to the gradient of scores.

use super::Inputs;
use super::block::QueryBlock;
use crate::problem::{Problem, Seen};
use crate::score::dot;
use crate::scores::Scores;
use crate::scratch;
use crate::shape::{KEY_BLOCK, QUERY_BLOCK, Tile};

/// Memory for the tiles that a backward pass keeps at hand.
pub(super) struct TileGradient<'a> {
    stages: &'a mut [f32],
    weights: &'a mut [f32],
    dropped: &'a mut [f32],
    grad: &'a mut [f32],
    surrogate: &'a mut [f32],
}

/// What is known about a tile.
pub(super) struct Parts<'a> {
    /// The score, then what each bias made of it; 0 where hidden.
    pub(super) stages: Vec<Scores<'a>>,
    /// The weights, after dropout.
    pub(super) weights: Scores<'a>,
    /// The gradient of the last stage.
    pub(super) grad: Scores<'a>,
    /// What stands in for the weights, if the normalizer asks for it.
    pub(super) surrogate: Option<Scores<'a>>,
    /// What the queries see.
    pub(super) seen: Seen,
}

impl TileGradient<'_> {
    /// Finds memory for as long as `f` runs.
    pub(super) fn with(problem: &Problem, f: impl FnOnce(&mut TileGradient)) {
        const TILE: usize = QUERY_BLOCK * KEY_BLOCK;
        let dropped = if problem.attention.dropout.is_some() { TILE } else { 0 };
        let stages = TILE * (1 + problem.attention.biases.len());
        let surrogate = if problem.attention.normalizer.straight_through() { TILE } else { 0 };
        scratch::with([stages, TILE, dropped, TILE, surrogate], |[stages, weights, dropped, grad, surrogate]| {
            f(&mut TileGradient { stages, weights, dropped, grad, surrogate });
        });
    }

    /// Computes a tile, or nothing if it is hidden.
    pub(super) fn compute(&mut self, inputs: &Inputs, block: &QueryBlock, tile: &Tile) -> Option<Parts<'_>> {
        let (mut parts, dropped) = self.of_weights(inputs, block, tile)?;
        let Parts { stages, weights, grad, surrogate, seen } = &mut parts;
        inputs.problem.attention.normalizer.backward(surrogate.as_ref().unwrap_or(weights), &block.inner, grad);

        if let Some(mask) = dropped {
            weights.zip(&mask, |weight, scale| weight * scale);
        }
        if let Seen::Some(visible) = seen {
            // Nothing that a query cannot see may speak in its gradients, not even as 0 · NaN.
            for hidden in stages.iter_mut().chain([weights, grad]) {
                visible.hide(hidden, 0.0);
            }
        }
        Some(parts)
    }

    /// As [`compute`](TileGradient::compute), but with the gradient of the weights and the weights before dropout. Hidden
    /// pairs have the weight 0 and any gradient. Also what dropout multiplies the weights with.
    pub(super) fn of_weights(
        &mut self,
        inputs: &Inputs,
        block: &QueryBlock,
        tile: &Tile,
    ) -> Option<(Parts<'_>, Option<Scores<'_>>)> {
        let problem = inputs.problem;
        let attention = problem.attention;
        let seen = problem.seen(tile);
        if matches!(seen, Seen::Nothing) {
            return None;
        }
        let mut stages: Vec<Scores> =
            self.stages.chunks_exact_mut(QUERY_BLOCK * KEY_BLOCK).map(|stage| Scores::of(tile, &seen, stage)).collect();
        problem.with_keys(tile, |keys| attention.score.forward(tile, &block.queries, keys, &mut stages[0]));
        for (i, bias) in attention.biases.iter().enumerate() {
            let (before, after) = stages.split_at_mut(i + 1);
            after[0].copy_from(&before[i]);
            bias.add(tile, &mut after[0]);
        }

        let mut weights = Scores::of(tile, &seen, self.weights);
        weights.copy_from(&stages[attention.biases.len()]);
        if let Seen::Some(visible) = &seen {
            visible.hide(&mut weights, f32::NEG_INFINITY);
        }
        let mut surrogate = attention.normalizer.straight_through().then(|| Scores::of(tile, &seen, self.surrogate));
        if let Some(surrogate) = &mut surrogate {
            surrogate.copy_from(&weights);
        }
        if let Some(limits) = &block.limits {
            attention.normalizer.select(limits, &mut weights);
        }
        attention.normalizer.weights(&block.lse, &mut weights);
        if let Some(surrogate) = &mut surrogate {
            attention.normalizer.surrogate(&block.lse, &weights, surrogate);
        }

        let mut grad = Scores::of(tile, &seen, self.grad);
        let values = inputs.values.matrix(tile.batch, tile.head / problem.shape.group()).slice(tile.keys.clone());
        values.with(|values| dot::rows_by_lanes(1.0, values, block.grad_transposed, &mut grad));
        let mask = attention.dropout.map(|dropout| {
            let mut mask = Scores::new(tile, self.dropped);
            dropout.fill(tile, &mut mask);
            grad.zip(&mask, |grad, scale| grad * scale);
            mask
        });
        Some((Parts { stages, weights, grad, surrogate, seen }, mask))
    }
}
