//! `regard generate`: goes on with a text, character by character as they come.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use regard_models::Sampling;
use regard_recipes::writer::Writer;

use crate::Result;
use crate::drawing::Drawing;

#[derive(Args)]
pub struct Generate {
    /// Folder of a language model: a run of `regard train charlm`.
    path: PathBuf,
    /// What to go on with; the model sees as much of its end as it has positions.
    text: String,
    /// Characters to write.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    tokens: u64,
    /// Below 1 keeps to the likely, above 1 strays; 0 always takes the most likely.
    #[arg(long, default_value_t = 1.0, value_parser = crate::translate::finite)]
    temperature: f32,
    /// Draw only from so many of the most likely characters.
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Seed of the draws.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    drawing: Drawing,
}

impl Generate {
    pub fn run(self) -> Result {
        let writer = Writer::load(&self.path)?;
        let how = Sampling { temperature: self.temperature, top_k: self.top_k, seed: self.seed };
        let mut text = self.text.clone();
        let mut out = io::stdout().lock();
        let mut continuation = writer.continuation(&self.text, how)?;
        write!(out, "{text}")?;
        let began = Instant::now();
        for _ in 0..self.tokens {
            let Some(next) = continuation.next() else { break };
            let next = next?;
            text.push(next);
            write!(out, "{next}")?;
            out.flush()?;
        }
        writeln!(out)?;
        let seconds = began.elapsed().as_secs_f64();
        // Nobody need hear it.
        let _ = writeln!(
            io::stderr(),
            "{} tokens in {seconds:.2} s, {:.0} a second",
            self.tokens,
            self.tokens as f64 / seconds
        );
        self.drawing.write("text", 1, &|_| Ok(writer.trace(&text)?))
    }
}
