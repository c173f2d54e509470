//! A part of a map of any length, as many pixels as a picture has.

use std::ops::Range;

use regard_kernel::probe::Pyramid;

use crate::trace::is_weight;
use crate::{Axis, Error, Evidence, Head, Map, Result, Site, Trace};

/// Most pixels along a side of a region.
const MOST_PIXELS: usize = 4096;

/// Some queries' weights on some keys, shrunk: a pixel covers one pair, or many.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// The mean of the weights under each pixel: where attention goes on the whole.
    pub mean: Map,
    /// The greatest weight under each pixel, which keeps one bright pair visible among millions.
    pub max: Map,
}

impl Trace {
    /// The weights of some queries (`within[0]`) on some keys (`within[1]`), shrunk to at most `pixels` along each side.
    /// Of states they are computed on demand, in time that follows the size of the region and in memory that follows the
    /// pixels.
    ///
    /// # Errors
    /// [`Error::NoSuchSite`], [`Error::NoSuchHead`], [`Error::Field`] for positions that the axes do not have or a number of
    /// pixels not between 1 and 4096, and what [`Trace::map`] says of states.
    pub fn region(&self, site: usize, head: Head, within: [Range<usize>; 2], pixels: usize) -> Result<Region> {
        self.shrink(site, head, within, Grid::Pixels(pixels))
    }

    /// As [`region`](Trace::region), with exactly `stride` positions under a pixel along each side, and fewer only under the last: parts
    /// that begin at multiples of `stride` are tiles that fit together. With a stride of 1 it is the weights themselves.
    ///
    /// # Errors
    /// As [`region`](Trace::region), for a stride of 0, and for more than 4096 pixels along a side.
    pub fn tile(&self, site: usize, head: Head, within: [Range<usize>; 2], stride: usize) -> Result<Region> {
        self.shrink(site, head, within, Grid::Stride(stride))
    }

    fn shrink(&self, site: usize, head: Head, within: [Range<usize>; 2], grid: Grid) -> Result<Region> {
        let (found, lengths) = self.place(site, &within)?;
        let shown = within.clone().map(|part| grid.pixels(part.len()));
        if grid.is_empty() || shown.iter().any(|&shown| shown > MOST_PIXELS) {
            let given = format!("{shown:?}");
            return Err(Error::Field { name: "pixels".to_owned(), given, expected: "1 to 4096" });
        }
        let heads = match head {
            Head::One(head) if head >= found.heads => {
                return Err(Error::NoSuchHead { site: found.name.clone(), head, heads: found.heads });
            }
            Head::One(head) => head..head + 1,
            Head::Mean => 0..found.heads,
        };
        let share = 1.0 / heads.len() as f32;
        let mut whole: Option<Region> = None;
        for head in heads {
            let one = one(found, head, lengths, &within, grid)?;
            // The mean of all heads: of the means, and for the greatest an upper bound that loses no bright pair.
            whole = Some(match whole {
                None => one.scaled(share),
                Some(mut sum) => {
                    sum.add(&one, share);
                    sum
                }
            });
        }
        whole.ok_or(Error::NoSuchSite { site, sites: self.sites().len() })
    }

    /// The trace with every axis shrunk to at most `pixels` positions and every weight the greatest of those that it stands
    /// for, so that any renderer can draw it. A position is called after its first token; short axes stay as they are.
    ///
    /// # Errors
    /// As [`Trace::region`].
    pub fn shrunk(&self, pixels: usize) -> Result<Trace> {
        let mut trace = Trace::new(self.title.clone(), self.model.clone());
        for axis in self.axes() {
            let axis = axis.part(0..axis.tokens.len(), pixels);
            trace.add_axis(axis.name, axis.tokens);
        }
        for (index, site) in self.sites().iter().enumerate() {
            let within = [0..self.queries(site).len(), 0..self.keys(site).len()];
            let evidence = self.part_of_evidence(index, within, pixels)?;
            trace.add_site(Site { evidence, ..site.clone() })?;
        }
        Ok(trace)
    }

    /// A trace of one site alone, of some queries (`within[0]`) and some keys, shrunk as [`shrunk`](Trace::shrunk) does.
    ///
    /// # Errors
    /// As [`Trace::region`].
    pub fn part(&self, site: usize, within: [Range<usize>; 2], pixels: usize) -> Result<Trace> {
        let evidence = self.part_of_evidence(site, within.clone(), pixels)?;
        let site = &self.sites()[site];
        let mut trace = Trace::new(self.title.clone(), self.model.clone());
        for (axis, part) in [site.queries, site.keys].into_iter().zip(within) {
            let axis = self.axes()[axis].part(part, pixels);
            trace.add_axis(axis.name, axis.tokens);
        }
        trace.add_site(Site { queries: 0, keys: 1, evidence, ..site.clone() })?;
        Ok(trace)
    }

    /// What is known of a part of a site: as it is if that is all and short, or else the greatest weights.
    fn part_of_evidence(&self, index: usize, within: [Range<usize>; 2], pixels: usize) -> Result<Evidence> {
        let count = self.sites().len();
        let site = self.sites().get(index).ok_or(Error::NoSuchSite { site: index, sites: count })?;
        let all = [0..self.queries(site).len(), 0..self.keys(site).len()];
        if within == all && all.iter().all(|all| all.len() <= pixels) {
            return Ok(site.evidence.clone());
        }
        let mut weights = Vec::new();
        for head in 0..site.heads {
            weights.extend(self.region(index, Head::One(head), within.clone(), pixels)?.max.weights);
        }
        Ok(Evidence::Weights(weights.into()))
    }
}

impl Axis {
    /// Some of the positions, shrunk to at most `pixels`.
    fn part(&self, part: Range<usize>, pixels: usize) -> Self {
        let shown = part.len().min(pixels);
        let token = |pixel| self.tokens[part.start + first(pixel, part.len(), shown)].clone();
        let mut name = self.name.clone();
        if part.len() < self.tokens.len() {
            name += &format!(" {} to {} of {}", part.start + 1, part.end, self.tokens.len());
        }
        if shown < part.len() {
            name += &format!(" (each first of {})", part.len().div_ceil(shown));
        }
        Self { name, tokens: (0..shown).map(token).collect() }
    }
}

/// What decides how many positions a pixel covers.
#[derive(Clone, Copy)]
enum Grid {
    /// At most so many pixels along a side.
    Pixels(usize),
    /// So many positions under each.
    Stride(usize),
}

impl Grid {
    fn is_empty(self) -> bool {
        matches!(self, Self::Pixels(0) | Self::Stride(0))
    }

    fn pixels(self, length: usize) -> usize {
        match self {
            Self::Pixels(most) => length.min(most),
            Self::Stride(stride) => length.div_ceil(stride.max(1)),
        }
    }

    /// The positions of a part that are under a pixel.
    fn under(self, pixel: usize, part: &Range<usize>) -> Range<usize> {
        let at = |pixel: usize| match self {
            Self::Pixels(_) => first(pixel, part.len(), self.pixels(part.len())),
            Self::Stride(stride) => pixel.saturating_mul(stride).min(part.len()),
        };
        part.start + at(pixel)..part.start + at(pixel + 1)
    }

    fn pyramid(self) -> regard_kernel::Result<Pyramid> {
        match self {
            Self::Pixels(most) => Pyramid::new(most),
            Self::Stride(stride) => Pyramid::strided(stride),
        }
    }
}

/// The first position under a pixel.
fn first(pixel: usize, length: usize, pixels: usize) -> usize {
    (pixel * length).div_ceil(pixels.max(1))
}

impl Region {
    fn scaled(mut self, share: f32) -> Self {
        for map in [&mut self.mean, &mut self.max] {
            map.weights.iter_mut().for_each(|weight| *weight *= share);
        }
        self
    }

    fn add(&mut self, other: &Region, share: f32) {
        for (sum, other) in [(&mut self.mean, &other.mean), (&mut self.max, &other.max)] {
            sum.weights.iter_mut().zip(&other.weights).for_each(|(sum, other)| *sum += share * other);
        }
    }
}

fn one(site: &Site, head: usize, lengths: [usize; 2], within: &[Range<usize>; 2], grid: Grid) -> Result<Region> {
    let [rows, columns] = within.clone().map(|part| grid.pixels(part.len()));
    let (mean, max) = match &site.evidence {
        Evidence::Weights(weights) => {
            for query in within[0].clone() {
                site.row(weights, head, query, lengths, &within[1])?;
            }
            pooled(&weights[head * lengths[0] * lengths[1]..], lengths[1], within, grid)
        }
        Evidence::States(_) if rows * columns == 0 => (Vec::new(), Vec::new()),
        Evidence::States(_) => {
            let failed =
                |error: regard_kernel::Error| Error::Recompute { site: site.name.clone(), reason: error.to_string() };
            let mut pyramid = grid.pyramid().map_err(failed)?;
            site.observe(head, lengths, within.clone(), &mut pyramid)?;
            // States that pass every check one by one may still not belong together; a NaN shows in the mean.
            if !pyramid.max().iter().chain(pyramid.mean()).all(|&weight| is_weight(weight)) {
                return Err(site.disagreeing());
            }
            (pyramid.mean().to_vec(), pyramid.max().to_vec())
        }
    };
    Ok(Region { mean: Map { rows, columns, weights: mean }, max: Map { rows, columns, weights: max } })
}

/// Mean and greatest of the weights under each pixel.
fn pooled(weights: &[f32], row: usize, within: &[Range<usize>; 2], grid: Grid) -> (Vec<f32>, Vec<f32>) {
    let [rows, columns] = within.clone().map(|part| grid.pixels(part.len()));
    let (mut mean, mut max) = (Vec::with_capacity(rows * columns), Vec::with_capacity(rows * columns));
    for y in 0..rows {
        for x in 0..columns {
            let (queries, keys) = (grid.under(y, &within[0]), grid.under(x, &within[1]));
            let area = queries.len() * keys.len();
            let pairs = queries.flat_map(|query| weights[query * row..][keys.clone()].iter().copied());
            let (sum, greatest) = pairs.fold((0.0f64, 0.0f32), |(sum, most), x| (sum + f64::from(x), most.max(x)));
            mean.push((sum / area as f64) as f32);
            max.push(greatest);
        }
    }
    (mean, max)
}
