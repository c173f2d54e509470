//! Training stopped at every step there is goes on to the same bits.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use regard_recipes::checkpoint;
use regard_recipes::presets::Preset;
use regard_recipes::train::pairs::{resume, start};
use regard_recipes::train::{Changes, Event, Metric, Outcome, Run};

const STEPS: u64 = 6;

/// Sentences of which a pass takes a few batches, so that runs stop inside a pass and between two.
fn write_data(folder: &Path) {
    let words = ["one", "two", "three", "four", "five", "six"];
    let pairs = (0..36).map(|at| {
        let (a, b) = (words[at / 6], words[at % 6]);
        format!("{a} {b}.\t{b} {a}.\n")
    });
    fs::write(folder.join("train.tsv"), pairs.collect::<String>()).unwrap();
    fs::write(folder.join("dev.tsv"), "five one.\tone five.\nfive two.\ttwo five.\n").unwrap();
}

/// Trains a small network; stops after the step `last`, if there is one.
fn train(folder: &Path, out: &Path, last: Option<u64>) -> Outcome {
    let stop = AtomicBool::new(false);
    let mut observe = |event: Event| {
        if let Event::Stepped { step, .. } = event {
            stop.store(Some(step) == last, Ordering::Relaxed);
        }
    };
    let mut training = Preset::Bahdanau.training();
    (training.steps, training.validate_every, training.max_tokens, training.augment) = (STEPS, 3, 120, 0.5);
    let architecture = |tokens| Preset::Bahdanau.architecture(tokens);
    start(folder, out, 300, architecture, training, &stop, &mut observe).unwrap()
}

/// What must be the same to the bit: all but the time that it took.
fn end(out: &Path) -> (impl PartialEq + use<>, Vec<Metric>, Vec<u8>) {
    let (adam, mut position) = checkpoint::load(&out.join(checkpoint::FILE)).unwrap();
    position.seconds = 0.0;
    let mut metrics: Vec<Metric> = fs::read_to_string(out.join("metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for metric in &mut metrics {
        if let Metric::Train { speed, .. } = metric {
            *speed = 0.0;
        }
    }
    ((adam, position), metrics, fs::read(out.join("model.safetensors")).unwrap())
}

#[test]
fn a_run_stopped_after_any_step_reaches_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    let undisturbed = folder.path().join("undisturbed");
    let whole = train(folder.path(), &undisturbed, None);
    assert!(!whole.interrupted && whole.step == STEPS);
    let expected = end(&undisturbed);
    let epochs: Vec<u64> = expected
        .1
        .iter()
        .filter_map(|metric| if let Metric::Train { epoch, .. } = metric { Some(*epoch) } else { None })
        .collect();
    assert!(epochs.windows(2).any(|two| two[0] == two[1]) && epochs[0] != epochs[5], "{epochs:?}");

    for last in 1..STEPS {
        let out = folder.path().join(last.to_string());
        let first = train(folder.path(), &out, Some(last));
        assert!(first.interrupted && first.step == last);
        let second = resume(&out, Changes::default(), &AtomicBool::new(false), &mut |_| ()).unwrap();
        assert_eq!((second.step, second.best, second.interrupted), (whole.step, whole.best, false));
        assert!(end(&out) == expected, "stopped after step {last}");
    }
}

#[test]
fn a_position_beyond_the_data_is_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    let out = folder.path().join("run");
    train(folder.path(), &out, Some(1));
    let file = out.join(checkpoint::FILE);
    let (adam, mut position) = checkpoint::load(&file).unwrap();
    position.batch = usize::MAX;
    checkpoint::save(&file, &adam, &position).unwrap();
    let outcome = resume(&out, Changes::default(), &AtomicBool::new(false), &mut |_| ()).unwrap();
    assert_eq!(outcome.step, STEPS);
}

/// Reads a run's options, changes them, and writes them back.
fn edit(out: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let file = out.join("run.json");
    let mut run = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    change(&mut run);
    fs::write(file, run.to_string()).unwrap();
}

#[test]
fn a_run_that_claims_to_be_huge_is_refused_before_memory_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    let out = folder.path().join("run");
    train(folder.path(), &out, Some(1));
    edit(&out, |run| run["architecture"]["hidden"] = 1_000_000_000u64.into());
    let message =
        |out: &Path| resume(out, Changes::default(), &AtomicBool::new(false), &mut |_| ()).unwrap_err().to_string();
    assert!(message(&out).contains("the configuration needs at least"));
    fs::remove_file(out.join(checkpoint::FILE)).unwrap();
    assert!(message(&out).contains("run.json"));
}

fn share(out: &Path) -> f32 {
    let run: Run = serde_json::from_str(&fs::read_to_string(out.join("run.json")).unwrap()).unwrap();
    run.training.augment
}

#[test]
fn extra_pairs_may_change_when_a_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    let begun = |name: &str| {
        let out = folder.path().join(name);
        train(folder.path(), &out, Some(2));
        // A run of before there were extra pairs does not name them.
        edit(&out, |run| _ = run["training"].as_object_mut().unwrap().remove("augment"));
        out
    };
    let go_on = |out: &Path, augment: Option<f32>, last: Option<u64>| {
        let stop = AtomicBool::new(false);
        let mut counts = None;
        let outcome = resume(out, Changes { augment, ..Changes::default() }, &stop, &mut |event| match event {
            Event::Started { amount, .. } => counts = Some((amount.examples, amount.extra)),
            Event::Stepped { step, .. } => stop.store(Some(step) == last, Ordering::Relaxed),
            Event::Validated { .. } => (),
        });
        outcome.map(|_| counts.unwrap())
    };
    let (plain, changed, stopped) = (begun("plain"), begun("changed"), begun("stopped"));
    for wrong in [-0.5, 2.0, f32::NAN] {
        let message = go_on(&plain, Some(wrong), None).unwrap_err().to_string();
        assert!(message.starts_with(&format!("augment is {wrong}, expected a share")), "{message}");
    }
    assert_eq!(go_on(&plain, None, None).unwrap(), (36, 0));
    assert_eq!(go_on(&changed, Some(0.25), None).unwrap().0, 36);
    assert!(end(&plain) != end(&changed));
    // The run keeps the change: what follows needs not name it again.
    go_on(&stopped, Some(0.25), Some(4)).unwrap();
    assert_eq!(go_on(&stopped, None, None).unwrap().0, 36);
    assert!(end(&stopped) == end(&changed));
    assert_eq!([&plain, &changed, &stopped].map(|out| share(out)), [0.0, 0.25, 0.25]);
}
