//! One attention to compute, as the driver writes it.

use serde::Deserialize;

use crate::Normals;

/// What to compute, on what shapes.
#[derive(Clone, Debug, Deserialize)]
pub struct Work {
    pub task: Task,
    pub batch: usize,
    pub heads: usize,
    pub key_heads: usize,
    pub queries: usize,
    pub keys: usize,
    /// Features of queries and keys.
    pub width: usize,
    /// Features of values.
    pub value_width: usize,
    pub element: Element,
    pub mask: Mask,
    pub bias: Bias,
    pub layout: Layout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    Forward,
    /// Forward, then the gradients of queries, keys and values.
    Train,
    /// The backward pass alone.
    Backward,
    /// Few queries against a cache of keys and values.
    Decode,
    /// Looking at the weights after a forward pass that is not timed.
    Observe,
}

/// What queries, keys and values are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Element {
    F32,
    F16,
    Bf16,
    /// Keys and values only.
    Int8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    None,
    Causal,
    /// Causal, and no more than so many keys, the query's own included.
    Window(usize),
    /// So many documents of one length.
    Documents(usize),
    /// Blocks of so many queries and keys: the diagonal and a tenth of the others, at random.
    Blocks(usize),
    /// Half of all pairs, at random, the same in every head.
    Dense,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bias {
    None,
    /// A number for each pair, the same in every head.
    Dense,
    /// A number for each pair and head.
    DenseByHead,
    /// 50 · tanh(score / 50).
    SoftCap,
    Alibi,
}

/// How tensors lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// `[batch, head, position, feature]`
    Heads,
    /// `[batch, position, head, feature]`
    Positions,
}

impl Work {
    /// The cap of [`Bias::SoftCap`].
    pub const CAP: f32 = 50.0;

    /// `[batch, head, position, feature]` of the queries.
    pub fn query_shape(&self) -> [usize; 4] {
        [self.batch, self.heads, self.queries, self.width]
    }

    /// The same of the keys.
    pub fn key_shape(&self) -> [usize; 4] {
        [self.batch, self.key_heads, self.keys, self.width]
    }

    /// The same of the values.
    pub fn value_shape(&self) -> [usize; 4] {
        [self.batch, self.key_heads, self.keys, self.value_width]
    }

    /// The same of the context.
    pub fn context_shape(&self) -> [usize; 4] {
        [self.batch, self.heads, self.queries, self.value_width]
    }

    /// For [`Mask::Blocks`]: whether each block of `size` queries sees each block of keys.
    pub fn blocks(&self, size: usize, normals: &Normals) -> Vec<bool> {
        /// A normal number is less once in ten times.
        const TENTH: f32 = -1.281_551_6;
        let (rows, columns) = (self.queries.div_ceil(size), self.keys.div_ceil(size));
        let numbers = normals.take(Normals::MASK, rows * columns);
        numbers.iter().enumerate().map(|(i, &x)| x < TENTH || i / columns == i % columns).collect()
    }

    /// For [`Mask::Dense`]: whether each query sees each key.
    pub fn pairs(&self, normals: &Normals) -> Vec<bool> {
        normals.take(Normals::MASK, self.queries * self.keys).iter().map(|&x| x < 0.0).collect()
    }
}
