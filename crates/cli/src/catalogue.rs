//! `regard list` and `regard show`: the catalogue, from the cards in the code.

use std::io::{self, Write};

use clap::Args;
use regard::catalogue::{Card, cards, find};

use crate::Result;

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
}

fn all() -> Vec<Card> {
    let mut all = cards();
    all.extend([regard_models::TRANSFORMER, regard_models::BAHDANAU, regard_models::LUONG]);
    all.extend([regard_models::GPT, regard_models::LLAMA]);
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
        Ok(out.flush()?)
    }
}
