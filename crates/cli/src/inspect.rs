//! `regard inspect`: what every layer and head of a trained model looked at while it read a text.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use regard::cache::CacheConfig;
use regard_explain::render::terminal;
use regard_explain::{HeadProfile, Rank, Trace};
use regard_recipes::trained::Trained;

use crate::drawing::Drawing;
use crate::generate::say_unseen;
use crate::{Result, hub, output};

#[derive(Args)]
pub struct Inspect {
    /// A model: a folder in Hugging Face's layout with its tokenizer.json, a GGUF file, a file of llama2.c, or a run of
    /// `regard train charlm`.
    path: PathBuf,
    /// The text that it is to read.
    text: String,
    /// List heads by this, the greatest first: entropy, first, previous, same, induction or alignment; in their order unless given.
    #[arg(long, value_name = "BY")]
    rank: Option<Rank>,
    /// How many heads to list.
    #[arg(long, value_name = "N", default_value_t = 12)]
    top: usize,
    /// Print the profiles of all heads as JSON, and nothing else.
    #[arg(long)]
    json: bool,
    /// List heads and draw no map.
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    drawing: Drawing,
}

impl Inspect {
    pub fn run(self) -> Result {
        let model = Trained::load(&hub::model(&self.path)?)?;
        if let Trained::Writer(writer) = &model {
            say_unseen(writer, &self.text, &CacheConfig::default())?;
        }
        let trace = model.trace(&self.text)?;
        let mut profiles = trace.profiles()?;
        if let Some(rank) = self.rank {
            let value = |profile: &HeadProfile| profile.by(rank).unwrap_or(f32::NEG_INFINITY);
            profiles.sort_by(|a, b| value(b).total_cmp(&value(a)));
        }
        let mut out = io::stdout().lock();
        if self.json {
            let heads: Vec<_> = profiles.iter().map(|profile| json(&trace, profile)).collect();
            writeln!(out, "{}", serde_json::json!({ "text": trace.title, "model": trace.model, "heads": heads }))?;
        } else {
            write!(out, "{}", table(&trace, &profiles, self.top, self.rank))?;
            if !self.quiet {
                let (site, head) = self.drawing.place().chosen(&trace)?;
                let (map, drawn) = (trace.map(site, head)?, &trace.sites()[site]);
                writeln!(out, "\n{}, layer {}, {head}: attention weights\n", drawn.name, drawn.layer + 1)?;
                let (rows, columns) = (trace.queries(drawn), trace.keys(drawn));
                write!(out, "{}", terminal::alignment(&map, rows, columns, output::colour(), output::width()))?;
            }
        }
        out.flush()?;
        self.drawing.write("text", 1, &|_| Ok(trace.clone()))
    }
}

/// A line a head.
fn table(trace: &Trace, profiles: &[HeadProfile], top: usize, rank: Option<Rank>) -> String {
    let share = |share: Option<f32>| share.map_or("      –".into(), |share| format!("{:5.1} %", 100.0 * share));
    let mut text = String::from("layer  head  entropy    first  previous   same   induction  alignment\n");
    for profile in profiles.iter().take(top) {
        let HeadProfile { head, entropy, first, previous, same, induction, alignment, .. } = profile;
        let alignment = alignment.map_or("–".into(), |alignment| format!("{alignment:.3}"));
        let (layer, [first, previous, same, induction]) =
            (trace.sites()[profile.site].layer + 1, [Some(*first), *previous, *same, *induction].map(share));
        text += &format!(
            "{layer:5}  {:4}  {entropy:7.3}  {first}  {previous}  {same}  {induction}  {alignment:>9}\n",
            head + 1
        );
    }
    if profiles.len() > top {
        let hint =
            if rank.is_none() { ", --rank entropy|first|previous|same|induction|alignment to order them" } else { "" };
        text += &format!("… {} more heads; --top {} for all{hint}\n", profiles.len() - top, profiles.len());
    }
    text + "Attention weights say where a head looked, not what mattered to the answer.\n"
}

fn json(trace: &Trace, profile: &HeadProfile) -> serde_json::Value {
    let site = &trace.sites()[profile.site];
    serde_json::json!({
        "site": site.name, "layer": site.layer + 1, "head": profile.head + 1, "entropy": profile.entropy,
        "first": profile.first, "previous": profile.previous, "same": profile.same, "induction": profile.induction, "alignment": profile.alignment,
    })
}
