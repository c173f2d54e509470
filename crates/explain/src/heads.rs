//! What kind of head is it? A few numbers for each head of a trace, by which hundreds of heads can be ranked.
//!
//! They describe where attention goes. None says what mattered to the model's answer.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use crate::error::Result;
use crate::trace::{Head, Map, Trace};

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
}

const RANKS: [(&str, Rank); 5] = [
    ("entropy", Rank::Entropy),
    ("first", Rank::First),
    ("previous", Rank::Previous),
    ("same", Rank::Same),
    ("induction", Rank::Induction),
];

impl FromStr for Rank {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = RANKS.iter().find(|(name, _)| *name == text).map(|(_, rank)| *rank);
        known.ok_or_else(|| format!("{text:?}, expected entropy, first, previous, same or induction"))
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
        }
    }

    fn of(site: usize, head: usize, map: &Map, tokens: Option<&[String]>) -> Self {
        let mean = |value: &dyn Fn(usize) -> Option<f32>| -> Option<f32> {
            let found: Vec<f32> = (0..map.rows).filter_map(value).collect();
            (!found.is_empty()).then(|| found.iter().sum::<f32>() / found.len() as f32)
        };
        let entropy = |row: usize| {
            let weights = (0..map.columns).map(|column| map.weight(row, column)).filter(|&weight| weight > 0.0);
            Some(weights.map(|weight| -weight * weight.ln()).sum())
        };
        let (mut same, mut induction) = (vec![None; map.rows], vec![None; map.rows]);
        if let Some(tokens) = tokens {
            let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
            tokens.iter().enumerate().for_each(|(at, token)| places.entry(token).or_default().push(at));
            for (row, token) in tokens.iter().enumerate() {
                let others = || places[token.as_str()].iter().copied().filter(|&at| at != row);
                // Without places to look at, a query says nothing of the head.
                let sum = |keys: &mut dyn Iterator<Item = usize>| -> Option<f32> {
                    let weights: Vec<f32> = keys.map(|key| map.weight(row, key)).collect();
                    (!weights.is_empty()).then(|| weights.iter().sum())
                };
                // Behind a causal mask a later key has a weight of exactly 0, and was never a choice.
                same[row] = sum(&mut others().filter(|&at| at < row || map.weight(row, at) > 0.0));
                induction[row] = sum(&mut others().filter(|&at| at + 1 < row).map(|at| at + 1));
            }
        }
        HeadProfile {
            site,
            head,
            entropy: mean(&entropy).unwrap_or(0.0),
            first: mean(&|row| Some(map.weight(row, 0))).unwrap_or(0.0),
            previous: tokens.and_then(|_| mean(&|row| row.checked_sub(1).map(|key| map.weight(row, key)))),
            same: mean(&|row| same[row]),
            induction: mean(&|row| induction[row]),
        }
    }
}

impl Trace {
    /// Every head of every site, in order.
    ///
    /// # Errors
    /// When a site's weights cannot be made of its states.
    pub fn profiles(&self) -> Result<Vec<HeadProfile>> {
        let mut found = Vec::new();
        for (index, site) in self.sites().iter().enumerate() {
            let tokens = (site.queries == site.keys).then(|| self.queries(site));
            for head in 0..site.heads {
                found.push(HeadProfile::of(index, head, &self.map(index, Head::One(head))?, tokens));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Evidence, Site};

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
        let evidence = Evidence::Weights(heads.concat());
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
        assert_eq!("induction".parse::<Rank>().unwrap().to_string(), "induction");
        assert!("importance".parse::<Rank>().unwrap_err().contains("expected entropy, first"));
    }
}
