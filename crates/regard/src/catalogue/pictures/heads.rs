//! Pictures of heads.

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use regard_kernel::Attention;

use super::scene::{GROUP, Rows, SENTENCE, attended, read, same, set, tensor, words};
use super::{Draw, Panel, Picture};
use crate::attention::{
    LatentAttentionConfig, Look, MultiHeadAttentionConfig, MultiHeadOutput, QueryKeyNorm, TalkingHeadsConfig,
};
use crate::error::Result;
use crate::noise::Mode;

pub(super) const PICTURES: &[(&str, Draw)] = &[
    ("MultiHead", multi_head),
    ("GroupedQuery", grouped_query),
    ("GatedOutput", gated_output),
    ("QueryKeyNorm", query_key_norm),
    ("TalkingHeads", talking_heads),
    ("Mla", latent),
];

/// Of three heads on the sentence's features: what each is about, if they are projected by the identity.
const ABOUT: [&str; 3] = ["head 1: which word", "head 2: which kind", "head 3: where"];
const HEADS: usize = 3;

/// Some heads of a look, by their titles.
fn heads(words: &Rows, look: &Look, titles: &[&str]) -> Result<Vec<Panel>> {
    let weights = read(look.weights()?)?;
    let maps = weights.chunks(words.len() * words.len()).zip(titles);
    Ok(maps.map(|(map, title)| attended(title, words, words, map.to_vec())).collect())
}

fn input(words: &Rows) -> Tensor<3> {
    words.tensor().squeeze_dim(1)
}

/// Multi-head attention of the sentence; `query(feature, output)` and `key(feature, output)` are the projections.
fn projected(
    words: &Rows,
    config: &MultiHeadAttentionConfig,
    query: impl Fn(usize, usize) -> f32,
    key: impl Fn(usize, usize) -> f32,
) -> Result<MultiHeadOutput> {
    let mut layer = config.init(&Device::default())?;
    set(&mut layer.query, query);
    set(&mut layer.key, key);
    layer.forward(input(words), input(words), &Attention::default(), Mode::Evaluate)
}

fn multi_head() -> Result<Picture> {
    let words = words();
    let identity = |from, to| 1.2 * same(from, to);
    let out = projected(&words, &MultiHeadAttentionConfig::new(words.width, HEADS), identity, identity)?;
    let caption = "The projections are the identity, so that each head sees another third of the features.";
    Ok(Picture { caption: format!("{caption} {SENTENCE}"), panels: heads(&words, &out.look, &ABOUT)? })
}

/// One head of keys, the kinds, for three heads of queries that differ in how sharply they ask.
fn grouped_query() -> Result<Picture> {
    let words = words();
    let config = MultiHeadAttentionConfig::new(words.width, HEADS).with_key_heads(Some(1));
    let kind = |from: usize, to: usize| same(from, GROUP + to % GROUP);
    let gains = [0.4, 1.0, 2.5];
    let out = projected(&words, &config, |from, to| gains[to / GROUP] * kind(from, to), kind)?;
    let caption = "Three query heads over one head of keys, which tell a word's kind: the heads ask for it more and more sharply.";
    let titles = ["query head 1", "query head 2", "query head 3"];
    Ok(Picture { caption: format!("{caption} {SENTENCE}"), panels: heads(&words, &out.look, &titles)? })
}

fn gated_output() -> Result<Picture> {
    let caption = "There is nothing to draw: the gate acts on what the heads found, and their weights are MultiHead's.";
    Ok(Picture { caption: caption.to_owned(), panels: Vec::new() })
}

fn query_key_norm() -> Result<Picture> {
    let plain = words();
    let words = plain.map(|at, row| row.iter().map(|x| if at == 3 { 3.0 * x } else { *x }).collect());
    let config = MultiHeadAttentionConfig::new(words.width, 1);
    let mut panels = Vec::new();
    for (title, norm) in [("normalised", Some(QueryKeyNorm::Rms)), ("as they are", None)] {
        let out = projected(&words, &config.clone().with_query_key_norm(norm), same, same)?;
        panels.extend(heads(&words, &out.look, &[title])?);
    }
    let caption =
        "The vector of \"saw\" is three times as long as it should be; normalised, it is a word like any other.";
    Ok(Picture { caption: format!("{caption} {SENTENCE}"), panels })
}

/// The first head hears the second's scores.
fn talking_heads() -> Result<Picture> {
    let words = words();
    let mut layer = TalkingHeadsConfig::new(words.width, HEADS).init(&Device::default())?;
    for projection in [&mut layer.query, &mut layer.key] {
        set(projection, |from, to| 1.2 * same(from, to));
    }
    let mut panels = Vec::new();
    for (title, heard) in [("head 1 alone", 0.0), ("head 1, hearing head 2", 1.0)] {
        let mix = |from: usize, to: usize| same(from, to) + heard * same(from, 1) * same(to, 0);
        let numbers = (0..HEADS * HEADS).map(|at| mix(at / HEADS, at % HEADS)).collect();
        layer.scores = Param::from_tensor(tensor(numbers, [HEADS, HEADS]));
        let out = layer.forward(input(&words), input(&words), &Attention::default(), Mode::Evaluate)?;
        panels.extend(heads(&words, &out.look, &[title])?);
    }
    let caption = "Head 1 compares words, head 2 kinds. With its scores added, head 1 sees colours and animals among equals, too.";
    Ok(Picture { caption: format!("{caption} {SENTENCE}"), panels })
}

/// The short vector holds word and kind; what rotates is the same at every position.
fn latent() -> Result<Picture> {
    let words = words();
    let rank = 2 * GROUP;
    let config = LatentAttentionConfig::new(words.width, 1).with_head_width(Some(rank)).with_rank(Some(rank));
    let mut layer = config.with_rotated(Some(GROUP)).with_base(100.0).init(&Device::default())?;
    set(&mut layer.up, same);
    let mut panels = Vec::new();
    for (title, turning) in [("by content and place", 1.6), ("by content alone", 0.0)] {
        // The first feature of a word is 1.1 for all of them.
        let weight = |from: usize, to: usize| {
            if to < rank { 1.4 * same(from, to) } else { turning * same(from, 0) * same(to % 2, 0) }
        };
        set(&mut layer.query, weight);
        set(&mut layer.down, weight);
        let out = layer.forward(input(&words), &Attention::default(), Mode::Evaluate)?;
        panels.extend(heads(&words, &out.look, &[title])?);
    }
    let caption = "Short vectors of 16 features tell word and kind; 8 more, which turn with the position, make near words nearer.";
    Ok(Picture { caption: format!("{caption} {SENTENCE}"), panels })
}
