//! LLaMA against transformers (`oracle/llama.py` says what the files hold), in llama2.c's format, and with every cache.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use common::{Oracle, Tensors, close, numbers, scrambled};
use regard::cache::CacheConfig;
use regard::{Mode, mix};
use regard_models::weights::{assign, gradients};
use regard_models::{Continuation, LanguageModel, Llama, LlamaConfig, Padded, Sampling, llama2c};

fn config() -> LlamaConfig {
    let config = LlamaConfig::new(11).with_context(12).with_width(16).with_inner(20).with_heads(4);
    config.with_key_heads(Some(2)).with_layers(2)
}

fn small(context: usize) -> Llama {
    scrambled(config().with_context(context).init(&Device::default()).unwrap(), 3, 0.5)
}

fn oracle(oracle: &Oracle) -> (Llama, Tensors) {
    let tensors = oracle.tensors_as_stored();
    let results = ["logits", "weights", "loss"];
    let learned = tensors
        .iter()
        .filter(|(name, _)| !name.starts_with("gradient.") && !results.contains(&name.as_str()))
        .map(|(name, tensor)| (name.clone(), tensor.clone()));
    let model = config().init(&Device::default().autodiff()).unwrap();
    (assign(model, learned.collect()).unwrap(), tensors)
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/llama2c.bin")
}

fn cache(text: &str) -> CacheConfig {
    text.parse().unwrap()
}

#[test]
fn agrees_with_transformers() {
    let file = Oracle::open("llama");
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
fn a_file_of_llama2c_is_the_same_model() {
    let model = llama2c::load(&file()).unwrap();
    let oracle = Oracle::open("llama");
    let logits = model.forward(&Padded::new(&oracle.ids("ids"), 0, 11).unwrap(), Mode::Evaluate, None).unwrap();
    close("logits", &numbers(&logits), &oracle.tensors_as_stored()["logits"].1, 1e-4);
    assert_eq!((model.vocabulary(), model.context(), model.config().tied), (11, 12, false));
}

#[test]
fn files_that_are_none_are_refused() {
    let folder = std::env::temp_dir().join(format!("regard-llama2c-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("model.bin");
    let whole = fs::read(file()).unwrap();
    let refused = |bytes: &[u8], said: &str| {
        fs::write(&path, bytes).unwrap();
        let error = llama2c::load(&path).unwrap_err().to_string();
        assert!(error.contains("model.bin: ") && error.contains(said), "{said:?} in {error:?}");
    };
    refused(&[], "0 bytes, expected a header of 28");
    refused(&whole[..27], "27 bytes, expected a header");
    refused(&whole[..28], "28 bytes, its sizes ask for");
    refused(&whole[..whole.len() - 1], "its sizes ask for");
    refused(&[&whole[..], &[0]].concat(), "its sizes ask for");
    refused(&[0; 64], "width is 0");
    let with = |at: usize, number: i32| {
        let mut bytes = whole.clone();
        bytes[4 * at..][..4].copy_from_slice(&number.to_le_bytes());
        bytes
    };
    refused(&with(0, i32::MAX - 1), "4 heads, expected a divisor");
    refused(&with(0, 1 << 30), "its sizes ask for");
    refused(&with(1, i32::MAX), "its sizes ask for");
    refused(&with(2, i32::MAX), "its sizes ask for");
    refused(&with(2, -1), "layers is -1");
    refused(&with(3, 5), "5 heads, expected a divisor");
    refused(&with(3, 16), "16 heads, expected a divisor");
    refused(&with(4, 3), "3 key heads, expected a divisor");
    refused(&with(5, 11), "its sizes ask for");
    refused(&with(5, i32::MIN), "vocabulary is -2147483648");
    refused(&with(6, 0), "context is 0");
    refused(&with(0, 0x616b_3432), "a file of version 20");
    refused(&with(40, f32::NAN.to_bits() as i32), "number 33 is NaN");
    let mut claims = with(0, 1 << 30);
    claims[4..8].copy_from_slice(&(1i32 << 30).to_le_bytes());
    claims[8..12].copy_from_slice(&i32::MAX.to_le_bytes());
    refused(&claims, "more than can be counted");
    fs::remove_dir_all(&folder).unwrap();
    assert!(llama2c::load(&path).unwrap_err().to_string().contains("cannot be read"));
}

#[test]
fn whatever_a_header_says_the_answer_is_a_model_or_an_error() {
    let path = std::env::temp_dir().join(format!("regard-llama2c-header-{}.bin", std::process::id()));
    let whole = fs::read(file()).unwrap();
    for seed in 0..500 {
        let mut bytes = whole.clone();
        for change in 0..1 + seed % 3 {
            let random = mix(mix(seed) ^ change);
            bytes[random as usize % 28] = (random >> 32) as u8;
        }
        fs::write(&path, bytes).unwrap();
        if let Err(error) = llama2c::load(&path) {
            assert!(error.to_string().contains("regard-llama2c-header"), "{error}");
        }
    }
    fs::remove_file(&path).unwrap();
}

/// Scores after every token, read in parts of these lengths.
fn scores(model: &Llama, ids: &[u32], cache: CacheConfig, parts: &[usize]) -> Vec<f32> {
    let mut state = model.start(&cache).unwrap();
    let (mut scores, mut rest) = (Vec::new(), ids);
    for &length in parts {
        let (part, others) = rest.split_at(length);
        scores.extend(numbers(&model.classifier().scores(model.read(part, &mut state).unwrap())));
        rest = others;
    }
    assert!(rest.is_empty() && state.position() == ids.len());
    scores
}

#[test]
fn every_cache_gives_what_the_whole_text_gives_while_it_covers_it() {
    let model = small(12);
    let ids = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5];
    let whole = model.forward(&Padded::new(&[ids], 0, 11).unwrap(), Mode::Evaluate, None).unwrap();
    let expected = numbers(&whole);
    for (name, tolerance) in [
        ("full", 1e-5),
        ("f16", 1e-2),
        ("bf16", 5e-2),
        ("int8", 5e-2),
        ("paged:64", 1e-5),
        ("ring:4+7", 1e-5),
        ("h2o:1+10", 1e-5),
        ("compressive:3x2+8", 1e-5),
    ] {
        for parts in [&[11][..], &[1; 11], &[3, 1, 5, 2]] {
            close(name, &scores(&model, &ids, cache(name), parts), &expected, tolerance);
        }
    }
}

#[test]
fn how_a_text_is_cut_changes_nothing_when_something_is_forgotten() {
    let model = small(40);
    let ids: Vec<u32> = (0..33).map(|at| at * at % 11).collect();
    for name in ["ring:2+5", "ring:0+3", "h2o:3+4", "compressive:3x2+4", "compressive:1x4+4"] {
        let one_by_one = scores(&model, &ids, cache(name), &[1; 33]);
        close(name, &scores(&model, &ids, cache(name), &[33]), &one_by_one, 1e-5);
        close(name, &scores(&model, &ids, cache(name), &[20, 1, 12]), &one_by_one, 1e-5);
        assert_ne!(one_by_one, scores(&model, &ids, cache("full"), &[33]), "{name} forgets");
    }
}

#[test]
fn a_ring_never_fills_the_context() {
    let model = small(12);
    let how = Sampling { temperature: 0.0, ..Sampling::default() };
    let write = |name: &str, count| -> Vec<u32> {
        Continuation::new(&model, &[1, 2, 3], how, cache(name)).unwrap().take(count).map(Result::unwrap).collect()
    };
    let exact = write("full", 9);
    for name in ["paged:64", "ring:4+8", "h2o:6+6", "compressive:2x2+10"] {
        assert_eq!(write(name, 9), exact, "{name}");
    }
    assert_eq!(write("ring:2+6", 60).len(), 60);
    let mut state = model.start(&cache("ring:2+10")).unwrap();
    model.read(&[5; 100], &mut state).unwrap();
    assert_eq!((state.position(), state.held()), (100, 12));
    // A reach beyond what the model knows is none.
    let mut state = model.start(&cache("ring:2+11")).unwrap();
    assert!(model.read(&[5; 13], &mut state).unwrap_err().to_string().contains("at most 12"));
}

#[test]
fn what_it_cannot_do_it_refuses() {
    let refused = |config: LlamaConfig| config.init(&Device::default()).unwrap_err().to_string();
    for config in [config().with_context(0), config().with_layers(0), config().with_inner(0)] {
        assert!(refused(config).contains("is 0, expected at least 1"));
    }
    assert!(refused(config().with_heads(0)).contains("heads is 0"));
    assert!(refused(config().with_heads(3)).contains("heads is 3"));
    assert!(refused(config().with_heads(16)).contains("rotated is 1"));
    assert!(refused(config().with_key_heads(Some(3))).contains("key_heads is 3"));
    assert!(refused(config().with_epsilon(f32::NAN)).contains("epsilon is NaN"));
    assert!(refused(config().with_rotary_base(0.0)).contains("base is 0"));
    let model = small(12);
    let mut state = model.start(&CacheConfig::default()).unwrap();
    assert!(model.cross_entropy(&[], &mut state).is_err() && model.cross_entropy(&[1], &mut state).is_err());
    assert!(model.cross_entropy(&[1, 11], &mut state).is_err());
    assert!(model.read(&[1; 13], &mut state).is_err());
}

#[test]
fn eight_bits_are_near_and_decode_alike() {
    for tied in [false, true] {
        let config = config().with_width(32).with_inner(48).with_tied(tied);
        let model = scrambled(config.init(&Device::default()).unwrap(), 5, 0.3);
        let quantized = model.clone().quantized().unwrap();
        let text = [1, 5, 3, 8, 2, 7];
        let scores = |model: &Llama| {
            let text = Padded::new(&[text], 0, 11).unwrap();
            numbers(&model.forward(&text, Mode::Evaluate, None).unwrap())
        };
        let (found, expected) = (scores(&quantized), scores(&model));
        close("scores", &found, &expected, 5e-2);
        assert_ne!(found, expected);

        let mut state = quantized.start(&cache("full")).unwrap();
        let stepped: Vec<f32> =
            text.iter().flat_map(|&token| numbers(&quantized.step(&[token], &mut state).unwrap())).collect();
        close("token by token", &stepped, &found, 1e-4);
        let loss = |model: &Llama| numbers(&model.loss(&[text], Mode::Evaluate).unwrap().0)[0];
        assert!((loss(&quantized) - loss(&model)).abs() < 0.3);
    }
}
