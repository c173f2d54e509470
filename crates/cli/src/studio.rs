//! `regard studio`: a local page in which text is typed into a model, and what the model looked at is seen at once.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use regard_explain::Trace;
use regard_explain::trust::{Line, Protocol, Trust};
use regard_recipes::question::{Ask, Method};
use regard_recipes::trained::Trained;
use regard_studio::{Model, Work, browse};
use serde_json::{Value, json};

use crate::attribute::{Explained, explain};
use crate::{Result, shipped};

#[derive(Args)]
pub struct Studio {
    /// A model: a folder in Hugging Face's layout with its tokenizer.json, a GGUF file, a file of llama2.c, or a run of
    /// `regard train`; the translator that comes with the program unless given.
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    #[command(flatten)]
    page: Page,
}

/// Where the page is, and who opens it.
#[derive(Args)]
pub struct Page {
    /// Port of the loopback address; any that is free unless given.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// Say where the page is, and leave the browser alone.
    #[arg(long)]
    no_open: bool,
}

impl Studio {
    pub fn run(self) -> Result {
        let model = shipped::trained(self.model.as_deref())?;
        let name = self.model.as_ref().map_or("the built-in translator".into(), |path| path.display().to_string());
        self.page.serve(regard_studio::Studio::new().with_model(Typed { name, model }), "")
    }
}

impl Page {
    /// Serves the studio until the program is interrupted; `place` is what follows the page's address.
    pub fn serve(&self, studio: regard_studio::Studio, place: &str) -> Result {
        let open = studio.open(self.port)?;
        let url = format!("{}{place}", open.url());
        // Whoever reads this may be a program that waits for the address.
        let mut out = io::stdout().lock();
        writeln!(out, "{url}\nEnds with Ctrl-C.")?;
        out.flush()?;
        drop(out);
        if !self.no_open
            && let Err(error) = browse(&url)
        {
            eprintln!("{error}");
        }
        open.wait();
        Ok(())
    }
}

/// A model that texts are typed into.
struct Typed {
    name: String,
    model: Trained,
}

impl Model for Typed {
    fn name(&self) -> &str {
        &self.name
    }

    fn trace(&self, text: &str, work: &Work) -> Result<Trace> {
        work.progress("reading", 0, 0);
        Ok(self.model.trace(text)?)
    }

    fn explanations(&self) -> Vec<String> {
        Method::ALL.map(|method| method.name().to_owned()).into()
    }

    /// What the model finds likeliest, explained, and the trust strip, as `regard attribute` has them.
    fn explain(&self, text: &str, explanation: &str, work: &Work) -> Result<Value> {
        let method: Method = explanation.parse()?;
        let mut told = |what: &str, done: usize, of: usize| {
            work.progress(what, done, of);
            if work.cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let protocol = Protocol::default();
        let question = self.model.question(text, &Ask::default())?;
        let shuffled = self.model.shuffled(protocol.seed)?;
        let Explained { explanation: found, trust } =
            explain(&question, Some(&shuffled), method, &protocol, &mut told)?;
        let conditions = trust.as_ref().map(Trust::conditions).unwrap_or_default();
        let tokens: Vec<_> = question.tokens().into_iter().zip(&found.scores).collect();
        Ok(json!({
            "caption": format!("{} of {} ({}); {}", found.method, question.number(), found.note, conditions),
            "tokens": tokens.iter().map(|(text, value)| json!({ "text": text, "value": value })).collect::<Vec<_>>(),
            "trust": trust.iter().flat_map(Trust::lines).map(row).collect::<Vec<_>>(),
        }))
    }
}

/// A line of the strip as the page wants it.
fn row(line: Line) -> Value {
    let Some(measured) = line.measured else { return json!({ "name": line.name }) };
    let [low, high] = measured.random_interval;
    let verdict = line.verdict().map(|verdict| format!("; this is {verdict}")).unwrap_or_default();
    json!({
        "name": line.name, "value": measured.value, "baseline": measured.random,
        "low": measured.interval.map(|[low, _]| low), "high": measured.interval.map(|[_, high]| high),
        "note": format!("better is {}; random orders {low:.3} to {high:.3}{verdict}", line.better),
    })
}
