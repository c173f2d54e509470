//! `regard train copy`, `recall` and the other made-up tasks: every way runs, is measured, and goes on after a kill.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::process::{ran, regard, run, text};

const TASKS: [&str; 7] = ["copy", "recall", "questions", "reverse", "transcribe", "track", "needle"];

#[test]
fn every_way_of_every_task_runs_and_all_are_drawn_together() {
    let folder = tempfile::tempdir().unwrap();
    for task in TASKS {
        let out = folder.path().join(task);
        let all = ["train", task, "--attention", "all", "--out", text(&out), "--rows", "4", "--steps", "2"];
        let said = ran(&all).succeeds();
        let ways: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path()).collect();
        let ways: Vec<_> = ways.iter().filter(|path| path.is_dir()).collect();
        let picture = fs::read_to_string(out.join("accuracy.svg")).unwrap();
        assert_eq!(said.matches("% of the answers right at step 2").count(), ways.len(), "{said}");
        assert_eq!(picture.matches("<polyline").count(), ways.len(), "{picture}");
        for way in ways {
            for name in ["checkpoint.safetensors", "loss.svg", "metrics.jsonl", "model.safetensors", "run.json"] {
                assert!(way.join(name).exists(), "{way:?}, {name}");
            }
        }
        ran(&[&all[..], &["--resume"]].concat()).misused("--rows");
        ran(&["train", task, "--attention", "all", "--out", text(&out), "--resume"]).succeeds();
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
#[cfg(unix)]
fn killed_it_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let training = |out: &str| {
        let options = ["--attention", "sampled", "--rows", "8", "--steps", "300", "--validate-every", "20"];
        regard(&[&["train", "needle", "--out", text(&path(out))][..], &options].concat())
    };
    run(&mut training("undisturbed")).succeeds();
    let mut killed = training("killed").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while !path("killed/checkpoint.safetensors").exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "no checkpoint appeared");
        sleep(Duration::from_millis(1));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let resumed = ran(&["train", "needle", "--out", text(&path("killed")), "--resume"]);
    assert!(resumed.succeeds().contains("300 steps in"));
    assert!(end(&path("killed")) == end(&path("undisturbed")));
}

#[test]
fn what_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let with = |options: &[&str]| ran(&[&["train", "recall", "--out", text(&out)][..], options].concat());
    with(&["--attention", "soft"]).fails(&["attention is soft, expected one of hopfield, lstm, mega"]);
    with(&["--steps", "0"]).fails(&["steps is 0"]);
    with(&["--rows", "0"]).fails(&["rows is 0"]);
    with(&["--rate=-1"]).fails(&["rate is -1"]);
    with(&["--shards", "0"]).fails(&["shards is 0"]);
    assert!(!out.exists());
    with(&["--resume"]).fails(&["cannot read", "run.json"]);
    with(&["--steps", "1"]).succeeds();
    with(&["--steps", "1"]).fails(&["already holds a run"]);
    with(&["--resume", "--attention", "mega"]).fails(&["--attention", "as it began"]);
    ran(&["train", "copy", "--out", text(&out), "--resume"]).fails(&["a run of the task recall, expected one of copy"]);
    let file = out.join("run.json");
    let options = fs::read_to_string(&file).unwrap();
    fs::write(&file, options.replace("hopfield", "sampled")).unwrap();
    with(&["--resume"]).fails(&["attention is sampled"]);
    fs::write(&file, options.replace("hopfield", "lstm")).unwrap();
    with(&["--resume", "--steps", "2"]).fails(&["checkpoint.safetensors", "is missing"]);
}

#[test]
fn without_a_folder_it_takes_one_of_its_name() {
    let folder = tempfile::tempdir().unwrap();
    run(regard(&["train", "track", "--steps", "1", "--rows", "2"]).current_dir(folder.path())).succeeds();
    assert!(folder.path().join("track/run.json").exists());
}
