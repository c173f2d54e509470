//! Made-up tasks: the answers are those of the examples, and every way learns some of them in a few steps.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;

use regard_recipes::data::random::SplitMix64;
use regard_recipes::tasks::{Example, Task, Way, needle, questions, recall, reverse, track, transcribe};
use regard_recipes::train::tasks::{TaskTraining, begin, go_on};
use regard_recipes::train::{Changes, Event};

/// Batches of a few seeds.
fn batches(task: Task) -> Vec<Vec<Example>> {
    (0..200).map(|seed| task.examples(16, &mut SplitMix64::keyed(&[seed]))).collect()
}

/// Checks every example of many batches.
fn each(task: Task, check: impl Fn(&Example)) {
    let batches = batches(task);
    assert!(batches == self::batches(task), "the same seeds make the same examples");
    assert!(batches.iter().flatten().map(|example| &example.given).collect::<HashSet<_>>().len() > 1000);
    for batch in &batches {
        let sizes = |example: &Example| (example.given.len(), example.answers.len());
        assert!(batch.len() == 16 && batch.iter().all(|example| sizes(example) == sizes(&batch[0])));
        batch.iter().for_each(&check);
    }
}

#[test]
fn a_copy_is_the_bits_of_the_bytes() {
    each(Task::Copy, |Example { given, answers }| {
        let byte = |bits: &[u32]| bits.iter().rev().fold(0, |byte, bit| 2 * byte + bit);
        assert_eq!(*given, answers.chunks(8).map(byte).collect::<Vec<_>>());
    });
    let lengths: HashSet<usize> = batches(Task::Copy).iter().map(|batch| batch[0].given.len()).collect();
    assert_eq!(lengths, (1..=8).collect::<HashSet<usize>>());
}

#[test]
fn the_value_of_a_key_stands_beside_it_once() {
    each(Task::Recall, |Example { given, answers }| {
        let (asked, pairs) = given.split_last().unwrap();
        let values: HashMap<u32, u32> = pairs.chunks(2).map(|pair| (pair[0], pair[1])).collect();
        assert_eq!(values.len(), recall::PAIRS);
        assert!(values.keys().all(|&key| (key as usize) < recall::KEYS));
        assert_eq!(values[asked] as usize, recall::KEYS + answers[0] as usize);
    });
}

#[test]
fn a_thing_is_where_its_holder_went_last() {
    let first_place = questions::PEOPLE as u32;
    each(Task::Questions, |Example { given, answers }| {
        let (asked, facts) = given.split_last().unwrap();
        let mut known = HashMap::new();
        for fact in facts.chunks(2) {
            known.insert(fact[0], fact[1]);
        }
        assert_eq!(facts.len(), 2 * questions::FACTS);
        assert_eq!(known[&known[asked]], first_place + answers[0]);
        let taken = facts.chunks(2).filter(|fact| fact[0] as usize >= questions::PEOPLE + questions::PLACES);
        assert_eq!(taken.count(), questions::THINGS);
    });
}

#[test]
fn a_reversal_is_the_sequence_from_its_end() {
    each(Task::Reverse, |Example { given, answers }| {
        assert!((reverse::SHORTEST..=reverse::LONGEST).contains(&given.len()));
        assert_eq!(given.iter().rev().copied().collect::<Vec<_>>(), *answers);
    });
}

#[test]
fn sounds_last_and_come_again() {
    each(Task::Transcribe, |Example { given, answers }| {
        let sounds: Vec<&[u32]> = given.chunk_by(|a, b| a == b).collect();
        assert_eq!(sounds.iter().map(|frames| frames[0]).collect::<Vec<_>>(), *answers);
        assert!(sounds.iter().all(|frames| frames.len() <= transcribe::LONGEST));
        assert_eq!((given.len(), answers.len()), (transcribe::FRAMES, transcribe::SAID));
        assert!(answers.iter().any(|sound| answers.iter().filter(|other| *other == sound).count() > 1));
    });
}

#[test]
fn many_glimpses_say_what_one_does_not() {
    let (mut last, mut most, mut all) = (0, 0, 0);
    for Example { given, answers } in batches(Task::Track).iter().flatten() {
        let (symbols, glimpses) = given.split_at(track::PLACES);
        assert_eq!(glimpses.len(), track::GLIMPSES);
        let times = |place: usize| glimpses.iter().filter(|&&glimpse| glimpse as usize == place).count();
        let often = (0..track::PLACES).max_by_key(|&place| times(place)).unwrap();
        all += 1;
        last += usize::from(symbols[*glimpses.last().unwrap() as usize] == answers[0]);
        most += usize::from(symbols[often] == answers[0]);
    }
    let share = |right: usize| right as f64 / f64::from(all);
    assert!((0.5..0.62).contains(&share(last)) && share(most) > 0.98, "{} and {}", share(last), share(most));
}

#[test]
fn one_position_is_a_needle() {
    each(Task::Needle, |Example { given, answers }| {
        let needles: Vec<&[u32]> = given.chunks(2).filter(|position| position[0] == 0).collect();
        assert!(needles.len() == 1 && needles[0][1] == answers[0]);
        assert!(given.chunks(2).all(|position| position[0] as usize <= needle::HAY));
    });
}

/// The share of right answers after a few steps.
fn learned(task: Task, way: Way, steps: u64) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let training = TaskTraining { steps, validate_every: steps, ..TaskTraining::of(way) };
    begin(task, way, folder.path(), training).unwrap();
    let mut seen = 0;
    let mut observe = |event: Event| seen += u64::from(matches!(event, Event::Stepped { .. }));
    let outcome = go_on(task, folder.path(), Changes::default(), &AtomicBool::new(false), &mut observe).unwrap();
    assert_eq!(seen, steps);
    outcome.accuracy.unwrap()
}

/// What guessing gets right is a half of the bits, a sixth of the places, and so on; each way has to be well above it.
#[test]
fn every_way_learns() {
    let expected = [
        (Task::Copy, Way::Ntm, 60, 0.6),
        (Task::Recall, Way::Hopfield, 80, 0.3),
        (Task::Recall, Way::Lstm, 120, 0.15),
        (Task::Recall, Way::Mega, 120, 0.12),
        (Task::Questions, Way::KeyValue, 120, 0.4),
        (Task::Reverse, Way::Bahdanau, 60, 0.3),
        (Task::Reverse, Way::Luong, 60, 0.3),
        (Task::Transcribe, Way::Location, 100, 0.5),
        (Task::Track, Way::Ema, 60, 0.6),
        (Task::Needle, Way::Soft, 60, 0.5),
        (Task::Needle, Way::Sampled, 200, 0.5),
        (Task::Needle, Way::Gumbel, 100, 0.5),
        (Task::Needle, Way::Hard, 100, 0.5),
    ];
    for (task, way, steps, least) in expected {
        let share = learned(task, way, steps);
        assert!(share > least, "{} by {}: {share}", task.name(), way.name());
    }
}

/// What is there to be beaten is.
#[test]
fn ways_without_the_mechanism_stay_behind() {
    assert!(learned(Task::Transcribe, Way::Content, 100) < 0.65);
    assert!(learned(Task::Track, Way::Unsmoothed, 60) < 0.6);
}

#[test]
fn a_run_has_options_that_make_sense() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let usual = TaskTraining::of(Way::Soft);
    let refused = |way, training, said: &str| {
        let message = begin(Task::Needle, way, &run, training).unwrap_err().to_string();
        assert!(message.starts_with(said), "{message}");
    };
    refused(Way::Ntm, usual.clone(), "attention is ntm, expected one of soft, sampled, gumbel, hard");
    refused(Way::Soft, TaskTraining { rows: 0, ..usual.clone() }, "rows is 0, expected from 1");
    refused(Way::Soft, TaskTraining { steps: 0, ..usual.clone() }, "steps is 0");
    refused(Way::Soft, TaskTraining { rate: f64::NAN, ..usual.clone() }, "rate is NaN");
    assert!(!run.exists());
    begin(Task::Needle, Way::Soft, &run, usual).unwrap();
    let other = go_on(Task::Copy, &run, Changes::default(), &AtomicBool::new(false), &mut |_| ());
    assert!(other.unwrap_err().to_string().ends_with("a run of the task needle, expected one of copy"));
}
