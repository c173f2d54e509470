//! What the decoders of text have in common: they say how likely each next token is, and read on where they stopped.

use std::fmt::Debug;

use burn::tensor::Tensor;
use regard::attention::{Look, MultiHeadAttention};
use regard::cache::{CacheConfig, Policy};
use regard::catalogue::Card;
use regard::{Attention, Causal, Mode, ScaledDot};

use crate::error::{Error, Result};
use crate::padded::Padded;
use crate::translator::{Classifier, Sight, Site, check_length};

/// What a layer attends with: its heads, and the states they look at.
pub type Attend<'a> = dyn FnMut(&MultiHeadAttention, Tensor<3>) -> Result<Tensor<3>> + 'a;

/// A model of text from left to right: a family says what its layers are, and reads texts in one go or bit by bit.
pub trait LanguageModel: Debug + Send + Sync {
    /// The catalogue's card.
    fn card(&self) -> Card;

    /// Tokens.
    fn vocabulary(&self) -> usize;

    /// Positions: the longest text that it can look at.
    fn context(&self) -> usize;

    /// Layers, each of which has a cache.
    fn layers(&self) -> usize;

    /// What goes into the first layer for tokens of which the first stands at position `start`, `[row, position, width]`.
    ///
    /// # Errors
    /// When the positions go beyond the context.
    fn embed(&self, ids: &[u32], shape: [usize; 2], start: usize, mode: Mode) -> Result<Tensor<3>>;

    /// A layer, from 0; `attend` differs between reading a text and going on with one.
    ///
    /// # Errors
    /// As `attend`.
    fn layer(&self, layer: usize, x: Tensor<3>, mode: Mode, attend: &mut Attend) -> Result<Tensor<3>>;

    /// How a layer's queries look back, the last query at the last key.
    fn attention(&self, _layer: usize) -> Attention {
        Attention::new(ScaledDot::default()).mask(Causal::default())
    }

    /// What the last layer's states become before the classifier.
    fn finish(&self, x: Tensor<3>) -> Tensor<3>;

    /// What reads the next token from a state.
    fn classifier(&self) -> Classifier;

    /// What the next token is to be read from at every position of `text`, `[row · position, width]`. Shorter rows are
    /// padded at their ends, where states mean nothing. With `sights`, also what was looked at.
    ///
    /// # Errors
    /// When the text is longer than the context.
    fn states(&self, text: &Padded, mode: Mode, mut sights: Option<&mut Vec<Sight>>) -> Result<Tensor<2>> {
        check_length("text", text.width(), self.context())?;
        let mut x = mode.enter(self.embed(text.ids(), [text.rows(), text.width()], 0, mode)?)?;
        for layer in 0..self.layers() {
            let attention = self.attention(layer);
            let mut look: Option<Look> = None;
            x = self.layer(layer, x, mode, &mut |heads, x| {
                let out = heads.forward(x.clone(), x, &attention, mode)?;
                look = Some(out.look);
                Ok(out.output)
            })?;
            if let (Some(sights), Some(look)) = (sights.as_deref_mut(), look) {
                sights.push(Sight { site: Site::DecoderSelf, layer, looks: vec![look] });
            }
        }
        Ok(rows(self.finish(x)))
    }

    /// Reads further tokens of one text: what the token after each is to be read from, `[token, width]`.
    ///
    /// # Errors
    /// When there is no token, one is not of the vocabulary, or the text grows beyond the context.
    fn read(&self, tokens: &[u32], state: &mut DecoderState) -> Result<Tensor<2>> {
        let tokens = Padded::new(&[tokens], 0, self.vocabulary())?;
        check_length("text", self.positions(state, tokens.width()), self.context())?;
        let mut x = self.embed(tokens.ids(), [1, tokens.width()], state.position, Mode::Evaluate)?;
        for (layer, cache) in state.caches.iter_mut().enumerate() {
            let attention = self.attention(layer);
            x =
                self.layer(layer, x, Mode::Evaluate, &mut |heads, x| Ok(heads.decode(x, &mut **cache, &attention)?))?;
        }
        state.position += tokens.width();
        Ok(rows(self.finish(x)))
    }

    /// The same model with its weights in blocks of 8-bit numbers; see [`Linear::quantized`](regard::Linear::quantized).
    ///
    /// # Errors
    /// When the family has no such form, or a weight is infinite or not a number.
    fn quantized(self: Box<Self>) -> Result<Box<dyn LanguageModel>> {
        let given = self.card().name.to_owned();
        Err(Error::Config { argument: "quantized", given, expected: "LLaMA or a descendant".into() })
    }

    /// The same network with nothing learned; see [`weights::shuffled`](crate::weights::shuffled).
    ///
    /// # Errors
    /// When its weights are in blocks.
    fn shuffled(&self, seed: u64) -> Result<Box<dyn LanguageModel>>;

    /// How many positions of the context there must be for so many more tokens.
    fn positions(&self, state: &DecoderState, more: usize) -> usize {
        state.position.saturating_add(more)
    }

    /// Before the first token, with caches of this kind.
    ///
    /// # Errors
    /// When the cache's sizes make none.
    fn start(&self, cache: &CacheConfig) -> Result<DecoderState> {
        let caches = (0..self.layers()).map(|_| cache.init()).collect::<regard::Result<_>>()?;
        Ok(DecoderState { caches, position: 0 })
    }

    /// Scores of the next token at every position, `[row · position, vocabulary]`; see [`Self::states`].
    ///
    /// # Errors
    /// As [`Self::states`].
    fn forward(&self, text: &Padded, mode: Mode, sights: Option<&mut Vec<Sight>>) -> Result<Tensor<2>> {
        Ok(self.classifier().scores(self.states(text, mode, sights)?))
    }

    /// Reads further tokens and scores what follows the last, `[1, vocabulary]`.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn step(&self, tokens: &[u32], state: &mut DecoderState) -> Result<Tensor<2>> {
        let states = self.read(tokens, state)?;
        let count = states.dims()[0];
        Ok(self.classifier().scores(states.slice_dim(0, count - 1..count)))
    }

    /// Summed cross-entropy of every token of the texts but the first, each given those before it, and how many tokens that
    /// is. The texts are equally long.
    ///
    /// # Errors
    /// As [`Self::states`], and when lengths differ or are below 2.
    fn loss<S: AsRef<[u32]>>(&self, texts: &[S], mode: Mode) -> Result<(Tensor<1>, usize)>
    where
        Self: Sized,
    {
        let length = texts.first().map_or(0, |text| text.as_ref().len());
        if let Some(bad) = texts.iter().map(|text| text.as_ref().len()).find(|&other| other != length || other < 2) {
            let given = format!("one of {bad} tokens");
            return Err(Error::Input { argument: "texts", given, expected: "equal lengths of at least 2".into() });
        }
        let inputs: Vec<&[u32]> = texts.iter().map(|text| &text.as_ref()[..length - 1]).collect();
        let targets: Vec<u32> = texts.iter().flat_map(|text| &text.as_ref()[1..]).copied().collect();
        let states = self.states(&Padded::new(&inputs, 0, self.vocabulary())?, mode, None)?;
        Ok((self.classifier().cross_entropy(states, &targets)?, targets.len()))
    }

    /// Cross-entropy, in nats, of every token of `text` but the first, each given those before it as `state`'s caches remember
    /// them; the last is not read.
    ///
    /// # Errors
    /// As [`Self::read`], and when the text has fewer than 2 tokens or one that is not of the vocabulary.
    fn cross_entropy(&self, text: &[u32], state: &mut DecoderState) -> Result<f64> {
        let [first, rest @ ..] = text else {
            return Err(Error::Input { argument: "text", given: "empty".into(), expected: "at least 2 tokens".into() });
        };
        let read: Vec<u32> = [first].into_iter().chain(rest).copied().take(rest.len()).collect();
        let states = self.read(&read, state)?;
        let loss = self.classifier().cross_entropy(states, rest)?;
        Ok(f64::from(loss.into_scalar::<f32>()))
    }
}

/// What a model remembers of one text: a cache a layer.
#[derive(Debug)]
pub struct DecoderState {
    caches: Vec<Box<dyn Policy>>,
    position: usize,
}

impl DecoderState {
    /// Tokens read.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Positions held in each layer.
    pub fn held(&self) -> usize {
        self.caches.first().map_or(0, |cache| cache.held())
    }

    /// The farthest that a token looks back, itself counted, if that is bounded.
    pub(crate) fn reach(&self) -> Option<usize> {
        self.caches.first().and_then(|cache| cache.reach())
    }
}

/// Positions one below the other.
fn rows(x: Tensor<3>) -> Tensor<2> {
    let [rows, length, width] = x.dims();
    x.reshape([rows * length, width])
}
