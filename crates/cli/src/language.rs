//! `regard evaluate language`: perplexity with each kind of cache, beside that with everything kept.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use regard::cache::CacheConfig;
use regard_recipes::perplexity::perplexity;
use regard_recipes::writer::Writer;

use crate::{Result, hub, interruption};

#[derive(Args)]
pub struct Language {
    /// A language model, as for `regard generate`.
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    /// Text files, each read from its beginning.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    data: Vec<PathBuf>,
    /// Caches beside the full one: f16, bf16, int8, paged:POSITIONS, ring:SINKS+WINDOW, h2o:HEAVY+RECENT or
    /// compressive:MEMORYxRATE+RECENT.
    #[arg(long, value_name = "KIND", num_args = 1..)]
    cache: Vec<CacheConfig>,
    /// Round the weights to 8 bits (LLaMA and its descendants).
    #[arg(long)]
    int8: bool,
}

impl Language {
    pub fn run(self) -> Result {
        let stop = interruption()?;
        let writer = Writer::load(&hub::model(&self.model)?)?;
        let writer = if self.int8 { writer.quantized()? } else { writer };
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
        };
        let texts = self.data.iter().map(read).collect::<Result<Vec<String>, String>>()?;
        let mut caches = vec![CacheConfig::default()];
        caches.extend(self.cache.into_iter().filter(|cache| *cache != CacheConfig::default()));
        let widest = caches.iter().map(|cache| cache.to_string().len()).max().unwrap_or(0);
        let mut out = io::stdout().lock();
        let mut exact = None;
        for cache in caches {
            let found = perplexity(&writer, &texts, &cache, &stop)?;
            if exact.is_none() {
                writeln!(out, "{} tokens in windows of {}", found.tokens, writer.context())?;
                writeln!(out, "{:widest$}  positions  nats/token  perplexity  beside full  seconds", "cache")?;
            }
            let ratio = found.perplexity() / *exact.get_or_insert(found.perplexity());
            let (name, held, nats, seconds) = (cache.to_string(), found.held, found.nats, found.seconds);
            let perplexity = found.perplexity();
            writeln!(out, "{name:widest$}  {held:9}  {nats:10.4}  {perplexity:10.3}  {ratio:10.4}×  {seconds:7.1}")?;
            out.flush()?;
        }
        Ok(out.flush()?)
    }
}
