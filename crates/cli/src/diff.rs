//! `regard diff`: where the attention weights of two traces of the same tokens differ.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use regard_explain::render::{Panel, Scale, svg, terminal, visible};
use regard_explain::{Axis, Difference, Head, HeadChange, Trace, diff, difference_map, write_atomically};

use crate::progress::Work;
use crate::{Result, interruption, output};

#[derive(Args)]
pub struct Diff {
    /// A trace file, of `regard translate --trace` or of Python's `trace.save`.
    first: PathBuf,
    /// Another, of the same tokens.
    second: PathBuf,
    /// How many heads to list.
    #[arg(long, value_name = "N", default_value_t = 12)]
    top: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Write the map of the head that changed most.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// List heads and draw no map.
    #[arg(long, short)]
    quiet: bool,
}

impl Diff {
    pub fn run(self) -> Result {
        let [first, second] = [Trace::load(&self.first)?, Trace::load(&self.second)?];
        let work = Work::new(interruption()?)?;
        work.begins("heads");
        let found = diff(&first, &second, &mut |done, total| work.told(done, total))?;
        work.ends();
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json(&first, &second, &found))?;
        } else {
            let [title, model, other] = [&first.title, &first.model, &second.model].map(|text| visible(text));
            writeln!(out, "{title}: {model}, then {other}\n")?;
            writeln!(out, "moved   most at            where")?;
            for change in found.heads.iter().take(self.top) {
                writeln!(out, "{}", line(&first, change))?;
            }
            if found.heads.len() > self.top {
                writeln!(out, "… {} more heads; --top {} for all", found.heads.len() - self.top, found.heads.len())?;
            }
            for (alone, path) in found.alone.iter().zip([&self.first, &self.second]) {
                for (name, layer) in alone {
                    writeln!(out, "only {} has {}, layer {}", path.display(), visible(name), layer + 1)?;
                }
            }
            writeln!(out, "Moved: the share of a query's attention weight that went elsewhere, mean over queries.")?;
        }
        if let Some(change) = found.heads.first() {
            let panel = panel(&first, &second, change)?;
            if !self.quiet && !self.json {
                write!(out, "\n{}", terminal::panels(std::slice::from_ref(&panel), output::colour(), output::width()))?;
            }
            if let Some(path) = &self.svg {
                write_atomically(path, svg::panels(&first.title, &[panel])?.as_bytes())?;
            }
        }
        Ok(out.flush()?)
    }
}

fn line(trace: &Trace, change: &HeadChange) -> String {
    let HeadChange { name, layer, sites, head, queries, mean } = change;
    let most = (0..queries.len()).max_by(|&a, &b| queries[a].total_cmp(&queries[b]));
    let token = most.map_or_else(String::new, |at| {
        let token = &trace.queries(&trace.sites()[sites[0]])[at];
        format!("{} {:.2}", output::token(token, 12), queries[at])
    });
    let token = console::pad_str(&token, 18, console::Alignment::Left, None);
    format!("{mean:5.3}   {token} {}, layer {}, head {}", visible(name), layer + 1, head + 1)
}

/// The second's weights less the first's.
fn panel(first: &Trace, second: &Trace, change: &HeadChange) -> Result<Panel> {
    let site = &first.sites()[change.sites[0]];
    let values = difference_map(first, second, change.sites, Head::One(change.head))?;
    let most = values.iter().fold(0.01f32, |most, value| most.max(value.abs()));
    let axis = |axis: usize| {
        let Axis { name, tokens } = first.axes()[axis].clone();
        Axis { name: visible(&name), tokens }
    };
    let scale = Scale { name: "change of the attention weight".into(), low: -most, high: most };
    let title = format!("{}, layer {}, head {}", visible(&change.name), change.layer + 1, change.head + 1);
    Ok(Panel::new(title, axis(site.queries), axis(site.keys), &values, scale)?)
}

fn json(first: &Trace, second: &Trace, found: &Difference) -> serde_json::Value {
    let heads: Vec<_> = found
        .heads
        .iter()
        .map(|change| {
            serde_json::json!({
                "site": change.name, "layer": change.layer + 1, "head": change.head + 1, "moved": change.mean,
                "queries": change.queries,
            })
        })
        .collect();
    let alone = found.alone.each_ref().map(|sites| {
        let sites = sites.iter().map(|(name, layer)| serde_json::json!({ "site": name, "layer": layer + 1 }));
        sites.collect::<Vec<_>>()
    });
    serde_json::json!({
        "text": first.title, "models": [first.model, second.model], "heads": heads, "only_first": alone[0],
        "only_second": alone[1],
    })
}
