//! `regard evaluate translate`: scores with their signatures.

use std::fs;
use std::path::PathBuf;

use super::process::{Ran, ran, text};

/// A file with these bytes, in a folder that lives as long as the first value.
fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pairs.tsv");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn evaluated(bytes: &[u8], options: &[&str]) -> Ran {
    let (_folder, path) = file(bytes);
    ran(&[&["evaluate", "translate", "--data", text(&path)][..], options].concat())
}

#[test]
fn scores_come_with_signatures_and_speed() {
    let out = evaluated(b"Hi.\tSalut.\nHi.\tSalut !\nGood night.\tBonne nuit.\n", &[]).succeeds();
    assert!(out.contains("BLEU|nrefs:") && out.contains("tok:13a|smooth:exp"), "{out}");
    assert!(out.contains("chrF2|nrefs:") && out.contains("nc:6|nw:0|space:no"), "{out}");
    assert!(out.contains("2 sentences in ") && out.trim_end().ends_with("a second"), "{out}");
}

#[test]
fn what_the_model_says_itself_scores_100() {
    let sentences = ["I am very tired tonight.", "Where is the station, please?", "My father works in a bank."];
    let pairs: String = sentences
        .iter()
        .map(|sentence| format!("{sentence}\t{}", ran(&["translate", "-q", sentence]).succeeds()))
        .collect();
    let out = evaluated(pairs.as_bytes(), &[]).succeeds();
    assert!(out.contains(" = 100.00 100.0/100.0/100.0/100.0 (BP = 1.000"), "{out}");
    assert!(out.lines().any(|line| line.starts_with("chrF2") && line.ends_with("= 100.00")), "{out}");
}

#[test]
fn hypotheses_are_written_beside_their_references() {
    let (folder, path) = file(b"Hi.\tSalut.\nHi.\tSalut !\nGood night.\tBonne nuit.\n");
    let output = folder.path().join("out.tsv");
    let arguments = ["evaluate", "translate", "--data", text(&path), "--limit", "1", "--output", text(&output)];
    let out = ran(&arguments).succeeds();
    assert!(out.contains("1 sentences in "), "{out}");
    let lines = fs::read_to_string(&output).unwrap();
    let columns: Vec<&str> = lines.trim_end().split('\t').collect();
    assert_eq!((columns.len(), columns[0], &columns[2..]), (4, "Hi.", &["Salut.", "Salut !"][..]));
    let missing = ["evaluate", "translate", "--data", text(&path), "--output", "/nowhere/out.tsv"];
    ran(&missing).fails(&["/nowhere/out.tsv"]);
}

#[test]
fn data_that_cannot_be_used_are_named() {
    ran(&["evaluate", "translate", "--data", "/nowhere.tsv"]).fails(&["cannot read /nowhere.tsv"]);
    evaluated(b"", &[]).fails(&["at least one pair"]);
    evaluated(b"Hi.\tSalut.\nno tab\n", &[]).fails(&["pairs.tsv, line 2: no tab"]);
    evaluated(b"Hi.\tSalut.\n\tSalut.\n", &[]).fails(&["pairs.tsv, line 2: ", "empty"]);
    evaluated(b"Hi.\tSalut\xff.\n", &[]).fails(&["pairs.tsv, line 1: ", "UTF-8"]);
    evaluated(b"Hi.\tSalut.\n", &["--model", "/nowhere"]).fails(&["/nowhere/config.json"]);
    evaluated(b"Hi.\tSalut.\n", &["--limit", "0"]).fails(&["at least one pair"]);
    let folder = tempfile::tempdir().unwrap();
    ran(&["evaluate", "translate", "--data", text(folder.path())]).fails(&[text(folder.path()), "no train.tsv"]);
}

#[test]
fn a_folder_has_parts() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["train", "dev", "test"] {
        fs::write(folder.path().join(format!("{part}.tsv")), "Hi.\tSalut.\n").unwrap();
    }
    let part = |name| ran(&["evaluate", "translate", "--data", text(folder.path()), "--split", name]);
    part("dev").succeeds();
    part("test").succeeds();
    part("test.2031").fails(&["no part \"test.2031\"; it has train, dev, test"]);
}
