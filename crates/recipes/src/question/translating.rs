//! What an encoder–decoder is asked: how likely its translation is, or a word of it given what it wrote before.

use std::ops::Range;

use regard::Mode;
use regard_models::{Padded, Sight};

use super::writing::{before, log_probability};
use super::{Answers, Ask, Asked, Draft, Part};
use crate::error::{Error, Result};
use crate::interpreter::Interpreter;
use crate::trained::Trained;

/// Tokens that a word may be made of.
const LONGEST_WORD: usize = 12;

pub(super) fn question<'a>(
    model: &'a Trained,
    interpreter: &'a Interpreter,
    text: &str,
    ask: &Ask,
) -> Result<Draft<'a>> {
    let found = interpreter.translate(&[text], &interpreter.search())?.remove(0);
    let (specials, written) = (interpreter.specials(), &found.target_ids);
    let range = match ask {
        Ask::Likeliest if written.is_empty() => return Err(Error::option("translation", "empty", "at least one word")),
        Ask::Likeliest => 0..written.len(),
        Ask::Word(word) => place_of(interpreter, written, word)?.ok_or_else(|| {
            Error::option("target", format!("{word:?}"), format!("a word of the translation {:?}", found.target))
        })?,
        Ask::Label(label) => {
            return Err(Error::option("label", format!("{label:?}"), "none, since the model writes texts"));
        }
    };
    let shown = interpreter.spelt(&written[range.clone()])?;
    let part = |name, ids: Vec<u32>, fixed: u32| Part {
        name,
        tokens: ids.iter().map(|&id| interpreter.token(id)).collect(),
        free: ids.iter().map(|&id| id != fixed).collect(),
        ids,
    };
    let source = [&found.source_ids[..], &[specials.end]].concat();
    let target = [&[specials.begin], &written[..range.start]].concat();
    let number = match ask {
        Ask::Likeliest => format!("log-probability of the translation {shown:?}"),
        _ => format!("log-probability of {:?} in the translation {:?}", shown.trim(), found.target),
    };
    Ok(Draft {
        model,
        asked: Asked::Tokens(written[range].to_vec()),
        number,
        title: text.to_owned(),
        parts: vec![part("source", source, specials.end), part("target", target, specials.begin)],
        stand_in: interpreter.unknown(),
    })
}

/// Which tokens are this word, the first time that it is there.
fn place_of(interpreter: &Interpreter, ids: &[u32], word: &str) -> Result<Option<Range<usize>>> {
    for start in 0..ids.len() {
        for end in start + 1..=ids.len().min(start + LONGEST_WORD) {
            if interpreter.spelt(&ids[start..end])?.trim() == word.trim() {
                return Ok(Some(start..end));
            }
        }
    }
    Ok(None)
}

pub(super) fn answers(
    interpreter: &Interpreter,
    asked: &Asked,
    rows: &[Vec<Vec<u32>>],
    mode: Mode,
    sights: Option<&mut Vec<Sight>>,
) -> Result<Answers> {
    let Asked::Tokens(tokens) = asked else { return Err(Error::option("model", "a translator", "one with labels")) };
    let (pad, vocabulary) = (interpreter.specials().pad, interpreter.vocabulary());
    let sources: Vec<&[u32]> = rows.iter().map(|row| &*row[0]).collect();
    let targets: Vec<Vec<u32>> = rows.iter().map(|row| before(&row[1], tokens)).collect();
    let (source, target) = (Padded::new(&sources, pad, vocabulary)?, Padded::new(&targets, pad, vocabulary)?);
    let (states, classifier) = interpreter.states(&source, &target, mode, sights)?;
    Ok(Answers { numbers: log_probability(states, classifier, &target, tokens), vector: Vec::new() })
}
