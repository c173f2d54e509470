//! `regard pronounce`: words in, phonemes out, and which letters each of them looked at.

use std::path::PathBuf;

use clap::Args;
use regard_models::Search;
use regard_recipes::pronunciation::pronounce;

use crate::drawing::Drawing;
use crate::{Result, shipped};

#[derive(Args)]
pub struct Pronounce {
    /// Words.
    #[arg(required = true)]
    words: Vec<String>,
    /// Folder of a trained model, a run of `regard train g2p`; the one that comes with the program unless given.
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// Hypotheses that beam search keeps; 1 is greedy.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    beam: u16,
    #[command(flatten)]
    drawing: Drawing,
    /// Print one JSON object a word, with all weights, instead of text.
    #[arg(long)]
    json: bool,
    /// Print the phonemes alone, without a picture.
    #[arg(long, short)]
    quiet: bool,
}

impl Pronounce {
    pub fn run(self) -> Result {
        let interpreter = shipped::speller(self.model.as_deref())?;
        let how = Search { beam: self.beam.into(), ..Search::default() };
        let found = pronounce(&interpreter, &self.words, &how)?;
        self.drawing
            .print(&interpreter, &found, self.json, !self.quiet, |word| format!("{}\t{}", word.source, word.target))?;
        self.drawing.write("word", found.len(), &|at| Ok(interpreter.trace(&found[at])?))
    }
}
