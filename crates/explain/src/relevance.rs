//! Gradient × attention: attention weights that the answer depends on, followed through all layers.
//!
//! A layer's weights and the answer's gradient with respect to them give `Ā = mean over heads of max(∇A ⊙ A, 0)`. Relevance starts as
//! "every token is itself", `R = I`, and each layer adds what it brings:
//!
//! - self-attention of a sequence: `R_ss += Ā · R_ss`, `R_sq += Ā · R_sq`;
//! - attention of the sequence `s` to `q`: `R_sq += R̄_ssᵀ · Ā · R̄_qq`, `R_ss += Ā · R_qs`, where `R̄` is `R − I` with rows scaled to add
//!   up to 1, plus `I`.
//!
//! Chefer, Gur and Wolf, "Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder Transformers", ICCV 2021,
//! arXiv:2103.15679.
//!
//! One backward pass, and O(layers · tokens³). Where rollout asks how tokens mix, this asks what of it the answer used. It needs the
//! gradients of attention weights, so that weights have to be made, and it sees no negative evidence.

use crate::error::{checked, field};
use crate::{Error, Result};

const MOST_TOKENS: usize = 2048;

/// One layer's attention: weights, and the gradient of the explained number with respect to them.
#[derive(Debug, Clone, Copy)]
pub struct Attended<'a> {
    /// How many heads.
    pub heads: usize,
    /// `[head, query, key]`.
    pub weights: &'a [f32],
    /// `[head, query, key]`.
    pub gradients: &'a [f32],
}

/// What each token of one or two sequences has to do with each other, while layers are added from the lowest up.
///
/// ```
/// use regard_explain::relevance::{Attended, Relevance};
///
/// let mut relevance = Relevance::new(&[2])?;
/// let (weights, gradients) = (&[1.0, 0.0, 0.75, 0.25][..], &[0.0, 0.0, 2.0, -1.0][..]);
/// relevance.add_self(0, Attended { heads: 1, weights, gradients })?;
/// assert_eq!(relevance.of(0, 0), [1.0, 0.0, 1.5, 1.0]);
/// # Ok::<(), regard_explain::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Relevance {
    lengths: Vec<usize>,
    /// `[sequence][other]`, each `[tokens of the sequence, tokens of the other]`.
    of: Vec<Vec<Vec<f64>>>,
}

impl Relevance {
    /// Sequences of so many tokens: one for a stack of self-attention, two where one attends to the other.
    ///
    /// # Errors
    /// [`Error::Field`] unless there are one or two of 1 to 2048 tokens.
    pub fn new(lengths: &[usize]) -> Result<Self> {
        if !(1..=2).contains(&lengths.len()) {
            return field("sequences", lengths.len(), "1 or 2");
        }
        if let Some(length) = lengths.iter().find(|length| !(1..=MOST_TOKENS).contains(*length)) {
            return field("tokens of a sequence", length, "1 to 2048");
        }
        let start = |rows: usize, row: usize| {
            let columns = lengths[row];
            (0..rows * columns).map(|at| f64::from(u8::from(at / columns == at % columns))).collect()
        };
        let zeros = |a: usize, b: usize| vec![0.0; lengths[a] * lengths[b]];
        let row = |a: usize| {
            (0..lengths.len()).map(|b| if a == b { start(lengths[a], a) } else { zeros(a, b) }).collect::<Vec<_>>()
        };
        Ok(Self { lengths: lengths.to_vec(), of: (0..lengths.len()).map(row).collect() })
    }

    /// Adds a layer in which a sequence attended to itself.
    ///
    /// # Errors
    /// [`Error::Field`] for a sequence that is not there or no heads, [`Error::Shape`] and [`Error::Value`] for arrays that do not fit
    /// or are not finite.
    pub fn add_self(&mut self, sequence: usize, attended: Attended) -> Result<()> {
        let bar = self.positive(sequence, sequence, attended)?;
        let length = self.lengths[sequence];
        for other in 0..self.lengths.len() {
            let added = product(&bar, &self.of[sequence][other], length, self.lengths[other]);
            add(&mut self.of[sequence][other], &added);
        }
        Ok(())
    }

    /// Adds a layer in which a sequence attended to the other: a decoder's cross-attention.
    ///
    /// # Errors
    /// As [`add_self`](Self::add_self); also [`Error::Field`] where there is only one sequence.
    pub fn add_cross(&mut self, sequence: usize, attended: Attended) -> Result<()> {
        let [across, within] = self.brought(sequence, attended)?;
        self.take(sequence, &across, &within);
        Ok(())
    }

    /// Adds a layer in which both sequences attended to each other at once; `attended[s]` are the queries of `s`.
    ///
    /// # Errors
    /// As [`add_cross`](Self::add_cross).
    pub fn add_exchange(&mut self, attended: [Attended; 2]) -> Result<()> {
        // Both see what was there before.
        let [first, second] = [self.brought(0, attended[0])?, self.brought(1, attended[1])?];
        self.take(0, &first[0], &first[1]);
        self.take(1, &second[0], &second[1]);
        Ok(())
    }

    /// Relevance to each token of a sequence (rows) of each token of the same or the other one (columns); empty for a sequence that is
    /// not there.
    ///
    /// The row of the token that gave the answer (`[CLS]`, the last token) is its explanation. The token itself begins with 1, which the
    /// authors leave out when they show it.
    pub fn of(&self, sequence: usize, other: usize) -> Vec<f32> {
        let found = self.of.get(sequence).and_then(|row| row.get(other));
        found.map_or_else(Vec::new, |values| values.iter().map(|&value| value as f32).collect())
    }

    /// What cross-attention adds to `R_sq` and to `R_ss`.
    fn brought(&self, sequence: usize, attended: Attended) -> Result<[Vec<f64>; 2]> {
        if self.lengths.len() < 2 {
            return field("sequences", self.lengths.len(), "2 for attention to another");
        }
        let other = 1 - sequence.min(1);
        let bar = self.positive(sequence, other, attended)?;
        let (own, others) = (self.lengths[sequence], self.lengths[other]);
        let [left, right] = [(sequence, own), (other, others)].map(|(at, side)| normalized(&self.of[at][at], side));
        let turned: Vec<f64> = (0..own * own).map(|at| left[at % own * own + at / own]).collect();
        let across = product(&turned, &product(&bar, &right, others, others), own, others);
        Ok([across, product(&bar, &self.of[other][sequence], others, own)])
    }

    fn take(&mut self, sequence: usize, across: &[f64], within: &[f64]) {
        add(&mut self.of[sequence][1 - sequence], across);
        add(&mut self.of[sequence][sequence], within);
    }

    /// `Ā`: mean over heads of what is positive of gradient times weight.
    fn positive(&self, queries: usize, keys: usize, attended: Attended) -> Result<Vec<f64>> {
        let (Some(&rows), Some(&columns)) = (self.lengths.get(queries), self.lengths.get(keys)) else {
            return field("sequence", queries, "one of those that were given");
        };
        if attended.heads == 0 {
            return field("heads", 0, "at least 1");
        }
        let shape = [attended.heads, rows, columns];
        let weights = checked("weights", attended.weights, &shape)?;
        let gradients = checked("gradients", attended.gradients, &shape)?;
        let mut mean = vec![0.0; rows * columns];
        for (at, (&weight, &gradient)) in weights.iter().zip(gradients).enumerate() {
            mean[at % (rows * columns)] += (f64::from(weight) * f64::from(gradient)).max(0.0) / attended.heads as f64;
        }
        // Finite numbers may still have a product that is not.
        match mean.iter().position(|value| !(*value as f32).is_finite()) {
            Some(index) => {
                let (name, value) = ("weights × gradients".to_owned(), mean[index] as f32);
                Err(Error::Value { name, index, value, expected: "a finite number" })
            }
            None => Ok(mean),
        }
    }
}

/// `R − I` with rows that add up to 1, plus `I`; a row that is zero stays zero.
fn normalized(relevance: &[f64], side: usize) -> Vec<f64> {
    let mut matrix = relevance.to_vec();
    for (row, values) in matrix.chunks_mut(side).enumerate() {
        values[row] -= 1.0;
        let sum = values.iter().sum::<f64>();
        if sum > 0.0 {
            values.iter_mut().for_each(|value| *value /= sum);
        }
        values[row] += 1.0;
    }
    matrix
}

/// `[_, inner] · [inner, columns]`.
fn product(left: &[f64], right: &[f64], inner: usize, columns: usize) -> Vec<f64> {
    let mut product = vec![0.0; left.len() / inner * columns];
    for (sums, row) in product.chunks_mut(columns).zip(left.chunks(inner)) {
        for (&factor, values) in row.iter().zip(right.chunks(columns)) {
            if factor != 0.0 {
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * value);
            }
        }
    }
    product
}

fn add(to: &mut [f64], what: &[f64]) {
    to.iter_mut().zip(what).for_each(|(to, what)| *to += what);
}
