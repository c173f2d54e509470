//! `regard inspect`, `generate`, `embed`, `similar`, `fill`, `classify`, `translate` and `summarize` on checkpoints in Hugging Face's layout.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Ran, fed, ran, text};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/pretrained")
}

/// A checkpoint of the models' fixtures with a tokenizer of words: `w7` is the token 7, and some have names of their own.
pub fn model(name: &str, named: &[(u32, &str)]) -> TempDir {
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
    write_tokenizer(to.path(), vocabulary);
    to
}

fn write_tokenizer(folder: &Path, vocabulary: Value) {
    let tokenizer = json!({
        "version": "1.0", "truncation": {"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": null, "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w0"},
    });
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
}

/// Ids of a fixture as words.
fn words(name: &str, tensor: &str, count: usize) -> String {
    let bytes = fs::read(fixtures().join(name).join("expected.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let ids = file.tensor(tensor).unwrap().data().as_chunks().0.iter().map(|&id| u32::from_le_bytes(id)).take(count);
    ids.map(|id| format!("w{id}")).collect::<Vec<_>>().join(" ")
}

fn with(command: &str, folder: &Path, rest: &[&str]) -> Ran {
    ran(&[&[command, text(folder)][..], rest].concat())
}

#[test]
fn a_decoder_writes_what_transformers_writes() {
    for name in ["llama", "gpt2", "gemma2"] {
        let folder = model(name, &[]);
        let (prompt, greedy) = (words(name, "ids", 4), words(name, "greedy", 12));
        let written = with("generate", folder.path(), &[&prompt, "--tokens", "12", "--temperature", "0"]).succeeds();
        assert_eq!(written.trim_end(), format!("{prompt} {greedy}"));
    }
}

#[test]
fn inspecting_lists_and_ranks_heads() {
    let folder = model("gpt2", &[]);
    let folder = folder.path();
    with("generate", folder, &["w1", "--int8"]).fails(&["quantized is GPT-2, expected LLaMA or a descendant"]);
    let said = with("inspect", folder, &["w1 w2 w3 w1 w2 w3"]).succeeds();
    assert!(said.starts_with("layer  head  entropy") && said.contains("not what mattered to the answer"), "{said}");
    assert!(said.contains("decoder.self, layer 2, mean of the heads: attention weights"), "{said}");
    let found: Value = serde_json::from_str(
        &with("inspect", folder, &["w1 w2 w3 w1 w2 w3", "--json", "--rank", "previous"]).succeeds(),
    )
    .unwrap();
    let heads = found["heads"].as_array().unwrap();
    let previous: Vec<f64> = heads.iter().map(|head| head["previous"].as_f64().unwrap()).collect();
    assert!(heads.len() == 8 && previous.is_sorted_by(|a, b| a >= b), "{previous:?}");
    assert!(heads.iter().all(|head| head["induction"].is_number()));
    let page = folder.join("page.html");
    with("inspect", folder, &["w1 w2", "-q", "--html", text(&page)]).succeeds();
    assert!(fs::read_to_string(page).unwrap().contains("<html"));
    with("inspect", folder, &["w1", "--rank", "importance"]).misused("expected entropy, first, previous");
    // The tokenizer's own limit of two tokens cuts nothing.
    let long = vec!["w1"; 40].join(" ");
    let ran = with("inspect", folder, &[&long, "-q"]);
    assert!(
        ran.err.contains("the text is 40 tokens long, the model has 32 positions: the first 8 tokens are not seen")
    );
    assert!(ran.succeeds().contains("layer  head"));
}

#[test]
fn an_encoder_reads_fills_and_labels() {
    let folder = model("bert", &[(3, "[MASK]")]);
    let folder = folder.path();
    let lines = b"w4 w5 w6\nw7 w8\nw4 w5 w6 w9 w10\n";
    let ran = fed(&["embed", text(folder)], lines);
    let vectors: Vec<Vec<f32>> =
        ran.succeeds().lines().map(|line| line.split(' ').map(|number| number.parse().unwrap()).collect()).collect();
    assert!(vectors.len() == 3 && vectors.iter().all(|vector| vector.len() == vectors[0].len()));
    let length: f32 = vectors[1].iter().map(|x| x * x).sum();
    assert!((length - 1.0).abs() < 1e-4);
    // Alone or among others, padded or not, a text has the same vector.
    let alone = with("embed", folder, &["w7 w8"]).succeeds();
    let alone: Vec<f32> = alone.trim().split(' ').map(|number| number.parse().unwrap()).collect();
    assert!(alone.iter().zip(&vectors[1]).all(|(a, b)| (a - b).abs() < 1e-4));
    for kind in ["npy", "safetensors"] {
        let file = folder.join(format!("vectors.{kind}"));
        fed(&["embed", text(folder), "-o", text(&file)], lines).succeeds();
        assert!(fs::metadata(file).unwrap().len() > 3 * 4 * vectors[0].len() as u64);
    }
    with("embed", folder, &["w1", "-o", "x.csv"])
        .fails(&["cannot write \"csv\", expected a file that ends in .npy or"]);
    let ranked = with("similar", folder, &["w4 w5 w6", "w7 w8", "w4 w5 w6"]).succeeds();
    assert!(ranked.starts_with(" 1.0000  w4 w5 w6\n"), "{ranked}");
    let filled = with("fill", folder, &["w4 [MASK] w6", "--top", "3"]).succeeds();
    assert!(filled.lines().count() == 3 && filled.lines().all(|line| line.contains(" %  ")), "{filled}");
    let labels = with("classify", folder, &["w4 w5", "--top", "3"]).succeeds();
    assert!(["bad ", "so-so ", "good "].iter().all(|label| labels.contains(label)), "{labels}");
    assert!(labels.ends_with("\tw4 w5\n"), "{labels}");
    assert!(with("inspect", folder, &["w4 w5", "-q"]).succeeds().contains("layer  head"));
    with("fill", folder, &["w4 w5"]).fails(&["text is one with 0 hidden places, expected one [MASK]"]);
    with("embed", folder, &["w4", " "]).fails(&["text is empty (number 2)"]);
    with("generate", folder, &["w4"]).fails(&["config.json", "expected one that goes on with texts"]);
    fed(&["embed", text(folder)], b"").fails(&["no text, expected arguments or lines"]);
}

#[test]
fn an_encoder_decoder_translates_and_summarizes() {
    for name in ["t5", "bart"] {
        let folder = model(name, &[]);
        let folder = folder.path();
        let said = ran(&["translate", "--model", text(folder), "-q", "w4 w5 w6"]).succeeds();
        assert_eq!(said.lines().count(), 1, "{said:?}");
        let short = with("summarize", folder, &["w4 w5 w6 w7", "--beam", "2"]).succeeds();
        assert_eq!(short.lines().count(), 1, "{short:?}");
        assert!(with("inspect", folder, &["w4 w5 w6", "-q"]).succeeds().contains("layer  head"));
        with("summarize", folder, &[" "]).fails(&["text 1 is blank"]);
        with("embed", folder, &["w4"]).fails(&["expected one that reads texts"]);
    }
}

#[test]
fn a_marian_has_a_tokenizer_of_its_own() {
    let folder = model("marian", &[]);
    let folder = folder.path();
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    let pieces = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/tests/fixtures/marian/source.spm");
    fs::copy(pieces, folder.join("source.spm")).unwrap();
    let translate = |sentence| ran(&["translate", "--model", text(folder), "-q", sentence]);
    translate("the cat").fails(&["cannot read", "vocab.json"]);
    let known = [(0, "</s>"), (1, "<unk>"), (2, "▁the"), (3, "▁cat"), (22, "<pad>")];
    let name =
        |id: u32| known.iter().find(|(other, _)| *other == id).map_or(format!("▁w{id}"), |(_, name)| (*name).into());
    let vocabulary: Value = (0..23u32).map(|id| (name(id), Value::from(id))).collect::<serde_json::Map<_, _>>().into();
    fs::write(folder.join("vocab.json"), vocabulary.to_string()).unwrap();
    let said = translate("the cat sat").succeeds();
    let words: Vec<&str> = said.split_whitespace().collect();
    let is_word = |word: &&str| ["the", "cat"].contains(word) || word.starts_with('w');
    assert!(said.lines().count() == 1 && words.iter().all(is_word), "{said:?}");
    assert!(with("inspect", folder, &["the cat", "-q"]).succeeds().contains("layer  head"));
}

#[test]
fn tokenizers_that_do_not_fit_are_refused() {
    let folder = model("gpt2", &[]);
    let folder = folder.path();
    let vocabulary: Value =
        (0..30).map(|id| (format!("w{id}"), Value::from(id))).collect::<serde_json::Map<_, _>>().into();
    write_tokenizer(folder, vocabulary);
    with("generate", folder, &["w1"]).fails(&["tokenizer.json", "has the id 29, the model knows 23 tokens"]);
    fs::write(folder.join("tokenizer.json"), "{}").unwrap();
    with("generate", folder, &["w1"]).fails(&["tokenizer.json", "no tokenizer: "]);
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    with("generate", folder, &["w1"]).fails(&["cannot read", "tokenizer.json"]);
    fs::write(folder.join("vocab.txt"), "").unwrap();
    with("generate", folder, &["w1"]).fails(&["tokenizer.json: missing; vocab.txt, which is there, is not read"]);
    let elsewhere = folder.join("nothing");
    with("inspect", &elsewhere, &["w1"]).fails(&["nothing"]);
}

#[test]
fn gguf_goes_on_with_a_text() {
    let file = fixtures().join("gguf/q8_0.gguf");
    let written = with("generate", &file, &["a b", "--tokens", "5", "--temperature", "0"]).succeeds();
    assert!(written.starts_with("a b"), "{written:?}");
    let rounded = with("generate", &file, &["a b", "--tokens", "5", "--int8"]).succeeds();
    assert!(rounded.starts_with("a b"), "{rounded:?}");
    assert!(with("inspect", &file, &["a b", "-q"]).succeeds().contains("layer  head"));
}
