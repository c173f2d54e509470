//! Checkpoints of every encoder family against transformers (`pretrained/encoders.py` says what the files hold), and what they refuse.

mod common;

use std::path::Path;

use common::{Oracle, close, copy, folder, numbers, rewritten, set};
use regard::Mode;
use regard_models::pretrained::{self, Pretrained};
use regard_models::{Encoder, Padded, Sight};

fn open(folder: &Path) -> Box<dyn Encoder> {
    match pretrained::open(folder).unwrap() {
        Pretrained::Encoder(model) => model,
        other => panic!("{other:?} is no encoder"),
    }
}

/// The texts of a fixture, in one rectangle, and what they are made of.
struct Texts {
    file: Oracle,
    ids: Vec<Vec<u32>>,
    lengths: Vec<usize>,
    segments: Vec<u32>,
}

impl Texts {
    fn of(name: &str) -> Self {
        let file = Oracle::pretrained(name);
        let lengths = file.ids("lengths")[0].iter().map(|&length| length as usize).collect();
        Texts { ids: file.ids("ids"), lengths, segments: file.ids("segments").concat(), file }
    }

    fn padded(&self, pad: u32, longest: usize) -> Padded {
        let texts: Vec<&[u32]> =
            self.ids.iter().zip(&self.lengths).map(|(row, &length)| &row[..length.min(longest)]).collect();
        Padded::new(&texts, pad, 23).unwrap()
    }

    /// Numbers of `[batch, …, position, features]` that belong to a text and not to padding; the axes between are `between` long.
    fn real(&self, all: &[f32], between: usize, features: usize) -> Vec<f32> {
        let width = all.len() / (self.lengths.len() * between * features);
        let maps = all.chunks(width * features).enumerate();
        maps.flat_map(|(at, map)| &map[..self.lengths[at / between].min(width) * features]).copied().collect()
    }

    #[track_caller]
    fn states_are(&self, model: &dyn Encoder, what: &str, longest: usize) {
        let (segments, text) = (self.segments.chunks(self.ids[0].len()), self.padded(1, longest));
        let segments: Vec<u32> = segments.flat_map(|row| &row[..longest.min(row.len())]).copied().collect();
        let states = model.states(&text, Some(&segments), Mode::Evaluate, None).unwrap();
        let expected = &self.file.tensors_as_stored()[what].1;
        close(what, &self.real(&numbers(&states), 1, 16), &self.real(expected, 1, 16), 1e-4);
    }
}

fn agrees(name: &str) {
    let (model, texts) = (open(&folder(name)), Texts::of(name));
    let expected = texts.file.tensors_as_stored();
    let (text, mut sights) = (texts.padded(0, usize::MAX), Vec::new());
    let states = model.states(&text, Some(&texts.segments), Mode::Evaluate, Some(&mut sights)).unwrap();
    close("states", &texts.real(&numbers(&states), 1, 16), &texts.real(&expected["states"].1, 1, 16), 1e-4);
    let [rows, width, features] = states.dims();
    assert_eq!((rows, width, features), (2, texts.ids[0].len(), model.width()));

    let scores = model.fill(states.clone().reshape([rows * width, features])).unwrap();
    close("tokens", &texts.real(&numbers(&scores), 1, 23), &texts.real(&expected["tokens"].1, 1, 23), 1e-4);
    let scores = model.classify(states).unwrap();
    close("labels", &numbers(&scores), &expected["labels"].1, 1e-4);
    assert_eq!(model.labels(), ["bad", "so-so", "good"]);

    let (shape, weights) = &expected["weights"];
    assert_eq!(sights.len(), shape[0]);
    let of_layers = weights.chunks(weights.len() / shape[0]);
    for (layer, (sight, expected)) in sights.iter().zip(of_layers).enumerate() {
        let Sight { layer: at, looks, .. } = sight;
        assert_eq!((*at, looks.len()), (layer, 1));
        let given = numbers(&sight.weights().unwrap());
        let real = |all: &[f32]| texts.real(all, shape[2], width);
        close(&format!("weights of layer {layer}"), &real(&given), &real(expected), 1e-5);
    }
}

#[test]
fn bert() {
    agrees("bert");
}

#[test]
fn roberta_in_bf16() {
    agrees("roberta");
}

#[test]
fn distilbert_with_a_table_of_its_own() {
    agrees("distilbert");
}

#[test]
fn albert_of_two_layers_run_three_times() {
    agrees("albert");
}

#[test]
fn longformer_in_f16() {
    agrees("longformer");
}

#[test]
fn bigbird_in_f16() {
    agrees("big_bird");
}

/// Without tensors whose names begin so.
fn without(folder: &Path, beginnings: &[&str]) {
    rewritten(folder, |name, shape, data| {
        (!beginnings.iter().any(|beginning| name.starts_with(beginning))).then_some((name, shape, data))
    });
}

#[test]
fn a_longformer_without_labels_has_no_global_position() {
    let at = copy("longformer");
    without(at.path(), &["classifier."]);
    Texts::of("longformer").states_are(&*open(at.path()), "local.states", usize::MAX);
}

#[test]
fn a_bigbird_looks_at_all_of_a_short_text() {
    let texts = Texts::of("big_bird");
    texts.states_are(&*open(&folder("big_bird")), "full.states", 9);
    let at = copy("big_bird");
    set(at.path(), "attention_type", "\"original_full\"");
    texts.states_are(&*open(at.path()), "full.states", 9);
}

#[test]
fn a_body_alone_has_no_heads_and_no_prefix() {
    let at = copy("bert");
    let at = at.path();
    without(at, &["cls.", "classifier."]);
    rewritten(at, |name, shape, data| Some((name.strip_prefix("bert.").unwrap().to_owned(), shape, data)));
    let (model, texts) = (open(at), Texts::of("bert"));
    texts.states_are(&*model, "states", usize::MAX);
    let states = model.states(&texts.padded(0, usize::MAX), None, Mode::Evaluate, None).unwrap();
    assert!(model.classify(states.clone()).is_none() && model.fill(states.reshape([18, 16])).is_none());
    assert!(model.labels().is_empty());

    // A classifier of tokens: it has no pooler.
    let at = copy("bert");
    without(at.path(), &["bert.pooler."]);
    assert!(open(at.path()).labels().is_empty());
}

#[test]
fn old_names_of_norms_are_known() {
    let at = copy("bert");
    rewritten(at.path(), |name, shape, data| {
        let name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
        Some((name, shape, data))
    });
    Texts::of("bert").states_are(&*open(at.path()), "states", usize::MAX);
}

#[test]
fn descendants_of_roberta_are_roberta() {
    for kind in ["xlm-roberta", "camembert"] {
        let at = copy("roberta");
        set(at.path(), "model_type", &format!("{kind:?}"));
        let model = open(at.path());
        Texts::of("roberta").states_are(&*model, "states", usize::MAX);
        // Of 24 positions none is for the numbers up to the padding token's.
        assert_eq!((model.context(), model.vocabulary()), (22, 23));
    }
}

#[test]
fn a_text_without_segments_is_all_of_the_first() {
    let (model, texts) = (open(&folder("bert")), Texts::of("bert"));
    let text = texts.padded(0, usize::MAX);
    let [without, with] =
        [None, Some(&[0; 18][..])].map(|segments| model.states(&text, segments, Mode::Evaluate, None).unwrap());
    close("states", &numbers(&without), &numbers(&with), 1e-6);
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let says = |name: &str, texts: &[Vec<u32>], segments: Option<&[u32]>, said: &str| {
        let text = Padded::new(texts, 0, 100).unwrap();
        let error = open(&folder(name)).states(&text, segments, Mode::Evaluate, None).unwrap_err().to_string();
        assert!(error.contains(said), "{said:?} in {error:?}");
    };
    let text = |length: usize| vec![vec![5; length]];
    says("bert", &text(25), None, "text: 25 tokens, expected at most 24");
    says("roberta", &text(23), None, "text: 23 tokens, expected at most 22");
    says("bert", &[vec![22, 23]], None, "text: token id 23, expected ids below 23");
    says("bert", &[], None, "text: no sequence, expected at least 1");
    says("bert", &text(3), Some(&[0, 1]), "segments: 2 numbers, expected one for each of 3 tokens");
    says("bert", &text(3), Some(&[0, 1, 2]), "segments: segment 2, expected numbers below 2");
    says("distilbert", &text(3), Some(&[0, 0, 1]), "segments: segment 1, expected numbers below 1");
}

/// What a checkpoint is refused for when fields of its configuration are others.
#[track_caller]
fn refused(name: &str, fields: &[(&str, &str)], said: &str) {
    let at = copy(name);
    for (field, value) in fields {
        set(at.path(), field, value);
    }
    let error = pretrained::open(at.path()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(said), "{said:?} in {error:?}");
}

#[test]
fn configurations_that_make_no_model_are_refused() {
    refused("bert", &[("hidden_act", "\"mish\"")], "hidden_act: configuration: activation is \"mish\", expected gelu,");
    refused("bert", &[("is_decoder", "true")], "is_decoder is true, expected false");
    let relative = [("position_embedding_type", "\"relative_key\"")];
    refused("bert", &relative, "position_embedding_type is \"relative_key\", expected \"absolute\"");
    refused("bert", &[("num_hidden_layers", "1000000000000")], "1000000000000 layers, the weights have ");
    refused("bert", &[("num_hidden_layers", "0")], "layers is 0, expected at least 1");
    refused("bert", &[("num_attention_heads", "3")], "heads is 3, expected a divisor of the width 16");
    let wide =
        "tensor bert.encoder.layer.0.intermediate.dense.weight has shape [20, 16], the configuration asks for [21, 16]";
    refused("bert", &[("intermediate_size", "21")], wide);
    let long =
        "tensor bert.embeddings.position_embeddings.weight has shape [24, 16], the configuration asks for [25, 16]";
    refused("bert", &[("max_position_embeddings", "25")], long);
    refused(
        "bert",
        &[("max_position_embeddings", "18446744073709551615")],
        "position_embeddings.weight has shape [24, 16]",
    );
    refused("bert", &[("id2label", r#"{"0": "no"}"#)], "id2label names 1 labels, the classifier has 3");
    refused(
        "bert",
        &[("id2label", r#"{"1": "a", "2": "b", "3": "c"}"#)],
        "id2label names 3 labels, the classifier has 3",
    );
    refused("bert", &[("tie_word_embeddings", "false")], "tensor cls.predictions.decoder.weight is missing");
    refused(
        "roberta",
        &[("pad_token_id", "23")],
        "pad_token_id is 23, expected a token of 23 and less than 24 positions",
    );
    refused(
        "roberta",
        &[("max_position_embeddings", "1")],
        "pad_token_id is 1, expected a token of 23 and less than 1 positions",
    );
    refused("albert", &[("inner_group_num", "2")], "inner_group_num is 2, expected 1");
    refused("albert", &[("num_hidden_groups", "4")], "distinct is 4, expected 1 to the 3 layers");
    refused("albert", &[("num_hidden_groups", "0")], "distinct is 0, expected 1 to the 3 layers");
    refused(
        "albert",
        &[("embedding_size", "7")],
        "word_embeddings.weight has shape [23, 6], the configuration asks for [23, 7]",
    );
    refused("longformer", &[("attention_window", "5")], "attention_window is 5, expected even numbers above 0");
    refused("longformer", &[("attention_window", "[4, 0]")], "attention_window is 0, expected even numbers above 0");
    refused("longformer", &[("attention_window", "[4]")], "pattern is 1 windows, expected 2, one a layer");
    refused("big_bird", &[("block_size", "0")], "pattern is blocks of 0 positions, expected at least 1");
    refused(
        "big_bird",
        &[("attention_type", "\"etc\"")],
        "attention_type is \"etc\", expected original_full or block_sparse",
    );
}

#[test]
fn a_head_of_which_a_part_is_missing_is_refused() {
    let at = copy("bert");
    without(at.path(), &["cls.predictions.bias"]);
    let error = pretrained::open(at.path()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("tensor cls.predictions.bias is missing"), "{error}");
}
