//! Scores: how alike are a query and a key?

mod additive;
mod bilinear;
mod cosine;
mod distance;
pub(crate) mod dot;

use std::fmt::Debug;
use std::sync::Arc;

use crate::scores::Scores;
use crate::shape::{Shape, Tile};
use crate::view::Matrix;
use crate::{Error, Result};

pub use additive::Additive;
pub use bilinear::Bilinear;
pub use cosine::Cosine;
pub use distance::Distance;
pub use dot::{Dot, ScaledDot};

/// The queries of a tile.
#[derive(Clone, Copy, Debug)]
pub struct Queries<'a> {
    /// `[feature][lane]`, a row for each feature; lanes past the queries are 0.
    pub transposed: &'a [f32],
    /// Backward only: `[query][feature]`, rows padded with 0 to whole vectors. A query that is not finite is all zeros
    /// here: its scores carry the NaN, and 0 · NaN must not reach the gradients of keys that it cannot see.
    pub rows: &'a [f32],
    /// How many queries there are.
    pub count: usize,
    /// Features of a query.
    pub width: usize,
}

/// The keys of a tile.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// `[key, feature]`, where they lie.
    pub matrix: Matrix<'a>,
    /// Backward only: as [`Queries::rows`].
    pub rows: &'a [f32],
}

/// Where a score adds its gradients; those of queries or of keys may be left to another pass.
#[derive(Debug)]
pub struct ScoreGradients<'a> {
    /// `[query][feature]`, rows padded as [`Queries::rows`].
    pub queries: Option<&'a mut [f32]>,
    /// `[key][feature]`, rows padded as [`Keys::rows`].
    pub keys: Option<&'a mut [f32]>,
    /// As [`Score::parameters`].
    pub parameters: &'a mut [f32],
}

/// How alike are a query and a key?
pub trait Score: Debug + Send + Sync {
    /// Refuses a problem whose sizes do not fit.
    ///
    /// # Errors
    /// Unless overridden, if queries and keys differ in width.
    fn check(&self, shape: &Shape) -> Result<()> {
        same_width(shape)
    }

    /// Writes the scores of a tile.
    fn forward(&self, tile: &Tile, queries: &Queries, keys: &Keys, scores: &mut Scores);

    /// Adds what the gradient of the scores means for queries, keys and parameters. `scores` is what
    /// [`forward`](Score::forward) wrote, with 0 for hidden pairs; their gradient is 0, too.
    fn backward(
        &self,
        tile: &Tile,
        queries: &Queries,
        keys: &Keys,
        scores: &Scores,
        grad: &Scores,
        into: &mut ScoreGradients,
    );

    /// The factor if the score is `factor · (q · k)` and nothing else, given the width of a query. Such scores have a faster
    /// way when queries are few.
    fn dot_factor(&self, query_width: usize) -> Option<f32> {
        let _ = query_width;
        None
    }

    /// The learned numbers, flat.
    fn parameters(&self) -> &[f32] {
        &[]
    }
}

impl<S: Score + ?Sized> Score for Arc<S> {
    fn check(&self, shape: &Shape) -> Result<()> {
        (**self).check(shape)
    }

    fn forward(&self, tile: &Tile, queries: &Queries, keys: &Keys, scores: &mut Scores) {
        (**self).forward(tile, queries, keys, scores);
    }

    fn backward(
        &self,
        tile: &Tile,
        queries: &Queries,
        keys: &Keys,
        scores: &Scores,
        grad: &Scores,
        into: &mut ScoreGradients,
    ) {
        (**self).backward(tile, queries, keys, scores, grad, into);
    }

    fn dot_factor(&self, query_width: usize) -> Option<f32> {
        (**self).dot_factor(query_width)
    }

    fn parameters(&self) -> &[f32] {
        (**self).parameters()
    }
}

/// Refuses queries and keys of different width.
pub(crate) fn same_width(shape: &Shape) -> Result<()> {
    if shape.query_width == shape.key_width {
        return Ok(());
    }
    let given = format!("{} features", shape.key_width);
    Err(Error::new("keys", given, format!("{} as the queries have", shape.query_width)))
}

/// Refuses parameters that are neither for all heads nor for each one.
pub(crate) fn check_heads(argument: &str, given: usize, each: usize, shape: &Shape) -> Result<()> {
    if given == each || given == shape.heads * each {
        return Ok(());
    }
    let expected = format!("{each} for all heads or {} for {} heads", shape.heads * each, shape.heads);
    Err(Error::new(argument, format!("{given} numbers"), expected))
}
