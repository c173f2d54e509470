//! `regard train translate`: a run's folder, what is refused, and going on after a kill.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::process::{Ran, full, ran, regard, run, text};

const ENGLISH: [&str; 10] = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
const FRENCH: [&str; 10] = ["un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix"];

/// A folder with `data`, pairs of number words and their translations in reverse, and room for runs.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let pair = |at: usize| {
            let (a, b) = (at / 10 % 10, at % 10);
            format!("{} {}\t{} {}\n", ENGLISH[a], ENGLISH[b], FRENCH[b], FRENCH[a])
        };
        fs::write(data.join("train.tsv"), (0..60).map(pair).collect::<String>()).unwrap();
        fs::write(data.join("dev.tsv"), (60..70).map(pair).collect::<String>()).unwrap();
        Place(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The command that trains in the folder `out`, without steps and validations.
    fn training(&self, out: &str, options: &[&str]) -> Command {
        let (data, out) = (self.path("data"), self.path(out));
        let mut command = regard(&["train", "translate", "--data", text(&data), "--out", text(&out)]);
        command.args(["--max-tokens", "300", "--vocabulary", "400"]).args(options);
        command
    }

    fn tiny(&self, out: &str) -> Ran {
        run(&mut self.training(out, &["--preset", "tiny", "--steps", "6", "--validate-every", "2"]))
    }

    fn resume(&self, out: &str) -> Ran {
        ran(&["train", "translate", "--out", text(&self.path(out)), "--resume"])
    }
}

/// A run's checkpoint: its tensors with their numbers, and its position without the seconds.
fn checkpoint(run: &Path) -> (Value, Vec<u8>, Value) {
    let bytes = fs::read(run.join("checkpoint.safetensors")).unwrap();
    let numbers = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..numbers]).unwrap();
    let metadata = header.as_object_mut().unwrap().remove("__metadata__").unwrap();
    let mut position: Value = serde_json::from_str(metadata["position"].as_str().unwrap()).unwrap();
    position.as_object_mut().unwrap().remove("seconds");
    (header, bytes[numbers..].to_vec(), position)
}

/// A run's metrics without its speed.
fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let parse = |line| {
        let mut metric: Value = serde_json::from_str(line).unwrap();
        metric.as_object_mut().unwrap().remove("speed");
        metric
    };
    text.lines().map(parse).collect()
}

/// Two runs that came to the same end, to the bit.
#[track_caller]
fn assert_same(one: &Path, other: &Path) {
    assert!(checkpoint(one) == checkpoint(other), "the checkpoints differ");
    assert_eq!(metrics(one), metrics(other));
    for name in ["model.safetensors", "config.json", "tokenizer.json"] {
        assert!(fs::read(one.join(name)).unwrap() == fs::read(other.join(name)).unwrap(), "{name} differs");
    }
}

#[test]
fn a_run_leaves_a_model_a_checkpoint_metrics_and_a_curve() {
    let place = Place::new();
    let out = place.tiny("run").succeeds();
    assert!(out.contains("step 2: development loss") && out.contains("6 steps in"), "{out}");
    let run = place.path("run");
    let mut names: Vec<_> =
        fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let expected = ["checkpoint.safetensors", "config.json", "loss.svg", "metrics.jsonl", "model.safetensors"];
    assert_eq!(names, [&expected[..], &["run.json", "tokenizer.json"]].concat());
    assert!(fs::read_to_string(run.join("loss.svg")).unwrap().starts_with("<svg"));
    let metrics = metrics(&run);
    let steps = |kind: &str| -> Vec<u64> {
        metrics.iter().filter(|line| line["kind"] == kind).map(|line| line["step"].as_u64().unwrap()).collect()
    };
    assert_eq!((steps("train"), steps("dev")), (vec![1, 2, 3, 4, 5, 6], vec![2, 4, 6]));
    assert!(metrics.iter().all(|line| line["loss"].as_f64().is_some_and(|loss| (0.0..20.0).contains(&loss))));
    ran(&["translate", "two three", "--model", text(&run)]).succeeds();
    // Nothing to do is done at once; another start is refused.
    assert!(place.resume("run").succeeds().contains("6 steps in"));
    place.tiny("run").fails(&["already holds a run", "--resume"]);
}

#[test]
fn every_preset_learns_and_translates() {
    let place = Place::new();
    for preset in ["small", "bahdanau", "luong"] {
        run(&mut place.training(preset, &["--preset", preset, "--steps", "2"])).succeeds();
        let model = place.path(preset);
        let out = ran(&["translate", "two three", "--beam", "2", "--model", text(&model)]).succeeds();
        assert!(out.contains("attention weight"), "{preset}: {out}");
    }
}

#[test]
fn data_that_cannot_be_used_are_named_and_leave_no_run() {
    let place = Place::new();
    let good = fs::read(place.path("data/train.tsv")).unwrap();
    let with = |part: &str, bytes: &[u8], said: &[&str]| {
        let file = place.path("data").join(part);
        let before = fs::read(&file).unwrap();
        fs::write(&file, bytes).unwrap();
        place.tiny("run").fails(said);
        fs::write(&file, before).unwrap();
    };
    with("train.tsv", &[&good, &b"no tab\n"[..]].concat(), &["train.tsv, line 61: no tab"]);
    with("train.tsv", b"one\tun\n\tdeux\n", &["train.tsv, line 2: the source", "empty"]);
    with("train.tsv", b"one\tun\ntwo\t \n", &["train.tsv, line 2: the target", "empty"]);
    with("train.tsv", b"one\tun\ntwo\tde\xffux\n", &["train.tsv, line 2: byte 7 is not UTF-8"]);
    with("dev.tsv", b"one\tun\n\ntwo\tdeux\n", &["dev.tsv, line 2: no tab"]);
    with("train.tsv", b"", &["no training pair"]);
    with("dev.tsv", b"", &["no development pair"]);
    with("train.tsv", "one ".repeat(300).replacen(' ', "\t", 1).as_bytes(), &["no training pair"]);
    fs::remove_file(place.path("data/dev.tsv")).unwrap();
    place.tiny("run").fails(&["cannot read", "dev.tsv"]);
    fs::remove_dir_all(place.path("data")).unwrap();
    place.tiny("run").fails(&["cannot read", "data"]);
    assert!(!place.path("run").exists());
}

#[test]
fn options_outside_their_ranges_are_refused_and_leave_no_run() {
    let place = Place::new();
    let data = place.path("data");
    let with = |options: &[&str]| {
        let out = place.path("run");
        ran(&[&["train", "translate", "--data", text(&data), "--out", text(&out), "--preset", "tiny"][..], options]
            .concat())
    };
    with(&["--steps", "0"]).fails(&["steps is 0, expected at least 1"]);
    with(&["--validate-every", "0"]).fails(&["at least 1"]);
    with(&["--rate", "0"]).fails(&["rate is 0"]);
    with(&["--rate", "nan"]).fails(&["rate is NaN"]);
    with(&["--augment", "1.5"]).fails(&["augment is 1.5, expected a share of extra pairs from 0 to 1"]);
    with(&["--shards", "0"]).fails(&["shards is 0"]);
    with(&["--shards", "1000"]).fails(&["shards is 1000"]);
    with(&["--vocabulary", "10"]).fails(&["is 10, expected at least"]);
    with(&["--max-tokens", "10"]).fails(&["max_tokens is 10, expected more than"]);
    with(&["--steps=-1"]).misused("--steps");
    assert!(!place.path("run").exists());
    run(&mut place.training("run", &["--preset", "huge"])).fails(&["huge", "tiny, small, bahdanau, luong, g2p"]);
    for out in ["/proc/run", "/dev/null/run"] {
        let refused = ["train", "translate", "--data", text(&data), "--out", out, "--preset", "tiny"];
        ran(&[&refused[..], &["--vocabulary", "400"]].concat()).fails(&["cannot create", out]);
    }
}

#[test]
fn a_loss_that_is_no_number_ends_the_run() {
    let place = Place::new();
    let options = ["--preset", "tiny", "--steps", "20", "--rate", "1e38", "--warmup", "1"];
    run(&mut place.training("run", &options)).fails(&["the loss is", "--rate"]);
}

#[test]
fn a_log_that_is_full_does_not_stop_training() {
    let place = Place::new();
    let mut command = place.training("run", &["--preset", "tiny", "--steps", "2", "--validate-every", "1"]);
    run(command.stdout(full())).fails(&["standard output", "No space left"]);
    assert_eq!(checkpoint(&place.path("run")).2["step"], 2);
}

/// Trains long enough to be disturbed.
const DISTURBED: [&str; 6] = ["--preset", "tiny", "--steps", "40", "--validate-every", "4"];

/// Starts training and waits for its first checkpoint.
fn started(place: &Place, out: &str) -> Child {
    let mut command = place.training(out, &DISTURBED);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while !place.path(out).join("checkpoint.safetensors").exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "no checkpoint appeared");
        sleep(Duration::from_millis(1));
    }
    child
}

#[test]
#[cfg(unix)]
fn killed_or_interrupted_it_goes_on_to_the_same_bits() {
    use std::os::unix::process::ExitStatusExt;
    let place = Place::new();
    run(&mut place.training("undisturbed", &DISTURBED)).succeeds();

    let mut killed = started(&place, "killed");
    killed.kill().unwrap();
    assert_eq!(killed.wait().unwrap().signal(), Some(9), "it ended before it could be killed");
    assert!(place.resume("killed").succeeds().contains("40 steps in"));
    assert_same(&place.path("killed"), &place.path("undisturbed"));

    let interrupted = started(&place, "interrupted");
    let pid = interrupted.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = interrupted.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()), "{said}");
    assert!(said.contains("stopped at step") && said.contains("--resume"), "{said}");
    place.resume("interrupted").succeeds();
    assert_same(&place.path("interrupted"), &place.path("undisturbed"));
}

#[test]
fn what_cannot_go_on_is_refused() {
    let place = Place::new();
    place.resume("nowhere").fails(&["cannot read", "run.json"]);
    place.tiny("run").succeeds();
    let run = place.path("run");
    let more = |steps| ran(&["train", "translate", "--out", text(&run), "--resume", "--steps", steps]);
    // A refusal leaves the run as it was.
    more("0").fails(&["steps is 0"]);
    ran(&["train", "translate", "--out", text(&run), "--resume", "--augment", "nan"]).fails(&["augment is NaN"]);
    place.resume("run").succeeds();

    let file = run.join("checkpoint.safetensors");
    let whole = fs::read(&file).unwrap();
    for length in [0, 7, 1000, whole.len() - 1] {
        fs::write(&file, &whole[..length]).unwrap();
        more("8").fails(&["checkpoint.safetensors"]);
    }
    fs::copy(run.join("model.safetensors"), &file).unwrap();
    more("8").fails(&["checkpoint.safetensors", "not a checkpoint"]);
    super::process::run(&mut place.training("other", &["--preset", "luong", "--steps", "1"])).succeeds();
    fs::copy(place.path("other/checkpoint.safetensors"), &file).unwrap();
    more("8").fails(&["checkpoint.safetensors", "is missing"]);
    fs::write(&file, whole).unwrap();

    let pairs = place.path("data/train.tsv");
    let before = fs::read(&pairs).unwrap();
    fs::write(&pairs, b"one two\tdeux un\n").unwrap();
    more("8").fails(&["has changed since the run began"]);
    fs::write(&pairs, before).unwrap();
    assert!(more("8").succeeds().contains("8 steps in"));
}

#[test]
fn a_run_goes_on_from_any_folder() {
    let place = Place::new();
    let options = ["--preset", "tiny", "--steps", "1", "--max-tokens", "300", "--vocabulary", "400"];
    let mut command = regard(&["train", "translate", "--data", "data", "--out", "run"]);
    run(command.args(options).current_dir(place.0.path())).succeeds();
    place.resume("run").succeeds();
}
