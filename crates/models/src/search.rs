//! Greedy and beam search.
//!
//! Beam search keeps the `width` most likely beginnings at each step. Finished ones are ranked by
//! `log p(target) / length^penalty` (Wu et al. 2016, arXiv:1609.08144, in the simpler form of fairseq and Marian), the
//! length including the end token. Width 1 is greedy search.

use burn::tensor::activation::log_softmax;

use crate::error::{Error, Result};
use crate::padded::Padded;
use crate::translator::{Specials, Translator};

/// How to search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Search {
    /// Hypotheses kept at each step; 1 is greedy.
    pub beam: usize,
    /// Exponent of the length; 0 ranks by probability alone, 1 by probability a token.
    pub length_penalty: f32,
    /// The most target tokens a source of `n` tokens may get: `a·n + b`.
    pub limit: (f32, usize),
    /// The token that every target has to begin with, at no cost, as BART's and mBART's do; any unless given.
    pub first: Option<u32>,
    /// Tokens that there must be before the end.
    pub least: usize,
    /// No so many tokens in a row come twice, the beginning included (Paulus et al. 2018, arXiv:1705.04304); 0 for no limit.
    pub unrepeated: usize,
}

impl Default for Search {
    /// Beam 4, penalty 1, at most `1.5·n + 20` tokens, whichever they are.
    fn default() -> Self {
        Search { beam: 4, length_penalty: 1.0, limit: (1.5, 20), first: None, least: 0, unrepeated: 0 }
    }
}

/// A target that a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hypothesis {
    /// Its ids, without begin and end.
    pub ids: Vec<u32>,
    /// `log p` of the ids and the end.
    pub log_probability: f32,
    /// `log p / length^penalty`, what it was ranked by.
    pub score: f32,
    /// Whether it ended by itself rather than at the limit.
    pub ended: bool,
}

/// A beginning still being written.
#[derive(Clone)]
struct Beam {
    ids: Vec<u32>,
    log_probability: f32,
}

/// The best target for each source (ids without end, which is added here), the sources read as one batch.
///
/// # Errors
/// When a source is too long or holds an id that is no token, `beam` is 0 or larger than the vocabulary, or `first` is no token.
pub fn search<M: Translator + ?Sized>(model: &M, sources: &[Vec<u32>], how: &Search) -> Result<Vec<Hypothesis>> {
    let specials = model.specials();
    let vocabulary = model.vocabulary();
    if how.beam == 0 || how.beam > vocabulary {
        let expected = format!("from 1 to the vocabulary of {vocabulary}");
        return Err(Error::Config { argument: "beam", given: how.beam.to_string(), expected });
    }
    if let Some(bad) = how.first.filter(|&first| first as usize >= vocabulary) {
        let expected = format!("a token below {vocabulary}");
        return Err(Error::Config { argument: "first", given: bad.to_string(), expected });
    }
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let ended: Vec<Vec<u32>> = sources.iter().map(|ids| ids.iter().copied().chain([specials.end]).collect()).collect();
    let limits: Vec<usize> = ended
        .iter()
        .map(|ids| ((how.limit.0 * ids.len() as f32) as usize).saturating_add(how.limit.1).min(model.longest() - 1))
        .collect();
    let source = Padded::new(&ended, specials.pad, vocabulary)?;
    let mut state = model.start(&source)?;
    let mut open: Vec<Vec<Beam>> = vec![vec![Beam { ids: Vec::new(), log_probability: 0.0 }]; sources.len()];
    let mut done: Vec<Vec<Hypothesis>> = vec![Vec::new(); sources.len()];

    // The rows of the state are the open beams, sentence after sentence.
    while open.iter().any(|beams| !beams.is_empty()) {
        let last = |beam: &Beam| beam.ids.last().copied().unwrap_or(specials.begin);
        let tokens: Vec<u32> = open.iter().flatten().map(last).collect();
        let scores = log_softmax(model.step(&tokens, &mut state)?, 1);
        let scores = scores.to_data().try_into_vec::<f32>().map_err(|error| Error::Input {
            argument: "scores",
            given: format!("{error:?}"),
            expected: "32-bit floating point numbers".into(),
        })?;
        let mut rows = Vec::new();
        let mut first_row = 0;
        for (sentence, beams) in open.iter_mut().enumerate() {
            let here = first_row..first_row + beams.len();
            first_row = here.end;
            let mut next = Vec::new();
            for (row, token, log_probability) in candidates(beams, &scores, model, here.start, how) {
                let beam = &beams[row - here.start];
                let full = beam.ids.len() + 1 >= limits[sentence];
                if token == specials.end || full {
                    let mut ids = beam.ids.clone();
                    if token != specials.end {
                        ids.push(token);
                    }
                    let length = (beam.ids.len() + 1) as f32;
                    let score = log_probability / length.powf(how.length_penalty);
                    done[sentence].push(Hypothesis { ids, log_probability, score, ended: token == specials.end });
                } else {
                    let ids = beam.ids.iter().copied().chain([token]).collect();
                    next.push((row, Beam { ids, log_probability }));
                }
                if next.len() == how.beam || done[sentence].len() == how.beam {
                    break;
                }
            }
            if done[sentence].len() >= how.beam {
                next.clear();
            }
            rows.extend(next.iter().map(|(row, _)| *row));
            *beams = next.into_iter().map(|(_, beam)| beam).collect();
        }
        if !rows.is_empty() {
            model.select(&mut state, &rows);
        }
    }
    Ok(done.into_iter().map(best).collect())
}

/// The most likely continuations `(row, token, log p)`, two for each hypothesis to be kept, best first; ties go to the earlier row and
/// token. No sentence goes on with padding or a beginning, however likely an untrained model finds them.
fn candidates<M: Translator + ?Sized>(
    beams: &[Beam],
    scores: &[f32],
    model: &M,
    first_row: usize,
    how: &Search,
) -> Vec<(usize, u32, f32)> {
    let (vocabulary, specials) = (model.vocabulary(), model.specials());
    let count = 2 * how.beam;
    let mut best: Vec<(usize, u32, f32)> = Vec::new();
    for (offset, beam) in beams.iter().enumerate() {
        let row = first_row + offset;
        if let (Some(first), true) = (how.first, beam.ids.is_empty()) {
            best.push((row, first, beam.log_probability));
            continue;
        }
        let never = never(&beam.ids, specials, how);
        for (token, score) in scores[row * vocabulary..][..vocabulary].iter().enumerate() {
            let total = beam.log_probability + score;
            // A full list is beaten only by more; a NaN never beats anything.
            let beats = best.len() < count || best.last().is_some_and(|worst| total > worst.2);
            if total.is_nan() || !beats || never.contains(&(token as u32)) {
                continue;
            }
            let place = best.partition_point(|other| other.2 >= total);
            best.insert(place, (row, token as u32, total));
            best.truncate(count);
        }
    }
    best
}

/// Tokens that a target does not go on with after `ids`.
fn never(ids: &[u32], specials: Specials, how: &Search) -> Vec<u32> {
    // Where one token both begins and ends, it ends.
    let mut never: Vec<u32> = [specials.pad, specials.begin].into_iter().filter(|&id| id != specials.end).collect();
    if ids.len() < how.least {
        never.push(specials.end);
    }
    let written: Vec<u32> = [&[specials.begin], ids].concat();
    if let Some(last) = how.unrepeated.checked_sub(1).and_then(|before| written.len().checked_sub(before)) {
        let rows = written.windows(how.unrepeated).filter(|row| row.starts_with(&written[last..]));
        never.extend(rows.filter_map(|row| row.last()));
    }
    never
}

fn best(hypotheses: Vec<Hypothesis>) -> Hypothesis {
    let nothing =
        Hypothesis { ids: Vec::new(), log_probability: f32::NEG_INFINITY, score: f32::NEG_INFINITY, ended: false };
    hypotheses.into_iter().reduce(|a, b| if b.score > a.score { b } else { a }).unwrap_or(nothing)
}
