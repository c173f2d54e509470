//! `regard train graph` and `regard evaluate graph`, on a small graph of the recipes' tests.

use std::fs;
use std::path::{Path, PathBuf};

use super::process::{ran, text};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/tests/fixtures/planetoid")
}

/// A training with these options.
fn training(out: &Path, options: &[&str]) -> Vec<String> {
    let data = data();
    let given = ["train", "graph", "--data", text(&data), "--name", "tiny", "--out", text(out)];
    given.iter().chain(options).map(|&option| option.to_owned()).collect()
}

fn evaluate(model: &Path) -> super::process::Ran {
    ran(&["evaluate", "graph", "--data", text(&data()), "--name", "tiny", "--model", text(model)])
}

/// What a run comes to: its checkpoint's numbers and its model.
fn end(run: &Path) -> (Vec<u8>, Vec<u8>) {
    let bytes = fs::read(run.join("checkpoint.safetensors")).unwrap();
    // The header holds how many seconds it took.
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    (bytes[header..].to_vec(), fs::read(run.join("model.safetensors")).unwrap())
}

#[test]
fn labels_are_learned_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let said = ran(&training(&out, &["--steps", "150", "--validate-every", "50", "--rate", "0.02"])).succeeds();
    assert!(said.contains("150 steps in"), "{said}");
    let report = evaluate(&out).succeeds();
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines[0], "24 nodes, 25 edges, 7 features, 3 classes");
    assert!(lines[1].starts_with("train  100.0 % of the labels right (6 of 6 nodes), "), "{report}");
    assert!(lines[2].contains(" of 9 nodes), ") && lines[3].contains(" of 8 nodes), "), "{report}");
    let right: usize = lines[3].split(['(', ' ']).filter_map(|word| word.parse().ok()).next().unwrap();
    assert!(right >= 6, "chance is 8 / 3: {report}");
}

#[test]
fn interrupted_or_not_it_comes_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    ran(&training(&path("whole"), &["--steps", "20"])).succeeds();
    ran(&training(&path("parts"), &["--steps", "10"])).succeeds();
    ran(&["train", "graph", "--out", text(&path("parts")), "--resume", "--steps", "20"]).succeeds();
    assert!(end(&path("whole")) == end(&path("parts")));
}

#[test]
fn what_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let out = path("run");
    ran(&training(&out, &["--decay=-1"])).fails(&["decay is -1, expected a number of at least 0"]);
    ran(&training(&out, &["--rate", "0"])).fails(&["rate is 0"]);
    ran(&training(&out, &["--shards", "0"])).fails(&["shards is 0"]);
    ran(&["train", "graph", "--data", text(&data()), "--out", text(&out)]).fails(&["cannot read", "ind.cora."]);
    assert!(!out.exists());
    ran(&["train", "graph", "--out", text(&out), "--resume"]).fails(&["cannot read", "run.json"]);
    ran(&["train", "graph", "--out", text(&out), "--resume", "--name", "tiny"]).misused("--name");
    ran(&training(&out, &["--steps", "1"])).succeeds();
    ran(&training(&out, &["--steps", "1"])).fails(&["already holds a run"]);
    evaluate(&path("none")).fails(&["cannot read", "config.json"]);
    fs::write(path("file"), "no weights").unwrap();
    evaluate(&path("file")).fails(&["not a safetensors file"]);
    let config = out.join("config.json");
    let kept = fs::read_to_string(&config).unwrap();
    fs::write(&config, kept.replace("\"classes\": 3", "\"classes\": 3000000000")).unwrap();
    evaluate(&out).fails(&["bytes of weights, the configuration needs at least"]);
    fs::write(&config, kept.replace("\"heads\": 8", "\"heads\": 0")).unwrap();
    evaluate(&out).fails(&["heads is 0, expected at least 1"]);
}
