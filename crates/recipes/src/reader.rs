//! A trained encoder: texts become vectors, hidden words are filled in, texts get labels, and what was looked at can be seen.
//!
//! On disk a model is a folder in Hugging Face's layout with its `tokenizer.json`.

use std::path::Path;

use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, TensorData};
use regard::Mode;
use regard_explain::Trace;
use regard_models::pretrained::{self, Pretrained};
use regard_models::{Encoder, Padded};

use crate::data::hub::HubTokenizer;
use crate::error::{Error, Result};
use crate::folder::CONFIG;
use crate::sight;

/// Positions of a batch, padding included: enough to be busy, few enough for what passes between layers to stay in cache.
const BATCH: usize = 1024;
/// What a hidden token may be called.
const MASKS: [&str; 2] = ["[MASK]", "<mask>"];

/// An encoder with its tokenizer.
#[derive(Debug)]
pub struct Reader {
    model: Box<dyn Encoder>,
    tokenizer: HubTokenizer,
    name: String,
}

/// How the states of a text become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooling {
    /// Their mean.
    #[default]
    Mean,
    /// The first, which BERT trains to stand for the text.
    First,
}

impl Pooling {
    /// The vectors `[row, width]` of the states of texts.
    pub(crate) fn of(self, states: Tensor<3>, texts: &Padded) -> Tensor<2> {
        let [rows, length, _] = states.dims();
        match self {
            Pooling::First => states.narrow(1, 0, 1).squeeze_dim(1),
            Pooling::Mean => {
                let share = texts
                    .lengths()
                    .iter()
                    .flat_map(|&real| (0..length).map(move |at| if at < real { 1.0 / real as f32 } else { 0.0 }));
                let share = TensorData::new(share.collect::<Vec<f32>>(), [rows, 1, length]);
                Tensor::<3>::from_data(share, &states.device()).matmul(states).squeeze_dim(1)
            }
        }
    }
}

/// What may stand in a hidden place.
#[derive(Debug, Clone, PartialEq)]
pub struct Filling {
    /// The token as it is read.
    pub token: String,
    /// The text with it.
    pub text: String,
    /// How likely it is there.
    pub probability: f32,
}

impl Reader {
    /// Reads a model's folder.
    ///
    /// # Errors
    /// When a file is missing, damaged, or does not fit the others, or the model is no encoder.
    pub fn load(folder: &Path) -> Result<Self> {
        match pretrained::open(folder)? {
            Pretrained::Encoder(model) => Self::of(folder, model),
            _ => {
                let problem = "a model of another kind, expected one that reads texts".into();
                Err(Error::Content { path: folder.join(CONFIG), problem })
            }
        }
    }

    /// A folder's model with the tokenizer beside it.
    pub(crate) fn of(folder: &Path, model: Box<dyn Encoder>) -> Result<Self> {
        let tokenizer = HubTokenizer::open(folder, model.vocabulary())?;
        let name = folder.file_name().map_or("model".into(), |name| name.to_string_lossy().into_owned());
        Ok(Reader { model, tokenizer, name })
    }

    /// What it is called: its folder's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The network.
    pub fn model(&self) -> &dyn Encoder {
        &*self.model
    }

    /// The vector of each text, `model().width()` numbers, of length 1 with `normalize`. Texts of similar length are read together;
    /// `done` hears how many more are.
    ///
    /// # Errors
    /// When a text is empty or longer than the model's positions; it is named by its number, from 1.
    pub fn embed<S: AsRef<str>>(
        &self,
        texts: &[S],
        pooling: Pooling,
        normalize: bool,
        mut done: impl FnMut(usize),
    ) -> Result<Vec<Vec<f32>>> {
        let encoded = texts.iter().enumerate().map(|(at, text)| self.encode(text.as_ref(), at));
        let encoded: Vec<Vec<u32>> = encoded.collect::<Result<_>>()?;
        let mut order: Vec<usize> = (0..encoded.len()).collect();
        order.sort_by_key(|&at| encoded[at].len());
        let mut vectors = vec![Vec::new(); encoded.len()];
        let mut rest = &order[..];
        while !rest.is_empty() {
            // The last is the longest, so it decides how many fit.
            let fits = |count: &usize| *count == 1 || count * encoded[rest[count - 1]].len() <= BATCH;
            let count = (1..=rest.len()).take_while(fits).last().unwrap_or(1);
            let (batch, others) = rest.split_at(count);
            let texts: Vec<&[u32]> = batch.iter().map(|&at| &*encoded[at]).collect();
            for (&at, vector) in batch.iter().zip(self.vectors(&texts, pooling, normalize)?) {
                vectors[at] = vector;
            }
            rest = others;
            done(count);
        }
        Ok(vectors)
    }

    fn vectors(&self, texts: &[&[u32]], pooling: Pooling, normalize: bool) -> Result<Vec<Vec<f32>>> {
        let padded = Padded::new(texts, 0, self.model.vocabulary())?;
        let states = self.model.states(&padded, None, Mode::Evaluate, None)?;
        let width = self.model.width();
        let numbers: Vec<f32> = pooling.of(states, &padded).into_data().try_into_vec().expect("states are f32");
        Ok(numbers
            .chunks_exact(width)
            .map(|vector| {
                let length = if normalize { vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12) } else { 1.0 };
                vector.iter().map(|x| x / length).collect()
            })
            .collect())
    }

    /// The `count` likeliest tokens for the hidden place of a text, which is written as the model's own mask or as `[MASK]`.
    ///
    /// # Errors
    /// When the model has no head for it, or the text has no hidden place or several.
    pub fn fill(&self, text: &str, count: usize) -> Result<Vec<Filling>> {
        let (mask, id) = self.mask().ok_or_else(|| {
            Error::option("model", &self.name, format!("one whose tokenizer has a mask: {}", MASKS.join(" or ")))
        })?;
        let ids = self.encode(&self.masked(text).0, 0)?;
        let places: Vec<usize> = (0..ids.len()).filter(|&at| ids[at] == id).collect();
        let [place] = places[..] else {
            return Err(Error::option(
                "text",
                format!("one with {} hidden places", places.len()),
                format!("one {mask}"),
            ));
        };
        let states =
            self.model.states(&Padded::new(&[&ids], 0, self.model.vocabulary())?, None, Mode::Evaluate, None)?;
        let scores = self.model.fill(states.narrow(1, place, 1).squeeze_dim(1));
        let scores = scores.ok_or_else(|| Error::option("model", &self.name, "one with a head for hidden tokens"))?;
        let likely: Vec<f32> = softmax(scores, 1).into_data().try_into_vec().expect("scores are f32");
        let mut order: Vec<usize> = (0..likely.len()).collect();
        order.sort_by(|&a, &b| likely[b].total_cmp(&likely[a]));
        order
            .into_iter()
            .take(count)
            .map(|token| {
                let filled: Vec<u32> =
                    ids.iter().map(|&other| if other == id { token as u32 } else { other }).collect();
                let shown = self.tokenizer.shown(token as u32).trim().to_owned();
                Ok(Filling { token: shown, text: self.tokenizer.decode(&filled)?, probability: likely[token] })
            })
            .collect()
    }

    /// Every label of a text, or of two, with its probability, the likeliest first.
    ///
    /// # Errors
    /// When the model has no head for it, or the text is empty or too long.
    pub fn classify(&self, text: &str, second: Option<&str>) -> Result<Vec<(String, f32)>> {
        let (ids, segments) = match second {
            Some(second) => self.tokenizer.encode_pair(text, second)?,
            None => (self.encode(text, 0)?, Vec::new()),
        };
        self.fits(&ids, 0)?;
        let padded = Padded::new(&[&ids], 0, self.model.vocabulary())?;
        let states = self.model.states(&padded, second.map(|_| &*segments), Mode::Evaluate, None)?;
        let scores = self.model.classify(states);
        let scores = scores.ok_or_else(|| Error::option("model", &self.name, "one with a head for labels"))?;
        let likely: Vec<f32> = softmax(scores, 1).into_data().try_into_vec().expect("scores are f32");
        let name = |at: usize| self.model.labels().get(at).cloned().unwrap_or_else(|| format!("label {at}"));
        let mut found: Vec<(String, f32)> = likely.into_iter().enumerate().map(|(at, p)| (name(at), p)).collect();
        found.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        Ok(found)
    }

    /// What every layer and head looked at while reading a text.
    ///
    /// # Errors
    /// When the text is empty or too long.
    pub fn trace(&self, text: &str) -> Result<Trace> {
        let ids = self.encode(text, 0)?;
        let mut sights = Vec::new();
        self.model.states(
            &Padded::new(&[&ids], 0, self.model.vocabulary())?,
            None,
            Mode::Evaluate,
            Some(&mut sights),
        )?;
        let tokens = ids.iter().map(|&id| self.tokenizer.shown(id)).collect();
        sight::trace(text.to_owned(), self.name.clone(), ("text".into(), tokens), sights)
    }

    /// The same with nothing learned; see [`regard_models::weights::shuffled`].
    pub fn shuffled(&self, seed: u64) -> Self {
        let (tokenizer, name) = (self.tokenizer.clone(), self.name.clone());
        Reader { model: self.model.shuffled(seed), tokenizer, name }
    }

    pub(crate) fn tokenizer(&self) -> &HubTokenizer {
        &self.tokenizer
    }

    fn mask(&self) -> Option<(&'static str, u32)> {
        MASKS.iter().find_map(|mask| Some((*mask, self.tokenizer.id(mask)?)))
    }

    /// A text with its hidden places written as the model writes them, and the id of such a place, if the model has one.
    pub(crate) fn masked(&self, text: &str) -> (String, Option<u32>) {
        match self.mask() {
            Some((mask, id)) => {
                (MASKS.iter().fold(text.to_owned(), |text, written| text.replace(written, mask)), Some(id))
            }
            None => (text.to_owned(), None),
        }
    }

    pub(crate) fn encode(&self, text: &str, at: usize) -> Result<Vec<u32>> {
        if text.trim().is_empty() {
            return Err(Error::option("text", format!("empty (number {})", at + 1), "a text"));
        }
        let ids = self.tokenizer.encode(text)?;
        self.fits(&ids, at)?;
        Ok(ids)
    }

    fn fits(&self, ids: &[u32], at: usize) -> Result<()> {
        if ids.len() <= self.model.context() {
            return Ok(());
        }
        let given = format!("{} tokens long (number {})", ids.len(), at + 1);
        Err(Error::option("text", given, format!("at most the model's {} positions", self.model.context())))
    }
}
