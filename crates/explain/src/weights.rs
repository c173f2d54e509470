//! From a site's evidence to the map of one head.

use std::ops::Range;

use regard_kernel::probe::{Probe, Weights};
use regard_kernel::{Alibi, Attention, Documents, KeyMask, ScaledDot, SoftCap, View, Window};

use crate::trace::{FINITE, LSE, WEIGHT, is_lse, is_weight};
use crate::{Error, Evidence, Head, Map, Numbers, Result, Rule, ScoreBias, Site, States, Trace};

/// Most cells of a map that is recomputed: a small file of states can ask for any number of them.
const MAX_CELLS: usize = 1 << 26;

impl Trace {
    /// The attention map of one head of a site, or the mean of its heads.
    ///
    /// # Errors
    /// [`Error::NoSuchSite`], [`Error::NoSuchHead`]; for [`Evidence::States`] also [`Error::TooLarge`] over 2²⁶ cells and
    /// [`Error::Recompute`] when the states do not fit together, so that no weights come out.
    pub fn map(&self, site: usize, head: Head) -> Result<Map> {
        let found = self.sites().get(site).ok_or(Error::NoSuchSite { site, sites: self.sites().len() })?;
        self.weights(site, head, [0..self.queries(found).len(), 0..self.keys(found).len()])
    }

    /// The weights of some queries (`within[0]`) on some keys (`within[1]`), exact, of one head or the mean of all.
    ///
    /// # Errors
    /// As [`map`](Trace::map), and [`Error::Field`] for positions that the axes do not have.
    pub fn weights(&self, site: usize, head: Head, within: [Range<usize>; 2]) -> Result<Map> {
        let (site, lengths) = self.place(site, &within)?;
        let [rows, columns] = within.clone().map(|part| part.len());
        let weights = match head {
            Head::One(head) if head >= site.heads => {
                return Err(Error::NoSuchHead { site: site.name.clone(), head, heads: site.heads });
            }
            Head::One(head) => one(site, head, lengths, &within)?,
            Head::Mean => mean(site, lengths, &within)?,
        };
        Ok(Map { rows, columns, weights })
    }

    /// A site and how many queries and keys it has, if it has those within.
    pub(crate) fn place(&self, site: usize, within: &[Range<usize>; 2]) -> Result<(&Site, [usize; 2])> {
        let found = self.sites().get(site).ok_or(Error::NoSuchSite { site, sites: self.sites().len() })?;
        let lengths = [self.queries(found).len(), self.keys(found).len()];
        for ((name, range), length) in ["queries", "keys"].into_iter().zip(within).zip(lengths) {
            if range.start > range.end || range.end > length {
                let given = format!("{range:?} of {length}");
                return Err(Error::Field { name: name.to_owned(), given, expected: "positions that the axis has" });
            }
        }
        Ok((found, lengths))
    }
}

fn mean(site: &Site, lengths: [usize; 2], within: &[Range<usize>; 2]) -> Result<Vec<f32>> {
    let mut sum = vec![0.0f64; cells(within)?];
    if !sum.is_empty() {
        for head in 0..site.heads {
            for (sum, weight) in sum.iter_mut().zip(one(site, head, lengths, within)?) {
                *sum += f64::from(weight);
            }
        }
    }
    Ok(sum.into_iter().map(|sum| (sum / site.heads as f64) as f32).collect())
}

fn one(site: &Site, head: usize, lengths: [usize; 2], within: &[Range<usize>; 2]) -> Result<Vec<f32>> {
    let cells = cells(within)?;
    match &site.evidence {
        Evidence::Weights(weights) => {
            let mut part = Vec::with_capacity(cells);
            for query in within[0].clone() {
                part.extend(site.row(weights, head, query, lengths, &within[1])?);
            }
            Ok(part)
        }
        Evidence::States(_) if cells == 0 => Ok(Vec::new()),
        Evidence::States(_) => {
            let mut weights = Weights::new();
            site.observe(head, lengths, within.clone(), &mut weights)?;
            // States that pass every check one by one may still not belong together.
            match weights.values().iter().all(|&weight| is_weight(weight)) {
                true => Ok(weights.into_values()),
                false => Err(site.disagreeing()),
            }
        }
    }
}

fn cells([queries, keys]: &[Range<usize>; 2]) -> Result<usize> {
    let (rows, columns) = (queries.len(), keys.len());
    rows.checked_mul(columns).filter(|&cells| cells <= MAX_CELLS).ok_or(Error::TooLarge {
        what: "attention map",
        rows,
        columns,
        limit: "67,108,864",
    })
}

impl Site {
    /// Shows a probe some queries' weights on some keys in one head, of states; those of the states that are touched are checked.
    pub(crate) fn observe(
        &self,
        head: usize,
        lengths: [usize; 2],
        within: [Range<usize>; 2],
        probe: &mut dyn Probe,
    ) -> Result<()> {
        let Evidence::States(states) = &self.evidence else { return Ok(()) };
        let key_head = head / (self.heads / states.key_heads);
        let part = |head: usize, length: usize, part: &Range<usize>, width: usize| {
            (head * length + part.start) * width..(head * length + part.end) * width
        };
        let ([rows, columns], [queries, keys]) = (lengths, &within);
        states.q.touch(|| self.array("q"), part(head, rows, queries, states.width), FINITE, f32::is_finite)?;
        states.k.touch(|| self.array("k"), part(key_head, columns, keys, states.width), FINITE, f32::is_finite)?;
        states.lse.touch(|| self.array("lse"), part(head, rows, queries, 1), LSE, is_lse)?;
        let failed =
            |error: regard_kernel::Error| Error::Recompute { site: self.name.clone(), reason: error.to_string() };
        states.observe(self.heads, head, lengths, within, probe).map_err(failed)
    }

    /// Stored weights of a query on some keys, checked.
    pub(crate) fn row<'a>(
        &self,
        weights: &'a Numbers,
        head: usize,
        query: usize,
        [rows, columns]: [usize; 2],
        keys: &Range<usize>,
    ) -> Result<&'a [f32]> {
        let first = (head * rows + query) * columns;
        weights.touch(|| self.array("weights"), first + keys.start..first + keys.end, WEIGHT, is_weight)
    }

    /// States of which no weights come out.
    pub(crate) fn disagreeing(&self) -> Error {
        let reason = "the log-sum-exp does not belong to the queries and keys".to_owned();
        Error::Recompute { site: self.name.clone(), reason }
    }
}

impl States {
    /// Shows a probe some queries' weights on some keys in one head of `heads`.
    fn observe(
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
