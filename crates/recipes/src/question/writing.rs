//! What a decoder of text is asked: how likely some tokens follow.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};
use regard::Mode;
use regard_models::{Classifier, Padded, Sight};

use super::{Answers, Ask, Asked, Draft, Part};
use crate::error::{Error, Result};
use crate::trained::Trained;
use crate::writer::Writer;

/// What may stand in for a token, the first that there is.
const STAND_INS: [&str; 6] = ["[UNK]", "<unk>", "[PAD]", "<pad>", "<|endoftext|>", "</s>"];

pub(super) fn question<'a>(model: &'a Trained, writer: &'a Writer, text: &str, ask: &Ask) -> Result<Draft<'a>> {
    if text.trim().is_empty() {
        return Err(Error::option("text", "empty", "at least one token"));
    }
    let vocabulary = writer.vocabulary();
    let ids = vocabulary.encode(text)?;
    fits(writer, ids.len())?;
    let tokens = match ask {
        Ask::Likeliest => {
            let padded = Padded::new(&[&ids], 0, writer.model().vocabulary())?;
            let scores = writer.model().forward(&padded, Mode::Evaluate, None)?;
            let last = scores.slice_dim(0, ids.len() - 1..ids.len());
            vec![last.argmax(1).into_scalar::<i64>() as u32]
        }
        Ask::Word(word) => writer.following(text, word)?,
        Ask::Label(label) => {
            return Err(Error::option("label", format!("{label:?}"), "none, since the model goes on with texts"));
        }
    };
    fits(writer, ids.len() + tokens.len() - 1)?;
    let shown: String = tokens.iter().map(|&id| vocabulary.shown(id)).collect();
    let free = ids.iter().map(|&id| !vocabulary.surrounds(id)).collect();
    let tokens_shown = ids.iter().map(|&id| vocabulary.shown(id)).collect();
    let stand_in = STAND_INS.iter().find_map(|token| Some((vocabulary.id(token)?, format!("the token {token}"))));
    let space = || vocabulary.encode(" ").ok().and_then(|ids| Some((*ids.last()?, "a space".to_owned())));
    let first = || (0, format!("the token {}", vocabulary.shown(0)));
    Ok(Draft {
        model,
        asked: Asked::Tokens(tokens),
        number: format!("log-probability of {shown:?} as what follows"),
        title: text.to_owned(),
        parts: vec![Part { name: "text", ids, tokens: tokens_shown, free }],
        stand_in: stand_in.or_else(space).unwrap_or_else(first),
    })
}

/// A text of which the beginning is not seen cannot be explained.
fn fits(writer: &Writer, length: usize) -> Result<()> {
    if length <= writer.context() {
        return Ok(());
    }
    let expected = format!("at most the model's {} positions", writer.context());
    Err(Error::option("text", format!("{length} tokens long"), expected))
}

pub(super) fn answers(
    writer: &Writer,
    asked: &Asked,
    rows: &[Vec<Vec<u32>>],
    mode: Mode,
    sights: Option<&mut Vec<Sight>>,
) -> Result<Answers> {
    let Asked::Tokens(tokens) = asked else { return Err(Error::option("model", "a decoder", "one with labels")) };
    let model = writer.model();
    let texts: Vec<Vec<u32>> = rows.iter().map(|row| before(&row[0], tokens)).collect();
    let text = Padded::new(&texts, 0, model.vocabulary())?;
    let states = model.states(&text, mode, sights)?;
    let numbers = log_probability(states, model.classifier(), &text, tokens);
    Ok(Answers { numbers, vector: Vec::new() })
}

/// A text and the tokens that are asked for, but for the last, which is not read.
pub(super) fn before(text: &[u32], tokens: &[u32]) -> Vec<u32> {
    text.iter().chain(&tokens[..tokens.len() - 1]).copied().collect()
}

/// The summed log-probability of tokens as what follows each row's text, of which they are the last but for one.
pub(super) fn log_probability(states: Tensor<2>, classifier: Classifier, text: &Padded, tokens: &[u32]) -> Tensor<1> {
    let (rows, count, device) = (text.rows(), tokens.len(), states.device());
    let ends = text.lengths().iter().enumerate().map(|(row, length)| row * text.width() + length);
    let positions: Vec<i64> = ends.flat_map(|end| (end - count..end).map(|at| at as i64)).collect();
    let indices = |of: Vec<i64>| Tensor::<1, Int>::from_data(TensorData::from(&of[..]), &device);
    let chosen: Vec<i64> = (0..rows).flat_map(|_| tokens.iter().map(|&token| i64::from(token))).collect();
    let scores = log_softmax(classifier.scores(states.select(0, indices(positions))), 1);
    let scores = scores.gather(1, indices(chosen).reshape([rows * count, 1]));
    scores.reshape([rows, count]).sum_dim(1).squeeze_dim(1)
}
