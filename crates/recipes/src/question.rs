//! A question to a trained model that has one number for an answer, for explanations to ask again and again with places missing.
//!
//! An encoder answers with the logit of a label, the log-probability of a token in a hidden place, or how near the text's vector
//! stays to what it was (cosine); a decoder with the log-probability of what follows; an encoder–decoder with that of its
//! translation, or of a word of it given what it wrote before. Places are the tokens of the text, and those of the translation so far;
//! what the tokenizer puts around them always stays. A missing place is taken out, or a token stands in for it: the mask, or else the
//! unknown token, padding, or a space. Its vector is what enters the first layer, positions included.
//!
//! Many variants of an input are a batch.

mod inside;
mod method;
mod reading;
mod translating;
mod writing;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData};
use regard::{Mode, Stage};
use regard_explain::{BoxError, Differentiable, Progress, Subject};
use regard_models::Sight;

use crate::error::{Error, Result};
use crate::trained::Trained;

pub use inside::Inside;
pub use method::Method;

/// Positions of a batch: enough to be busy, few enough for what passes between layers to stay in cache.
const BATCH: usize = 1024;

/// What may be asked of a model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Ask {
    /// What the model finds likeliest: its label, its token for the hidden place, its next token, its translation; the vector of an
    /// encoder that has neither.
    #[default]
    Likeliest,
    /// This word: in the hidden place, as what follows, or where the translation has it.
    Word(String),
    /// This label.
    Label(String),
}

/// A text, a model, and which of its numbers is asked for.
pub struct Question<'a> {
    model: &'a Trained,
    asked: Asked,
    number: String,
    title: String,
    parts: Vec<Part>,
    /// The token that stands in for what is missing.
    stand_in: u32,
    baseline: String,
    /// What enters the layers for each part, and how wide a position is.
    entries: Vec<Vec<f32>>,
    width: usize,
    input: Vec<f32>,
    blank: Vec<f32>,
    /// What was answered with places hidden: methods and measurements ask for the same.
    known: RefCell<HashMap<Vec<bool>, f32>>,
}

/// Which number.
#[derive(Debug, Clone)]
enum Asked {
    /// The logit of a label.
    Label(usize),
    /// The log-probability of a token where the mask is, in the whole text at this position.
    Filling { mask: u32, at: usize, token: u32 },
    /// The cosine with this vector.
    Likeness(Vec<f32>),
    /// The summed log-probability of these tokens, each given those before.
    Tokens(Vec<u32>),
}

/// A sequence that the model reads.
#[derive(Debug, Clone)]
pub struct Part {
    /// "text", "source", "target".
    pub name: &'static str,
    ids: Vec<u32>,
    /// The tokens as people read them.
    pub tokens: Vec<String>,
    /// Which of them are places.
    pub free: Vec<bool>,
}

/// What is known of a question before the model is asked for the first time.
struct Draft<'a> {
    model: &'a Trained,
    asked: Asked,
    number: String,
    title: String,
    parts: Vec<Part>,
    stand_in: (u32, String),
}

impl Trained {
    /// Asks this of a text.
    ///
    /// # Errors
    /// When the text is empty, has no place, is too long or cannot be read, or the model knows no such word or label.
    pub fn question(&self, text: &str, ask: &Ask) -> Result<Question<'_>> {
        match self {
            Trained::Reader(reader) => reading::question(self, reader, text, ask),
            Trained::Writer(writer) => writing::question(self, writer, text, ask),
            Trained::Interpreter(interpreter) => translating::question(self, interpreter, text, ask),
        }?
        .ask()
    }

    /// What it is called: its folder's name.
    pub fn name(&self) -> &str {
        match self {
            Trained::Reader(reader) => reader.name(),
            Trained::Writer(writer) => writer.name(),
            Trained::Interpreter(interpreter) => interpreter.name(),
        }
    }

    /// A token as people read it.
    fn shown(&self, id: u32) -> String {
        match self {
            Trained::Reader(reader) => reader.tokenizer().shown(id),
            Trained::Writer(writer) => writer.vocabulary().shown(id),
            Trained::Interpreter(interpreter) => interpreter.token(id),
        }
    }

    /// The same network with nothing learned, for a randomisation check: the numbers of each parameter in another order.
    ///
    /// # Errors
    /// When the weights are in blocks of whole numbers.
    pub fn shuffled(&self, seed: u64) -> Result<Trained> {
        Ok(match self {
            Trained::Reader(reader) => Trained::Reader(Box::new(reader.shuffled(seed))),
            Trained::Writer(writer) => Trained::Writer(writer.shuffled(seed)?),
            Trained::Interpreter(interpreter) => Trained::Interpreter(Box::new(interpreter.shuffled(seed))),
        })
    }
}

impl<'a> Draft<'a> {
    /// Runs the model once, for the vectors of the input and of what stands in for it.
    fn ask(self) -> Result<Question<'a>> {
        let Draft { model, asked, number, title, parts, stand_in: (stand_in, baseline) } = self;
        if !parts.iter().any(|part| part.free.contains(&true)) {
            return Err(Error::option("text", format!("{title:?}, without a place to hide"), "at least one token"));
        }
        let (entries, width, input, blank, known) = Default::default();
        let mut question =
            Question { model, asked, number, title, parts, stand_in, baseline, entries, width, input, blank, known };
        let whole = vec![true; question.places()];
        let rows = [question.with(&whole, false), question.with(&vec![false; whole.len()], false)];
        let stage = Stage::new();
        let first = question.asked_of(&rows, Mode::Explain(&stage), None)?;
        if let Asked::Likeness(vector) = &mut question.asked
            && vector.is_empty()
        {
            *vector = first.vector;
        }
        for (part, entry) in question.parts.iter().zip(stage.entries()) {
            let [_, length, width] = entry.dims();
            let numbers: Vec<f32> = entry.into_data().try_into_vec().expect("states are f32");
            let (mine, blank) = numbers.split_at(length * width);
            for (at, _) in part.free.iter().enumerate().filter(|(_, free)| **free) {
                question.input.extend(&mine[at * width..][..width]);
                question.blank.extend(&blank[at * width..][..width]);
            }
            question.entries.push(mine.to_vec());
            question.width = width;
        }
        Ok(question)
    }
}

/// The answers to some rows.
struct Answers {
    numbers: Tensor<1>,
    /// The vector of the first row, where vectors are compared.
    vector: Vec<f32>,
}

impl Question<'_> {
    /// What is explained, as written to people: `log-probability of "noir"`.
    pub fn number(&self) -> &str {
        &self.number
    }

    /// The text that was asked about.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What the model is called.
    pub fn model(&self) -> &str {
        self.model.name()
    }

    /// What the model reads.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The tokens of the places, in order.
    pub fn tokens(&self) -> Vec<String> {
        let tokens = self.parts.iter().flat_map(|part| part.tokens.iter().zip(&part.free));
        tokens.filter(|(_, free)| **free).map(|(token, _)| token.clone()).collect()
    }

    /// The answer to the text as it is.
    ///
    /// # Errors
    /// As the model.
    pub fn answer(&self) -> Result<f32> {
        Ok(self.answers(&[self.with(&vec![true; self.places()], false)])?[0])
    }

    /// The same question to another model of the same kind and vocabulary, such as [`Trained::shuffled`].
    ///
    /// # Errors
    /// As the model.
    pub fn to<'b>(&self, model: &'b Trained) -> Result<Question<'b>> {
        let asked = match &self.asked {
            // Its own vector is what it stays near to.
            Asked::Likeness(_) => Asked::Likeness(Vec::new()),
            asked => asked.clone(),
        };
        let (number, title, parts) = (self.number.clone(), self.title.clone(), self.parts.clone());
        Draft { model, asked, number, title, parts, stand_in: (self.stand_in, self.baseline.clone()) }.ask()
    }

    /// The ids of each part with some places missing.
    fn with(&self, kept: &[bool], removing: bool) -> Vec<Vec<u32>> {
        let mut kept = kept.iter();
        let mut id = |(&id, &free): (&u32, &bool)| match free && !kept.next().copied().unwrap_or(true) {
            true if removing => None,
            true => Some(self.stand_in),
            false => Some(id),
        };
        self.parts.iter().map(|part| part.ids.iter().zip(&part.free).filter_map(&mut id).collect()).collect()
    }

    /// The number for each row of parts.
    fn asked_of(&self, rows: &[Vec<Vec<u32>>], mode: Mode, sights: Option<&mut Vec<Sight>>) -> Result<Answers> {
        match self.model {
            Trained::Reader(reader) => reading::answers(reader, &self.asked, rows, mode, sights),
            Trained::Writer(writer) => writing::answers(writer, &self.asked, rows, mode, sights),
            Trained::Interpreter(interpreter) => translating::answers(interpreter, &self.asked, rows, mode, sights),
        }
    }

    fn answers(&self, rows: &[Vec<Vec<u32>>]) -> Result<Vec<f32>> {
        let mut numbers = Vec::with_capacity(rows.len());
        for rows in rows.chunks(self.fits()) {
            let answers = self.asked_of(rows, Mode::Evaluate, None)?.numbers;
            numbers.extend(answers.into_data().try_into_vec::<f32>().expect("scores are f32"));
        }
        Ok(numbers)
    }

    /// Tells how far some work is, and stops it if that is wished.
    fn goes_on(&self, progress: Progress, work: &'static str, done: usize, total: usize) -> Result<()> {
        match progress(done, total) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(regard_explain::Error::Cancelled { work, done, total }.into()),
        }
    }

    /// Rows that are read together.
    fn fits(&self) -> usize {
        let longest = self.parts.iter().map(|part| part.ids.len()).max().unwrap_or(1);
        (BATCH / longest.max(1)).max(1)
    }

    /// What enters the layers in place of so many copies of the text, where `inputs` are the vectors of its places.
    fn entering(&self, inputs: &[Vec<f32>], device: &Device) -> Vec<Tensor<3>> {
        let mut before = 0;
        let parts = self.parts.iter().zip(&self.entries).map(|(part, entry)| {
            let places: Vec<usize> = (0..part.free.len()).filter(|&at| part.free[at]).collect();
            let mut all = Vec::with_capacity(inputs.len() * entry.len());
            for input in inputs {
                let row = all.len();
                all.extend_from_slice(entry);
                for (place, at) in places.iter().enumerate() {
                    let given = &input[(before + place) * self.width..][..self.width];
                    all[row + at * self.width..][..self.width].copy_from_slice(given);
                }
            }
            before += places.len();
            let shape = [inputs.len(), entry.len() / self.width, self.width];
            Tensor::from_data(TensorData::new(all, shape), device)
        });
        parts.collect()
    }

    /// The vectors of the places, `[places · width]` a row, of vectors of all positions.
    fn of_places(&self, all: &[Vec<f32>], rows: usize) -> Vec<Vec<f32>> {
        let row = |row: usize| {
            let parts = self.parts.iter().zip(all).flat_map(move |(part, all)| {
                let mine = all.chunks_exact(all.len() / rows).nth(row).into_iter();
                let positions = mine.flat_map(|mine| mine.chunks_exact(self.width)).zip(&part.free);
                positions.filter(|(_, free)| **free).flat_map(|(vector, _)| vector.iter().copied())
            });
            parts.collect()
        };
        (0..rows).map(row).collect()
    }
}

impl Subject for Question<'_> {
    fn places(&self) -> usize {
        self.parts.iter().flat_map(|part| &part.free).filter(|free| **free).count()
    }

    fn baseline(&self) -> &str {
        &self.baseline
    }

    fn hidden(&self, kept: &[Vec<bool>]) -> Result<Vec<f32>, BoxError> {
        let new: Vec<&Vec<bool>> = kept.iter().filter(|kept| !self.known.borrow().contains_key(*kept)).collect();
        let rows: Vec<_> = new.iter().map(|kept| self.with(kept, false)).collect();
        let answers = self.answers(&rows)?;
        let mut known = self.known.borrow_mut();
        known.extend(new.into_iter().cloned().zip(answers));
        Ok(kept.iter().map(|kept| known[kept]).collect())
    }

    /// `None`, where nothing would be left to read.
    fn removed(&self, kept: &[Vec<bool>]) -> Option<Result<Vec<f32>, BoxError>> {
        if self.parts.iter().any(|part| !part.free.contains(&false)) {
            return None;
        }
        let rows: Vec<_> = kept.iter().map(|kept| self.with(kept, true)).collect();
        Some(self.answers(&rows).map_err(BoxError::from))
    }
}

impl Differentiable for Question<'_> {
    fn width(&self) -> usize {
        self.width
    }

    fn input(&self) -> &[f32] {
        &self.input
    }

    fn baseline_input(&self) -> &[f32] {
        &self.blank
    }

    fn gradients(&self, inputs: &[Vec<f32>]) -> Result<(Vec<f32>, Vec<Vec<f32>>), BoxError> {
        let (device, whole) = (Device::default(), self.with(&vec![true; self.places()], false));
        let (mut numbers, mut gradients) = (Vec::new(), Vec::new());
        for inputs in inputs.chunks(self.fits()) {
            let entering = self.entering(inputs, &device).into_iter().enumerate();
            let stage =
                entering.fold(Stage::new().tracking(&device), |stage, (part, states)| stage.entering(part, states));
            let answers = self.asked_of(&vec![whole.clone(); inputs.len()], Mode::Explain(&stage), None)?.numbers;
            numbers.extend(answers.to_data().try_into_vec::<f32>().expect("scores are f32"));
            let found = answers.sum().backward();
            let of_entry = |entry: Tensor<3>| match entry.grad(&found) {
                Some(gradient) => gradient.into_data().try_into_vec::<f32>().expect("gradients are f32"),
                // What a part's positions hold may not reach the number at all.
                None => vec![0.0; entry.dims().iter().product()],
            };
            let entries: Vec<Vec<f32>> = stage.entries().into_iter().map(of_entry).collect();
            gradients.extend(self.of_places(&entries, inputs.len()));
        }
        Ok((numbers, gradients))
    }
}
