//! `regard view`: trace files in the studio, or one as a picture, a page, or in the terminal; or two heads beside each other.

mod beside;

use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::Args;
use regard_explain::render::{Figure, html, pdf, png, svg, terminal, visible};
use regard_explain::{Head, Trace, write_atomically};
use regard_studio::Studio;

use crate::place::Place;
use crate::studio::Page;
use crate::{Result, output};
use beside::Beside;

/// Most positions along a side of a picture, and of each map on a page.
const PICTURE: usize = 256;
/// Weights that a page holds, of all heads together: some 40 MB.
const PAGE: usize = 1 << 23;

#[derive(Args)]
pub struct View {
    /// Trace files, of `regard translate --trace` or of Python's `trace.save`. Two are drawn beside each other; the studio compares
    /// any number.
    #[arg(required = true, value_name = "TRACE")]
    traces: Vec<PathBuf>,
    /// Write a picture (.svg, .png, .pdf) or a page to explore in (.html), and open nothing.
    #[arg(long, short, value_name = "FILE", group = "drawn")]
    output: Option<PathBuf>,
    /// Draw in the terminal, and open nothing.
    #[arg(long, short, group = "drawn")]
    terminal: bool,
    /// List what attended to what, and draw nothing.
    #[arg(long, conflicts_with = "drawn")]
    list: bool,
    #[command(flatten)]
    page: Page,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    beside: Beside,
    /// Only these queries, as in 100..200: the first, from 0, and past the last.
    #[arg(long, value_name = "FIRST..END", value_parser = range, requires = "drawn")]
    queries: Option<Range<usize>>,
    /// Only these keys.
    #[arg(long, value_name = "FIRST..END", value_parser = range, requires = "drawn")]
    keys: Option<Range<usize>>,
    /// Most positions along a side; longer axes are shrunk to the greatest weight under each.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512), requires = "drawn")]
    pixels: Option<u16>,
}

fn range(text: &str) -> Result<Range<usize>, String> {
    let parsed = text.split_once("..").and_then(|(first, end)| Some(first.parse().ok()?..end.parse().ok()?));
    parsed.filter(|range| range.start < range.end).ok_or_else(|| "expected FIRST..END, as in 100..200".into())
}

impl View {
    pub fn run(self) -> Result {
        if self.output.is_none() && !self.terminal && !self.list {
            return self.open();
        }
        match &self.traces[..] {
            [path] if self.list => {
                let trace = Trace::load(path)?;
                Ok(write!(io::stdout(), "{}\n{}", visible(&trace.title), trace.list())?)
            }
            [path] if !self.beside.is_wanted() => self.one(path),
            [path] => self.two([path; 2]),
            [first, second] if !self.list => self.two([first, second]),
            _ => {
                let studio = "without -o, --terminal and --list, the studio shows any number";
                Err(format!("one trace is listed, and at most two are drawn; {studio}").into())
            }
        }
    }

    fn one(&self, path: &Path) -> Result {
        let trace = loaded(path)?;
        match &self.output {
            None => self.draw(&trace),
            Some(path) if path.extension().is_some_and(|kind| kind == "html") => {
                let heads: usize = trace.sites().iter().map(|site| site.heads).sum();
                let most = ((PAGE / heads.max(1)) as f64).sqrt() as usize;
                let page = html::page(&[trace.shrunk(self.pixels(most.clamp(16, PICTURE)))?])?;
                Ok(write_atomically(path, page.as_bytes())?)
            }
            Some(path) => {
                let (part, head) = self.part(&trace, &self.place, self.pixels(PICTURE))?;
                written(path, &svg::heat_map(&Figure::of(&part, 0, head)?)?)
            }
        }
    }

    /// Of the traces in these files, which may be one.
    fn two(&self, paths: [&PathBuf; 2]) -> Result {
        let traces = [loaded(paths[0])?, loaded(paths[1])?];
        let places = [&self.place, &self.beside.place(&self.place)];
        let part = |at: usize| self.part(&traces[at], places[at], self.pixels(PICTURE));
        let [(first, head), (second, other)] = [part(0)?, part(1)?];
        let figures = [&Figure::of(&first, 0, head)?, &Figure::of(&second, 0, other)?];
        let names =
            paths.map(|path| if paths[0] == paths[1] { String::new() } else { format!(" of {}", path.display()) });
        let panels = self.beside.panels(figures, [&names[0], &names[1]])?;
        match &self.output {
            Some(path) => written(path, &svg::panels(&traces[0].title, &panels)?),
            None => {
                let picture = terminal::panels(&panels, output::colour(), output::width());
                Ok(write!(io::stdout(), "{}\n\n{picture}", visible(&traces[0].title))?)
            }
        }
    }

    /// All traces in the studio, the first at the place that was asked for.
    fn open(&self) -> Result {
        let mut studio = Studio::new();
        let mut place = String::new();
        for (index, path) in self.traces.iter().enumerate() {
            let trace = Trace::open(path)?;
            if index == 0 && self.place.is_given() {
                let (site, head) = self.place.chosen(&trace)?;
                let head = if let Head::One(head) = head { format!("&head={head}") } else { String::new() };
                place = format!("#site={site}{head}");
            }
            studio = studio.with_trace(path.display().to_string(), trace);
        }
        self.page.serve(studio, &place)
    }

    fn pixels(&self, most: usize) -> usize {
        self.pixels.map_or(most, usize::from)
    }

    fn draw(&self, trace: &Trace) -> Result {
        // A narrow cell takes two columns, and tokens stand in front of the rows.
        let width = output::width();
        let (part, head) = self.part(trace, &self.place, self.pixels((width.saturating_sub(16) / 2).max(1)))?;
        let figure = Figure::of(&part, 0, head)?;
        let picture = terminal::alignment(&figure.map, figure.rows, figure.columns, output::colour(), width);
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "{}\n{}: {} down, {} across\n",
            visible(figure.title),
            visible(&figure.subtitle),
            visible(figure.row_axis),
            visible(figure.column_axis)
        )?;
        Ok(write!(out, "{picture}")?)
    }

    /// The attention at a place, as far as it was asked for, as a trace of its own, and the head.
    fn part(&self, trace: &Trace, place: &Place, pixels: usize) -> Result<(Trace, Head)> {
        let (site, head) = place.chosen(trace)?;
        let found = &trace.sites()[site];
        let part = |given: &Option<Range<usize>>, length: usize| given.clone().unwrap_or(0..length);
        let within = [part(&self.queries, trace.queries(found).len()), part(&self.keys, trace.keys(found).len())];
        Ok((trace.part(site, within, pixels)?, head))
    }
}

fn loaded(path: &Path) -> Result<Trace> {
    let trace = Trace::load(path)?;
    if trace.sites().is_empty() { Err(format!("{} holds no attention", path.display()).into()) } else { Ok(trace) }
}

/// A picture as what its file's name says.
fn written(path: &Path, picture: &str) -> Result {
    let bytes = match path.extension().and_then(|kind| kind.to_str()) {
        Some("svg") => picture.as_bytes().to_vec(),
        Some("png") => png::picture(picture)?,
        Some("pdf") => pdf::document(picture)?,
        _ => {
            let expected = "expected .svg, .png or .pdf, or .html for one trace";
            return Err(format!("cannot tell what to write from {}; {expected}", path.display()).into());
        }
    };
    Ok(write_atomically(path, &bytes)?)
}
