//! Checkpoints of every encoder–decoder family against transformers (`pretrained/seq2seq.py` says what the files hold), and some that
//! are refused.

mod common;

use std::fs;

use common::{Oracle, close, copy, folder, numbers, refused, rewrite, rewritten, set};
use regard::Mode;
use regard_models::pretrained::{self, Pretrained};
use regard_models::{EncoderDecoder, Padded, Search, Site, Translator, search};

fn open(name: &str) -> Box<dyn EncoderDecoder> {
    match pretrained::open(&folder(name)).unwrap() {
        Pretrained::Translator(model) => model,
        other => panic!("{other:?} writes no text for a text"),
    }
}

/// Rows of ids, each as long as the file says.
fn texts(file: &Oracle, name: &str) -> Vec<Vec<u32>> {
    let lengths = file.ids(&format!("{name}_lengths"));
    let rows = file.ids(name).into_iter().zip(&lengths[0]);
    rows.map(|(row, &length)| row[..length as usize].to_vec()).collect()
}

/// What generate wrote, without the token at the beginning, the end and what follows it.
fn written(file: &Oracle, name: &str, end: u32) -> Vec<Vec<u32>> {
    let rows = file.ids(name).into_iter();
    rows.map(|row| row[1..].iter().copied().take_while(|&id| id != end).collect()).collect()
}

/// The rows of `[batch, position, feature]` that belong to a text and not to padding.
fn real(all: &[f32], text: &Padded) -> Vec<f32> {
    let (rows, width) = (text.rows(), text.width());
    let features = all.len() / (rows * width);
    let each = all.chunks(features * width).zip(text.lengths());
    each.flat_map(|(row, length)| &row[..length * features]).copied().collect()
}

/// The weights of real queries, of `[batch, head, query, key]`.
fn real_weights(all: &[f32], heads: usize, text: &Padded) -> Vec<f32> {
    let each = all.len() / (text.rows() * heads);
    let maps = all.chunks(each).enumerate();
    maps.flat_map(|(map, all)| &all[..each / text.width() * text.lengths()[map / heads]]).copied().collect()
}

fn agrees(name: &str) {
    let model = open(name);
    let file = Oracle::pretrained(name);
    let expected = file.tensors_as_stored();
    let specials = model.specials();
    let padded = |name: &str| Padded::new(&texts(&file, name), specials.pad, model.vocabulary()).unwrap();
    let (source, target) = (padded("source"), padded("target"));

    let states = model.encode(&source, Mode::Evaluate, None).unwrap();
    close("states", &real(&numbers(&states), &source), &real(&expected["states"].1, &source), 1e-4);
    let mut sights = Vec::new();
    let logits = numbers(&model.forward(&source, &target, Mode::Evaluate, Some(&mut sights)).unwrap());
    close("logits", &real(&logits, &target), &real(&expected["logits"].1, &target), 1e-4);
    for (site, name) in [(Site::EncoderSelf, "encoder"), (Site::DecoderSelf, "decoder"), (Site::Cross, "cross")] {
        let (shape, all) = &expected[name];
        let queries = if site == Site::EncoderSelf { &source } else { &target };
        let seen: Vec<_> = sights.iter().filter(|sight| sight.site == site).collect();
        assert_eq!(seen.len(), shape[0], "layers of {name}");
        for (sight, all) in seen.iter().zip(all.chunks(all.len() / shape[0])) {
            let kept = |all: &[f32]| real_weights(all, shape[2], queries);
            close(name, &kept(&numbers(&sight.weights().unwrap())), &kept(all), 1e-5);
        }
    }

    // A token at a time, the rows exchanged and one of them doubled on the way.
    let mut state = model.start(&source).unwrap();
    let mut order = vec![0, 1];
    for position in 0..target.width() {
        if position == 2 {
            order = vec![1, 0, 0];
            model.select(&mut state, &order);
        }
        let column = target.column(position);
        let tokens: Vec<u32> = order.iter().map(|&row| column[row]).collect();
        let scores = numbers(&model.step(&tokens, &mut state).unwrap());
        for (&row, scores) in order.iter().zip(scores.chunks(model.vocabulary())) {
            let at = (row * target.width() + position) * model.vocabulary();
            close("cached logits", scores, &logits[at..][..model.vocabulary()], 1e-4);
        }
    }

    let sources: Vec<Vec<u32>> = texts(&file, "source").iter().map(|ids| ids[..ids.len() - 1].to_vec()).collect();
    let asked = pretrained::search(&folder(name)).unwrap();
    for (how, oracle) in [(Search { beam: 1, ..asked }, "greedy"), (asked, "beams")] {
        let found: Vec<Vec<u32>> =
            search(&*model, &sources, &how).unwrap().into_iter().map(|found| found.ids).collect();
        assert_eq!(found, written(&file, oracle, specials.end), "{oracle}");
    }
}

#[test]
fn t5() {
    agrees("t5");
}

#[test]
fn t5_with_gates_in_bf16() {
    agrees("t5_gated");
}

#[test]
fn bart() {
    agrees("bart");
}

#[test]
fn mbart() {
    agrees("mbart");
}

#[test]
fn marian_in_f16() {
    agrees("marian");
}

#[test]
fn searches_are_those_that_were_asked_for() {
    let asked = pretrained::search(&folder("bart")).unwrap();
    let expected = Search { beam: 3, length_penalty: 2.0, limit: (0.0, 10), first: Some(0), least: 3, unrepeated: 2 };
    assert_eq!(asked, expected);
    let at = copy("marian");
    fs::remove_file(at.path().join("generation_config.json")).unwrap();
    assert_eq!(pretrained::search(at.path()).unwrap(), Search { beam: 1, ..Search::default() });
    set(at.path(), "num_beams", "6");
    assert_eq!(pretrained::search(at.path()).unwrap().beam, 6);
    set(at.path(), "num_beams", "\"all\"");
    assert!(pretrained::search(at.path()).unwrap_err().to_string().contains("the field num_beams is \"all\""));
}

#[test]
fn texts_longer_than_the_positions_are_refused() {
    for name in ["bart", "marian"] {
        let model = open(name);
        let says = |length: usize| search(&*model, &[vec![3; length]], &Search::default()).map(|_| ());
        says(15).unwrap();
        assert_eq!(says(16).unwrap_err().to_string(), "source: 17 tokens, expected at most 16");
        let text = |length| Padded::new(&[vec![3; length]], 1, 23).unwrap();
        let error = model.forward(&text(4), &text(17), Mode::Evaluate, None).unwrap_err();
        assert_eq!(error.to_string(), "target: 17 tokens, expected at most 16");
    }
    // Distances have no end.
    open("t5").encode(&Padded::new(&[vec![3; 600]], 0, 23).unwrap(), Mode::Evaluate, None).unwrap();
}

#[test]
fn configurations_that_make_no_model_are_refused() {
    let at = copy("t5");
    let at = at.path();
    set(at, "feed_forward_proj", "\"mish\"");
    refused(at, "config.json: feed_forward_proj is \"mish\": configuration: activation is \"mish\", expected gelu");
    set(at, "feed_forward_proj", "\"gated-tanh-relu\"");
    refused(at, "feed_forward_proj is \"gated-tanh-relu\"");
    set(at, "feed_forward_proj", "\"gated-gelu\"");
    refused(at, "tensor encoder.block.0.layer.1.DenseReluDense.wi_0.weight is missing");
    set(at, "feed_forward_proj", "\"relu\"");
    set(at, "num_layers", "18446744073709551615");
    refused(at, "layers, the weights have ");
    set(at, "num_layers", "2");
    for buckets in ["7", "2"] {
        set(at, "relative_attention_num_buckets", buckets);
        refused(at, "expected an even number, at least 4");
    }
    set(at, "relative_attention_num_buckets", "12");
    refused(at, "max_distance is 6, expected more than 6");
    set(at, "relative_attention_max_distance", "7");
    refused(at, "relative_attention_bias.weight has shape [8, 2], the configuration asks for [12, 2]");
    set(at, "relative_attention_num_buckets", "8");
    set(at, "eos_token_id", "23");
    refused(at, "specials is 23, expected ids below the vocabulary of 23");
    set(at, "eos_token_id", "1");
    set(at, "num_heads", "0");
    refused(at, "heads is 0");

    let at = copy("bart");
    let at = at.path();
    set(at, "activation_function", "\"mish\"");
    refused(at, "activation_function: configuration: activation is \"mish\"");
    set(at, "activation_function", "\"gelu\"");
    set(at, "normalize_before", "true");
    refused(at, "normalize_before is true, expected false");
    set(at, "normalize_before", "false");
    set(at, "max_position_embeddings", "17");
    refused(at, "model.encoder.embed_positions.weight has shape [18, 12], the configuration asks for [19, 12]");
    set(at, "max_position_embeddings", "1000000000000000000");
    refused(at, "the configuration asks for [1000000000000000002, 12]");
    set(at, "max_position_embeddings", "16");
    set(at, "tie_word_embeddings", "false");
    refused(at, "tensor lm_head.weight is missing");

    let at = copy("marian");
    let at = at.path();
    set(at, "share_encoder_decoder_embeddings", "false");
    refused(at, "share_encoder_decoder_embeddings is false, expected true");
}

#[test]
fn tables_under_their_other_names_are_found_and_missing_ones_are_named() {
    let file = Oracle::pretrained("bart");
    let source = Padded::new(&texts(&file, "source"), 1, 23).unwrap();
    let at = copy("bart");
    let other = |name: String| name.replace("model.shared.weight", "model.decoder.embed_tokens.weight");
    rewritten(at.path(), |name, shape, data| Some((other(name), shape, data)));
    let Pretrained::Translator(model) = pretrained::open(at.path()).unwrap() else { panic!("no translator") };
    let states = model.encode(&source, Mode::Evaluate, None).unwrap();
    close("states", &real(&numbers(&states), &source), &real(&file.tensors_as_stored()["states"].1, &source), 1e-4);

    for (name, table) in [("bart", "model.shared.weight"), ("t5", "shared.weight")] {
        let at = copy(name);
        rewrite(at.path(), table, |_, _| None);
        refused(at.path(), &format!("tensor {table} is missing"));
    }
    // A bias that is not there is zero.
    let at = copy("bart");
    rewrite(at.path(), "final_logits_bias", |_, _| None);
    pretrained::open(at.path()).unwrap();
    let at = copy("t5");
    let name = "decoder.block.0.layer.1.EncDecAttention.k.weight";
    rewrite(at.path(), name, |shape, data| Some((vec![shape[1], shape[0]], data)));
    refused(at.path(), &format!("tensor {name} has shape [12, 10], the configuration asks for [10, 12]"));
}
