//! How far to trust an explanation: on linear functions, whose right order is known.

mod common;

use std::cell::Cell;
use std::ops::ControlFlow;

use common::{Linear, close};
use proptest::prelude::*;
use regard_explain::trust::{Better, Measured, Protocol, Trust, mean, measure};
use regard_explain::{BoxError, Error, Explanation, Perturbation, Subject, silent};

fn scored(scores: &[f32]) -> Explanation {
    let (method, note) = ("made up".to_owned(), String::new());
    Explanation { method, scores: scores.to_vec(), note, completeness: None }
}

/// Weights 10, 9 … 1 of ten places.
fn ten() -> Linear {
    Linear::new(&(1..=10).rev().map(|weight| weight as f32).collect::<Vec<_>>())
}

fn trust_of(linear: &Linear, scores: &[f32], protocol: &Protocol) -> Trust {
    measure(linear, &scored(scores), None, protocol, &mut silent).unwrap()
}

#[test]
fn the_right_order_measures_what_it_must() {
    let linear = ten();
    let trust = trust_of(&linear, &linear.weights, &Protocol::default());
    // Without the first 1, 1, 1, 2 and 5 of ten places, and with them alone.
    let [comprehensiveness, sufficiency] = [trust.comprehensiveness.unwrap(), trust.sufficiency.unwrap()];
    close("comprehensiveness", &[comprehensiveness.value], &[(10.0 + 10.0 + 10.0 + 19.0 + 40.0) / 5.0], 1e-6);
    close("sufficiency", &[sufficiency.value], &[(45.0 + 45.0 + 45.0 + 36.0 + 15.0) / 5.0], 1e-6);
    let [deletion, insertion] = [trust.deletion.as_ref().unwrap(), trust.insertion.as_ref().unwrap()];
    let falls = [55.5, 45.5, 36.5, 28.5, 21.5, 15.5, 10.5, 6.5, 3.5, 1.5, 0.5];
    close("deletion", &deletion.values, &falls, 1e-6);
    close("areas", &[deletion.area.value, insertion.area.value], &[19.75, 36.25], 1e-6);
    assert_eq!((deletion.shares.len(), deletion.shares[10], insertion.values[0]), (11, 1.0, 0.5));
    assert_eq!(trust.agreement.unwrap().value, 1.0);
    assert_eq!(trust.randomisation, None);
    assert_eq!(trust.perturbation, "replaced by zeros");

    // Far from random, on the right side; a random order removes places alike, so that it falls along a line.
    let verdicts = trust.lines().map(|line| line.verdict());
    let better = Some("better");
    assert_eq!(verdicts, [better, better, better, better, better, None]);
    for Measured { random, random_interval: [low, high], .. } in [comprehensiveness, sufficiency, deletion.area] {
        assert!(low <= random && random <= high, "{low} {random} {high}");
    }
    let many = trust_of(&linear, &linear.weights, &Protocol { orders: 400, ..Protocol::default() });
    let middle = many.deletion.unwrap();
    assert!((middle.area.random - 28.0).abs() < 0.5 && (middle.random[5] - 28.0).abs() < 1.0, "{middle:?}");
    assert!(many.agreement.unwrap().random.abs() < 0.1);

    // What ranks by place alone is worse, and is said to be.
    let reversed: Vec<f32> = linear.weights.iter().map(|weight| -weight).collect();
    let verdicts = trust_of(&linear, &reversed, &Protocol::default()).lines().map(|line| line.verdict());
    assert_eq!(verdicts[..5], [Some("worse"); 5]);
}

#[test]
fn randomisation_is_the_likeness_to_the_other_explanation() {
    let linear = ten();
    let own = scored(&linear.weights);
    let check = |other: &[f32]| {
        measure(&linear, &own, Some(&scored(other)), &Protocol::default(), &mut silent).unwrap().randomisation
    };
    assert_eq!(check(&linear.weights).unwrap().value, 1.0);
    let other = [3.0, 8.0, 1.0, 9.0, 2.0, 7.0, 4.0, 10.0, 5.0, 6.0];
    assert!(check(&other).unwrap().value.abs() < 0.4);
    // An explanation without any order is like nothing.
    assert_eq!(check(&[1.0; 10]), None);
}

#[test]
fn the_same_seed_is_the_same_trust_and_it_survives_json() {
    let linear = ten();
    let protocol = Protocol { seed: 7, ..Protocol::default() };
    let trust = trust_of(&linear, &linear.weights, &protocol);
    assert_eq!(trust, trust_of(&linear, &linear.weights, &protocol));
    assert_ne!(trust, trust_of(&linear, &linear.weights, &Protocol { seed: 8, ..protocol }));
    let json = serde_json::to_string(&trust).unwrap();
    assert_eq!(serde_json::from_str::<Trust>(&json).unwrap(), trust);
}

#[test]
fn one_place_is_measured_as_far_as_that_goes() {
    let linear = Linear::new(&[2.0]);
    let trust = trust_of(&linear, &[1.0], &Protocol::default());
    assert_eq!(trust.deletion.unwrap().values, [2.5, 0.5]);
    assert_eq!((trust.comprehensiveness.unwrap().value, trust.agreement), (2.0, None));
}

#[test]
fn the_strip_says_what_was_measured_and_how() {
    let linear = ten();
    let trust = trust_of(&linear, &linear.weights, &Protocol { orders: 1, ..Protocol::default() });
    let table = trust.to_string();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 8, "{table}");
    assert!(
        lines[0].ends_with("this is") && lines[1].ends_with("higher     better") && lines[0].contains("made up"),
        "{table}"
    );
    assert!(lines[1].starts_with("comprehensiveness") && lines[1].contains("17.8"), "{table}");
    assert!(lines[6].ends_with("not measured"), "{table}");
    assert_eq!(
        lines[7],
        "missing places are replaced by zeros; mean of 1 random order, seed 0, with 95 % bootstrap interval"
    );
    assert_eq!(trust.lines()[1].better, Better::Lower);
    // A baseline with the name of a command to the terminal.
    let hostile = Trust { perturbation: "\x1b[2J".to_owned(), method: "\u{202e}".to_owned(), ..trust };
    assert!(!hostile.to_string().contains(['\x1b', '\u{202e}']));
}

#[test]
fn many_inputs_have_a_mean_with_an_interval() {
    let inputs: Vec<Trust> = (1..=8)
        .map(|scale| {
            let linear = Linear::new(&[3.0 * scale as f32, 2.0, 1.0]);
            trust_of(&linear, &linear.weights, &Protocol::default())
        })
        .collect();
    let all = mean(&inputs).unwrap();
    let of = |trust: &Trust| trust.comprehensiveness.unwrap().value;
    let expected = inputs.iter().map(of).sum::<f32>() / 8.0;
    let measured = all.comprehensiveness.unwrap();
    let [low, high] = measured.interval.unwrap();
    close("mean", &[measured.value], &[expected], 1e-5);
    assert!(of(&inputs[0]) < low && low < expected && expected < high && high < of(&inputs[7]), "{measured:?}");
    let curve = all.deletion.as_ref().unwrap();
    assert_eq!((curve.shares.len(), curve.values.len(), all.inputs), (21, 21, 8));
    assert!(curve.is_sorted_down() && all.to_string().contains("mean of 8 inputs"));
    assert_eq!(mean(&inputs[..1]).unwrap(), inputs[0]);

    assert_eq!(mean(&[]).unwrap_err().to_string(), "inputs: 0 given, at least 1 expected");
    let mut other = inputs.clone();
    other[3].perturbation = "taken out".to_owned();
    assert!(mean(&other).unwrap_err().to_string().starts_with("perturbation: taken out given, the same"));
    let mut other = inputs.clone();
    other[3].deletion.as_mut().unwrap().values.clear();
    assert!(mean(&other).unwrap_err().to_string().starts_with("curve: 4 shares given"));
}

trait Sorted {
    fn is_sorted_down(&self) -> bool;
}

impl Sorted for regard_explain::trust::Curve {
    fn is_sorted_down(&self) -> bool {
        self.values.is_sorted_by(|a, b| a >= b)
    }
}

/// A linear function whose places can be taken out, and that counts what it is asked.
struct Counted {
    linear: Linear,
    asked: Cell<usize>,
}

impl Subject for Counted {
    fn places(&self) -> usize {
        self.linear.places()
    }

    fn baseline(&self) -> &str {
        self.linear.baseline()
    }

    fn hidden(&self, _: &[Vec<bool>]) -> Result<Vec<f32>, BoxError> {
        Err("places are to be taken out".into())
    }

    fn removed(&self, kept: &[Vec<bool>]) -> Option<Result<Vec<f32>, BoxError>> {
        self.asked.set(self.asked.get() + kept.len());
        Some(self.linear.hidden(kept))
    }
}

#[test]
fn the_same_input_is_asked_for_once_and_cancelling_stops() {
    let subject = Counted { linear: ten(), asked: Cell::new(0) };
    let explanation = scored(&subject.linear.weights);
    let protocol = Protocol { perturbation: Perturbation::Removed, ..Protocol::default() };
    let mut told = (0, 0);
    let mut tell = |done, total| {
        told = (done, total);
        ControlFlow::Continue(())
    };
    let trust = measure(&subject, &explanation, None, &protocol, &mut tell).unwrap();
    assert_eq!(trust.perturbation, "taken out");
    assert_eq!(told, (subject.asked.get(), subject.asked.get()));
    // Eleven orders of 18 proper parts at most, 10 of leave-one-out, the whole and nothing.
    assert!(subject.asked.get() <= 11 * 18 + 12, "{told:?}");
    let mut stop = |_, _| ControlFlow::Break(());
    let error = measure(&subject, &explanation, None, &protocol, &mut stop).unwrap_err();
    assert!(matches!(error, Error::Cancelled { done: 0, .. }));
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let linear = ten();
    let told = |scores: &[f32], protocol: Protocol| {
        measure(&linear, &scored(scores), None, &protocol, &mut silent).unwrap_err().to_string()
    };
    assert!(told(&[1.0], Protocol::default()).starts_with("scores: 1 numbers given, 10 expected"));
    assert!(told(&[f32::NAN; 10], Protocol::default()).starts_with("scores: number 0 is NaN"));
    assert!(told(&[1.0; 10], Protocol { steps: 0, ..Protocol::default() }).starts_with("steps: 0 given"));
    assert!(told(&[1.0; 10], Protocol { orders: 0, ..Protocol::default() }).starts_with("orders: 0 given"));
    let removed = Protocol { perturbation: Perturbation::Removed, ..Protocol::default() };
    assert!(told(&[1.0; 10], removed).starts_with("perturbation: removed given"));
    let short = measure(&linear, &scored(&[1.0; 10]), Some(&scored(&[1.0])), &Protocol::default(), &mut silent);
    assert!(short.unwrap_err().to_string().starts_with("scores of the randomised model: 1 numbers given"));
    let none = measure(&Linear::new(&[]), &scored(&[]), None, &Protocol::default(), &mut silent);
    assert!(none.unwrap_err().to_string().starts_with("places: 0 given"));
}

proptest! {
    #[test]
    fn the_reverse_of_the_right_order_is_never_better(weights in prop::collection::vec(-9i8..10, 1..24)) {
        let weights: Vec<f32> = weights.into_iter().map(f32::from).collect();
        let linear = Linear::new(&weights);
        let reversed: Vec<f32> = weights.iter().map(|weight| -weight).collect();
        let protocol = Protocol { orders: 2, ..Protocol::default() };
        let [right, wrong] = [&weights, &reversed].map(|scores| trust_of(&linear, scores, &protocol).lines());
        for (right, wrong) in right.iter().zip(&wrong) {
            let (Some(a), Some(b)) = (right.measured, wrong.measured) else { continue };
            match right.better {
                Better::Higher => prop_assert!(a.value >= b.value - 1e-4, "{right:?} {wrong:?}"),
                _ => prop_assert!(a.value <= b.value + 1e-4, "{right:?} {wrong:?}"),
            }
        }
    }
}
