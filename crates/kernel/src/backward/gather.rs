//! A pass before the others, for normalizers whose gradients need more of a row than the context knows.

use super::Inputs;
use super::block::QueryBlock;
use super::tile::TileGradient;
use crate::problem::{cut, run as run_tasks};
use crate::shape::{QUERY_BLOCK, Shape};

/// The quotient that is gathered over each row, `[batch, head, query]`; 0 for a row without weights.
pub(super) fn run(inputs: &Inputs) -> Vec<f32> {
    let problem = inputs.problem;
    let Shape { batch, heads, .. } = problem.shape;
    let mut quotients = vec![0.0; problem.size(1)];
    let blocks = problem.shape.query_blocks();
    let places = (0..batch * heads).flat_map(|unit| blocks.clone().map(move |queries| (unit, queries)));
    let tasks = places.zip(cut(&mut quotients, batch * heads, blocks.clone(), 1)).collect();
    run_tasks(2.0 * problem.work(), tasks, |((unit, queries), quotients)| {
        let (batch, head) = (unit / heads, unit % heads);
        let mut sums = [[0.0; QUERY_BLOCK]; 2];
        QueryBlock::with(inputs, batch, head, queries.clone(), |block| {
            TileGradient::with(problem, |gradient| {
                for keys in problem.shape.key_blocks() {
                    let tile = problem.tile(batch, head, queries.clone(), keys);
                    if let Some((parts, _)) = gradient.of_weights(inputs, block, &tile) {
                        let weights = parts.surrogate.as_ref().unwrap_or(&parts.weights);
                        problem.attention.normalizer.gather(weights, &parts.grad, &mut sums);
                    }
                }
            });
        });
        for ((quotient, numerator), denominator) in quotients.iter_mut().zip(sums[0]).zip(sums[1]) {
            *quotient = if denominator == 0.0 { 0.0 } else { numerator / denominator };
        }
    });
    quotients
}
