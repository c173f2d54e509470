//! What attended to what, in memory.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::render::visible;
use crate::{Error, Numbers, Result};

const MAX_HEADS: usize = 4096;

/// Who attended to whom while a model read one input: tokens on [`Axis`]es, attention on [`Site`]s.
///
/// A trace knows nothing of models; whatever has tokens and attention weights can fill one. Its shapes and numbers are
/// checked as they are added, so that a renderer can rely on them.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// What the trace is about, usually the sentence.
    pub title: String,
    /// Which model made it.
    pub model: String,
    axes: Vec<Axis>,
    sites: Vec<Site>,
}

/// A sequence that attends or is attended to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// What the sequence is: "source", "target".
    pub name: String,
    /// The tokens, as shown to people.
    pub tokens: Vec<String>,
}

/// One attention layer in one place of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// Which attention: "encoder.self", "decoder.self", "decoder.cross". Layers of one kind share the name.
    pub name: String,
    /// Which layer, from 0.
    pub layer: usize,
    /// Index of the axis that attends; its tokens are the rows.
    pub queries: usize,
    /// Index of the axis that is attended to; its tokens are the columns.
    pub keys: usize,
    /// How many heads.
    pub heads: usize,
    /// What the weights are, or can be recomputed from.
    pub evidence: Evidence,
}

/// What a site keeps of its attention.
#[derive(Debug, Clone, PartialEq)]
pub enum Evidence {
    /// The weights themselves, `[head, query, key]`, each in `0..=1`.
    Weights(Numbers),
    /// The states that the weights follow from; O(length) numbers instead of O(length²).
    States(States),
}

/// Queries, keys and row log-sum-exps, of which `weight_ij = exp(score_ij − lse_i)` where the rules show the key.
///
/// The score is `scale · q_i·k_j`, which the biases change in their order. A site with another score, or with a mask or a
/// bias that is a table of pairs, keeps [`Evidence::Weights`].
#[derive(Debug, Clone, PartialEq)]
pub struct States {
    /// Queries, `[head, query, width]`.
    pub q: Numbers,
    /// Keys, `[key_head, key, width]`.
    pub k: Numbers,
    /// Log-sum-exp of each row's scores (natural logarithm), sinks included, `[head, query]`; −∞ for a row that sees no
    /// key.
    pub lse: Numbers,
    /// How many key heads; `heads` is a multiple of it, consecutive query heads share one.
    pub key_heads: usize,
    /// Features of a query and a key in one head.
    pub width: usize,
    /// What the dot product is multiplied with, usually `1 / sqrt(width)`.
    pub scale: f32,
    /// Which keys a query sees: those that every rule shows.
    pub rules: Vec<Rule>,
    /// What happens to scores, in this order.
    pub biases: Vec<ScoreBias>,
}

/// Which keys a query sees; the last query stands at the last key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Rule {
    /// Those from `past` before to `future` after its own; none is no limit.
    Window {
        /// Keys before its own.
        past: Option<usize>,
        /// Keys after its own.
        future: Option<usize>,
    },
    /// Those in the given ranges, first and past the last: the others are padding.
    Keys(Vec<[usize; 2]>),
    /// Those of its own document; where documents begin, and the number of positions at the end.
    Documents(Vec<usize>),
}

impl Rule {
    /// A query sees no later key.
    pub const CAUSAL: Self = Self::Window { past: None, future: Some(0) };
}

/// What changes a score before it becomes a weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ScoreBias {
    /// `cap · tanh(score / cap)`.
    SoftCap(f32),
    /// `−slope · (how far the key is)`, a slope for each head.
    Alibi(Vec<f32>),
}

/// Which head to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// One head, from 0.
    One(usize),
    /// The mean over all heads.
    Mean,
}

impl fmt::Display for Head {
    /// As people count: "head 1" is `Head::One(0)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Head::One(head) => write!(f, "head {}", head + 1),
            Head::Mean => f.write_str("mean of the heads"),
        }
    }
}

/// The weights of one head: queries down, keys across.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// How many queries.
    pub rows: usize,
    /// How many keys.
    pub columns: usize,
    /// `[row, column]`, each in `0..=1`.
    pub weights: Vec<f32>,
}

impl Map {
    /// A map of `rows × columns` weights.
    ///
    /// # Errors
    /// [`Error::Shape`] unless `weights` fills the shape, [`Error::Value`] for what is no attention weight.
    pub fn new(rows: usize, columns: usize, weights: Vec<f32>) -> Result<Self> {
        check_shape("weights", &weights, &[rows, columns])?;
        check_weights("weights", &weights)?;
        Ok(Self { rows, columns, weights })
    }

    /// The weight that the query `row` gives to the key `column`; 0 outside the map.
    pub fn weight(&self, row: usize, column: usize) -> f32 {
        if column < self.columns { self.weights.get(row * self.columns + column).copied().unwrap_or(0.0) } else { 0.0 }
    }
}

impl Trace {
    /// A trace with no axis and no site yet.
    pub fn new(title: impl Into<String>, model: impl Into<String>) -> Self {
        Self { title: title.into(), model: model.into(), axes: Vec::new(), sites: Vec::new() }
    }

    /// Adds a sequence and returns its index, which sites refer to.
    pub fn add_axis(&mut self, name: impl Into<String>, tokens: Vec<String>) -> usize {
        self.axes.push(Axis { name: name.into(), tokens });
        self.axes.len() - 1
    }

    /// Adds a site and returns its index.
    ///
    /// # Errors
    /// [`Error::NoSuchAxis`], [`Error::Shape`] when an array does not have the size that heads and axes ask for,
    /// [`Error::Value`] for a NaN or a weight outside `0..=1`, [`Error::Field`] for a count or a scale that cannot be.
    pub fn add_site(&mut self, site: Site) -> Result<usize> {
        self.check(&site)?;
        self.sites.push(site);
        Ok(self.sites.len() - 1)
    }

    /// All sequences.
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// All sites, in the order in which they were added.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// Index of the site with this name and layer.
    pub fn find(&self, name: &str, layer: usize) -> Option<usize> {
        self.sites.iter().position(|site| site.name == name && site.layer == layer)
    }

    /// Index of the site with this name in the highest layer: what a translation's alignment is usually read from.
    pub fn find_last(&self, name: &str) -> Option<usize> {
        (0..self.sites.len()).filter(|&site| self.sites[site].name == name).max_by_key(|&site| self.sites[site].layer)
    }

    /// The tokens that attend at a site of this trace: a map's rows.
    pub fn queries(&self, site: &Site) -> &[String] {
        self.axes.get(site.queries).map_or(&[], |axis| &axis.tokens)
    }

    /// The tokens that are attended to at a site of this trace: a map's columns.
    pub fn keys(&self, site: &Site) -> &[String] {
        self.axes.get(site.keys).map_or(&[], |axis| &axis.tokens)
    }

    /// The sites as a table for people, a line each: index, name, layer, heads, size. Nothing in a name steers a terminal.
    pub fn list(&self) -> String {
        let mut table = String::new();
        let width = self.sites.iter().map(|site| visible(&site.name).chars().count()).max().unwrap_or(0);
        for (index, site) in self.sites.iter().enumerate() {
            let (queries, keys) = (&self.axes[site.queries], &self.axes[site.keys]);
            table += &format!(
                "{index:>3}  {:width$}  layer {}  {} heads  {} {} × {} {}\n",
                visible(&site.name),
                site.layer + 1,
                site.heads,
                queries.tokens.len(),
                visible(&queries.name),
                keys.tokens.len(),
                visible(&keys.name),
            );
        }
        table
    }

    /// How many tokens an axis of the named site has.
    pub(crate) fn length(&self, site: &str, axis: usize) -> Result<usize> {
        let found = self.axes.get(axis).map(|axis| axis.tokens.len());
        found.ok_or_else(|| Error::NoSuchAxis { site: site.to_owned(), axis, axes: self.axes.len() })
    }

    fn check(&self, site: &Site) -> Result<()> {
        let [queries, keys] = [self.length(&site.name, site.queries)?, self.length(&site.name, site.keys)?];
        let heads = site.heads;
        let name = |array: &str| site.array(array);
        let field = |what: &str, given: String, expected| Err(Error::Field { name: name(what), given, expected });
        // An empty axis would let any number of heads pass the shape check.
        if !(1..=MAX_HEADS).contains(&heads) {
            return field("heads", heads.to_string(), "1 to 4096");
        }
        match &site.evidence {
            Evidence::Weights(weights) => {
                check_shape(&name("weights"), weights, &[heads, queries, keys])?;
                if weights.unchecked() { Ok(()) } else { self.check_numbers(site) }
            }
            Evidence::States(states) => {
                if states.key_heads == 0 || !heads.is_multiple_of(states.key_heads) {
                    return field("key heads", states.key_heads.to_string(), "a divisor of the number of heads");
                }
                if states.width == 0 {
                    return field("width", states.width.to_string(), "at least 1");
                }
                if !states.scale.is_finite() {
                    return field("scale", states.scale.to_string(), "a finite number");
                }
                for rule in &states.rules {
                    if !rule.fits(queries, keys) {
                        return field("rule", format!("{rule:?}"), "positions that the axes have");
                    }
                }
                for bias in &states.biases {
                    if !bias.fits(heads) {
                        return field("bias", format!("{bias:?}"), "a positive cap, or a finite slope for each head");
                    }
                }
                check_shape(&name("q"), &states.q, &[heads, queries, states.width])?;
                check_shape(&name("k"), &states.k, &[states.key_heads, keys, states.width])?;
                check_shape(&name("lse"), &states.lse, &[heads, queries])?;
                match [&states.q, &states.k, &states.lse].into_iter().any(Numbers::unchecked) {
                    true => Ok(()),
                    false => self.check_numbers(site),
                }
            }
        }
    }

    /// Looks at every number of a site, also of arrays that are mapped.
    pub(crate) fn check_numbers(&self, site: &Site) -> Result<()> {
        let name = |array: &str| site.array(array);
        match &site.evidence {
            Evidence::Weights(weights) => check_weights(&name("weights"), weights),
            Evidence::States(states) => {
                check_each(&name("q"), &states.q, FINITE, f32::is_finite)?;
                check_each(&name("k"), &states.k, FINITE, f32::is_finite)?;
                check_each(&name("lse"), &states.lse, LSE, is_lse)
            }
        }
    }
}

/// What arrays may hold.
pub(crate) const FINITE: &str = "a finite number";
pub(crate) const LSE: &str = "a finite number or -inf";
pub(crate) const WEIGHT: &str = "a weight from 0 to 1";

pub(crate) fn is_lse(value: f32) -> bool {
    value < f32::INFINITY
}

/// A softmax computed in half precision may end a little above 1.
pub(crate) fn is_weight(value: f32) -> bool {
    (0.0..=1.01).contains(&value)
}

impl Site {
    /// What errors call one of its arrays.
    pub(crate) fn array(&self, array: &str) -> String {
        format!("site {} layer {}: {array}", self.name, self.layer)
    }
}

impl Rule {
    fn fits(&self, queries: usize, keys: usize) -> bool {
        match self {
            Self::Window { .. } => true,
            Self::Keys(ranges) => {
                ranges.iter().flatten().is_sorted() && ranges.iter().flatten().all(|&end| end <= keys)
            }
            Self::Documents(starts) => {
                starts.first() == Some(&0) && starts.is_sorted() && starts.last() == Some(&keys) && queries == keys
            }
        }
    }
}

impl ScoreBias {
    fn fits(&self, heads: usize) -> bool {
        match self {
            Self::SoftCap(cap) => cap.is_finite() && *cap > 0.0,
            Self::Alibi(slopes) => slopes.len() == heads && slopes.iter().all(|slope| slope.is_finite()),
        }
    }
}

fn check_shape(name: &str, array: &[f32], shape: &[usize]) -> Result<()> {
    let size = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
    if size == Some(array.len()) {
        return Ok(());
    }
    Err(Error::Shape { name: name.to_owned(), given: array.len(), shape: shape.to_vec() })
}

fn check_weights(name: &str, weights: &[f32]) -> Result<()> {
    check_each(name, weights, WEIGHT, is_weight)
}

fn check_each(name: &str, array: &[f32], expected: &'static str, allowed: impl Fn(f32) -> bool) -> Result<()> {
    match array.iter().position(|&value| !allowed(value)) {
        Some(index) => Err(Error::Value { name: name.to_owned(), index, value: array[index], expected }),
        None => Ok(()),
    }
}
