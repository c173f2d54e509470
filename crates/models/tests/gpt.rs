//! GPT-2 against transformers (`oracle/gpt.py` says what the file holds), and against itself.

mod common;

use burn::tensor::Device;
use common::{Oracle, Tensors, close, numbers, scrambled};
use regard::Mode;
use regard::cache::CacheConfig;
use regard_models::weights::{assign, gradients};
use regard_models::{Continuation, Gpt, GptConfig, LanguageModel, Padded, Sampling};

fn config() -> GptConfig {
    GptConfig::new(11).with_context(12).with_width(16).with_heads(2).with_layers(2).with_dropout(0.0)
}

fn small() -> Gpt {
    scrambled(config().init(&Device::default()).unwrap(), 3, 0.5)
}

/// The file's tensors as they stand: GPT-2's linear layers are `[in, out]` as burn's are.
fn oracle(oracle: &Oracle) -> (Gpt, Tensors) {
    let tensors = oracle.tensors_as_stored();
    let results = ["logits", "weights", "loss"];
    let learned = tensors
        .iter()
        .filter(|(name, _)| !name.starts_with("gradient.") && !results.contains(&name.as_str()))
        .map(|(name, tensor)| (name.clone(), tensor.clone()));
    let model = config().init(&Device::default().autodiff()).unwrap();
    (assign(model, learned.collect()).unwrap(), tensors)
}

#[test]
fn agrees_with_transformers() {
    let file = Oracle::open("gpt");
    let (model, expected) = oracle(&file);
    let ids = file.ids("ids");
    let text = Padded::new(&ids, 0, 11).unwrap();
    let mut sights = Vec::new();
    let logits = model.forward(&text, Mode::Evaluate, Some(&mut sights)).unwrap();
    close("logits", &numbers(&logits), &expected["logits"].1, 1e-4);
    let weights: Vec<f32> = sights.iter().flat_map(|sight| numbers(&sight.weights().unwrap())).collect();
    close("weights", &weights, &expected["weights"].1, 1e-5);

    let (loss, tokens) = model.loss(&ids, Mode::Evaluate).unwrap();
    assert_eq!(tokens, 16);
    let loss = loss / tokens as f32;
    close("loss", &numbers(&loss), &expected["loss"].1, 1e-5);
    let found = gradients(&model, &loss.backward());
    for (name, (_, values)) in &expected {
        if let Some(name) = name.strip_prefix("gradient.") {
            close(name, &found[name], values, 1e-4);
        }
    }
}

#[test]
fn the_cache_gives_what_the_whole_text_gives() {
    let model = small();
    let ids = [3, 1, 4, 1, 5, 9, 2, 6];
    let whole = model.forward(&Padded::new(&[ids], 0, 11).unwrap(), Mode::Evaluate, None).unwrap();
    let last = |scores: Vec<f32>| scores[scores.len() - 11..].to_vec();
    let expected = last(numbers(&whole));
    for cut in [1, 3, 7] {
        let mut state = model.start(&CacheConfig::default()).unwrap();
        model.step(&ids[..cut], &mut state).unwrap();
        for id in &ids[cut..7] {
            model.step(&[*id], &mut state).unwrap();
        }
        let scores = model.step(&ids[7.max(cut)..], &mut state).unwrap();
        assert_eq!(state.position(), 8);
        close("scores", &numbers(&scores), &expected, 1e-5);
    }
}

#[test]
fn a_text_goes_on_beyond_the_context() {
    let model = small();
    let how = Sampling { temperature: 0.0, ..Sampling::default() };
    let write = |prompt: &[u32], count| -> Vec<u32> {
        Continuation::new(&model, prompt, how, CacheConfig::default())
            .unwrap()
            .take(count)
            .map(Result::unwrap)
            .collect()
    };
    let prompt = [1, 2, 3];
    let text = write(&prompt, 40);
    // Of a prompt that is too long the end is seen.
    let long: Vec<u32> = [7; 20].into_iter().chain([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2]).collect();
    assert_eq!(write(&long, 1), write(&long[20..], 1));
    // When 12 positions are full, 6 are read again.
    let all: Vec<u32> = prompt.iter().chain(&text).copied().collect();
    assert_eq!(write(&all[7..13], 1), all[13..14]);
}

#[test]
fn an_untied_head_has_weights_of_its_own() {
    let model = config().with_tied(false).init(&Device::default()).unwrap();
    assert!(model.head.is_some() && config().init(&Device::default()).unwrap().head.is_none());
}

#[test]
fn what_it_cannot_do_it_refuses() {
    let refused = |config: GptConfig| config.init(&Device::default()).unwrap_err().to_string();
    for config in [config().with_context(0), config().with_layers(0), config().with_inner(Some(0))] {
        assert!(refused(config).contains("is 0, expected at least 1"));
    }
    assert!(refused(config().with_heads(3)).contains("heads is 3"));
    assert!(refused(config().with_dropout(1.0)).contains("dropout is 1"));
    let model = small();
    let long = Padded::new(&[[1; 13]], 0, 11).unwrap();
    assert!(model.forward(&long, Mode::Evaluate, None).unwrap_err().to_string().contains("at most 12"));
    let mut start = model.start(&CacheConfig::default()).unwrap();
    assert!(model.step(&[], &mut start).is_err());
    assert!(model.step(&[11], &mut start).is_err());
    assert!(model.loss(&[vec![1, 2], vec![1, 2, 3]], Mode::Evaluate).is_err());
    assert!(model.loss(&[vec![1]], Mode::Evaluate).is_err());
    let begin =
        |prompt: &[u32], how| Continuation::new(&model, prompt, how, CacheConfig::default()).err().unwrap().to_string();
    assert!(begin(&[], Sampling::default()).contains("prompt: empty"));
    assert!(begin(&[1], Sampling { top_k: Some(0), ..Sampling::default() }).contains("top_k is 0"));
    assert!(begin(&[1], Sampling { temperature: f32::NAN, ..Sampling::default() }).contains("temperature is NaN"));
}
