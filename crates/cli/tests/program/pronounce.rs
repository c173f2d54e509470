//! `regard train g2p`, `regard evaluate g2p` and `regard pronounce`: from a dictionary to phonemes.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::process::{Ran, ran, shipped, text};

struct Place(TempDir);

impl Place {
    /// A dictionary of words that are spoken as they are spelt.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let letters = ["AB", "BO", "CA", "DI", "EL", "FU"];
        let spoken = ["AE1 B", "B OW", "K AH", "D IY", "EH L", "F UW"];
        let mut train = String::from(";;; a comment\n\n");
        for at in 0..216 {
            let [a, b, c] = [at / 36, at / 6 % 6, at % 6];
            train +=
                &format!("{}{}{}\t{} {} {}\n", letters[a], letters[b], letters[c], spoken[a], spoken[b], spoken[c]);
        }
        fs::write(folder.path().join("data/a.train"), train).unwrap();
        fs::write(folder.path().join("data/a.ref"), "ABBO\tAE B B OW\tAA B OW\nCADI(2)\tK AH D IY\n").unwrap();
        Place(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn train(&self) -> Ran {
        let (data, out) = (self.path("data"), self.path("run"));
        let size = ["--steps", "3", "--max-tokens", "300"];
        ran(&[&["train", "g2p", "--data", text(&data), "--out", text(&out)][..], &size].concat())
    }
}

#[test]
fn a_dictionary_becomes_a_speller_that_is_measured_and_drawn() {
    let place = Place::new();
    place.train().succeeds();
    let (model, data, page) = (place.path("run"), place.path("data"), place.path("a.html"));
    let out = ran(&["evaluate", "g2p", "--model", text(&model), "--data", text(&data)]).succeeds();
    assert!(out.starts_with("WER ") && out.contains("of 2 words") && out.contains("\nPER "), "{out}");

    let out = ran(&["pronounce", "Cadi", "--model", text(&model), "--html", text(&page)]).succeeds();
    assert!(out.starts_with("Cadi\t") && out.contains("attention weight"), "{out}");
    assert!(fs::read_to_string(page).unwrap().contains("Cadi"));
    let quiet = ran(&["pronounce", "-q", "abbo", "CADI", "--model", text(&model)]).succeeds();
    assert!(quiet.lines().map(|line| line.split('\t').next().unwrap()).eq(["abbo", "CADI"]), "{quiet}");
    let json = ran(&["pronounce", "--json", "abbo", "--model", text(&model)]).succeeds();
    let object: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(object["source"], "abbo");
}

#[test]
fn a_speller_comes_with_the_program() {
    let out = ran(&["pronounce", "-q", "attention", "map"]).succeeds();
    assert_eq!(out, "attention\tAH T EH N SH AH N\nmap\tM AE P\n");
    let drawn = ran(&["pronounce", "cat"]).succeeds();
    assert!(drawn.starts_with("cat\tK AE T") && drawn.contains("attention weight"), "{drawn}");
}

#[test]
fn what_it_cannot_pronounce_it_says() {
    let place = Place::new();
    place.train().succeeds();
    let model = place.path("run");
    let pronounced = |word: &str| ran(&["pronounce", word, "--model", text(&model)]);
    pronounced("ab9").fails(&["\"ab9\"", "'9'"]);
    pronounced("a b").fails(&["' '"]);
    pronounced(" ").fails(&["blank"]);
    pronounced(&"ab".repeat(100)).fails(&["200 tokens long"]);
    ran(&["pronounce"]).misused("WORDS");
    ran(&["pronounce", "ab", "--model", text(&shipped())]).fails(&["which reads text"]);

    let with = |part: &str, bytes: &[u8], said: &[&str]| {
        let file = place.path("data").join(part);
        let before = fs::read(&file).unwrap();
        fs::write(&file, bytes).unwrap();
        fs::remove_dir_all(&model).unwrap_or_default();
        place.train().fails(said);
        fs::write(&file, before).unwrap();
    };
    with("a.train", b"AB\tAE B\nBO B OW\n", &["a.train, line 2: no tab"]);
    with("a.train", b"AB\t \n", &["a.train, line 1", "empty"]);
    with("a.train", b"A B\tAE B\n", &["a.train, line 1: expected one word"]);
    with("a.ref", b"AB\t1\n", &["a.ref, line 1", "without a letter"]);
    with("a.train", b"", &["no training pair"]);
}
