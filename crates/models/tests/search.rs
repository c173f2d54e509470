//! Searching: against a plain loop, against trying everything, alone and in company.

mod common;

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use common::{SPECIALS, close, numbers, seq2seq, transformer};
use regard::Mode;
use regard_models::{Decoding, Hypothesis, Padded, Search, Translator, search};

const SOURCES: [&[u32]; 4] = [&[3, 4, 5, 4], &[4], &[5, 5, 3, 4, 4, 3, 5], &[3, 3]];

fn sources() -> Vec<Vec<u32>> {
    SOURCES.iter().map(|ids| ids.to_vec()).collect()
}

/// `log p` of every token after a beginning, by teacher forcing: no cache takes part.
fn next_tokens<M: Translator>(model: &M, source: &[u32], beginning: &[u32]) -> Vec<f32> {
    let padded = |ids: Vec<u32>| Padded::new(&[ids], SPECIALS.pad, model.vocabulary()).unwrap();
    let source = padded([source, &[SPECIALS.end]].concat());
    let target = padded([&[SPECIALS.begin], beginning].concat());
    let logits: Tensor<2> = model.forward(&source, &target, Mode::Evaluate, None).unwrap();
    numbers(&log_softmax(logits.narrow(0, beginning.len(), 1), 1))
}

/// Runs a check on each kind of model.
macro_rules! on_every_model {
    ($check:expr, $vocabulary:expr) => {
        for seed in 0..4 {
            $check(&transformer($vocabulary, seed));
            $check(&seq2seq(Decoding::Bahdanau, $vocabulary, seed));
            $check(&seq2seq(Decoding::Luong, $vocabulary, seed));
        }
    };
}

#[test]
fn a_beam_of_one_takes_the_most_likely_token() {
    fn check<M: Translator>(model: &M) {
        let how = Search { beam: 1, limit: (0.0, 8), ..Search::default() };
        for (found, source) in search(model, &sources(), &how).unwrap().iter().zip(SOURCES) {
            let (mut ids, mut total, mut ended) = (Vec::new(), 0.0, false);
            while !ended && ids.len() < 8 {
                let scores = next_tokens(model, source, &ids);
                // Neither padding nor a beginning is ever written.
                let best = (2..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
                total += scores[best];
                ended = best as u32 == SPECIALS.end;
                ids.extend((!ended).then_some(best as u32));
            }
            assert_eq!((&found.ids, found.ended), (&ids, ended));
            close("log p", &[found.log_probability], &[total], 1e-4);
        }
    }
    on_every_model!(check, 9);
}

/// Every target of a source, ended or cut off at `limit`, with its `log p` and the tokens that count.
fn everything<M: Translator>(model: &M, source: &[u32], limit: usize) -> Vec<(Vec<u32>, f32, usize)> {
    let (mut all, mut open) = (Vec::new(), vec![(Vec::new(), 0.0)]);
    for length in 1..=limit {
        for (ids, total) in std::mem::take(&mut open) {
            let scores = next_tokens(model, source, &ids);
            all.push((ids.clone(), total + scores[SPECIALS.end as usize], length));
            open.extend((3..scores.len()).map(|word| ([&ids[..], &[word as u32]].concat(), total + scores[word])));
        }
    }
    all.extend(open.into_iter().map(|(ids, total)| (ids, total, limit)));
    all
}

#[test]
fn a_beam_wide_enough_finds_the_best_of_all() {
    fn check<M: Translator>(model: &M) {
        // Three words and a target of at most two tokens, two words and at most three: the beam holds every beginning.
        let limit = if model.vocabulary() == 6 { 2 } else { 3 };
        for length_penalty in [0.0, 0.6, 1.0] {
            let how = Search { beam: model.vocabulary(), length_penalty, limit: (0.0, limit), ..Search::default() };
            let sources = [vec![3, 4, 3], vec![4]];
            for (found, source) in search(model, &sources, &how).unwrap().iter().zip(&sources) {
                let all = everything(model, source, limit);
                let score = |(_, total, length): &(Vec<u32>, f32, usize)| total / (*length as f32).powf(length_penalty);
                let best = all.iter().max_by(|a, b| score(a).total_cmp(&score(b))).unwrap();
                assert_eq!(found.ids, best.0, "of {} targets, penalty {length_penalty}", all.len());
                close("log p", &[found.log_probability], &[best.1], 1e-4);
                close("score", &[found.score], &[score(best)], 1e-4);
            }
        }
    }
    on_every_model!(check, 5);
    on_every_model!(check, 6);
}

#[test]
fn company_changes_nothing() {
    fn check<M: Translator>(model: &M) {
        for beam in [1, 3, 4] {
            let how = Search { beam, limit: (1.0, 5), ..Search::default() };
            let together = search(model, &sources(), &how).unwrap();
            for (together, source) in together.iter().zip(sources()) {
                let alone = &search(model, &[source], &how).unwrap()[0];
                assert_eq!((&together.ids, together.ended), (&alone.ids, alone.ended));
                close("log p", &[together.log_probability], &[alone.log_probability], 1e-4);
            }
        }
    }
    on_every_model!(check, 9);
}

#[test]
fn limits_hold() {
    fn check<M: Translator>(model: &M) {
        let written = |how: &Search| -> Vec<Hypothesis> { search(model, &sources(), how).unwrap() };
        for (factor, room) in [(1.0, 0), (0.5, 2), (0.0, 1), (0.0, 0), (-3.0, 2), (f32::NAN, 3)] {
            let how = Search { beam: 3, limit: (factor, room), ..Search::default() };
            for found in written(&how).iter().zip(SOURCES) {
                let (found, source) = found;
                let most = ((factor * (source.len() + 1) as f32) as usize + room).max(1);
                assert!(found.ids.len() <= most, "{} ids, at most {most}", found.ids.len());
                assert!(found.ended || found.ids.len() == most, "cut off before the limit");
                assert!(found.ids.iter().all(|&id| id > SPECIALS.end), "a special token in {:?}", found.ids);
            }
        }
        for limit in [(f32::INFINITY, usize::MAX), (f32::MAX, 0), (0.0, usize::MAX)] {
            for found in written(&Search { beam: 2, length_penalty: 0.0, limit, ..Search::default() }) {
                assert!(found.ids.len() < model.longest());
            }
        }
    }
    on_every_model!(check, 9);
}

#[test]
fn beginnings_ends_and_repetitions_are_as_asked() {
    fn check<M: Translator>(model: &M) {
        let how = Search { beam: 3, limit: (0.0, 9), first: Some(4), least: 5, unrepeated: 2, ..Search::default() };
        for found in search(model, &sources(), &how).unwrap() {
            assert!(found.ids[0] == 4 && found.ids.len() >= 5, "{:?}", found.ids);
            let mut pairs: Vec<&[u32]> = found.ids.windows(2).collect();
            pairs.sort_unstable();
            pairs.dedup();
            assert_eq!(pairs.len(), found.ids.len() - 1, "a pair comes twice in {:?}", found.ids);
        }
        let none = search(model, &sources(), &Search { unrepeated: 1, limit: (0.0, 9), ..how }).unwrap();
        for found in none {
            // Six words, and none of them twice.
            assert!(
                found.ids.len() <= 6 && found.ids.iter().all(|id| found.ids.iter().filter(|&i| i == id).count() == 1)
            );
        }
        let wrong = search(model, &sources(), &Search { first: Some(9), ..how }).unwrap_err().to_string();
        assert_eq!(wrong, "configuration: first is 9, expected a token below 9");
    }
    on_every_model!(check, 9);
}

#[test]
fn nothing_to_search_is_nothing_found() {
    assert_eq!(search(&transformer(9, 0), &[], &Search::default()).unwrap(), []);
    // A source without words still has its end.
    assert_eq!(search(&transformer(9, 0), &[vec![]], &Search::default()).unwrap().len(), 1);
}

#[test]
fn what_cannot_be_searched_is_refused() {
    fn check<M: Translator>(model: &M) {
        let says = |sources: &[Vec<u32>], beam, expected: &str| {
            let how = Search { beam, ..Search::default() };
            assert_eq!(search(model, sources, &how).unwrap_err().to_string(), expected);
        };
        let beam = |given: usize| format!("configuration: beam is {given}, expected from 1 to the vocabulary of 9");
        for given in [0, 10, usize::MAX] {
            says(&sources(), given, &beam(given));
        }
        says(&[vec![3], vec![3, 9]], 2, "sequences: token id 9, expected ids below 9");
        says(&[vec![3; 24]], 2, "source: 25 tokens, expected at most 24");
        search(model, &[vec![3; 23]], &Search::default()).unwrap();
    }
    check(&transformer(9, 0));
    check(&seq2seq(Decoding::Bahdanau, 9, 0));
    check(&seq2seq(Decoding::Luong, 9, 0));
}
