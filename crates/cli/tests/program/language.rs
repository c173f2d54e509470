//! `regard train charlm` and `regard generate`: a run, its text, and going on after a kill.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use regard_explain::Trace;
use tempfile::TempDir;

use super::process::{Ran, full, ran, regard, run, text};

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let place = Place(folder);
        fs::write(place.path("data/input.txt"), "the cat sat on the mat, and so did the dog.\n".repeat(60)).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn training(&self, out: &str, options: &[&str]) -> Command {
        let (data, out) = (self.path("data"), self.path(out));
        let mut command = regard(&["train", "charlm", "--data", text(&data), "--out", text(&out)]);
        command.args(["--context", "16", "--rows", "4"]).args(options);
        command
    }

    fn resume(&self, out: &str) -> Ran {
        ran(&["train", "charlm", "--out", text(&self.path(out)), "--resume"])
    }
}

/// What a run comes to: its checkpoint's numbers and its model.
fn end(run: &Path) -> (Vec<u8>, Vec<u8>) {
    let bytes = fs::read(run.join("checkpoint.safetensors")).unwrap();
    // The header holds how many seconds it took.
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    (bytes[header..].to_vec(), fs::read(run.join("model.safetensors")).unwrap())
}

#[test]
fn a_run_learns_and_writes() {
    let place = Place::new();
    run(&mut place.training("run", &["--steps", "60", "--validate-every", "30"])).succeeds();
    let model = place.path("run");
    let losses: Vec<f64> = fs::read_to_string(model.join("metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|metric| metric["kind"] == "dev")
        .map(|metric| metric["loss"].as_f64().unwrap())
        .collect();
    assert!(losses.len() == 2 && losses[1] < 0.9 * losses[0], "{losses:?}");
    for name in ["checkpoint.safetensors", "config.json", "characters.txt", "loss.svg", "metrics.jsonl", "run.json"] {
        assert!(model.join(name).exists(), "{name}");
    }
    let generated = |options: &[&str]| ran(&[&["generate", text(&model), "the "][..], options].concat());
    let ran_once = generated(&["--tokens", "50"]);
    assert!(ran_once.err.contains("50 tokens in ") && ran_once.err.trim_end().ends_with("a second"), "{ran_once:?}");
    let written = ran_once.succeeds();
    assert!(written.starts_with("the ") && written.strip_suffix('\n').unwrap().chars().count() == 54, "{written:?}");
    assert_eq!(generated(&["--tokens", "50"]).succeeds(), written);
    assert_ne!(generated(&["--tokens", "50", "--seed", "2"]).succeeds(), written);
    let likely = generated(&["--tokens", "5", "--temperature", "0"]).succeeds();
    assert_eq!(generated(&["--tokens", "5", "--top-k", "1"]).succeeds(), likely);
    // Beyond the context it goes on with what it still sees.
    generated(&["--tokens", "1"]).succeeds();
    ran(&["generate", text(&model), &"the cat ".repeat(20), "--tokens", "40"]).succeeds();
}

#[test]
fn what_it_looked_at_is_drawn() {
    let place = Place::new();
    run(&mut place.training("run", &["--steps", "2"])).succeeds();
    let (model, page, picture, trace) =
        (place.path("run"), place.path("a.html"), place.path("a.svg"), place.path("a.safetensors"));
    let files = ["--html", text(&page), "--svg", text(&picture), "--trace", text(&trace)];
    ran(&[&["generate", text(&model), "the", "--tokens", "5"][..], &files].concat()).succeeds();
    assert!(fs::read_to_string(&page).unwrap().contains("<html"));
    assert!(fs::read_to_string(&picture).unwrap().starts_with("<svg"));
    let trace = Trace::load(&trace).unwrap();
    assert_eq!((trace.sites().len(), trace.queries(&trace.sites()[0]).len()), (4, 8));
}

#[test]
#[cfg(unix)]
fn killed_it_goes_on_to_the_same_bits() {
    let place = Place::new();
    let options = ["--steps", "40", "--validate-every", "4"];
    run(&mut place.training("undisturbed", &options)).succeeds();
    let mut killed = place.training("killed", &options).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while !place.path("killed/checkpoint.safetensors").exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "no checkpoint appeared");
        sleep(Duration::from_millis(1));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(place.resume("killed").succeeds().contains("40 steps in"));
    assert!(end(&place.path("killed")) == end(&place.path("undisturbed")));
}

#[test]
fn what_cannot_be_used_is_named() {
    let place = Place::new();
    let with = |options: &[&str]| run(&mut place.training("run", options));
    with(&["--steps", "0"]).fails(&["steps is 0"]);
    run(place.training("run", &[]).args(["--help"])).succeeds();
    with(&["--shards", "0"]).fails(&["shards is 0"]);
    with(&["--rate", "nan"]).fails(&["rate is NaN"]);
    assert!(!place.path("run").exists());
    place.resume("nowhere").fails(&["cannot read", "run.json"]);

    run(&mut place.training("model", &["--steps", "1"])).succeeds();
    let model = place.path("model");
    let generated = |options: &[&str]| ran(&[&["generate", text(&model)][..], options].concat());
    generated(&["the €"]).fails(&["'€'", "characters of the training text"]);
    generated(&[""]).fails(&["prompt: empty"]);
    generated(&["the", "--tokens", "0"]).misused("--tokens");
    generated(&["the", "--top-k", "0"]).fails(&["top_k is 0"]);
    generated(&["the", "--temperature=-1"]).misused("--temperature");
    ran(&["generate", "/nowhere", "the"]).fails(&["/nowhere/config.json"]);
    run(regard(&["generate", text(&model), "the"]).stdout(full())).fails(&["standard output", "No space left"]);
    let weights = model.join("model.safetensors");
    let whole = fs::read(&weights).unwrap();
    for length in [0, 100, whole.len() - 1] {
        fs::write(&weights, &whole[..length]).unwrap();
        generated(&["the"]).fails(&["model.safetensors"]);
    }
    fs::write(&weights, whole).unwrap();
    fs::write(model.join("characters.txt"), "ab").unwrap();
    generated(&["a"]).fails(&["its vocabulary 2"]);

    fs::write(place.path("data/input.txt"), "another text ".repeat(200)).unwrap();
    place.resume("model").fails(&["has changed since the run began"]);
    fs::write(place.path("data/input.txt"), "too short").unwrap();
    with(&[]).fails(&["input.txt: 9 characters, expected more than"]);
    fs::write(place.path("data/input.txt"), b"a\xff").unwrap();
    with(&[]).fails(&["input.txt: byte 2 is not UTF-8"]);
    fs::remove_file(place.path("data/input.txt")).unwrap();
    with(&[]).fails(&["cannot read", "input.txt"]);
}
