//! From a site's evidence to the map of one head.

use std::ops::Range;

use regard_kernel::probe::{Probe, Weights};
use regard_kernel::{Alibi, Attention, Documents, KeyMask, ScaledDot, SoftCap, View, Window};

use crate::{Error, Evidence, Head, Map, Result, Rule, ScoreBias, Site, States, Trace};

/// Most cells of a map that is recomputed: a small file of states can ask for any number of them.
const MAX_CELLS: usize = 1 << 26;

impl Trace {
    /// The attention map of one head of a site, or the mean of its heads.
    ///
    /// # Errors
    /// [`Error::NoSuchSite`], [`Error::NoSuchHead`]; for [`Evidence::States`] also [`Error::TooLarge`] over 2²⁶ cells and
    /// [`Error::Recompute`] when the states do not fit together, so that no weights come out.
    pub fn map(&self, site: usize, head: Head) -> Result<Map> {
        let site = self.sites().get(site).ok_or(Error::NoSuchSite { site, sites: self.sites().len() })?;
        let (rows, columns) = (self.queries(site).len(), self.keys(site).len());
        let weights = match head {
            Head::One(head) if head >= site.heads => {
                return Err(Error::NoSuchHead { site: site.name.clone(), head, heads: site.heads });
            }
            Head::One(head) => one(site, head, rows, columns)?,
            Head::Mean => mean(site, rows, columns)?,
        };
        Ok(Map { rows, columns, weights })
    }
}

fn mean(site: &Site, rows: usize, columns: usize) -> Result<Vec<f32>> {
    let mut sum = vec![0.0f64; cells(rows, columns)?];
    if !sum.is_empty() {
        for head in 0..site.heads {
            for (sum, weight) in sum.iter_mut().zip(one(site, head, rows, columns)?) {
                *sum += f64::from(weight);
            }
        }
    }
    Ok(sum.into_iter().map(|sum| (sum / site.heads as f64) as f32).collect())
}

fn one(site: &Site, head: usize, rows: usize, columns: usize) -> Result<Vec<f32>> {
    let cells = cells(rows, columns)?;
    match &site.evidence {
        Evidence::Weights(weights) => Ok(weights[head * cells..][..cells].to_vec()),
        Evidence::States(_) if cells == 0 => Ok(Vec::new()),
        Evidence::States(states) => {
            let failed = |reason| Error::Recompute { site: site.name.clone(), reason };
            let weights =
                recompute(states, site.heads, head, rows, columns).map_err(|error| failed(error.to_string()))?;
            // States that pass every check one by one may still not belong together.
            match weights.iter().all(|weight| (0.0..=1.01).contains(weight)) {
                true => Ok(weights),
                false => Err(failed("the log-sum-exp does not belong to the queries and keys".to_owned())),
            }
        }
    }
}

fn cells(rows: usize, columns: usize) -> Result<usize> {
    rows.checked_mul(columns).filter(|&cells| cells <= MAX_CELLS).ok_or(Error::TooLarge {
        what: "attention map",
        rows,
        columns,
        limit: "67,108,864",
    })
}

fn recompute(
    states: &States,
    heads: usize,
    head: usize,
    rows: usize,
    columns: usize,
) -> regard_kernel::Result<Vec<f32>> {
    let mut weights = Weights::new();
    states.observe(heads, head, [rows, columns], [0..rows, 0..columns], &mut weights)?;
    Ok(weights.into_values())
}

impl States {
    /// Shows a probe some queries' weights on some keys in one head of `heads`.
    pub(crate) fn observe(
        &self,
        heads: usize,
        head: usize,
        [rows, columns]: [usize; 2],
        within: [Range<usize>; 2],
        probe: &mut dyn Probe,
    ) -> regard_kernel::Result<()> {
        let width = self.width;
        let q = &self.q[head * rows * width..][..rows * width];
        let key_head = head / (heads / self.key_heads);
        let k = &self.k[key_head * columns * width..][..columns * width];
        let lse = &self.lse[head * rows..][..rows];

        let mut attention = Attention::new(ScaledDot { scale: Some(self.scale) });
        for rule in &self.rules {
            attention = match rule {
                Rule::Window { past, future } => attention.mask(Window::new(*past, *future)),
                Rule::Keys(ranges) => {
                    let mut seen = vec![false; columns];
                    ranges.iter().for_each(|&[start, end]| seen[start..end].fill(true));
                    attention.mask(KeyMask::new(seen, columns)?)
                }
                Rule::Documents(starts) => attention.mask(Documents::new(starts.clone())?),
            };
        }
        for bias in &self.biases {
            attention = match bias {
                ScoreBias::SoftCap(cap) => attention.bias(SoftCap::new(*cap)?),
                ScoreBias::Alibi(slopes) => attention.bias(Alibi::with_slopes([slopes[head]])),
            };
        }
        let (q, k) = (View::new(q, [1, 1, rows, width])?, View::new(k, [1, 1, columns, width])?);
        attention.observe_within(&q, &k, lse, within, &mut [probe])
    }
}
