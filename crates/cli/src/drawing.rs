//! What a model looked at, in the terminal or in files: the options that every command with a trace has.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use regard_explain::render::{Figure, html, png, svg, terminal};
use regard_explain::{Trace, write_atomically};
use regard_recipes::interpreter::{Interpreter, Translation};

use crate::place::Place;
use crate::{Result, output};

#[derive(Args)]
pub struct Drawing {
    /// Write an interactive page with every layer and head.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the chosen attention as a vector picture (one input).
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the chosen attention as a bitmap (one input).
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// Write all weights as safetensors; crates/explain/TRACE.md describes the format (one input).
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

impl Drawing {
    /// Whether a file was asked for.
    pub fn is_wanted(&self) -> bool {
        self.html.is_some() || self.svg.is_some() || self.png.is_some() || self.trace.is_some()
    }

    /// Which attention to draw.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Prints `said` of each translation and, with `draw`, its alignment; or JSON with all weights.
    pub fn print(
        &self,
        interpreter: &Interpreter,
        translations: &[Translation],
        json: bool,
        draw: bool,
        said: impl Fn(&Translation) -> String,
    ) -> Result {
        let mut out = io::stdout().lock();
        for translation in translations {
            if json {
                let trace: serde_json::Value = serde_json::from_str(&interpreter.trace(translation)?.to_json()?)?;
                let Translation { source, target, score, ended, .. } = translation;
                let object = serde_json::json!({
                    "source": source, "target": target, "score": score, "ended": ended, "trace": trace,
                });
                writeln!(out, "{object}")?;
                continue;
            }
            writeln!(out, "{}", said(translation))?;
            if draw {
                let trace = interpreter.trace(translation)?;
                let (site, head) = self.place.chosen(&trace)?;
                let map = trace.map(site, head)?;
                let drawn = &trace.sites()[site];
                let (queries, keys) = (trace.queries(drawn), trace.keys(drawn));
                let picture = terminal::alignment(&map, queries, keys, output::colour(), output::width());
                write!(out, "\n{picture}")?;
            }
            if !translation.ended {
                output::complain("stopped at the longest output allowed; it may be incomplete");
            }
        }
        Ok(out.flush()?)
    }

    /// Writes the files that were asked for, of `count` inputs of a kind.
    pub fn write(&self, kind: &str, count: usize, trace: &dyn Fn(usize) -> Result<Trace>) -> Result {
        let single = [("--svg", &self.svg), ("--png", &self.png), ("--trace", &self.trace)];
        if let (Some((option, _)), false) = (single.iter().find(|(_, file)| file.is_some()), count == 1) {
            return Err(format!("{option} takes one {kind}, {count} given; --html takes any number").into());
        }
        if let Some(path) = &self.html {
            let page = html::page(&(0..count).map(trace).collect::<Result<Vec<_>>>()?)?;
            write_atomically(path, page.as_bytes())?;
        }
        if single.iter().all(|(_, file)| file.is_none()) {
            return Ok(());
        }
        let trace = trace(0)?;
        if let Some(path) = &self.trace {
            trace.save(path)?;
        }
        let (site, head) = self.place.chosen(&trace)?;
        if self.svg.is_some() || self.png.is_some() {
            let picture = svg::heat_map(&Figure::of(&trace, site, head)?)?;
            if let Some(path) = &self.png {
                write_atomically(path, &png::picture(&picture)?)?;
            }
            if let Some(path) = &self.svg {
                write_atomically(path, picture.as_bytes())?;
            }
        }
        Ok(())
    }
}
