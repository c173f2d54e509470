//! What an encoder is asked: a label's logit, a token in a hidden place, or how near the vector of the text stays to what it was.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};
use regard::Mode;
use regard_models::{Padded, Sight};

use super::{Answers, Ask, Asked, Draft, Part};
use crate::error::{Error, Result};
use crate::reader::{Pooling, Reader};
use crate::trained::Trained;

/// What may stand in for a token, the first that there is.
const STAND_INS: [&str; 6] = ["[MASK]", "<mask>", "[UNK]", "<unk>", "[PAD]", "<pad>"];

pub(super) fn question<'a>(model: &'a Trained, reader: &'a Reader, text: &str, ask: &Ask) -> Result<Draft<'a>> {
    let (text, mask) = reader.masked(text);
    let ids = reader.encode(&text, 0)?;
    let hidden = mask.filter(|mask| ids.contains(mask));
    let tokenizer = reader.tokenizer();
    let row = [vec![ids.clone()]];
    let (asked, number) = match (ask, hidden) {
        (Ask::Label(label), _) => {
            let labels = reader.model().labels();
            let found = labels.iter().position(|known| known == label).ok_or_else(|| {
                let expected =
                    if labels.is_empty() { "none, since the model has none".into() } else { labels.join(", ") };
                Error::option("label", format!("{label:?}"), expected)
            })?;
            (Asked::Label(found), format!("logit of the label {label:?}"))
        }
        (Ask::Word(word), None) => {
            let expected = "none without a hidden place, [MASK], in the text";
            return Err(Error::option("target", format!("{word:?}"), expected));
        }
        (Ask::Word(_) | Ask::Likeliest, Some(mask)) => {
            let mut places = (0..ids.len()).filter(|&at| ids[at] == mask);
            let (Some(at), None) = (places.next(), places.next()) else {
                return Err(Error::option("text", "one with several hidden places", "a text with one"));
            };
            let token = match ask {
                Ask::Word(word) => {
                    let spellings = [word.clone(), format!("Ġ{word}"), format!("▁{word}")];
                    let found = spellings.iter().find_map(|word| tokenizer.id(word));
                    let expected = "a token of the model's vocabulary";
                    found.ok_or_else(|| Error::option("target", format!("{word:?}"), expected))?
                }
                _ => {
                    let scores = filling(reader, &row, (mask, at), Mode::Evaluate, None)?;
                    scores.argmax(1).into_scalar::<i64>() as u32
                }
            };
            let number = format!("log-probability of {:?} in the hidden place", tokenizer.shown(token).trim());
            (Asked::Filling { mask, at, token }, number)
        }
        (Ask::Likeliest, None) if !reader.model().labels().is_empty() => {
            let scores = labels(reader, states(reader, &row, Mode::Evaluate, None)?.0)?;
            let found = scores.argmax(1).into_scalar::<i64>() as usize;
            (Asked::Label(found), format!("logit of the label {:?}", reader.model().labels()[found]))
        }
        (Ask::Likeliest, None) => {
            (Asked::Likeness(Vec::new()), "cosine of the text's vector with that of the whole text".into())
        }
    };
    let free = ids.iter().map(|&id| Some(id) != mask && !tokenizer.surrounds(id)).collect();
    let tokens = ids.iter().map(|&id| tokenizer.shown(id)).collect();
    let stand_in = STAND_INS.iter().find_map(|token| Some((tokenizer.id(token)?, format!("the token {token}"))));
    Ok(Draft {
        model,
        asked,
        number,
        title: text,
        parts: vec![Part { name: "text", ids, tokens, free }],
        stand_in: stand_in.unwrap_or_else(|| (0, format!("the token {}", tokenizer.token(0)))),
    })
}

pub(super) fn answers(
    reader: &Reader,
    asked: &Asked,
    rows: &[Vec<Vec<u32>>],
    mode: Mode,
    sights: Option<&mut Vec<Sight>>,
) -> Result<Answers> {
    let mut first = Vec::new();
    let numbers = match asked {
        Asked::Label(label) => labels(reader, states(reader, rows, mode, sights)?.0)?.slice_dim(1, *label..label + 1),
        Asked::Filling { mask, at, token } => {
            let token = *token as usize;
            log_softmax(filling(reader, rows, (*mask, *at), mode, sights)?, 1).slice_dim(1, token..token + 1)
        }
        Asked::Likeness(vector) => {
            let (states, text) = states(reader, rows, mode, sights)?;
            let vectors = Pooling::Mean.of(states, &text);
            if vector.is_empty() {
                first = vectors.clone().slice_dim(0, 0..1).into_data().try_into_vec().expect("states are f32");
            }
            let whole = if vector.is_empty() { &first } else { vector };
            let whole = Tensor::<2>::from_data(TensorData::new(whole.clone(), [1, whole.len()]), &vectors.device());
            let length = |vectors: Tensor<2>| (vectors.clone() * vectors).sum_dim(1).sqrt().clamp_min(1e-12);
            (vectors.clone() * whole.clone()).sum_dim(1) / (length(vectors) * length(whole))
        }
        Asked::Tokens(_) => return Err(Error::option("model", "an encoder", "one that writes")),
    };
    Ok(Answers { numbers: numbers.squeeze_dim(1), vector: first })
}

fn states(
    reader: &Reader,
    rows: &[Vec<Vec<u32>>],
    mode: Mode,
    sights: Option<&mut Vec<Sight>>,
) -> Result<(Tensor<3>, Padded)> {
    let texts: Vec<&[u32]> = rows.iter().map(|row| &*row[0]).collect();
    let text = Padded::new(&texts, 0, reader.model().vocabulary())?;
    Ok((reader.model().states(&text, None, mode, sights)?, text))
}

/// Scores of the labels, `[row, label]`.
fn labels(reader: &Reader, states: Tensor<3>) -> Result<Tensor<2>> {
    let scores = reader.model().classify(states);
    scores.ok_or_else(|| Error::option("model", "one without labels", "one with a head for labels"))
}

/// Scores of the tokens for the place of the mask, `[row, token]`.
fn filling(
    reader: &Reader,
    rows: &[Vec<Vec<u32>>],
    (mask, at): (u32, usize),
    mode: Mode,
    sights: Option<&mut Vec<Sight>>,
) -> Result<Tensor<2>> {
    let (states, _) = states(reader, rows, mode, sights)?;
    let [count, length, width] = states.dims();
    // Masks may stand in for other tokens, and then nothing has moved; where tokens were taken out, there is no other.
    let places = rows.iter().enumerate().map(|(row, parts)| {
        let moved = || parts[0].iter().position(|&id| id == mask).unwrap_or(0);
        (row * length + if parts[0].get(at) == Some(&mask) { at } else { moved() }) as i64
    });
    let places = Tensor::<1, Int>::from_data(TensorData::new(places.collect::<Vec<_>>(), [count]), &states.device());
    let scores = reader.model().fill(states.reshape([count * length, width]).select(0, places));
    scores.ok_or_else(|| Error::option("model", "one that fills nothing in", "one with a head for hidden tokens"))
}
