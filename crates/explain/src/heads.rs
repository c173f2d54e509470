//! What kind of head is it? A few numbers for each head of a trace, by which hundreds of heads can be ranked.
//!
//! They describe where attention goes. None says what mattered to the model's answer.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use crate::error::Result;
use crate::trace::{Head, Trace};

/// A head and what its weights look like, means over the queries.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadProfile {
    /// Index of its site in the trace.
    pub site: usize,
    /// From 0.
    pub head: usize,
    /// Entropy of a query's weights in nats: 0 for one key, `ln n` for n keys alike.
    pub entropy: f32,
    /// Share that goes to the first key: a sink, if it is large.
    pub first: f32,
    /// Share that goes to the key before the query's own; `None` where queries and keys are different sequences.
    pub previous: Option<f32>,
    /// Share that goes to keys of the same token as the query's, itself not counted, over queries that have any within view.
    pub same: Option<f32>,
    /// Share that goes to what followed the query's token where it occurred before: the prefix-matching score of induction heads, over
    /// queries whose token did. Olsson et al. 2022, arXiv:2209.11895.
    pub induction: Option<f32>,
    /// How far the strongest keys follow the order of the queries: Pearson's correlation of a query's place with its strongest key's, 1
    /// for a word-by-word translation; `None` where queries and keys are one sequence.
    pub alignment: Option<f32>,
}

/// What heads can be ranked by, the greatest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// The widest first.
    Entropy,
    /// Sinks first.
    First,
    /// Those that look one back first.
    Previous,
    /// Those that look at the same token first.
    Same,
    /// Induction heads first.
    Induction,
    /// Those first that go through the source as the queries do.
    Alignment,
}

/// Queries whose weights are held at once, and weights that are.
const PIECE: usize = 64;
const PIECE_WEIGHTS: usize = 1 << 24;

const RANKS: [(&str, Rank); 6] = [
    ("entropy", Rank::Entropy),
    ("first", Rank::First),
    ("previous", Rank::Previous),
    ("same", Rank::Same),
    ("induction", Rank::Induction),
    ("alignment", Rank::Alignment),
];

impl FromStr for Rank {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = RANKS.iter().find(|(name, _)| *name == text).map(|(_, rank)| *rank);
        known.ok_or_else(|| format!("{text:?}, expected entropy, first, previous, same, induction or alignment"))
    }
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(RANKS.iter().find(|(_, rank)| rank == self).map_or("", |(name, _)| name))
    }
}

impl HeadProfile {
    /// The number that a rank goes by.
    pub fn by(&self, rank: Rank) -> Option<f32> {
        match rank {
            Rank::Entropy => Some(self.entropy),
            Rank::First => Some(self.first),
            Rank::Previous => self.previous,
            Rank::Same => self.same,
            Rank::Induction => self.induction,
            Rank::Alignment => self.alignment,
        }
    }
}

/// The mean of what some queries say.
#[derive(Default)]
struct Mean(f64, u64);

impl Mean {
    fn add(&mut self, value: Option<f32>) {
        if let Some(value) = value {
            self.0 += f64::from(value);
            self.1 += 1;
        }
    }

    fn value(&self) -> Option<f32> {
        (self.1 > 0).then(|| (self.0 / self.1 as f64) as f32)
    }
}

/// A profile in the making, a query at a time.
#[derive(Default)]
struct Notes {
    entropy: Mean,
    first: Mean,
    previous: Mean,
    same: Mean,
    induction: Mean,
    /// Each query and its strongest key.
    strongest: Vec<[f64; 2]>,
}

impl Notes {
    /// A query's weights; `places` are those of its token, if queries and keys are one sequence.
    fn add(&mut self, query: usize, weights: &[f32], places: Option<&[usize]>) {
        let seen = weights.iter().filter(|&&weight| weight > 0.0);
        self.entropy.add(Some(seen.map(|&weight| -weight * weight.ln()).sum()));
        self.first.add(Some(weights.first().copied().unwrap_or(0.0)));
        let Some(places) = places else {
            let strongest = weights
                .iter()
                .enumerate()
                .fold((0, 0.0), |best, (key, &weight)| if weight > best.1 { (key, weight) } else { best });
            if strongest.1 > 0.0 {
                self.strongest.push([query as f64, strongest.0 as f64]);
            }
            return;
        };
        // Without places to look at, a query says nothing of the head.
        let sum = |keys: &mut dyn Iterator<Item = usize>| -> Option<f32> {
            let (sum, count) = keys.fold((0.0, 0), |(sum, count), key| (sum + weights[key], count + 1));
            (count > 0).then_some(sum)
        };
        let others = || places.iter().copied().filter(|&at| at != query);
        self.previous.add(query.checked_sub(1).map(|key| weights[key]));
        // Behind a causal mask a later key has a weight of exactly 0, and was never a choice.
        self.same.add(sum(&mut others().filter(|&at| at < query || weights[at] > 0.0)));
        self.induction.add(sum(&mut others().filter(|&at| at + 1 < query).map(|at| at + 1)));
    }
}

/// Pearson's correlation of pairs; `None` where one side does not vary.
fn correlation(pairs: &[[f64; 2]]) -> Option<f32> {
    let mean = [0, 1].map(|side| pairs.iter().map(|pair| pair[side]).sum::<f64>() / pairs.len() as f64);
    let product = |a: usize, b: usize| pairs.iter().map(|pair| (pair[a] - mean[a]) * (pair[b] - mean[b])).sum::<f64>();
    let spread = (product(0, 0) * product(1, 1)).sqrt();
    (spread > 0.0).then(|| (product(0, 1) / spread) as f32)
}

impl Trace {
    /// Every head of every site, in order.
    ///
    /// # Errors
    /// When a site's weights cannot be made of its states.
    pub fn profiles(&self) -> Result<Vec<HeadProfile>> {
        let mut found = Vec::new();
        for (index, site) in self.sites().iter().enumerate() {
            for head in 0..site.heads {
                found.push(self.profile(index, head, usize::MAX)?);
            }
        }
        Ok(found)
    }

    /// One head, from at most `most` queries: all of them if they are no more, or else a sample in even pieces, which gives estimates.
    ///
    /// # Errors
    /// As [`weights`](Trace::weights).
    pub fn profile(&self, site: usize, head: usize, most: usize) -> Result<HeadProfile> {
        let (found, [rows, columns]) = self.place(site, &[0..0, 0..0])?;
        let tokens = (found.queries == found.keys).then(|| self.queries(found));
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, token) in tokens.unwrap_or_default().iter().enumerate() {
            places.entry(token).or_default().push(at);
        }
        let mut notes = Notes::default();
        let size = (PIECE_WEIGHTS / columns.max(1)).clamp(1, PIECE);
        let (pieces, taken) = (rows.div_ceil(size), most.div_ceil(size).max(1));
        for piece in 0..pieces.min(taken) {
            let start = if pieces <= taken { piece } else { piece * pieces / taken } * size;
            let queries = start..(start + size).min(rows);
            let map = self.weights(site, Head::One(head), [queries.clone(), 0..columns])?;
            for (query, weights) in queries.zip(map.weights.chunks(columns.max(1))) {
                notes.add(query, weights, tokens.map(|tokens| places[tokens[query].as_str()].as_slice()));
            }
        }
        Ok(HeadProfile {
            site,
            head,
            entropy: notes.entropy.value().unwrap_or(0.0),
            first: notes.first.value().unwrap_or(0.0),
            previous: notes.previous.value(),
            same: notes.same.value(),
            induction: notes.induction.value(),
            alignment: correlation(&notes.strongest),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Evidence, Site};

    #[test]
    fn a_word_by_word_translation_is_aligned() {
        let mut trace = Trace::new("", "");
        let [source, target] = ["source", "target"].map(|name| trace.add_axis(name, vec!["x".into(); 3]));
        let diagonal = vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let backward: Vec<f32> = diagonal.chunks(3).rev().flatten().copied().collect();
        let first = [1.0, 0.0, 0.0].repeat(3);
        let evidence = Evidence::Weights([diagonal, backward, first].concat().into());
        trace.add_site(Site { name: "s".into(), layer: 0, queries: target, keys: source, heads: 3, evidence }).unwrap();
        let aligned: Vec<_> = trace.profiles().unwrap().iter().map(|head| head.alignment).collect();
        assert_eq!(aligned, [Some(1.0), Some(-1.0), None]);
    }

    #[test]
    fn hand_made_heads_are_what_they_were_made_to_be() {
        let tokens: Vec<String> = ["a", "b", "c", "a", "b"].map(String::from).to_vec();
        let n = tokens.len();
        let one = |key: fn(usize) -> usize| -> Vec<f32> {
            (0..n).flat_map(|row| (0..n).map(move |at| f32::from(u8::from(at == key(row))))).collect()
        };
        let uniform: Vec<f32> =
            (0..n).flat_map(|row| (0..n).map(move |at| if at <= row { 1.0 / (row + 1) as f32 } else { 0.0 })).collect();
        // The first, the one before, what followed the same token (1 after the a of place 0, 2 after the b of place 1).
        let heads = [one(|_| 0), one(|row| row.saturating_sub(1)), one(|row| [0, 0, 0, 1, 2][row]), uniform];
        let mut trace = Trace::new("", "");
        let axis = trace.add_axis("text", tokens);
        let evidence = Evidence::Weights(heads.concat().into());
        trace
            .add_site(Site { name: "decoder.self".into(), layer: 0, queries: axis, keys: axis, heads: 4, evidence })
            .unwrap();
        let found = trace.profiles().unwrap();
        assert_eq!((found[0].entropy, found[0].first, found[0].induction), (0.0, 1.0, Some(0.0)));
        assert_eq!((found[0].same, found[0].previous), (Some(0.5), Some(0.25)));
        assert_eq!((found[1].previous, found[2].induction), (Some(1.0), Some(1.0)));
        let entropy = (1..=5).map(|keys| (keys as f32).ln()).sum::<f32>() / 5.0;
        assert!((found[3].entropy - entropy).abs() < 1e-6);
        assert!((found[3].induction.unwrap() - (0.25 + 0.2) / 2.0).abs() < 1e-6);
        assert_eq!(trace.profile(0, 3, 1).unwrap(), found[3]);
        assert_eq!("induction".parse::<Rank>().unwrap().to_string(), "induction");
        assert!("importance".parse::<Rank>().unwrap_err().contains("expected entropy, first"));
    }
}
