//! Questions to trained models: every number and gradient against captum and autograd (`crates/models/tests/pretrained/attribution.py`),
//! against differences, and against what the model says when it is asked directly.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use regard::mix;
use regard_explain::attribution::integrated_gradients;
use regard_explain::trust::{Protocol, measure};
use regard_explain::{Differentiable, Subject, silent};
use regard_models::weights::{Precision, assign, parameters, to_bytes};
use regard_models::{Decoding, Seq2SeqConfig, Specials};
use regard_recipes::data::tokenizer::{BOS, EOS, PAD, Tokenizer};
use regard_recipes::interpreter::Interpreter;
use regard_recipes::presets::Architecture;
use regard_recipes::question::{Ask, Method};
use regard_recipes::trained::Trained;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use tempfile::TempDir;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/pretrained")
}

/// A checkpoint of the models' fixtures with a tokenizer of words: `w7` is the token 7, and some have names of their own.
fn folder(name: &str, named: &[(u32, &str)]) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for file in fs::read_dir(fixtures().join(name)).unwrap() {
        let file = file.unwrap().path();
        fs::copy(&file, to.path().join(file.file_name().unwrap())).unwrap();
    }
    let config: Value = serde_json::from_slice(&fs::read(to.path().join("config.json")).unwrap()).unwrap();
    let count = config["vocab_size"].as_u64().unwrap() as u32;
    let word =
        |id: u32| named.iter().find(|(other, _)| *other == id).map_or(format!("w{id}"), |(_, word)| (*word).into());
    let vocabulary: Value = (0..count).map(|id| (word(id), Value::from(id))).collect::<serde_json::Map<_, _>>().into();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w0"},
    });
    fs::write(to.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    to
}

fn trained(name: &str, named: &[(u32, &str)]) -> Trained {
    Trained::load(folder(name, named).path()).unwrap()
}

fn oracle() -> (BTreeMap<String, Vec<f32>>, Vec<i32>) {
    let bytes = fs::read(fixtures().join("attribution.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats = file.tensors().into_iter().filter(|(_, view)| view.dtype() == Dtype::F32);
    let numbers = |data: &[u8]| data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    let ids = file.tensor("ids").unwrap().data().as_chunks().0.iter().map(|&id| i32::from_le_bytes(id)).collect();
    (floats.map(|(name, view)| (name, numbers(view.data()))).collect(), ids)
}

#[track_caller]
fn close(what: &str, given: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(given.len(), expected.len(), "length of {what}");
    let scale = expected.iter().fold(1e-3f32, |most, value| most.max(value.abs()));
    for (at, (given, expected)) in given.iter().zip(expected).enumerate() {
        let near = (given - expected).abs() <= tolerance * scale;
        assert!(near, "{what}: element {at} is {given}, expected {expected}");
    }
}

#[test]
fn a_classifier_is_explained_as_captum_and_autograd_explain_it() {
    let (oracle, ids) = oracle();
    let model = trained("bert", &[(3, "[MASK]")]);
    let text: Vec<String> = ids.iter().map(|id| format!("w{id}")).collect();
    let question = model.question(&text.join(" "), &Ask::Likeliest).unwrap();
    assert_eq!((question.places(), question.baseline()), (7, "the token [MASK]"));
    assert_eq!(question.tokens(), text);
    assert!(question.number().starts_with("logit of the label "), "{}", question.number());
    let best = oracle["scores"].iter().copied().fold(f32::MIN, f32::max);
    close("the logit", &[question.answer().unwrap()], &[best], 1e-4);

    let width = question.width();
    let by_place = |all: &[f32]| all.chunks(width).map(|place| place.iter().sum()).collect::<Vec<f32>>();
    let (_, gradients) = question.gradients(&[question.input().to_vec()]).unwrap();
    close("the gradient", &gradients[0], &oracle["gradient"], 1e-3);
    let scored = |method: Method| method.explain(&question, &mut silent).unwrap();
    close("gradient × input", &scored(Method::GradientInput).scores, &by_place(&oracle["gradient_input"]), 1e-3);
    let integrated = integrated_gradients(&question, 64, &mut silent).unwrap();
    close("integrated gradients", &integrated.scores, &by_place(&oracle["integrated"]), 5e-3);
    assert!(integrated.completeness.unwrap().gap() < 1e-3, "{integrated:?}");

    let inside = question.inside().unwrap();
    let weights = inside.trace.sites().iter().flat_map(|site| match &site.evidence {
        regard_explain::Evidence::Weights(weights) => weights.to_vec(),
        _ => Vec::new(),
    });
    close("weights", &weights.collect::<Vec<_>>(), &oracle["weights"], 1e-4);
    close("their gradients", &inside.gradients.concat(), &oracle["weight_gradients"], 1e-3);
    let mut chefer = oracle["chefer"].clone();
    // The first position is read from, and begins with being itself.
    chefer[0] -= 1.0;
    close("gradient × attention", &scored(Method::GradientAttention).scores, &chefer, 1e-3);
}

/// A model of each kind, a text and what to ask.
fn questions() -> Vec<(&'static str, Trained, &'static str, Ask)> {
    let mask = &[(3, "[MASK]")][..];
    let word = |word: &str| Ask::Word(word.into());
    vec![
        ("a label", trained("bert", mask), "w4 w5 w6 w9 w10", Ask::Label("bad".into())),
        ("a hidden token", trained("bert", mask), "w4 w5 [MASK] w9 w10", Ask::Likeliest),
        ("a given one", trained("albert", mask), "w4 [MASK] w6 w9 w10", word("w7")),
        ("a greedy token", trained("gpt2", &[]), "w4 w5 w6 w9 w10", Ask::Likeliest),
        ("a given one", trained("gpt_neox", &[]), "w4 w5 w6 w9 w10", word("w7")),
        ("two tokens", trained("llama", &[]), "w4 w5 w6 w9", word("w7 w8")),
        ("shared heads", trained("gemma2", &[]), "w4 w5 w6 w9", Ask::Likeliest),
        ("a translation", trained("bart", &[]), "w4 w5 w6 w9", Ask::Likeliest),
        ("a translation", trained("t5", &[]), "w4 w5 w6 w9", Ask::Likeliest),
    ]
}

#[test]
fn every_method_asks_every_kind_of_model() {
    for (what, model, text, ask) in questions() {
        let what = &format!("{what} of {}", model.name());
        let question = model.question(text, &ask).unwrap_or_else(|error| panic!("{what}: {error}"));
        let places = question.places();
        assert!(places >= 4, "{what}");
        let whole = question.answer().unwrap();
        let numbers = question.hidden(&[vec![true; places], vec![false; places]]).unwrap();
        close(what, &numbers[..1], &[whole], 1e-5);

        // Along a direction, the gradient says what differences say.
        let input = question.input().to_vec();
        let (found, gradients) = question.gradients(&[input.clone(), question.baseline_input().to_vec()]).unwrap();
        close(what, &found, &numbers, 1e-4);
        let direction: Vec<f32> = gradients[0].iter().map(|gradient| gradient.signum()).collect();
        let step = 1e-3;
        let moved = |by: f32| input.iter().zip(&direction).map(|(x, d)| x + by * d).collect::<Vec<f32>>();
        let (ends, _) = question.gradients(&[moved(step), moved(-step)]).unwrap();
        let along: f32 = gradients[0].iter().map(|gradient| gradient.abs()).sum();
        close(&format!("slope: {what}"), &[(ends[0] - ends[1]) / (2.0 * step)], &[along], 2e-2);

        for method in Method::ALL {
            let found = method.explain(&question, &mut silent).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!((found.scores.len(), &found.method), (places, &method.to_string()), "{what}");
            assert!(found.scores.iter().all(|score| score.is_finite()), "{what}, {method}");
        }
        let alone = Method::LeaveOneOut.explain(&question, &mut silent).unwrap();
        let without: Vec<bool> = (0..places).map(|place| place != 1).collect();
        let number = question.hidden(std::slice::from_ref(&without)).unwrap()[0];
        close(what, &[alone.scores[1]], &[whole - number], 1e-4);
        // Nothing but values: with all of them kept, nothing is lost.
        close(what, &question.without_values(&[vec![true; places]]).unwrap(), &[whole], 1e-5);
        assert_ne!(question.without_values(&[without]).unwrap(), [whole], "{what}");

        // A head that is silent, and how the answer depends on its gate.
        let inside = question.inside().unwrap();
        let heads = inside.trace.sites()[0].heads;
        for (site, gates) in inside.trace.sites().iter().zip(&inside.gates) {
            assert!(gates.len() == site.heads && gates.iter().all(|gate| gate.is_finite()), "{what}");
        }
        assert!(inside.gates.iter().flatten().any(|gate| gate.abs() > 1e-6), "{what}");
        let silenced = question.without_heads(0, heads).unwrap();
        assert!(silenced.len() == heads && silenced.iter().any(|number| (number - whole).abs() > 1e-6), "{what}");

        let shuffled = model.shuffled(1).unwrap();
        let other = question.to(&shuffled).unwrap();
        assert_eq!(other.places(), places);
        assert!((other.answer().unwrap() - whole).abs() > 1e-6, "{what}: {whole} after shuffling");
        let randomised = Method::LeaveOneOut.explain(&other, &mut silent).unwrap();
        let protocol = Protocol { orders: 2, steps: 4, ..Protocol::default() };
        let trust = measure(&question, &alone, Some(&randomised), &protocol, &mut silent).unwrap();
        assert!(trust.agreement.is_some_and(|agreement| agreement.value > 0.999), "{what}: {trust:?}");
        assert!(trust.randomisation.is_some() && trust.perturbation.starts_with("replaced by "), "{what}");
    }
}

#[test]
fn what_is_taken_out_is_not_read() {
    // With a token before the text that always stays, the text may go entirely.
    let model = trained("bert", &[(3, "[MASK]")]);
    let question = model.question("w4 [MASK] w6 w9", &Ask::Word("w5".into())).unwrap();
    assert_eq!(question.tokens(), ["w4", "w6", "w9"]);
    let removed = question.removed(&[vec![true; 3], vec![false, true, true], vec![false; 3]]).unwrap().unwrap();
    let shorter = model.question("[MASK] w6 w9", &Ask::Word("w5".into())).unwrap();
    close("without the first", &removed[..2], &[question.answer().unwrap(), shorter.answer().unwrap()], 1e-5);
    assert!(trained("gpt2", &[]).question("w4 w5", &Ask::Likeliest).unwrap().removed(&[vec![true; 2]]).is_none());
}

#[test]
fn an_attention_of_another_kind_is_not_looked_into() {
    let model = trained("longformer", &[(3, "<mask>")]);
    let question = model.question("w4 w5 w6 w9", &Ask::Likeliest).unwrap();
    let error = Method::GradientAttention.explain(&question, &mut silent).unwrap_err().to_string();
    assert!(error.contains("layers attend with heads alone"), "{error}");
    Method::IntegratedGradients.explain(&question, &mut silent).unwrap();
    Method::Rollout.explain(&question, &mut silent).unwrap();
}

#[test]
fn a_text_has_a_vector_where_there_is_no_label() {
    let folder = folder("bert", &[(3, "[MASK]")]);
    let path = folder.path().join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let body = file.tensors().into_iter().filter(|(name, _)| name.starts_with("bert.") && !name.contains("pooler"));
    fs::write(&path, safetensors::serialize(body, None).unwrap()).unwrap();
    let model = Trained::load(folder.path()).unwrap();
    let question = model.question("w4 w5 w6 w9", &Ask::Likeliest).unwrap();
    assert!(question.number().starts_with("cosine of the text's vector"), "{}", question.number());
    close("the whole text", &[question.answer().unwrap()], &[1.0], 1e-5);
    let alone = Method::LeaveOneOut.explain(&question, &mut silent).unwrap();
    assert!(alone.scores.iter().all(|score| *score > 0.0), "{alone:?}");
    Method::GradientAttention.explain(&question, &mut silent).unwrap();
    let shuffled = model.shuffled(3).unwrap();
    close("another model's", &[question.to(&shuffled).unwrap().answer().unwrap()], &[1.0], 1e-5);
}

#[test]
fn several_tokens_are_one_after_the_other() {
    let model = trained("llama", &[]);
    let answer = |text: &str, word: &str| model.question(text, &Ask::Word(word.into())).unwrap().answer().unwrap();
    close("both", &[answer("w4 w5", "w6 w7")], &[answer("w4 w5", "w6") + answer("w4 w5 w6", "w7")], 1e-5);
}

#[test]
fn work_can_be_stopped() {
    let model = trained("bert", &[(3, "[MASK]")]);
    let question = model.question("w4 w5 w6", &Ask::Likeliest).unwrap();
    for method in [Method::LeaveOneOut, Method::ValueZeroing, Method::IntegratedGradients] {
        let mut stop = |_, _| std::ops::ControlFlow::Break(());
        let error = method.explain(&question, &mut stop).unwrap_err().to_string();
        assert!(error.contains("0 of "), "{error}");
    }
}

#[test]
fn what_cannot_be_asked_is_named() {
    let reader = trained("bert", &[(3, "[MASK]")]);
    let refused = |model: &Trained, text: &str, ask: Ask, said: &str| match model.question(text, &ask) {
        Err(error) => assert!(error.to_string().contains(said), "{said:?} in {error}"),
        Ok(question) => panic!("{} was asked", question.number()),
    };
    refused(&reader, " ", Ask::Likeliest, "text is empty");
    refused(&reader, &"w4 ".repeat(30), Ask::Likeliest, "at most the model's 24 positions");
    refused(&reader, "w4 w5", Ask::Word("w6".into()), "none without a hidden place");
    refused(&reader, "w4 [MASK]", Ask::Word("word".into()), "target is \"word\", expected a token of the model's");
    refused(&reader, "[MASK] [MASK]", Ask::Likeliest, "several hidden places");
    refused(&reader, "w4", Ask::Label("great".into()), "label is \"great\", expected bad, so-so, good");
    refused(&reader, "[MASK]", Ask::Likeliest, "without a place to hide");
    let writer = trained("gpt2", &[]);
    refused(&writer, "", Ask::Likeliest, "text is empty");
    refused(&writer, "w4", Ask::Word("word".into()), "target is \"word\"");
    refused(&writer, &"w4 ".repeat(33), Ask::Likeliest, "at most the model's 32 positions");
    refused(&writer, "w4", Ask::Label("good".into()), "none, since the model goes on with texts");
    let translator = trained("bart", &[]);
    refused(&translator, "w4", Ask::Word("word".into()), "expected a word of the translation");
    let error = "importance".parse::<Method>().unwrap_err().to_string();
    assert!(error.contains("leave-one-out, occlusion"), "{error}");
}

/// A recurrent translator whose numbers are the same in every run.
fn recurrent(decoding: Decoding, seed: u64) -> Interpreter {
    let tokenizer = Tokenizer::whitespace(["w1 w2 w3 w4 w5 w6 w7 w8"]).unwrap();
    let specials = Specials { pad: PAD, begin: BOS, end: EOS };
    let config = Seq2SeqConfig::new(tokenizer.vocab_size(), specials, decoding).with_embedded(5).with_hidden(6);
    let config = config.with_alignment(4).with_readout(7).with_longest(24);
    let model = config.init(&Device::default()).unwrap();
    let mut values = parameters(&model);
    for (at, number) in values.values_mut().flat_map(|(_, numbers)| numbers).enumerate() {
        *number = 0.9 * ((mix(mix(seed) ^ at as u64) >> 40) as f32 / (1u64 << 23) as f32 - 1.0);
    }
    let bytes = to_bytes(&assign(model, values).unwrap(), Precision::F32, BTreeMap::new()).unwrap();
    let config = serde_json::to_string(&Architecture::Seq2Seq(config)).unwrap();
    Interpreter::from_parts("recurrent", &config, &tokenizer.to_json().unwrap(), &bytes, Path::new("")).unwrap()
}

#[test]
fn a_recurrent_translator_is_asked_and_not_looked_into() {
    for decoding in [Decoding::Bahdanau, Decoding::Luong] {
        let text = "w1 w2 w3 w4";
        let written =
            |model: &Interpreter| !model.translate(&[text], &model.search()).unwrap()[0].target_ids.is_empty();
        let model = (0..).map(|seed| recurrent(decoding, seed)).find(written).unwrap();
        let model = Trained::Interpreter(Box::new(model));
        let question = model.question(text, &Ask::Likeliest).unwrap();
        let integrated = integrated_gradients(&question, 64, &mut silent).unwrap();
        assert!(integrated.completeness.unwrap().gap() < 1e-3, "{integrated:?}");
        for method in [Method::LeaveOneOut, Method::GradientInput, Method::Rollout, Method::Attention] {
            assert_eq!(method.explain(&question, &mut silent).unwrap().scores.len(), 4);
        }
        let error = Method::ValueZeroing.explain(&question, &mut silent).unwrap_err().to_string();
        assert!(error.contains("layers attend with heads alone"), "{error}");
    }
}
