//! `regard embed` and `regard similar`: texts as vectors, and which texts are near to another.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use regard_explain::write_atomically;
use regard_recipes::reader::{Pooling, Reader};
use regard_recipes::vectors;

use crate::{Result, hub, output, progress};

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// The mean of a text's states.
    Mean,
    /// The state of its first token.
    First,
}

impl From<Kind> for Pooling {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Mean => Pooling::Mean,
            Kind::First => Pooling::First,
        }
    }
}

#[derive(Args)]
pub struct Embed {
    /// A model's folder in Hugging Face's layout, of an encoder (BERT, RoBERTa …), with its tokenizer.json.
    path: PathBuf,
    /// Texts; the lines of standard input unless given.
    texts: Vec<String>,
    /// How the states of a text become one vector.
    #[arg(long, value_enum, default_value = "mean")]
    pooling: Kind,
    /// Leave the vectors as long as they are; otherwise their length is 1.
    #[arg(long)]
    raw: bool,
    /// Write a file (.npy or .safetensors) instead of a vector a line.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Embed {
    pub fn run(self) -> Result {
        let kind = self.output.as_ref().map(|path| path.extension().and_then(|kind| kind.to_str()).unwrap_or(""));
        if let Some(kind) = kind.filter(|kind| !["npy", "safetensors"].contains(kind)) {
            return Err(format!("cannot write {kind:?}, expected a file that ends in .npy or .safetensors").into());
        }
        let texts = lines(self.texts)?;
        let reader = Reader::load(&hub::model(&self.path)?)?;
        let began = Instant::now();
        let found = embedded(&reader, &texts, self.pooling.into(), !self.raw)?;
        let seconds = began.elapsed().as_secs_f64();
        match (&self.output, kind) {
            (Some(path), Some("npy")) => write_atomically(path, &vectors::to_npy(&found)?)?,
            (Some(path), _) => write_atomically(path, &vectors::to_safetensors(&found)?)?,
            (None, _) => {
                let mut out = io::stdout().lock();
                for vector in &found {
                    let numbers: Vec<String> = vector.iter().map(|number| format!("{number:.6}")).collect();
                    writeln!(out, "{}", numbers.join(" "))?;
                }
                out.flush()?;
            }
        }
        let count = found.len();
        let width = reader.model().width();
        // Nobody need hear it.
        let _ = writeln!(
            io::stderr(),
            "{count} vectors of {width} in {seconds:.2} s, {:.0} a second",
            count as f64 / seconds
        );
        Ok(())
    }
}

#[derive(Args)]
pub struct Similar {
    /// A model's folder, as for `regard embed`.
    path: PathBuf,
    /// The text to compare with.
    text: String,
    /// Texts to rank; the lines of standard input unless given.
    texts: Vec<String>,
    /// How the states of a text become one vector.
    #[arg(long, value_enum, default_value = "mean")]
    pooling: Kind,
    /// How many to print.
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
}

impl Similar {
    pub fn run(self) -> Result {
        let texts = lines(self.texts)?;
        let reader = Reader::load(&hub::model(&self.path)?)?;
        let pooling = self.pooling.into();
        let wanted = embedded(&reader, &[self.text], pooling, true)?.concat();
        let found = embedded(&reader, &texts, pooling, true)?;
        let cosine = |vector: &[f32]| vector.iter().zip(&wanted).map(|(a, b)| a * b).sum::<f32>();
        let mut ranked: Vec<(f32, &String)> = found.iter().map(|vector| cosine(vector)).zip(&texts).collect();
        ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let mut out = io::stdout().lock();
        for (cosine, text) in ranked.into_iter().take(self.top) {
            writeln!(out, "{cosine:7.4}  {text}")?;
        }
        Ok(out.flush()?)
    }
}

/// The texts that were given, or else the lines of standard input.
fn lines(given: Vec<String>) -> Result<Vec<String>> {
    let texts = if given.is_empty() { io::stdin().lock().lines().collect::<io::Result<_>>()? } else { given };
    if texts.is_empty() { Err("no text, expected arguments or lines on standard input".into()) } else { Ok(texts) }
}

fn embedded(reader: &Reader, texts: &[String], pooling: Pooling, normalize: bool) -> Result<Vec<Vec<f32>>> {
    let bar = progress::texts(texts.len());
    let found = reader.embed(texts, pooling, normalize, |more| bar.inc(more as u64))?;
    bar.finish_and_clear();
    if let Some(at) = found.iter().position(|vector| vector.iter().any(|number| !number.is_finite())) {
        output::complain(format!("the vector of text {} is not finite", at + 1));
    }
    Ok(found)
}
