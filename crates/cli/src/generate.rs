//! `regard generate`: goes on with a text, token by token as they come.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use regard::cache::CacheConfig;
use regard_models::Sampling;
use regard_recipes::writer::Writer;

use crate::drawing::Drawing;
use crate::{Result, hub, output};

#[derive(Args)]
pub struct Generate {
    /// A language model: a folder in Hugging Face's layout with its tokenizer.json, a GGUF file, a file of llama2.c with its tokenizer
    /// beside it, or the folder of a run of `regard train charlm`.
    path: PathBuf,
    /// What to go on with; the model sees as much of its end as it has positions.
    text: String,
    /// Tokens to write; a model that can end a text may write fewer.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    tokens: u64,
    /// Below 1 keeps to the likely, above 1 strays; 0 always takes the most likely.
    #[arg(long, default_value_t = 1.0, value_parser = crate::translate::finite)]
    temperature: f32,
    /// Draw only from so many of the most likely tokens.
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Seed of the draws.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What is kept of the text so far: full, f16, bf16, int8, paged:POSITIONS, ring:SINKS+WINDOW, h2o:HEAVY+RECENT or
    /// compressive:MEMORYxRATE+RECENT.
    #[arg(long, value_name = "KIND", default_value = "full")]
    cache: CacheConfig,
    /// Round the weights to 8 bits, in blocks of 32 that share a scale (LLaMA and its descendants).
    #[arg(long)]
    int8: bool,
    #[command(flatten)]
    drawing: Drawing,
}

impl Generate {
    pub fn run(self) -> Result {
        let writer = Writer::load(&hub::model(&self.path)?)?;
        let writer = if self.int8 { writer.quantized()? } else { writer };
        let how = Sampling { temperature: self.temperature, top_k: self.top_k, seed: self.seed };
        let mut text = self.text.clone();
        let mut out = io::stdout().lock();
        say_unseen(&writer, &self.text, &self.cache)?;
        let mut continuation = writer.continuation(&self.text, how, self.cache)?;
        write!(out, "{text}")?;
        let began = Instant::now();
        let mut written = 0;
        while written < self.tokens {
            let Some(next) = continuation.next() else { break };
            let next = next?;
            text.push_str(&next);
            write!(out, "{next}")?;
            out.flush()?;
            written += 1;
        }
        writeln!(out)?;
        let seconds = began.elapsed().as_secs_f64();
        // Nobody need hear it.
        let _ = writeln!(io::stderr(), "{written} tokens in {seconds:.2} s, {:.0} a second", written as f64 / seconds);
        self.drawing.write("text", 1, &|_| Ok(writer.trace(&text)?))
    }
}

/// Says on standard error how much of a text the model does not see.
pub fn say_unseen(writer: &Writer, text: &str, cache: &CacheConfig) -> Result {
    let (tokens, unseen) = writer.unseen(text, cache)?;
    if unseen > 0 {
        output::complain(format_args!(
            "the text is {tokens} tokens long, the model has {} positions: the first {unseen} tokens are not seen",
            writer.context()
        ));
    }
    Ok(())
}
