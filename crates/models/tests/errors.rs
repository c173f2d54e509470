//! What the models refuse to be made of and to read, and how they say so.

mod common;

use std::fmt::Debug;

use burn::tensor::Device;
use common::{SPECIALS, seq2seq, transformer};
use regard::Mode;
use regard_models::{Decoding, Padded, Result, Seq2SeqConfig, Specials, TransformerConfig, Translator};

#[track_caller]
fn says<T: Debug>(result: Result<T>, expected: &str) {
    assert_eq!(result.expect_err("this is to be refused").to_string(), expected);
}

const STRANGE: Specials = Specials { pad: 0, begin: 1, end: 20 };

#[test]
fn transformers() {
    let init = |config: TransformerConfig| config.init(&Device::default());
    let config = TransformerConfig::new(20, SPECIALS).with_width(12).with_heads(3).with_inner(8);
    says(
        init(TransformerConfig::new(20, STRANGE)),
        "configuration: specials is 20, expected ids below the vocabulary of 20",
    );
    says(init(config.clone().with_heads(5)), "heads is 5, expected a divisor of the width 12");
    says(init(config.clone().with_heads(0)), "heads is 0, expected a divisor of the width 12");
    says(init(config.clone().with_inner(0)), "configuration: inner is 0, expected at least 2");
    says(init(config.clone().with_longest(1)), "configuration: longest is 1, expected at least 2");
    says(init(config.clone().with_dropout(1.0)), "configuration: dropout is 1, expected a probability in [0, 1)");
    says(init(config.with_attention_dropout(-0.1)), "dropout is -0.1, expected a probability in [0, 1)");
}

#[test]
fn recurrent_models() {
    for decoding in [Decoding::Bahdanau, Decoding::Luong] {
        let init = |config: Seq2SeqConfig| config.init(&Device::default());
        let config = Seq2SeqConfig::new(20, SPECIALS, decoding).with_embedded(4).with_hidden(4);
        let config = config.with_alignment(4).with_readout(4);
        let strange = Seq2SeqConfig::new(20, STRANGE, decoding);
        says(init(strange), "configuration: specials is 20, expected ids below the vocabulary of 20");
        says(init(config.clone().with_embedded(0)), "configuration: embedded is 0, expected at least 1");
        says(init(config.clone().with_hidden(0)), "configuration: hidden is 0, expected at least 1");
        says(init(config.clone().with_alignment(0)), "configuration: alignment is 0, expected at least 1");
        says(init(config.clone().with_readout(0)), "configuration: readout is 0, expected at least 1");
        says(init(config.clone().with_longest(0)), "configuration: longest is 0, expected at least 2");
        says(init(config.with_dropout(f32::NAN)), "configuration: dropout is NaN, expected a probability in [0, 1)");
    }
}

#[test]
fn batches() {
    let batch = |rows: &[&[u32]]| Padded::new(rows, 0, 9);
    says(batch(&[&[3], &[]]), "sequences: sequence 1 of 2 is empty, expected at least one token each");
    says(batch(&[&[3], &[4, 9]]), "sequences: token id 9, expected ids below 9");
    let padded = batch(&[&[3, 4, 5], &[6]]).unwrap();
    assert_eq!((padded.rows(), padded.width(), padded.lengths()), (2, 3, &[3, 1][..]));
    assert_eq!(padded.ids(), [3, 4, 5, 6, 0, 0]);
    assert_eq!(padded.column(1), [4, 0]);
}

#[test]
fn sequences_that_are_too_long() {
    fn check<M: Translator>(model: &M) {
        let (short, long) = (vec![vec![3; 23]], vec![vec![3; 24]]);
        model.loss(&short, &short, 0.1, Mode::Evaluate).unwrap();
        says(model.loss(&long, &short, 0.1, Mode::Evaluate), "source: 25 tokens, expected at most 24");
        says(model.loss(&short, &long, 0.1, Mode::Evaluate), "target: 25 tokens, expected at most 24");

        let mut state = model.start(&Padded::new(&short, SPECIALS.pad, 9).unwrap()).unwrap();
        for _ in 0..24 {
            model.step(&[3], &mut state).unwrap();
        }
        says(model.step(&[3], &mut state), "target: 25 tokens, expected at most 24");
    }
    check(&transformer(9, 0));
    check(&seq2seq(Decoding::Bahdanau, 9, 0));
    check(&seq2seq(Decoding::Luong, 9, 0));
}
