//! Saying a sequence backwards: each answer is somewhere else than the one before it, and a single state cannot hold them all.
//!
//! What translation asks of the decoders of Bahdanau, Cho & Bengio 2015 (arXiv:1409.0473) and of Luong, Pham & Manning 2015
//! (arXiv:1508.04025), without the language. In training and when measured, a decoder is told the answers so far.

use burn::tensor::{Device, Tensor};
use regard::Mode;
use regard_models::{Decoding, Padded, Result, Seq2Seq, Seq2SeqConfig, Specials, Translator};

use super::{Example, Learner};
use crate::data::random::SplitMix64;

/// Symbols of the shortest sequence.
pub const SHORTEST: usize = 4;
/// Symbols of the longest.
pub const LONGEST: usize = 10;

/// Different symbols.
const SYMBOLS: usize = 12;
const SPECIALS: Specials = Specials { pad: 0, begin: 1, end: 2 };
/// The first symbol's token.
const FIRST: u32 = 3;
const WIDTH: usize = 48;

/// Sequences of one length.
pub fn examples(rows: usize, random: &mut SplitMix64) -> Vec<Example> {
    let length = SHORTEST + random.below(LONGEST - SHORTEST + 1);
    let example = |_| {
        let given: Vec<u32> = (0..length).map(|_| FIRST + random.below(SYMBOLS) as u32).collect();
        Example { answers: given.iter().rev().copied().collect(), given }
    };
    (0..rows).map(example).collect()
}

/// A small network with this decoder.
///
/// # Errors
/// Never: the sizes fit.
pub(crate) fn network(decoding: Decoding, device: &Device) -> Result<Seq2Seq> {
    Seq2SeqConfig::new(FIRST as usize + SYMBOLS, SPECIALS, decoding)
        .with_embedded(WIDTH)
        .with_hidden(WIDTH)
        .with_alignment(WIDTH)
        .with_readout(WIDTH)
        .with_dropout(0.0)
        .init(device)
}

impl Learner for Seq2Seq {
    fn answer(&self, examples: &[Example], mode: Mode) -> Result<Tensor<2>> {
        let Specials { pad, begin, .. } = self.specials();
        let sources: Vec<&[u32]> = examples.iter().map(|example| &example.given[..]).collect();
        let told: Vec<Vec<u32>> = examples
            .iter()
            .map(|Example { answers, .. }| {
                [begin].into_iter().chain(answers[..answers.len().saturating_sub(1)].iter().copied()).collect()
            })
            .collect();
        let vocabulary = self.vocabulary();
        let (source, target) = (Padded::new(&sources, pad, vocabulary)?, Padded::new(&told, pad, vocabulary)?);
        self.forward(&source, &target, mode, None)
    }
}
