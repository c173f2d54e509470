//! What the encoder–decoders have in common: train on pairs, and write a sentence token by token.

use std::fmt::Debug;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use regard::attention::Look;
use regard::catalogue::Card;
use regard::{Mode, ops};

use crate::error::{Error, Result};
use crate::padded::{Padded, id_tensor};

/// The ids with a meaning of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Specials {
    /// Fills up short rows.
    pub pad: u32,
    /// Begins a target.
    pub begin: u32,
    /// Ends a sequence.
    pub end: u32,
}

impl Specials {
    /// Whether all are tokens of a vocabulary of this size.
    pub(crate) fn check(self, vocabulary: usize) -> Result<()> {
        match [self.pad, self.begin, self.end].into_iter().find(|&id| id as usize >= vocabulary) {
            Some(bad) => {
                let expected = format!("ids below the vocabulary of {vocabulary}");
                Err(Error::Config { argument: "specials", given: bad.to_string(), expected })
            }
            None => Ok(()),
        }
    }
}

/// Refuses a dropout that is no probability below 1.
pub(crate) fn check_dropout(probability: f32) -> Result<()> {
    if (0.0..1.0).contains(&probability) {
        return Ok(());
    }
    let expected = "a probability in [0, 1)".into();
    Err(Error::Config { argument: "dropout", given: probability.to_string(), expected })
}

/// Refuses a sequence that is longer than the model takes.
pub(crate) fn check_length(argument: &'static str, length: usize, longest: usize) -> Result<()> {
    if length <= longest {
        return Ok(());
    }
    Err(Error::Input { argument, given: format!("{length} tokens"), expected: format!("at most {longest}") })
}

/// Which rows of a state of `count` rows to keep, as an index; `None` when that changes nothing.
pub(crate) fn kept_rows(rows: &[usize], count: usize, device: &Device) -> Option<Tensor<1, Int>> {
    let unchanged = rows.len() == count && rows.iter().enumerate().all(|(at, &row)| at == row);
    let index: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    (!unchanged).then(|| Tensor::from_data(TensorData::new(index, [rows.len()]), device))
}

/// Where in a translator somebody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Site {
    /// Source tokens at source tokens.
    EncoderSelf,
    /// Target tokens at target tokens.
    DecoderSelf,
    /// Target tokens at source tokens.
    Cross,
}

impl Site {
    /// The name in traces.
    pub fn name(self) -> &'static str {
        match self {
            Site::EncoderSelf => "encoder.self",
            Site::DecoderSelf => "decoder.self",
            Site::Cross => "decoder.cross",
        }
    }
}

/// What was seen at one place of one layer: one look for all queries, or, where the queries come one by one, a look each.
#[derive(Debug, Clone)]
pub struct Sight {
    /// The place.
    pub site: Site,
    /// The layer, from 0.
    pub layer: usize,
    /// Consecutive queries.
    pub looks: Vec<Look>,
}

impl Sight {
    /// The weights, `[batch, head, query, key]`.
    ///
    /// # Errors
    /// When the kernel cannot recompute them.
    pub fn weights(&self) -> Result<Tensor<4>> {
        let parts = self.looks.iter().map(Look::weights).collect::<regard::Result<Vec<_>>>()?;
        Ok(Tensor::cat(parts, 2))
    }
}

/// The last layer of a language model: a score for every token.
#[derive(Debug, Clone)]
pub struct Classifier {
    /// `[vocabulary, width]`
    pub weight: Tensor<2>,
    /// `[vocabulary]`
    pub bias: Option<Tensor<1>>,
    /// What bounds the scores, `cap · tanh(score / cap)`, if anything does.
    pub cap: Option<f32>,
}

impl Classifier {
    /// `states · weightᵀ + bias`, `[row, width]` → `[row, vocabulary]`.
    ///
    /// # Panics
    /// When the states are not as wide as the weight.
    pub fn scores(self, states: Tensor<2>) -> Tensor<2> {
        let scores = ops::linear(states, self.weight.transpose(), self.bias);
        self.cap.into_iter().fold(scores, |scores, cap| (scores / cap).tanh() * cap)
    }

    /// Summed cross-entropy of the rows' targets.
    ///
    /// # Errors
    /// When there is not a target a row, or one is not of the vocabulary.
    pub(crate) fn cross_entropy(self, states: Tensor<2>, targets: &[u32]) -> Result<Tensor<1>> {
        if self.cap.is_none() {
            return Ok(ops::linear_cross_entropy(states, self.weight, self.bias, targets, 0.0, None)?);
        }
        let [vocabulary, _] = self.weight.dims();
        if let Some(bad) = targets.iter().find(|&&target| target as usize >= vocabulary) {
            let expected = format!("tokens below {vocabulary}");
            return Err(Error::Input { argument: "targets", given: bad.to_string(), expected });
        }
        let targets: Tensor<2, Int> = id_tensor(targets, [targets.len(), 1], &states.device());
        Ok(-log_softmax(self.scores(states), 1).gather(1, targets).sum())
    }
}

/// An encoder–decoder over token ids.
pub trait Translator: Debug + Send + Sync {
    /// What is known after reading the source and some of the target, for a batch of hypotheses.
    type State: Send;

    /// The catalogue's card.
    fn card(&self) -> Card;

    /// Size of the (joint) vocabulary.
    fn vocabulary(&self) -> usize;

    /// The special ids.
    fn specials(&self) -> Specials;

    /// The longest sequence that it takes, source or target, special tokens included.
    fn longest(&self) -> usize;

    /// Where the weights are.
    fn device(&self) -> Device;

    /// What the next token is to be read from at every target position, `[row · position, width]`, the target given
    /// ("teacher forcing"). With `sights`, also what was looked at.
    ///
    /// # Errors
    /// When a sequence is longer than [`Self::longest`].
    fn states(
        &self,
        source: &Padded,
        target: &Padded,
        mode: Mode,
        sights: Option<&mut Vec<Sight>>,
    ) -> Result<Tensor<2>>;

    /// What reads the next token from a state.
    fn classifier(&self) -> Classifier;

    /// Scores of the next token at every target position, `[row · position, vocabulary]`; see [`Self::states`].
    ///
    /// # Errors
    /// As [`Self::states`].
    fn forward(
        &self,
        source: &Padded,
        target: &Padded,
        mode: Mode,
        sights: Option<&mut Vec<Sight>>,
    ) -> Result<Tensor<2>> {
        Ok(self.classifier().scores(self.states(source, target, mode, sights)?))
    }

    /// Reads the sources.
    ///
    /// # Errors
    /// When one is longer than [`Self::longest`].
    fn start(&self, source: &Padded) -> Result<Self::State>;

    /// Takes one more target token a row and scores the next, `[row, vocabulary]`.
    ///
    /// # Errors
    /// When the target grows beyond [`Self::longest`].
    fn step(&self, tokens: &[u32], state: &mut Self::State) -> Result<Tensor<2>>;

    /// Keeps these rows of the state, in this order; a row may be kept several times.
    fn select(&self, state: &mut Self::State, rows: &[usize]);

    /// Summed label-smoothed cross-entropy of the targets (each without begin and end, which are added here), and how
    /// many tokens it is the sum of.
    ///
    /// # Errors
    /// As [`Self::states`].
    fn loss(
        &self,
        sources: &[Vec<u32>],
        targets: &[Vec<u32>],
        smoothing: f32,
        mode: Mode,
    ) -> Result<(Tensor<1>, usize)> {
        let Specials { pad, begin, end } = self.specials();
        let with = |front: Option<u32>, ids: &[u32], back: Option<u32>| -> Vec<u32> {
            front.into_iter().chain(ids.iter().copied()).chain(back).collect()
        };
        let sources: Vec<_> = sources.iter().map(|ids| with(None, ids, Some(end))).collect();
        let inputs: Vec<_> = targets.iter().map(|ids| with(Some(begin), ids, None)).collect();
        let outputs: Vec<_> = targets.iter().map(|ids| with(None, ids, Some(end))).collect();
        let vocabulary = self.vocabulary();
        let source = Padded::new(&sources, pad, vocabulary)?;
        let input = Padded::new(&inputs, pad, vocabulary)?;
        let output = Padded::new(&outputs, pad, vocabulary)?;
        let states = self.states(&source, &input, mode, None)?;
        let Classifier { weight, bias, .. } = self.classifier();
        let loss = ops::linear_cross_entropy(states, weight, bias, output.ids(), smoothing, Some(pad))?;
        Ok((loss, output.lengths().iter().sum()))
    }
}
