//! `--model` with folders that no training wrote: each gets one message, and none takes memory for what it merely claims.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::process::{Ran, ran, run, shipped, text};

/// The three files of a model.
struct Model {
    config: Vec<u8>,
    tokenizer: Vec<u8>,
    weights: Vec<u8>,
}

impl Model {
    fn shipped() -> Self {
        let read = |name| fs::read(shipped().join(name)).unwrap();
        Model { config: read("config.json"), tokenizer: read("tokenizer.json"), weights: read("model.safetensors") }
    }

    fn configure(&mut self, field: &str, value: Value) {
        let mut config: Value = serde_json::from_slice(&self.config).unwrap();
        config[field] = value;
        self.config = config.to_string().into_bytes();
    }

    /// Changes the header of the weights and leaves their numbers.
    fn rewrite_header(&mut self, change: impl FnOnce(&mut Value)) {
        let (mut header, numbers) = self.parts();
        change(&mut header);
        let mut text = header.to_string();
        text.push_str(&" ".repeat(text.len().next_multiple_of(8) - text.len()));
        let numbers = self.weights[numbers..].to_vec();
        self.weights = [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &numbers].concat();
    }

    /// The header, and where the numbers begin.
    fn parts(&self) -> (Value, usize) {
        let length = u64::from_le_bytes(self.weights[..8].try_into().unwrap()) as usize;
        (serde_json::from_slice(&self.weights[8..8 + length]).unwrap(), 8 + length)
    }

    fn write(&self, folder: &Path) {
        fs::write(folder.join("config.json"), &self.config).unwrap();
        fs::write(folder.join("tokenizer.json"), &self.tokenizer).unwrap();
        fs::write(folder.join("model.safetensors"), &self.weights).unwrap();
    }
}

/// Translates with the shipped model after `change`, in 3 GB of address space.
fn with(change: impl FnOnce(&mut Model)) -> Ran {
    let mut model = Model::shipped();
    change(&mut model);
    let folder = tempfile::tempdir().unwrap();
    model.write(folder.path());
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -v 3000000 && ulimit -c 0 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_regard")]);
    limited.args(["translate", "Good night.", "--model", text(folder.path())]);
    run(limited.env("RAYON_NUM_THREADS", "2").env("RUST_BACKTRACE", "0"))
}

#[test]
fn an_unharmed_copy_works() {
    with(|_| ()).succeeds();
}

#[test]
fn a_missing_file_is_named() {
    ran(&["translate", "Hi.", "--model", "/nowhere"]).fails(&["cannot read /nowhere/config.json"]);
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let folder = tempfile::tempdir().unwrap();
        Model::shipped().write(folder.path());
        fs::remove_file(folder.path().join(name)).unwrap();
        ran(&["translate", "Hi.", "--model", text(folder.path())]).fails(&["cannot read", name]);
    }
}

#[test]
fn truncated_weights_are_refused() {
    let (whole, numbers) = (Model::shipped().weights.len(), Model::shipped().parts().1);
    for length in [0, 4, 8, 100, numbers, numbers + 1000, whole / 2, whole - 1] {
        with(|model| model.weights.truncate(length)).fails(&["model.safetensors"]);
    }
    with(|model| model.weights.push(0)).fails(&["model.safetensors"]);
}

#[test]
fn a_header_that_lies_is_refused() {
    let refused = |said: &[&str], change: fn(&mut Value)| {
        with(|model| model.rewrite_header(change)).fails(&[&["model.safetensors"], said].concat());
    };
    with(|model| model.weights[..8].fill(0xff)).fails(&["model.safetensors", "header"]);
    with(|model| model.weights[8..40].fill(b'{')).fails(&["model.safetensors"]);
    refused(&["embedding", "shape"], |header| header["embedding"]["shape"].as_array_mut().unwrap().reverse());
    refused(&[], |header| header["embedding"]["shape"] = json!([1u64 << 63, 1u64 << 63]));
    refused(&[], |header| header["embedding"]["data_offsets"] = json!([0, u64::MAX]));
    refused(&[], |header| header["embedding"]["data_offsets"] = json!([u64::MAX - 1, 5]));
    refused(&["embedding"], |header| header["embedding"]["dtype"] = json!("I16"));
    refused(&["embedding is missing"], |header| {
        let entry = header["embedding"].take();
        let header = header.as_object_mut().unwrap();
        header.remove("embedding");
        header.insert("surprise".into(), entry);
    });
}

#[test]
fn numbers_that_are_none_are_refused() {
    with(|model| {
        let (header, numbers) = model.parts();
        let at = numbers + header["embedding"]["data_offsets"][0].as_u64().unwrap() as usize;
        // All ones is a NaN in every floating point format.
        model.weights[at..at + 4].fill(0xff);
    })
    .fails(&["tensor embedding", "element 0", "NaN"]);
}

#[test]
fn a_configuration_cannot_claim_what_the_weights_do_not_back() {
    for (field, value) in [
        ("vocabulary", json!(4_000_000_000u64)),
        ("vocabulary", json!(0)),
        ("vocabulary", json!(4e9)),
        ("width", json!(1u64 << 40)),
        ("width", json!(0)),
        ("width", json!(u64::MAX)),
        ("heads", json!(0)),
        ("heads", json!(3)),
        ("heads", json!(1u64 << 40)),
        ("inner", json!(0)),
        ("inner", json!(1u64 << 62)),
        ("encoder_layers", json!(0)),
        ("encoder_layers", json!(1_000_000)),
        ("decoder_layers", json!(1u64 << 63)),
        ("longest", json!(0)),
        ("longest", json!(2)),
        ("dropout", json!(5)),
        ("attention_dropout", json!(-1)),
        ("norm", json!("sideways")),
        ("architecture", json!("seq2seq")),
        ("architecture", json!("oracle")),
        ("specials", json!({"pad": 0, "begin": 1, "end": 4_000_000_000u64})),
        ("specials", json!(null)),
    ] {
        with(|model| model.configure(field, value)).fails(&[]);
    }
}

#[test]
fn narrow_layers_cannot_be_claimed_by_the_million() {
    with(|model| {
        for (field, value) in [("width", 1), ("heads", 1), ("inner", 2), ("encoder_layers", 1_300_000)] {
            model.configure(field, json!(value));
        }
    })
    .fails(&["the configuration needs at least"]);
}

#[test]
fn a_recurrent_configuration_is_held_to_the_same() {
    for (field, value) in [("hidden", 1u64 << 40), ("readout", 1 << 22), ("alignment", u64::MAX), ("embedded", 1 << 50)]
    {
        with(|model| {
            let mut config = json!({
                "architecture": "seq2seq", "decoding": "bahdanau", "vocabulary": 6000, "embedded": 1, "hidden": 1,
                "alignment": 1, "readout": 1, "dropout": 0.1, "longest": 100,
                "specials": { "pad": 0, "begin": 1, "end": 2 },
            });
            config[field] = json!(value);
            model.config = config.to_string().into_bytes();
        })
        .fails(&["model.safetensors"]);
    }
}

#[test]
fn text_files_that_are_cut_or_strange_are_refused() {
    let refused = |said: &str, change: fn(&mut Model)| drop(with(change).fails(&[said]));
    refused("config.json", |model| model.config.truncate(40));
    refused("config.json", |model| model.config.clear());
    refused("config.json", |model| model.config = b"[".repeat(1 << 20));
    refused("config.json", |model| model.config = b"\xff\xfe".to_vec());
    refused("tokenizer.json", |model| model.tokenizer.truncate(model.tokenizer.len() / 2));
    refused("tokenizer.json", |model| model.tokenizer.clear());
    refused("tokenizer.json", |model| model.tokenizer.fill(0xff));
    refused("tokenizer.json", |model| {
        model.tokenizer = br#"{"model":{"type":"BPE","vocab":{"a":4294967295},"merges":[]}}"#.to_vec();
    });
}
