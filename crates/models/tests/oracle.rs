//! The models against PyTorch: `oracle/write.py` says what the files hold.

mod common;

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Device;
use common::{Oracle, SPECIALS, Tensors, close, numbers};
use regard::Mode;
use regard_models::weights::{assign, gradients};
use regard_models::{
    Decoding, Norm, Padded, Search, Seq2SeqConfig, Sight, Site, TransformerConfig, Translator, search,
};

/// Tensors of a file that are results, not parameters.
const RESULTS: [&str; 6] = ["logits", "loss", "memory", "encoded", "alignment", "cross_weights"];

/// A model with the file's parameters, whose names `rename` turns from the paper's to ours.
fn load<M: Translator + Module>(model: M, tensors: &Tensors, rename: impl Fn(&str) -> String) -> M {
    let learned =
        tensors.iter().filter(|(name, _)| !name.starts_with("gradient.") && !RESULTS.contains(&name.as_str()));
    assign(model, learned.map(|(name, tensor)| (rename(name), tensor.clone())).collect()).unwrap()
}

/// Everything that the files of all models hold: logits, loss, gradients and the greedy translation.
fn compare<M: Translator + Module>(
    model: &M,
    oracle: &Oracle,
    tensors: &Tensors,
    rename: impl Fn(&str) -> String,
) -> Vec<Sight> {
    let (source, target) = (real(oracle, "source"), real(oracle, "target_input"));
    let padded = |rows: &[Vec<u32>]| Padded::new(rows, SPECIALS.pad, model.vocabulary()).unwrap();
    let mut sights = Vec::new();
    let logits = model.forward(&padded(&source), &padded(&target), Mode::Evaluate, Some(&mut sights)).unwrap();
    let mut logits = numbers(&logits);
    silence(&mut logits, &oracle.ids("target_output").concat(), model.vocabulary());
    close("logits", &logits, &tensors["logits"].1, 1e-5);

    let sentences: Vec<Vec<u32>> = source.iter().map(|ids| ids[..ids.len() - 1].to_vec()).collect();
    let reversed: Vec<Vec<u32>> = target.iter().map(|ids| ids[1..].to_vec()).collect();
    let (loss, count) = model.loss(&sentences, &reversed, 0.1, Mode::Evaluate).unwrap();
    let loss = loss / count as f32;
    close("loss", &numbers(&loss), &tensors["loss"].1, 1e-5);

    let found = gradients(model, &loss.backward());
    for (name, (_, expected)) in tensors {
        if let Some(name) = name.strip_prefix("gradient.") {
            close(name, &found[&rename(name)], expected, 2e-5);
        }
    }

    let greedy = Search { beam: 1, limit: (0.0, 12), ..Search::default() };
    for (found, expected) in search(model, &sentences, &greedy).unwrap().iter().zip(oracle.ids("greedy")) {
        let end = expected.iter().position(|&id| id == SPECIALS.end);
        assert_eq!(found.ids, expected[..end.unwrap_or(expected.len())]);
        assert_eq!(found.ended, end.is_some());
    }
    sights
}

/// The rows of ids without their padding.
fn real(oracle: &Oracle, name: &str) -> Vec<Vec<u32>> {
    let rows = oracle.ids(name).into_iter();
    rows.map(|row| row.into_iter().filter(|&id| id != SPECIALS.pad).collect()).collect()
}

/// Zeroes the rows of `width` numbers that belong to padding, as the files do.
fn silence(numbers: &mut [f32], ids: &[u32], width: usize) {
    assert_eq!(numbers.len(), ids.len() * width);
    for (row, _) in numbers.chunks_mut(width).zip(ids).filter(|(_, id)| **id == SPECIALS.pad) {
        row.fill(0.0);
    }
}

/// Weights `[batch, head, query, key]` of one sight, silent where the query is padding.
fn weights(sight: &Sight, oracle: &Oracle) -> Vec<f32> {
    let weights = sight.weights().unwrap();
    let [_, heads, _, keys] = weights.dims();
    let ids: Vec<u32> = oracle.ids("target_input").iter().flat_map(|row| row.repeat(heads)).collect();
    let mut weights = numbers(&weights);
    silence(&mut weights, &ids, keys);
    weights
}

fn transformer(name: &str, norm: Norm) {
    let (oracle, device) = (Oracle::open(name), Device::default().autodiff());
    let tensors = oracle.tensors();
    let config = TransformerConfig::new(13, SPECIALS).with_width(16).with_heads(2).with_inner(32);
    let config = config.with_encoder_layers(2).with_decoder_layers(2).with_norm(norm);
    let rename = |name: &str| name.replace("encoder.norm", "encoder_norm").replace("decoder.norm", "decoder_norm");
    let model = load(config.init(&device).unwrap(), &tensors, rename);
    let sights = compare(&model, &oracle, &tensors, rename);

    let places: BTreeMap<_, _> = sights.iter().map(|sight| ((sight.site.name(), sight.layer), sight)).collect();
    let names: Vec<_> = places.keys().copied().collect();
    let expected = [
        ("decoder.cross", 0),
        ("decoder.cross", 1),
        ("decoder.self", 0),
        ("decoder.self", 1),
        ("encoder.self", 0),
        ("encoder.self", 1),
    ];
    assert_eq!(names, expected);
    let cross = (0..2).flat_map(|layer| weights(places[&(Site::Cross.name(), layer)], &oracle));
    close("cross weights", &cross.collect::<Vec<_>>(), &tensors["cross_weights"].1, 1e-5);
}

#[test]
fn transformer_that_normalises_after() {
    transformer("transformer_post", Norm::Post);
}

#[test]
fn transformer_that_normalises_before() {
    transformer("transformer_pre", Norm::Pre);
}

fn seq2seq(name: &str, decoding: Decoding, rename: impl Fn(&str) -> String + Copy) {
    let (oracle, device) = (Oracle::open(name), Device::default().autodiff());
    let tensors = oracle.tensors();
    let config = Seq2SeqConfig::new(13, SPECIALS, decoding).with_embedded(6).with_hidden(8);
    let config = config.with_alignment(7).with_readout(10);
    let model = load(config.init(&device).unwrap(), &tensors, rename);
    let sights = compare(&model, &oracle, &tensors, rename);
    assert_eq!(sights.len(), 1);
    close("alignment", &weights(&sights[0], &oracle), &tensors["alignment"].1, 1e-5);
}

#[test]
fn recurrent_with_additive_attention() {
    seq2seq("seq2seq_bahdanau", Decoding::Bahdanau, |name| name.replace("attention.", "additive."));
}

#[test]
fn recurrent_with_general_attention() {
    seq2seq("seq2seq_luong", Decoding::Luong, |name| {
        name.replace("attention.", "general.key.").replace("combine.", "readout.")
    });
}
