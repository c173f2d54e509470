//! Checkpoints of every decoder family against transformers (`pretrained/decoders.py` says what the files hold).

mod common;

use common::{Oracle, close, folder, numbers};
use regard::Mode;
use regard::cache::CacheConfig;
use regard_models::pretrained::{self, Pretrained};
use regard_models::{Continuation, LanguageModel, Padded, Sampling};

fn open(name: &str) -> Box<dyn LanguageModel> {
    match pretrained::open(&folder(name)).unwrap() {
        Pretrained::Decoder(model) => model,
        other => panic!("{other:?} is no decoder"),
    }
}

/// Rows of `[batch, position, features]` that belong to a text and not to padding.
fn real(all: &[f32], lengths: &[usize], width: usize) -> Vec<f32> {
    let features = all.len() / (lengths.len() * width);
    let rows = all.chunks(features * width).zip(lengths);
    rows.flat_map(|(row, length)| &row[..length * features]).copied().collect()
}

fn agrees(name: &str) {
    let model = open(name);
    let file = Oracle::pretrained(name);
    let expected = file.tensors_as_stored();
    let lengths: Vec<usize> = file.ids("lengths")[0].iter().map(|&length| length as usize).collect();
    let (ids, vocabulary) = (file.ids("ids"), model.vocabulary());
    let texts: Vec<&[u32]> = ids.iter().zip(&lengths).map(|(row, &length)| &row[..length]).collect();
    let text = Padded::new(&texts, 0, vocabulary).unwrap();
    let width = text.width();

    let mut sights = Vec::new();
    let states = model.states(&text, Mode::Evaluate, Some(&mut sights)).unwrap();
    let kept = |all: &[f32]| real(all, &lengths, width);
    close("states", &kept(&numbers(&states)), &kept(&expected["states"].1), 1e-4);
    let logits = model.classifier().scores(states);
    close("logits", &kept(&numbers(&logits)), &kept(&expected["logits"].1), 1e-4);
    let (shape, weights) = &expected["weights"];
    let each = shape[2] * width * width;
    for (layer, sight) in sights.iter().enumerate() {
        let given = numbers(&sight.weights().unwrap());
        for (row, length) in lengths.iter().enumerate() {
            let from = |all: &[f32], start: usize| -> Vec<f32> {
                let rows = all[start..start + each].chunks(width).enumerate();
                rows.filter(|(at, _)| at % width < *length).flat_map(|(_, row)| row).copied().collect()
            };
            let (given, expected) = (from(&given, row * each), from(weights, (layer * lengths.len() + row) * each));
            close(&format!("weights of layer {layer}"), &given, &expected, 1e-5);
        }
    }

    // A token at a time, and in two parts.
    let all = kept(&numbers(&logits));
    for parts in [vec![1; 9], vec![5, 4]] {
        let mut state = model.start(&CacheConfig::default()).unwrap();
        let (mut given, mut at) = (Vec::new(), 0);
        for part in parts {
            let states = model.read(&ids[0][at..at + part], &mut state).unwrap();
            given.extend(numbers(&model.classifier().scores(states)));
            at += part;
        }
        close("cached logits", &given, &all[..9 * vocabulary], 1e-4);
    }
    let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
    let written = Continuation::new(&*model, &ids[0][..4], greedy, CacheConfig::default()).unwrap();
    let written: Vec<u32> = written.take(12).collect::<Result<_, _>>().unwrap();
    assert_eq!(written, file.ids("greedy")[0]);
}

#[test]
fn llama_in_shards() {
    agrees("llama");
}

#[test]
fn mistral_in_bf16() {
    agrees("mistral");
}

#[test]
fn qwen2_in_f16() {
    agrees("qwen2");
}

#[test]
fn gemma2() {
    agrees("gemma2");
}

#[test]
fn gpt2() {
    agrees("gpt2");
}

#[test]
fn gpt_neox() {
    agrees("gpt_neox");
}
