//! Two traces of the same tokens beside each other: where do their attention weights differ?
//!
//! Of each query, the total variation `½ Σ_j |a_j − b_j|` is the share of attention that went elsewhere: 0 for the same weights, 1 for
//! weights without a key in common. For two models on one sentence, two mechanisms, or a model before and after training. It says where
//! they looked differently; for what that did to the answer, ask the model.

use crate::error::{checked, field};
use crate::progress::tell;
use crate::{Error, Head, Progress, Result, Trace};

/// How far apart two traces are, head by head.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Every head of the sites that both have, what changed most first.
    pub heads: Vec<HeadChange>,
    /// Sites that only the first has, and only the second: name and layer.
    pub alone: [Vec<(String, usize)>; 2],
}

/// A head and how far it moved.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadChange {
    /// The site's name.
    pub name: String,
    /// Its layer, from 0.
    pub layer: usize,
    /// Index of the site in the first trace and in the second.
    pub sites: [usize; 2],
    /// From 0.
    pub head: usize,
    /// Total variation of each query's weights, from 0 to 1.
    pub queries: Vec<f32>,
    /// Mean of it over queries.
    pub mean: f32,
}

/// Compares all heads of the sites with the same name and layer. Progress counts heads.
///
/// # Errors
/// [`Error::Field`] when sequences of these sites have different tokens, the sites have different numbers of heads, or the traces have
/// no site in common; what [`Trace::map`] says, [`Error::Cancelled`].
pub fn diff(first: &Trace, second: &Trace, progress: Progress) -> Result<Difference> {
    let mut pairs = Vec::new();
    let mut alone = [Vec::new(), Vec::new()];
    for (index, site) in first.sites().iter().enumerate() {
        match second.find(&site.name, site.layer) {
            Some(other) => pairs.push([index, other]),
            None => alone[0].push((site.name.clone(), site.layer)),
        }
    }
    let only_second = second.sites().iter().filter(|site| first.find(&site.name, site.layer).is_none());
    alone[1].extend(only_second.map(|site| (site.name.clone(), site.layer)));
    if pairs.is_empty() {
        return field("sites in common", 0, "at least one of the same name and layer");
    }
    for &sites in &pairs {
        fits(first, second, sites)?;
    }
    let total = pairs.iter().map(|&[site, _]| first.sites()[site].heads).sum();
    let mut heads: Vec<HeadChange> = Vec::with_capacity(total);
    for sites in pairs {
        let site = &first.sites()[sites[0]];
        for head in 0..site.heads {
            tell(progress, "comparing traces", heads.len(), total)?;
            let changes = difference_map(first, second, sites, Head::One(head))?;
            let half = |row: &[f32]| (row.iter().map(|&change| f64::from(change.abs())).sum::<f64>() / 2.0) as f32;
            let queries: Vec<f32> = changes.chunks(first.keys(site).len().max(1)).map(half).collect();
            let mean = queries.iter().sum::<f32>() / queries.len().max(1) as f32;
            heads.push(HeadChange { name: site.name.clone(), layer: site.layer, sites, head, queries, mean });
        }
    }
    tell(progress, "comparing traces", total, total)?;
    heads.sort_by(|a, b| b.mean.total_cmp(&a.mean));
    Ok(Difference { heads, alone })
}

/// The second trace's weights less the first's at a pair of sites, `[query, key]`, each from −1 to 1.
///
/// # Errors
/// [`Error::Field`] for other tokens or numbers of heads, and what [`Trace::map`] says.
pub fn difference_map(first: &Trace, second: &Trace, sites: [usize; 2], head: Head) -> Result<Vec<f32>> {
    fits(first, second, sites)?;
    let [before, after] = [first.map(sites[0], head)?, second.map(sites[1], head)?];
    let changes: Vec<f32> = before.weights.iter().zip(&after.weights).map(|(before, after)| after - before).collect();
    checked("differences", changes, &[before.rows, before.columns])
}

/// Refuses sites that differ in heads or tokens.
fn fits(first: &Trace, second: &Trace, sites: [usize; 2]) -> Result<()> {
    let traces = [first, second];
    let mut found = Vec::with_capacity(2);
    for (trace, site) in traces.into_iter().zip(sites) {
        found.push(trace.sites().get(site).ok_or(Error::NoSuchSite { site, sites: trace.sites().len() })?);
    }
    let [left, right] = [found[0], found[1]];
    let place = format!("{} layer {}", left.name, left.layer + 1);
    if left.heads != right.heads {
        let given = format!("{} and {}", left.heads, right.heads);
        return field(&format!("heads of {place}"), given, "as many in both traces");
    }
    let axes = [(first.queries(left), second.queries(right)), (first.keys(left), second.keys(right))];
    for (axis, (left, right)) in ["queries", "keys"].into_iter().zip(axes) {
        if left.len() != right.len() {
            let given = format!("{} and {} tokens", left.len(), right.len());
            return field(&format!("{axis} of {place}"), given, "the same tokens in both traces");
        }
        if let Some(at) = (0..left.len()).find(|&at| left[at] != right[at]) {
            let given = format!("{:?} and {:?} at position {at}", left[at], right[at]);
            return field(&format!("{axis} of {place}"), given, "the same tokens in both traces");
        }
    }
    Ok(())
}
