//! `regard rollout`: where attention leads when it is followed through all layers down to the tokens.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use regard_explain::render::{Figure, svg, terminal, visible};
use regard_explain::{Map, Site, Trace, flow, rollout, write_atomically};

use crate::place::Place;
use crate::progress::Work;
use crate::{Result, interruption, output, shipped};

#[derive(Args)]
pub struct Rollout {
    /// A trace file, of `regard translate --trace` or of Python's `trace.save`; or a text for a model to read.
    input: String,
    /// A model for the text: any that `regard attribute` takes; the translator that comes with the program unless given.
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// Attention flow instead: the most that the layers let through from each token, which takes longer.
    #[arg(long)]
    flow: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Write a picture.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Up to which attention and layer; all heads are taken together.
    #[command(flatten)]
    place: Place,
}

impl Rollout {
    pub fn run(self) -> Result {
        let trace = self.trace()?;
        if trace.sites().is_empty() {
            return Err("there is no attention to follow".into());
        }
        let (site, head) = self.place.chosen(&trace)?;
        if head != regard_explain::Head::Mean {
            return Err("--head: all heads of a layer are followed together".into());
        }
        let work = Work::new(interruption()?)?;
        work.begins(if self.flow { "attention flow" } else { "rollout" });
        let joined = joined(&trace)?;
        let found = if self.flow { flows(&joined, site, &work)? } else { rolled(&joined, site, &work)? };
        work.ends();
        self.show(&trace, site, &found)
    }

    fn trace(&self) -> Result<Trace> {
        let path = Path::new(&self.input);
        if self.model.is_none() && path.is_file() {
            return Ok(Trace::load(path)?);
        }
        if self.input.trim().is_empty() {
            return Err("the text is empty, expected a text or a trace file".into());
        }
        Ok(shipped::trained(self.model.as_deref())?.trace(&self.input)?)
    }

    fn show(&self, trace: &Trace, site: usize, found: &[(usize, Map)]) -> Result {
        let (what, drawn) = (if self.flow { "attention flow" } else { "attention rollout" }, &trace.sites()[site]);
        let mut out = io::stdout().lock();
        if self.json {
            let maps: Vec<_> = found
                .iter()
                .map(|(axis, map)| {
                    let axis = &trace.axes()[read(trace, drawn, *axis)];
                    serde_json::json!({ "to": axis.name, "tokens": axis.tokens, "shares": map.weights })
                })
                .collect();
            let object = serde_json::json!({
                "text": trace.title, "model": trace.model, "method": what, "site": drawn.name, "layer": drawn.layer + 1,
                "queries": trace.queries(drawn), "maps": maps,
            });
            writeln!(out, "{object}")?;
        }
        for (at, (axis, map)) in found.iter().enumerate() {
            let axis = &trace.axes()[read(trace, drawn, *axis)];
            let subtitle = format!(
                "{what} of {} up to layer {}, to {}",
                visible(&drawn.name),
                drawn.layer + 1,
                visible(&axis.name)
            );
            if !self.json {
                writeln!(out, "{subtitle}\n")?;
                let rows = trace.queries(drawn);
                write!(out, "{}", terminal::alignment(map, rows, &axis.tokens, output::colour(), output::width()))?;
                writeln!(out)?;
            }
            if let (Some(path), 0) = (&self.svg, at) {
                let figure = Figure {
                    title: &trace.title,
                    subtitle,
                    map: map.clone(),
                    row_axis: &trace.axes()[drawn.queries].name,
                    rows: trace.queries(drawn),
                    column_axis: &axis.name,
                    columns: &axis.tokens,
                };
                write_atomically(path, svg::heat_map(&figure)?.as_bytes())?;
            }
        }
        if !self.json {
            writeln!(
                out,
                "It follows attention weights alone: it knows nothing of values, nor of the answer. Trust: not measured."
            )?;
        }
        Ok(out.flush()?)
    }
}

/// The map to the source, if there is one, and that to the tokens themselves: each with its axis.
fn rolled(trace: &Trace, site: usize, work: &Work) -> Result<Vec<(usize, Map)>> {
    let found = rollout(trace, site, &mut |done, total| work.told(done, total))?;
    let site = &trace.sites()[site];
    let source = found.source.map(|map| (site.keys, map));
    Ok(source.into_iter().chain([(site.queries, found.own)]).collect())
}

/// The same of a flow to each query.
fn flows(trace: &Trace, site: usize, work: &Work) -> Result<Vec<(usize, Map)>> {
    let drawn = &trace.sites()[site];
    let queries = trace.queries(drawn).len();
    let (mut own, mut source) = (Vec::new(), Vec::new());
    for query in 0..queries {
        let found = flow(trace, site, query, &mut |done, total| work.told(query * total + done, queries * total))?;
        own.extend(found.own);
        source.extend(found.source.into_iter().flatten());
    }
    let mut maps = Vec::new();
    if !source.is_empty() {
        maps.push((drawn.keys, Map::new(queries, source.len() / queries, source)?));
    }
    maps.push((drawn.queries, Map::new(queries, queries, own)?));
    Ok(maps)
}

/// Where a decoder's tokens are written, those that it reads are on an axis of their own, one behind: here both are one, position by
/// position, as they are in the network.
fn joined(trace: &Trace) -> Result<Trace> {
    let mut joined = Trace::new(trace.title.clone(), trace.model.clone());
    for axis in trace.axes() {
        joined.add_axis(axis.name.clone(), axis.tokens.clone());
    }
    for site in trace.sites() {
        let keys = if read(trace, site, site.queries) == site.keys { site.queries } else { site.keys };
        joined.add_site(Site { keys, ..site.clone() })?;
    }
    Ok(joined)
}

/// The axis of what is read where a site's queries are written, if that is the axis asked for; or else that axis itself.
fn read(trace: &Trace, site: &Site, axis: usize) -> usize {
    let length = trace.queries(site).len();
    let own = |other: &&Site| other.queries == site.queries && other.name.ends_with(".self");
    let found = trace.sites().iter().find(own).filter(|own| trace.keys(own).len() == length);
    found.filter(|_| axis == site.queries).map_or(axis, |own| own.keys)
}
