//! `regard list` and `regard show`: the catalogue, from the cards in the code.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use regard::catalogue::{Card, cards, find};
use regard_explain::render::{svg, terminal};
use regard_explain::write_atomically;

use crate::page::{self, escaped};
use crate::picture::{self, Drawn};
use crate::{Result, output};

/// Columns of running text.
const TEXT: usize = 100;

#[derive(Args)]
pub struct List {
    /// Print one JSON object a mechanism.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Show {
    /// A name that `regard list` prints.
    name: String,
    /// Write the picture of its pattern instead of drawing it in the terminal.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write card and picture as a page instead.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// All cards, of mechanisms and of models.
pub fn all() -> Vec<Card> {
    let mut all = cards();
    all.extend([regard_models::TRANSFORMER, regard_models::BAHDANAU, regard_models::LUONG]);
    all.extend([regard_models::GPT, regard_models::GPT_NEOX, regard_models::LLAMA, regard_models::MISTRAL]);
    all.extend([regard_models::QWEN2, regard_models::GEMMA2]);
    all.extend([regard_models::T5_CARD, regard_models::BART, regard_models::MARIAN]);
    all.extend([regard_models::BERT, regard_models::ROBERTA, regard_models::DISTIL_BERT, regard_models::ALBERT]);
    all.extend([regard_models::LONGFORMER, regard_models::BIG_BIRD, regard_models::GAT]);
    all
}

impl List {
    pub fn run(self) -> Result {
        let mut out = io::stdout().lock();
        let cards = all();
        let widest = cards.iter().map(|card| card.name.len()).max().unwrap_or(0);
        let mut family = None;
        for card in cards {
            if self.json {
                let Card { name, sentence, equation, paper, cost, when, family } = card;
                let family = family.to_string();
                let object = serde_json::json!({
                    "name": name, "family": family, "sentence": sentence,
                    "equation": equation, "paper": paper, "cost": cost, "when": when,
                });
                writeln!(out, "{object}")?;
                continue;
            }
            if family != Some(card.family) {
                let gap = if family.is_some() { "\n" } else { "" };
                writeln!(out, "{gap}{}", card.family)?;
                family = Some(card.family);
            }
            writeln!(out, "  {:widest$}  {}", card.name, card.sentence)?;
        }
        Ok(out.flush()?)
    }
}

impl Show {
    pub fn run(self) -> Result {
        let all = all();
        let card = find(&all, &self.name).map_err(|near| {
            let hint =
                if near.is_empty() { "see `regard list`".into() } else { format!("did you mean {}?", near.join(", ")) };
            format!("no mechanism is called {:?}; {hint}", self.name)
        })?;
        let mut out = io::stdout().lock();
        writeln!(out, "{} ({})\n\n{}\n\n    {}\n", card.name, card.family, card.sentence, card.equation)?;
        for (label, text) in [("source", card.paper), ("cost", card.cost), ("when", card.when)] {
            writeln!(out, "{label:7} {text}")?;
        }
        let drawn = picture::of(card)?;
        writeln!(out, "\n{}", output::wrapped(&drawn.caption, output::width().min(TEXT)))?;
        let files = self.svg.is_some() || self.html.is_some();
        if !files && !drawn.panels.is_empty() {
            write!(out, "\n{}", terminal::panels(&drawn.panels, output::colour(), output::width()))?;
        }
        if let Some(path) = &self.html {
            write_atomically(path, page(card, &drawn)?.as_bytes())?;
        }
        match &self.svg {
            Some(_) if drawn.panels.is_empty() => return Err(format!("there is no picture of {}", card.name).into()),
            Some(path) => write_atomically(path, svg::panels(card.name, &drawn.panels)?.as_bytes())?,
            None => {}
        }
        Ok(out.flush()?)
    }
}

/// A card and its picture, or why there is none.
fn page(card: &Card, drawn: &Drawn) -> Result<String> {
    let Card { name, family, sentence, equation, paper, cost, when } = card;
    let picture = if drawn.panels.is_empty() { String::new() } else { svg::panels(name, &drawn.panels)? };
    let mut body = format!(
        "<p><em>{}</em></p>\n<p>{}</p>\n<pre>{}</pre>\n<figure>\n{picture}<figcaption>{}</figcaption>\n</figure>\n<dl>\n",
        escaped(&format!("{family}. {}", family.question())),
        escaped(sentence),
        escaped(equation),
        escaped(&drawn.caption)
    );
    for (label, text) in [("Source", paper), ("Cost", cost), ("When", when)] {
        body += &format!("<dt>{label}</dt><dd>{}</dd>\n", escaped(text));
    }
    Ok(page::page(name, &(body + "</dl>\n")))
}
