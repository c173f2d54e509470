//! What encoder–decoders made of attention have in common: a source that is read in one go, and a target that looks back at itself and
//! across at the source, in one go or token by token.

use std::fmt::Debug;

use burn::tensor::{Device, Tensor};
use regard::attention::{Cache, MultiHeadAttention};
use regard::catalogue::Card;
use regard::{Attention, Causal, Mode, Padding, ScaledDot};

use crate::error::Result;
use crate::padded::Padded;
use crate::translator::{Classifier, Sight, Site, Specials, Translator, check_length, kept_rows};

/// What a layer attends with: where it looks, its heads, and the states they look from.
pub type AttendAt<'a> = dyn FnMut(Site, &MultiHeadAttention, Tensor<3>) -> Result<Tensor<3>> + 'a;

/// Half of an encoder–decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Half {
    /// It reads the source.
    Encoder,
    /// It writes the target.
    Decoder,
}

/// A translator made of attention alone: a family says what its layers are, and is a [`Translator`] by that.
pub trait EncoderDecoder: Debug + Send + Sync {
    /// The catalogue's card.
    fn card(&self) -> Card;

    /// Tokens, the same for source and target.
    fn vocabulary(&self) -> usize;

    /// The special ids.
    fn specials(&self) -> Specials;

    /// The longest sequence that it takes, source or target, special tokens included.
    fn longest(&self) -> usize;

    /// Where the weights are.
    fn device(&self) -> Device;

    /// Layers.
    fn layers(&self, half: Half) -> usize;

    /// What goes into the first layer for tokens of which the first stands at position `start`, `[row, position, width]`.
    ///
    /// # Errors
    /// When the positions go beyond [`Self::longest`].
    fn embed(&self, half: Half, ids: &[u32], shape: [usize; 2], start: usize, mode: Mode) -> Result<Tensor<3>>;

    /// A layer, from 0. The encoder's attend at [`Site::EncoderSelf`], the decoder's at the other two.
    ///
    /// # Errors
    /// As `attend`.
    fn layer(&self, half: Half, layer: usize, x: Tensor<3>, mode: Mode, attend: &mut AttendAt) -> Result<Tensor<3>>;

    /// What a decoder's layer looks at the source with.
    fn cross(&self, layer: usize) -> &MultiHeadAttention;

    /// How queries and keys are compared, the last query standing at the last key in self attention. Masks are added to it.
    ///
    /// # Errors
    /// When learned numbers make no attention.
    fn attention(&self, _site: Site) -> Result<Attention> {
        Ok(Attention::new(ScaledDot::default()))
    }

    /// What the last layer's states become before they are attended to, or classified.
    fn finish(&self, half: Half, x: Tensor<3>) -> Tensor<3>;

    /// What reads the next token from a state.
    fn classifier(&self) -> Classifier;

    /// The same network with nothing learned; see [`weights::shuffled`](crate::weights::shuffled).
    fn shuffled(&self, seed: u64) -> Box<dyn EncoderDecoder>;

    /// The states of the source, `[row, position, width]`. Shorter rows are padded at their ends, where states mean nothing. With
    /// `sights`, also what was looked at.
    ///
    /// # Errors
    /// When a sequence is longer than [`Self::longest`].
    fn encode(&self, source: &Padded, mode: Mode, mut sights: Option<&mut Vec<Sight>>) -> Result<Tensor<3>> {
        check_length("source", source.width(), self.longest())?;
        let attention = self.attention(Site::EncoderSelf)?.mask(Padding::new(source.lengths().to_vec()));
        let entry = self.embed(Half::Encoder, source.ids(), [source.rows(), source.width()], 0, mode)?;
        let mut x = mode.enter(entry)?;
        for layer in 0..self.layers(Half::Encoder) {
            x = self.layer(Half::Encoder, layer, x, mode, &mut |site, heads, x| {
                let out = heads.forward(x.clone(), x, &attention, mode)?;
                if let Some(sights) = sights.as_deref_mut() {
                    sights.push(Sight { site, layer, looks: vec![out.look] });
                }
                Ok(out.output)
            })?;
        }
        Ok(self.finish(Half::Encoder, x))
    }
}

/// What decoding remembers: the target so far in each layer, and the source once.
#[derive(Debug, Clone)]
pub struct TransformerState {
    layers: Vec<LayerState>,
    lengths: Vec<usize>,
    position: usize,
}

#[derive(Debug, Clone)]
struct LayerState {
    past: Option<Cache>,
    source: Cache,
}

impl<M: EncoderDecoder + ?Sized> Translator for M {
    type State = TransformerState;

    fn card(&self) -> Card {
        EncoderDecoder::card(self)
    }

    fn vocabulary(&self) -> usize {
        EncoderDecoder::vocabulary(self)
    }

    fn specials(&self) -> Specials {
        EncoderDecoder::specials(self)
    }

    fn longest(&self) -> usize {
        EncoderDecoder::longest(self)
    }

    fn device(&self) -> Device {
        EncoderDecoder::device(self)
    }

    fn states(
        &self,
        source: &Padded,
        target: &Padded,
        mode: Mode,
        mut sights: Option<&mut Vec<Sight>>,
    ) -> Result<Tensor<2>> {
        check_length("target", target.width(), EncoderDecoder::longest(self))?;
        let memory = self.encode(source, mode, sights.as_deref_mut())?;
        let causal = self.attention(Site::DecoderSelf)?.mask(Causal::default());
        let cross = self.attention(Site::Cross)?.mask(Padding::new(source.lengths().to_vec()));
        let entry = self.embed(Half::Decoder, target.ids(), [target.rows(), target.width()], 0, mode)?;
        let mut y = mode.enter(entry)?;
        for layer in 0..self.layers(Half::Decoder) {
            y = self.layer(Half::Decoder, layer, y, mode, &mut |site, heads, y| {
                let out = match site {
                    Site::Cross => heads.forward(y, memory.clone(), &cross, mode)?,
                    _ => heads.forward(y.clone(), y, &causal, mode)?,
                };
                if let Some(sights) = sights.as_deref_mut() {
                    sights.push(Sight { site, layer, looks: vec![out.look] });
                }
                Ok(out.output)
            })?;
        }
        Ok(rows(self.finish(Half::Decoder, y)))
    }

    fn classifier(&self) -> Classifier {
        EncoderDecoder::classifier(self)
    }

    fn start(&self, source: &Padded) -> Result<TransformerState> {
        let memory = self.encode(source, Mode::Evaluate, None)?;
        let layers = (0..self.layers(Half::Decoder))
            .map(|layer| {
                let (keys, values) = self.cross(layer).project(memory.clone());
                LayerState { past: None, source: Cache::new(keys, values) }
            })
            .collect();
        Ok(TransformerState { layers, lengths: source.lengths().to_vec(), position: 0 })
    }

    fn step(&self, tokens: &[u32], state: &mut TransformerState) -> Result<Tensor<2>> {
        check_length("target", state.position + 1, EncoderDecoder::longest(self))?;
        // The cache holds the past alone, so nothing needs hiding.
        let past = self.attention(Site::DecoderSelf)?;
        let cross = self.attention(Site::Cross)?.mask(Padding::new(state.lengths.clone()));
        let mut y = self.embed(Half::Decoder, tokens, [tokens.len(), 1], state.position, Mode::Evaluate)?;
        for (layer, held) in state.layers.iter_mut().enumerate() {
            y = self.layer(Half::Decoder, layer, y, Mode::Evaluate, &mut |site, heads, y| match site {
                Site::Cross => {
                    let (keys, values) = (held.source.keys(), held.source.values());
                    Ok(heads.attend(y, keys, values, &cross, Mode::Evaluate)?.output)
                }
                _ => Ok(heads.decode(y, &mut held.past, &past)?),
            })?;
        }
        state.position += 1;
        Ok(EncoderDecoder::classifier(self).scores(rows(self.finish(Half::Decoder, y))))
    }

    fn select(&self, state: &mut TransformerState, rows: &[usize]) {
        let Some(index) = kept_rows(rows, state.lengths.len(), &EncoderDecoder::device(self)) else { return };
        for layer in &mut state.layers {
            layer.source.select(index.clone());
            if let Some(past) = &mut layer.past {
                past.select(index.clone());
            }
        }
        state.lengths = rows.iter().map(|&row| state.lengths[row]).collect();
    }
}

/// Positions one below the other.
fn rows(x: Tensor<3>) -> Tensor<2> {
    let [rows, length, width] = x.dims();
    x.reshape([rows * length, width])
}
