//! `regard compare`: mechanisms beside our exact attention, on this machine.

mod chart;
mod inputs;
mod measure;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use regard::catalogue::{Card, Entry, Setting, find, mechanisms};
use regard_explain::write_atomically;

use crate::{Result, interruption};
use inputs::Inputs;
use measure::{Measurement, measure};

#[derive(Args)]
pub struct Compare {
    /// Mechanisms, by the names of their cards; all unless given. Exact attention always comes along.
    mechanisms: Vec<String>,
    /// Positions: one length, or FIRST..LAST in doublings; 512..4096 unless given, or as far as the input goes.
    #[arg(long, value_parser = lengths)]
    length: Option<Lengths>,
    /// Features of a head of random inputs; 64 unless given.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    head_dim: Option<u16>,
    /// Heads of random inputs; 8 unless given.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    heads: Option<u16>,
    /// Queries see only what came before.
    #[arg(long)]
    causal: bool,
    /// Where queries and keys come from: random, translator (the shipped one, reading the catalogue), or a trace file that
    /// keeps them.
    #[arg(long, value_name = "random|translator|FILE", default_value = "random")]
    input: PathBuf,
    /// Which attention of the translator or the trace; the last that keeps its queries and keys unless given.
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// Times each is run; the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Seed of random inputs, features and projections.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print a JSON object a measurement.
    #[arg(long)]
    json: bool,
    /// Write the table and the chart as a page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the chart.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Lengths, unless others are asked for.
const USUAL: [usize; 4] = [512, 1024, 2048, 4096];

/// What there was to measure of one mechanism.
struct Row {
    card: &'static Card,
    /// By length; a reason where the mechanism cannot be built or run.
    cells: Vec<(usize, Result<Measurement, String>)>,
}

#[derive(Clone, Debug)]
struct Lengths(Vec<usize>);

fn lengths(text: &str) -> Result<Lengths, String> {
    let wrong = || "expected a number, or FIRST..LAST as in 512..16384, from 1 to 1048576".to_owned();
    let number = |text: &str| text.parse().ok().filter(|length| (1..=1 << 20).contains(length)).ok_or_else(wrong);
    let (first, last) = match text.split_once("..") {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if first > last {
        return Err(wrong());
    }
    Ok(Lengths(std::iter::successors(Some(first), |length| Some(2 * length)).take_while(|&l| l <= last).collect()))
}

impl Compare {
    pub fn run(self) -> Result {
        let entries = self.entries()?;
        let stop = interruption()?;
        let inputs = self.inputs()?;
        let lengths = self.lengths(&inputs)?;
        let mut rows: Vec<Row> = Vec::new();
        let mut out = io::stdout().lock();
        if !self.json {
            writeln!(out, "{}\n", inputs.title)?;
        }
        for length in lengths {
            let sample = inputs.take(length);
            if !self.json {
                let head = ["forward", "+ backward", "memory", "output", "distribution"];
                writeln!(out, "{length} positions")?;
                write!(out, "  {:12}", "")?;
                head.iter().try_for_each(|head| write!(out, " {head:>13}"))?;
                writeln!(out)?;
            }
            let mut exact = None;
            for entry in &entries {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return Err("interrupted".into());
                }
                let setting = Setting {
                    heads: inputs.heads,
                    head_dim: inputs.width,
                    length,
                    causal: self.causal,
                    seed: self.seed,
                    device: burn::tensor::Device::default(),
                };
                let (card, cell) = match measure(entry, &setting, &sample, usize::from(self.rounds), exact.as_ref()) {
                    Ok((card, measurement, reference)) => {
                        exact.get_or_insert(reference);
                        (Some(card), Ok(measurement))
                    }
                    Err(error) => (None, Err(error.to_string())),
                };
                self.print(&mut out, entry.name, length, &cell)?;
                match rows.iter_mut().find(|row| row.card.name == entry.name) {
                    Some(row) => row.cells.push((length, cell)),
                    None => {
                        let card = card.or_else(|| catalogued(entry.name)).ok_or("a mechanism without a card")?;
                        rows.push(Row { card, cells: vec![(length, cell)] });
                    }
                }
            }
            if !self.json {
                writeln!(out)?;
            }
        }
        if !self.json {
            crossings(&mut out, &rows)?;
        }
        let title = &inputs.title;
        if let Some(path) = &self.svg {
            write_atomically(path, chart::svg(title, &rows).as_bytes())?;
        }
        if let Some(path) = &self.html {
            write_atomically(path, chart::page(title, &rows).as_bytes())?;
        }
        Ok(out.flush()?)
    }

    fn inputs(&self) -> Result<Inputs> {
        let site = self.site.as_deref();
        if self.input.as_os_str() == "random" {
            if site.is_some() {
                return Err("--site needs --input translator or a trace file; random inputs have none".into());
            }
            let (heads, width) = (self.heads.unwrap_or(8), self.head_dim.unwrap_or(64));
            return Ok(Inputs::random(heads.into(), width.into(), self.seed));
        }
        if self.heads.is_some() || self.head_dim.is_some() {
            return Err("--heads and --head-dim are for random inputs; these have their own".into());
        }
        match self.input.to_str() {
            Some("translator") => Inputs::of_translator(site),
            _ => Inputs::of_file(&self.input, site),
        }
    }

    /// What was asked for, or the usual lengths that the input has enough positions for, or all that it has.
    fn lengths(&self, inputs: &Inputs) -> Result<Vec<usize>> {
        let held = inputs.held().unwrap_or(usize::MAX);
        match &self.length {
            Some(Lengths(asked)) => match asked.iter().find(|&&length| length > held) {
                Some(length) => Err(format!("length {length} is more than the {held} positions of the input").into()),
                None => Ok(asked.clone()),
            },
            None if held == 0 => Err("the input has no positions".into()),
            None if held < USUAL[0] => Ok(vec![held]),
            None => Ok(USUAL.into_iter().filter(|&length| length <= held).collect()),
        }
    }

    /// What was asked for, exact attention first.
    fn entries(&self) -> Result<Vec<Entry>> {
        let all = mechanisms();
        let cards: Vec<Card> = all.iter().filter_map(|entry| catalogued(entry.name)).copied().collect();
        let wanted = self.mechanisms.iter().map(|name| {
            find(&cards, name).map(|card| card.name).map_err(|near| {
                let known = all.iter().map(|entry| entry.name).collect::<Vec<_>>().join(", ");
                let hint = if near.is_empty() {
                    format!("there are {known}")
                } else {
                    format!("did you mean {}?", near.join(", "))
                };
                format!("no mechanism to compare is called {name:?}; {hint}")
            })
        });
        let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
        Ok(all
            .into_iter()
            .filter(|entry| entry.name == "Exact" || wanted.is_empty() || wanted.contains(&entry.name))
            .collect())
    }

    fn print(&self, out: &mut impl Write, name: &str, length: usize, cell: &Result<Measurement, String>) -> Result {
        if self.json {
            let object = match cell {
                Ok(m) => serde_json::json!({
                    "name": name, "length": length, "forward_ms": 1e3 * m.forward,
                    "forward_and_backward_ms": 1e3 * m.both, "peak_bytes": m.peak,
                    "output_error": m.output, "distribution_error": m.distribution,
                }),
                Err(reason) => serde_json::json!({ "name": name, "length": length, "refused": reason }),
            };
            return Ok(writeln!(out, "{object}")?);
        }
        match cell {
            Ok(m) => writeln!(
                out,
                "  {name:12} {:>10.2} ms {:>10.2} ms {:>10.1} MB {:>12.1}% {:>12.1}%",
                1e3 * m.forward,
                1e3 * m.both,
                m.peak as f64 / 1e6,
                100.0 * m.output,
                100.0 * m.distribution
            )?,
            Err(reason) => writeln!(out, "  {name:12} {reason}")?,
        }
        Ok(out.flush()?)
    }
}

/// The card of a mechanism that can be compared.
fn catalogued(name: &str) -> Option<&'static Card> {
    static CARDS: std::sync::LazyLock<Vec<Card>> = std::sync::LazyLock::new(regard::catalogue::cards);
    CARDS.iter().find(|card| card.name == name)
}

/// Where each becomes faster than exact attention.
fn crossings(out: &mut impl Write, rows: &[Row]) -> Result {
    let Some((exact, others)) = rows.split_first().filter(|(_, others)| !others.is_empty()) else { return Ok(()) };
    writeln!(out, "Faster than exact attention, forward and backward")?;
    for row in others {
        writeln!(out, "  {:12} {}", row.card.name, crossing(exact, row))?;
    }
    writeln!(
        out,
        "\nErrors: of the output, its distance from exact attention's by that one's length; of the distribution, half of"
    )?;
    writeln!(
        out,
        "what the weights differ by, a row. Read them together: a mechanism of another kind is not meant to be close."
    )?;
    Ok(())
}

/// In words, by straight lines between lengths on logarithmic scales.
fn crossing(exact: &Row, row: &Row) -> String {
    let pairs: Vec<(f64, f64)> = row
        .cells
        .iter()
        .zip(&exact.cells)
        .filter_map(|((length, cell), (_, exact))| {
            let (cell, exact) = (cell.as_ref().ok()?, exact.as_ref().ok()?);
            Some(((*length as f64).ln(), (cell.both / exact.both).ln()))
        })
        .collect();
    let Some(&(last, _)) = pairs.last() else { return "not measured".into() };
    // The first length from which on it is faster at every one.
    match pairs
        .iter()
        .rposition(|&(_, ratio)| ratio >= 0.0)
        .map_or(Some(0), |slower| (slower + 1 < pairs.len()).then_some(slower + 1))
    {
        Some(0) => format!("from {:.0} positions on, or earlier", pairs[0].0.exp()),
        Some(at) => {
            let ((x0, y0), (x1, y1)) = (pairs[at - 1], pairs[at]);
            format!("from about {:.0} positions on", (x0 + (x1 - x0) * y0 / (y0 - y1)).exp())
        }
        None => format!("never on this machine, up to {:.0} positions", last.exp()),
    }
}
