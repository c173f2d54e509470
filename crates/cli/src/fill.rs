//! `regard fill` and `regard classify`: what a trained encoder puts into a hidden place, and which labels it gives.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use clap::Args;
use regard_recipes::reader::Reader;

use crate::{Result, hub};

#[derive(Args)]
pub struct Fill {
    /// A model's folder in Hugging Face's layout, of an encoder with a head for hidden tokens.
    path: PathBuf,
    /// A text with one hidden place, [MASK].
    text: String,
    /// How many tokens to print.
    #[arg(long, value_name = "N", default_value_t = 5)]
    top: usize,
}

impl Fill {
    pub fn run(self) -> Result {
        let found = Reader::load(&hub::model(&self.path)?)?.fill(&self.text, self.top)?;
        let widest = found.iter().map(|filling| console::measure_text_width(&filling.token)).max().unwrap_or(0);
        let mut out = io::stdout().lock();
        for filling in found {
            let token = console::pad_str(&filling.token, widest, console::Alignment::Left, None);
            writeln!(out, "{:6.2} %  {token}  {}", 100.0 * filling.probability, filling.text)?;
        }
        Ok(out.flush()?)
    }
}

#[derive(Args)]
pub struct Classify {
    /// A model's folder in Hugging Face's layout, of an encoder with a head for labels.
    path: PathBuf,
    /// Texts; the lines of standard input unless given.
    texts: Vec<String>,
    /// A second text that each is read with, for models that compare two.
    #[arg(long, value_name = "TEXT")]
    with: Option<String>,
    /// How many labels to print.
    #[arg(long, value_name = "N", default_value_t = 3)]
    top: usize,
}

impl Classify {
    pub fn run(self) -> Result {
        let reader = Reader::load(&hub::model(&self.path)?)?;
        let mut out = io::stdout().lock();
        let mut say = |text: &str| -> Result {
            let labels = reader.classify(text, self.with.as_deref())?;
            let labels = labels.iter().take(self.top).map(|(label, share)| format!("{label} {:.2} %", 100.0 * share));
            writeln!(out, "{}\t{text}", labels.collect::<Vec<_>>().join(", "))?;
            Ok(out.flush()?)
        };
        if !self.texts.is_empty() {
            return self.texts.iter().try_for_each(|text| say(text));
        }
        io::stdin().lock().lines().try_for_each(|line| say(&line?))
    }
}
