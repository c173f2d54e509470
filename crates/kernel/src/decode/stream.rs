//! How the rows of a block meet some keys: the tiles of the forward pass, for all heads that share them.

use std::ops::Range;

use super::block::Block;
use super::context::{Context, FEW};
use super::few::{self, Places};
use super::split::Split;
use crate::normalize::Rows;
use crate::pack;
use crate::problem::{Problem, Seen};
use crate::score::Queries;
use crate::scores::Scores;
use crate::scratch;
use crate::shape::{KEY_BLOCK, Shape};
use crate::simd::{Base, gemm, pad};
use crate::stored::{Stored, widen};
use crate::view::{Matrix, View};

/// Streams some keys past the rows. `sum` becomes the context `[row][value feature]`, yet to be scaled.
pub(super) fn stream(
    problem: &Problem,
    values: &View,
    block: &Block,
    keys: Range<usize>,
    rows: &mut Rows,
    sum: &mut [f32],
) {
    let Shape { value_width, .. } = problem.shape;
    let normalizer = &*problem.attention.normalizer;
    let key_head = block.heads.start / problem.shape.group();
    let (all_keys, all_values) = (problem.keys.matrix(block.batch, key_head), values.matrix(block.batch, key_head));
    scratch::with([Split::size(value_width), Context::size(block.rows(), value_width)], |[split, context]| {
        let mut context = Context::new(context, block.rows(), value_width);
        Packed::with(problem, block, |queries| {
            let mut split = queries.split(problem, block, split);
            let mut rest = keys;
            while !rest.is_empty() {
                let left = all_keys.left(rest.start).min(rest.len());
                let plain = split.as_ref().map_or(0, |split| {
                    let seen = block.seen_by_all(problem, rest.start..rest.end.min(rest.start + split.most()));
                    split.keys(rest.start, seen, left)
                });
                let keys = rest.start..rest.start + if plain > 0 { plain } else { left.min(KEY_BLOCK) };
                rest.start = keys.end;
                match &mut split {
                    Some(split) if plain > 0 => {
                        split.absorb(normalizer, &block.tile(problem, keys), all_keys, all_values);
                    }
                    _ => {
                        let (tile_keys, tile_values) = (all_keys.slice(keys.clone()), all_values.slice(keys.clone()));
                        tile(problem, block, queries, keys, tile_keys, tile_values, rows, &mut context);
                    }
                }
            }
            if let Some(split) = split {
                split.join(normalizer, rows, context.rows());
            }
        });
        context.write(sum);
    });
}

/// One tile, with whatever masks, biases and dropout do to it.
#[allow(clippy::too_many_arguments)]
fn tile(
    problem: &Problem,
    block: &Block,
    queries: &Packed,
    keys: Range<usize>,
    tile_keys: Stored,
    tile_values: Stored,
    rows: &mut Rows,
    context: &mut Context,
) {
    let seen = block.seen(problem, &keys);
    if matches!(seen, Seen::Nothing) {
        return;
    }
    let head_size = KEY_BLOCK * pad(block.queries.len());
    scratch::with([KEY_BLOCK * pad(block.rows()), head_size, head_size], |[scores, head_scores, dropped]| {
        // Few rows leave lanes unwritten, and what is left over there could be slow numbers.
        scores.fill(0.0);
        let mut scores = Scores::new(&block.tile(problem, keys), scores);
        queries.scores(problem, block, tile_keys, &mut scores, head_scores);
        if let Seen::Some(visible) = &seen {
            visible.hide(&mut scores, f32::NEG_INFINITY);
        }
        problem.attention.normalizer.absorb(&mut scores, rows);
        if let Some(dropout) = &problem.attention.dropout {
            block.each_head(problem, &mut scores, head_scores, |_, tile, scores| {
                let mut mask = Scores::new(tile, dropped);
                dropout.fill(tile, &mut mask);
                scores.zip(&mask, |weight, scale| weight * scale);
            });
        }
        context.rescale(&rows.rescale);
        context.add(tile_values, &scores, &seen);
    });
}

/// The queries of a block, packed for the way in which they meet keys.
enum Packed<'a> {
    /// Few rows and dot products: `[row][feature]`, padded to whole vectors; and the factor of the products.
    Few(&'a [f32], f32),
    /// Dot products: `[feature][lane]`, a lane for each row; and the factor.
    Dots(&'a [f32], f32),
    /// Any other score: for each head `[feature][lane]`, a lane for each of its queries.
    Heads(&'a [f32]),
}

impl<'a> Packed<'a> {
    /// Packs the queries for as long as `f` runs.
    fn with(problem: &Problem, block: &Block, f: impl FnOnce(&Packed)) {
        let width = problem.shape.query_width;
        let (count, each) = (block.rows(), block.queries.len());
        let factor = problem.attention.score.dot_factor(width);
        let turned = match factor {
            Some(_) if count <= FEW => 0,
            Some(_) => width * pad(count),
            None => block.heads.len() * width * pad(each),
        };
        scratch::with([count * pad(width), turned], |[rows, turned]| {
            for (i, head) in block.heads.clone().enumerate() {
                let queries = problem.queries.matrix(block.batch, head).slice(block.queries.clone());
                widen(queries, &mut rows[i * each * pad(width)..]);
            }
            let panel = |first: usize, count| Matrix::panel(&rows[first * pad(width)..], count, width, pad(width));
            match factor {
                Some(factor) if count <= FEW => f(&Packed::Few(rows, factor)),
                Some(factor) => {
                    pack::transpose(panel(0, count), turned);
                    f(&Packed::Dots(turned, factor));
                }
                None => {
                    let heads = turned.chunks_exact_mut((width * pad(each)).max(1));
                    heads.take(block.heads.len()).enumerate().for_each(|(i, turned)| {
                        pack::transpose(panel(i * each, each), turned);
                    });
                    f(&Packed::Heads(turned));
                }
            }
        });
    }

    /// The rows split into parts, where nothing but keys and values decides about a tile.
    fn split<'b>(&self, problem: &Problem, block: &Block, memory: &'b mut [f32]) -> Option<Split<'b>>
    where
        'a: 'b,
    {
        let plain = problem.attention.biases.is_empty() && problem.attention.dropout.is_none();
        match *self {
            Self::Few(rows, factor) if plain => Some(Split::new(problem, factor, rows, block.rows(), memory)),
            _ => None,
        }
    }

    /// Writes the scores of a tile, biases included.
    fn scores(&self, problem: &Problem, block: &Block, keys: Stored, scores: &mut Scores, memory: &mut [f32]) {
        let attention = problem.attention;
        let (lanes, width) = (scores.lanes(), problem.shape.query_width);
        match *self {
            Self::Few(rows, factor) => {
                let places = Places { rows: block.rows(), each: KEY_BLOCK, lanes };
                few::products(factor, keys, rows, scores.values_mut(), places);
            }
            Self::Dots(turned, factor) => {
                keys.with(|keys| gemm(factor, keys, turned, Base::Zero, scores.values_mut(), lanes));
            }
            Self::Heads(turned) => {
                let (each, size) = (block.queries.len(), width * pad(block.queries.len()));
                block.each_head(problem, scores, memory, |i, tile, scores| {
                    let transposed = &turned[i * size..(i + 1) * size];
                    let queries = Queries { transposed, rows: &[], count: each, width };
                    problem.with_keys(tile, |keys| attention.score.forward(tile, &queries, keys, scores));
                });
            }
        }
        if !attention.biases.is_empty() {
            block.each_head(problem, scores, memory, |_, tile, scores| {
                attention.biases.iter().for_each(|bias| bias.add(tile, scores));
            });
        }
    }
}
