//! `regard faithfulness`: which methods tell best what a model's answers come from, measured on many texts.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use regard_explain::trust::{Trust, mean};
use regard_recipes::question::Method;

use crate::asking::{Asking, Target, methods};
use crate::attribute::explain;
use crate::progress::Work;
use crate::{Result, interruption, output, strip};

#[derive(Args)]
pub struct Faithfulness {
    /// A file of texts, one a line.
    file: PathBuf,
    #[command(flatten)]
    asking: Asking,
    #[command(flatten)]
    target: Target,
    /// Methods to compare, with commas, or all.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "all")]
    method: Vec<String>,
    /// Only the first so many texts.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

impl Faithfulness {
    pub fn run(self) -> Result {
        let methods = methods(&self.method)?;
        let text =
            fs::read_to_string(&self.file).map_err(|error| format!("cannot read {}: {error}", self.file.display()))?;
        let texts = text.lines().map(str::trim).enumerate().filter(|(_, text)| !text.is_empty());
        let texts: Vec<_> = texts.take(self.limit.unwrap_or(usize::MAX)).collect();
        if texts.is_empty() {
            return Err(format!("{} holds no text, expected at least one line", self.file.display()).into());
        }
        let stop = interruption()?;
        let (model, work) = (self.asking.model()?, Work::new(stop)?);
        let (shuffled, protocol) = (model.shuffled(self.asking.seed)?, self.asking.protocol());
        let mut found: Vec<Vec<Trust>> = vec![Vec::new(); methods.len()];
        let mut refused: Vec<Option<String>> = vec![None; methods.len()];
        let (mut measured, mut bad) = (0, 0);
        for (done, (line, text)) in texts.iter().enumerate() {
            if work.goes_on().is_break() {
                break;
            }
            work.texts(done, texts.len());
            let question = match model.question(text, &self.target.ask()) {
                Ok(question) => question,
                Err(error) => {
                    bad += 1;
                    work.complain(format_args!("line {}: {}", line + 1, output::chain(&error)));
                    continue;
                }
            };
            // A text counts for every method or for none.
            let mut of_text = Vec::new();
            for (&method, refused) in methods.iter().zip(&mut refused) {
                of_text.push(match refused {
                    Some(_) => None,
                    None => match explain(&question, Some(&shuffled), method, &protocol, &mut work.telling()) {
                        Ok(explained) => explained.trust,
                        Err(_) if work.goes_on().is_break() => break,
                        Err(error) => {
                            *refused = Some(output::chain(&*error));
                            None
                        }
                    },
                });
            }
            if of_text.len() == methods.len() {
                measured += 1;
                found.iter_mut().zip(of_text).for_each(|(found, trust)| found.extend(trust));
            }
        }
        work.ends();
        let interrupted = work.goes_on().is_break();
        if interrupted {
            output::complain(format_args!("stopped after {measured} of {} texts; these were measured", texts.len()));
        }
        self.print(&methods, &found, &refused)?;
        if interrupted || bad > 0 {
            return Err(format!("{} of {} texts were not measured", texts.len() - measured, texts.len()).into());
        }
        Ok(())
    }

    fn print(&self, methods: &[Method], found: &[Vec<Trust>], refused: &[Option<String>]) -> Result {
        let means = found.iter().filter(|found| !found.is_empty()).map(|found| mean(found));
        let means = means.collect::<Result<Vec<Trust>, _>>()?;
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::json!({ "methods": means }))?;
            return Ok(out.flush()?);
        }
        write!(out, "{}", strip::table(&means, output::width()))?;
        for (method, reason) in methods.iter().zip(refused) {
            if let Some(reason) = reason {
                writeln!(out, "{method}: not measured: {reason}")?;
            }
        }
        Ok(out.flush()?)
    }
}
