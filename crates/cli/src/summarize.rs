//! `regard summarize`: a shorter text for a text, and what it looked at.

use std::io::{self, Read};
use std::path::PathBuf;

use clap::Args;
use regard_models::pretrained::Fields;
use regard_recipes::interpreter::Interpreter;

use crate::drawing::Drawing;
use crate::translate::Searching;
use crate::{Result, hub};

#[derive(Args)]
pub struct Summarize {
    /// A model's folder in Hugging Face's layout, of an encoder–decoder (BART, T5), with its tokenizer.json.
    path: PathBuf,
    /// Texts; all of standard input unless given.
    texts: Vec<String>,
    /// What is written before each text; what the model's folder says unless given ("summarize: " for T5).
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    #[command(flatten)]
    searching: Searching,
    #[command(flatten)]
    drawing: Drawing,
    /// Print one JSON object a text, with all weights, instead of text.
    #[arg(long)]
    json: bool,
}

impl Summarize {
    pub fn run(mut self) -> Result {
        self.path = hub::model(&self.path)?;
        let interpreter = Interpreter::load(&self.path)?;
        let mut texts = std::mem::take(&mut self.texts);
        if texts.is_empty() {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text)?;
            texts.push(text);
        }
        let prefix = match &self.prefix {
            Some(prefix) => prefix.clone(),
            None => self.usual_prefix()?,
        };
        let spaced = |text: &String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let texts: Vec<String> = texts.iter().map(spaced).collect();
        if let Some(blank) = texts.iter().position(String::is_empty) {
            return Err(format!("text {} is blank, expected at least one word", blank + 1).into());
        }
        let texts: Vec<String> = texts.iter().map(|text| format!("{prefix}{text}")).collect();
        let found = interpreter.translate(&texts, &self.searching.with(&interpreter))?;
        self.drawing.print(&interpreter, &found, self.json, false, |summary| summary.target.trim().to_owned())?;
        self.drawing.write("text", found.len(), &|at| Ok(interpreter.trace(&found[at])?))
    }

    /// What T5 and its like say of the task in their configuration.
    fn usual_prefix(&self) -> Result<String> {
        let tasks = Fields::open(&self.path)?.within("task_specific_params")?;
        Ok(tasks.within("summarization")?.or("prefix", String::new())?)
    }
}
