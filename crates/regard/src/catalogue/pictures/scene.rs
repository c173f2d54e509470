//! What the pictures are made on: a sentence of made-up words, and a longer text of topics that come back.

use std::f32::consts::{PI, TAU};

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use regard_kernel::probe::{Probe, Stage, Weights};
use regard_kernel::{Attention, View};

use super::{Panel, Picture};
use crate::error::Result;
use crate::ops::numbers;
use crate::projection::Linear;
use crate::random::normals;

/// The sentence.
const WORDS: [&str; 12] = ["the", "black", "cat", "saw", "the", "white", "cat", "and", "the", "white", "cat", "ran"];
/// Each word's number and kind: article, colour, animal, verb, other.
const LEXICON: [(&str, usize, usize); 7] =
    [("the", 0, 0), ("black", 1, 1), ("cat", 2, 2), ("saw", 3, 3), ("white", 4, 1), ("and", 5, 4), ("ran", 6, 3)];
/// Features for what a word is, for its kind, and for its place: so many each.
pub(super) const GROUP: usize = 8;
/// Where a text of topics changes its topic, as a share of its length, and to which.
const TOPICS: [(f32, usize); 6] = [(0.0, 0), (0.2, 1), (0.35, 0), (0.55, 2), (0.7, 1), (0.85, 3)];

/// Said under every picture of the sentence.
pub(super) const SENTENCE: &str =
    "A made-up vector of a word tells which word it is, of which kind, and where it stands.";
/// Said under every picture of the text.
pub(super) const TEXT: &str = "A text of 48 positions with four topics, two of which come back.";

/// Vectors, one a position.
#[derive(Clone)]
pub(super) struct Rows {
    pub tokens: Vec<String>,
    pub width: usize,
    pub values: Vec<f32>,
}

impl Rows {
    pub fn new(tokens: Vec<String>, values: Vec<f32>) -> Self {
        let width = values.len() / tokens.len();
        Rows { tokens, width, values }
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn row(&self, at: usize) -> &[f32] {
        &self.values[at * self.width..][..self.width]
    }

    /// Each vector changed.
    pub fn map(&self, change: impl Fn(usize, &[f32]) -> Vec<f32>) -> Self {
        let rows = (0..self.len()).flat_map(|at| change(at, self.row(at)));
        Rows::new(self.tokens.clone(), rows.collect())
    }

    pub fn scaled(&self, by: f32) -> Self {
        self.map(|_, row| row.iter().map(|x| x * by).collect())
    }

    /// `[1, 1, position, feature]`
    pub fn tensor(&self) -> Tensor<4> {
        tensor(self.values.clone(), [1, 1, self.len(), self.width])
    }

    fn view(&self) -> Result<View<'_>> {
        Ok(View::new(&self.values, [1, 1, self.len(), self.width])?)
    }
}

/// Numbers as a tensor.
pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &Device::default())
}

/// A linear layer set by hand: `weight(input, output)`, no bias.
pub(super) fn set(layer: &mut Linear, weight: impl Fn(usize, usize) -> f32) {
    let [rows, columns] = layer.weight.dims();
    let values = (0..rows * columns).map(|at| weight(at / columns, at % columns)).collect();
    layer.weight = Param::from_tensor(tensor(values, [rows, columns]));
    layer.bias = None;
}

/// 1 where they are the same.
pub(super) fn same(a: usize, b: usize) -> f32 {
    f32::from(u8::from(a == b))
}

/// A row of a Hadamard matrix: rows of different numbers are orthogonal.
fn code(number: usize, feature: usize) -> f32 {
    if (number & feature).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 }
}

/// The sentence as vectors.
pub(super) fn words() -> Rows {
    let vector = |(place, word): (usize, &&str)| {
        let (_, number, kind) = LEXICON.into_iter().find(|(known, ..)| known == word).unwrap_or(LEXICON[0]);
        let what = (0..GROUP).map(move |feature| 1.1 * code(number, feature));
        let kinds = (0..GROUP).map(move |feature| 2.4 * same(feature, kind));
        let places = (0..GROUP / 2).flat_map(move |pair| {
            let angle = place as f32 / (1 << pair) as f32;
            [1.1 * angle.sin(), 1.1 * angle.cos()]
        });
        what.chain(kinds).chain(places).collect::<Vec<_>>()
    };
    Rows::new(WORDS.map(String::from).to_vec(), WORDS.iter().enumerate().flat_map(vector).collect())
}

/// A text of topics as vectors: eight features of the topic, eight of the place, and noise.
pub(super) fn topics(length: usize) -> Rows {
    let noise = normals(5, length * 2 * GROUP);
    let vector = |place: usize| {
        let share = place as f32 / length as f32;
        let topic = TOPICS.iter().rfind(|(from, _)| *from <= share).map_or(0, |&(_, topic)| topic);
        let about = (0..GROUP).map(move |feature| 1.1 * code(topic + 1, feature));
        let places = (0..3).flat_map(move |pair| {
            let angle = TAU * place as f32 / (6 << pair) as f32;
            [0.8 * angle.sin(), 0.8 * angle.cos()]
        });
        // The last two do not turn round: they tell the beginning from the end.
        let slope = PI * (share - 0.5);
        let places = places.chain([1.2 * slope.sin(), 1.2 * slope.cos()]);
        about
            .chain(places)
            .zip(&noise[place * 2 * GROUP..])
            .map(|(x, noise)| x + 0.3 * *noise as f32)
            .collect::<Vec<_>>()
    };
    Rows::new(numbered(length), (0..length).flat_map(vector).collect())
}

/// Positions by their numbers.
pub(super) fn numbered(length: usize) -> Vec<String> {
    (0..length).map(|at| at.to_string()).collect()
}

/// Shows a probe what `attention` does.
pub(super) fn observe(attention: &Attention, queries: &Rows, keys: &Rows, probe: &mut dyn Probe) -> Result<()> {
    let (q, k) = (queries.view()?, keys.view()?);
    let lse = attention.forward(&q, &k, &k)?.lse;
    Ok(attention.observe(&q, &k, &lse, &mut [probe])?)
}

/// The weights of `attention`.
pub(super) fn weights(attention: &Attention, queries: &Rows, keys: &Rows) -> Result<Vec<f32>> {
    let mut probe = Weights::new();
    observe(attention, queries, keys, &mut probe)?;
    Ok(probe.into_values())
}

/// The scores of `attention` after so many biases, for `heads` heads of queries and keys that are all 0, `length` each; of
/// one of the heads.
pub(super) fn biased(
    attention: &Attention,
    length: usize,
    heads: usize,
    head: usize,
    biases: usize,
) -> Result<Vec<f32>> {
    let zeros = vec![0.0; heads * length];
    let zeros = View::new(&zeros, [1, heads, length, 1])?;
    let lse = attention.forward(&zeros, &zeros, &zeros)?.lse;
    let mut probe = Weights::heads([head]).at(Stage::Scores { biases });
    attention.observe(&zeros, &zeros, &lse, &mut [&mut probe])?;
    Ok(probe.into_values())
}

/// A map of attention weights, from 0 to 1.
pub(super) fn attended(title: &str, queries: &Rows, keys: &Rows, values: Vec<f32>) -> Panel {
    let axis = |name: &str, rows: &Rows| (name.to_owned(), rows.tokens.clone());
    let scale = ("attention weight".to_owned(), 0.0, 1.0);
    Panel { title: title.to_owned(), rows: axis("query", queries), columns: axis("key", keys), values, scale }
}

/// A map of something else, over positions by their numbers.
pub(super) fn measured(
    title: &str,
    quantity: &str,
    rows: (&str, usize),
    columns: (&str, usize),
    values: Vec<f32>,
) -> Panel {
    let axis = |(name, length): (&str, usize)| (name.to_owned(), numbered(length));
    let scale = (quantity.to_owned(), 0.0, 1.0);
    Panel { title: title.to_owned(), rows: axis(rows), columns: axis(columns), values, scale }
}

/// What `attention` does where queries and keys are the same vectors.
pub(super) fn look(title: &str, attention: &Attention, rows: &Rows) -> Result<Panel> {
    Ok(attended(title, rows, rows, weights(attention, rows, rows)?))
}

/// What attentions do to the sentence.
pub(super) fn sentence(caption: &str, compared: &[(&str, Attention)]) -> Result<Picture> {
    let words = words();
    let panels = compared.iter().map(|(title, attention)| look(title, attention, &words));
    Ok(Picture { caption: format!("{caption} {SENTENCE}"), panels: panels.collect::<Result<_>>()? })
}

/// Panels that are coloured from the least of all their numbers (or 0, if that is less) to the greatest.
pub(super) fn on_one_scale(mut panels: Vec<Panel>) -> Vec<Panel> {
    let all = || panels.iter().flat_map(|panel| &panel.values).copied();
    let (low, high) = (all().fold(0.0, f32::min), all().fold(f32::NEG_INFINITY, f32::max));
    let high = if high > low { high } else { low + 1.0 };
    panels.iter_mut().for_each(|panel| (panel.scale.1, panel.scale.2) = (low, high));
    panels
}

/// The numbers of a tensor.
pub(super) fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    numbers(tensor)
}
