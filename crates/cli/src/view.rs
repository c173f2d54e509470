//! `regard view`: a trace file in the terminal, or as a picture or a page.

use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;

use clap::Args;
use regard_explain::render::{Figure, html, pdf, png, svg, terminal};
use regard_explain::{Trace, write_atomically};

use crate::place::Place;
use crate::{Result, output};

/// Most positions along a side of a picture, and of each map on a page.
const PICTURE: usize = 256;
/// Weights that a page holds, of all heads together: some 40 MB.
const PAGE: usize = 1 << 23;

#[derive(Args)]
pub struct View {
    /// A trace file, of `regard translate --trace` or of Python's `trace.save`.
    trace: PathBuf,
    /// Write a picture (.svg, .png, .pdf) or a page to explore in (.html), instead of drawing in the terminal.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// List what attended to what, and draw nothing.
    #[arg(long, conflicts_with = "output")]
    list: bool,
    #[command(flatten)]
    place: Place,
    /// Only these queries, as in 100..200: the first, from 0, and past the last.
    #[arg(long, value_name = "FIRST..END", value_parser = range)]
    queries: Option<Range<usize>>,
    /// Only these keys.
    #[arg(long, value_name = "FIRST..END", value_parser = range)]
    keys: Option<Range<usize>>,
    /// Most positions along a side; longer axes are shrunk to the greatest weight under each.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pixels: Option<u16>,
}

fn range(text: &str) -> Result<Range<usize>, String> {
    let parsed = text.split_once("..").and_then(|(first, end)| Some(first.parse().ok()?..end.parse().ok()?));
    parsed.filter(|range| range.start < range.end).ok_or_else(|| "expected FIRST..END, as in 100..200".into())
}

impl View {
    pub fn run(self) -> Result {
        let trace = Trace::load(&self.trace)?;
        if self.list {
            return Ok(write!(io::stdout(), "{}\n{}", trace.title, trace.list())?);
        }
        if trace.sites().is_empty() {
            return Err(format!("{} holds no attention", self.trace.display()).into());
        }
        let kind = self.output.as_ref().and_then(|path| path.extension()).and_then(|kind| kind.to_str());
        match (&self.output, kind) {
            (None, _) => self.draw(&trace),
            (Some(path), Some("html")) => {
                let heads: usize = trace.sites().iter().map(|site| site.heads).sum();
                let most = ((PAGE / heads.max(1)) as f64).sqrt() as usize;
                let page = html::page(&[trace.shrunk(self.pixels(most.clamp(16, PICTURE)))?])?;
                Ok(write_atomically(path, page.as_bytes())?)
            }
            (Some(path), Some("svg")) => Ok(write_atomically(path, self.figure(&trace)?.as_bytes())?),
            (Some(path), Some("png")) => Ok(write_atomically(path, &png::picture(&self.figure(&trace)?)?)?),
            (Some(path), Some("pdf")) => Ok(write_atomically(path, &pdf::document(&self.figure(&trace)?)?)?),
            (Some(path), _) => {
                let path = path.display();
                Err(format!("cannot tell what to write from {path}; expected .svg, .png, .pdf or .html").into())
            }
        }
    }

    fn pixels(&self, most: usize) -> usize {
        self.pixels.map_or(most, usize::from)
    }

    fn figure(&self, trace: &Trace) -> Result<String> {
        let (part, head) = self.part(trace, self.pixels(PICTURE))?;
        Ok(svg::heat_map(&Figure::of(&part, 0, head)?)?)
    }

    fn draw(&self, trace: &Trace) -> Result {
        // A narrow cell takes two columns, and tokens stand in front of the rows.
        let width = output::width();
        let (part, head) = self.part(trace, self.pixels((width.saturating_sub(16) / 2).max(1)))?;
        let figure = Figure::of(&part, 0, head)?;
        let picture = terminal::alignment(&figure.map, figure.rows, figure.columns, output::colour(), width);
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "{}\n{}: {} down, {} across\n",
            figure.title, figure.subtitle, figure.row_axis, figure.column_axis
        )?;
        Ok(write!(out, "{picture}")?)
    }

    /// The attention that was asked for, as a trace of its own, and the head.
    fn part(&self, trace: &Trace, pixels: usize) -> Result<(Trace, regard_explain::Head)> {
        let (site, head) = self.place.chosen(trace)?;
        let found = &trace.sites()[site];
        let part = |given: &Option<Range<usize>>, length: usize| given.clone().unwrap_or(0..length);
        let within = [part(&self.queries, trace.queries(found).len()), part(&self.keys, trace.keys(found).len())];
        Ok((trace.part(site, within, pixels)?, head))
    }
}
