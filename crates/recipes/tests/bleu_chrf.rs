//! BLEU and chrF beside sacreBLEU's own numbers: `scripts/sacrebleu_fixtures.py` wrote the fixture.

use regard_recipes::bleu::{Bleu, ScoreError, Smoothing, Tokenize};
use regard_recipes::chrf::Chrf;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Case {
    name: String,
    /// A hypothesis and its references.
    segments: Vec<Vec<String>>,
    /// What sacreBLEU says, by metric and variant.
    scores: BTreeMap<String, f64>,
    /// What sacreBLEU prints, for some of them.
    lines: BTreeMap<String, String>,
}

fn scored(variant: &str, hypotheses: &[&str], references: &[Vec<&str>]) -> (f64, String) {
    let bleu = match variant {
        "bleu default" => Bleu::default(),
        "bleu lowercase" => Bleu { lowercase: true, ..Bleu::default() },
        "bleu untokenized" => Bleu { tokenize: Tokenize::None, ..Bleu::default() },
        "bleu tokenized" => Bleu::tokenized(),
        "bleu floor" => Bleu { smoothing: Smoothing::Floor(0.1), ..Bleu::default() },
        "bleu add-k" => Bleu { smoothing: Smoothing::AddK(1.0), ..Bleu::default() },
        "bleu effective" => Bleu { effective_order: true, ..Bleu::default() },
        _ => {
            let chrf = match variant {
                "chrf default" => Chrf::default(),
                "chrf lowercase" => Chrf::default().lowercase(),
                "chrf plus_plus" => Chrf::plus_plus(),
                _ => panic!("{variant} is unknown to this test"),
            };
            let score = chrf.corpus(hypotheses, references).unwrap();
            return (score.score, score.to_string());
        }
    };
    let score = bleu.corpus(hypotheses, references).unwrap();
    (score.score, score.to_string())
}

#[test]
fn scores_and_lines_are_sacrebleus() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/sacrebleu.json")).unwrap();
    assert!(cases.len() >= 50);
    for case in cases {
        let (hypotheses, references): (Vec<&str>, Vec<Vec<&str>>) = case
            .segments
            .iter()
            .map(|segment| (segment[0].as_str(), segment[1..].iter().map(String::as_str).collect()))
            .unzip();
        for (variant, theirs) in &case.scores {
            let (ours, line) = scored(variant, &hypotheses, &references);
            assert!((ours - theirs).abs() <= 1e-9, "{}, {variant}: {ours}, sacreBLEU says {theirs}", case.name);
            if let Some(theirs) = case.lines.get(variant) {
                assert_eq!(&line, theirs, "{}, {variant}", case.name);
            }
        }
    }
}

#[test]
fn input_that_does_not_fit_is_refused() {
    let none: [&str; 0] = [];
    let bleu = Bleu::default();
    let cases = [
        (bleu.corpus(&none, &Vec::<Vec<&str>>::new()), ScoreError::Empty),
        (bleu.corpus(&["a"], &[vec!["a"], vec!["b"]]), ScoreError::Segments { hypotheses: 1, references: 2 }),
        (bleu.corpus(&["a", "b"], &[vec!["a"], vec![]]), ScoreError::NoReference(2)),
    ];
    for (result, expected) in cases {
        assert_eq!(result.unwrap_err(), expected);
    }
    assert_eq!(Chrf::default().corpus(&["a"], &[Vec::<&str>::new()]).unwrap_err(), ScoreError::NoReference(1));
}
