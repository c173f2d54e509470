//! How well a language model predicts a text, and what it costs to remember less of it.
//!
//! A text is cut into windows as long as the model's context, one after another. Every token but a text's first is predicted once,
//! from those before it in its window as the cache remembers them; perplexity is the exponential of the mean cross-entropy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use regard::cache::CacheConfig;

use crate::error::{Error, Result};
use crate::writer::Writer;

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Perplexity {
    /// Mean cross-entropy of a token, in nats.
    pub nats: f64,
    /// Tokens predicted.
    pub tokens: usize,
    /// The most positions that a layer held.
    pub held: usize,
    /// How long it took.
    pub seconds: f64,
}

impl Perplexity {
    /// Among how many tokens a fair choice would be as hard.
    pub fn perplexity(&self) -> f64 {
        self.nats.exp()
    }
}

/// Measures `writer` on texts, each from its beginning, with caches of one kind.
///
/// # Errors
/// When a text has an unknown character, none has two tokens, the cache makes no sense, or `stop` was set.
pub fn perplexity(writer: &Writer, texts: &[String], cache: &CacheConfig, stop: &AtomicBool) -> Result<Perplexity> {
    let (model, context) = (writer.model(), writer.context());
    let began = Instant::now();
    let mut total = Perplexity { nats: 0.0, tokens: 0, held: 0, seconds: 0.0 };
    for text in texts {
        let ids = writer.vocabulary().encode(text)?;
        // Windows share a token: the last that one predicts is the first that the next reads.
        for first in (0..ids.len().saturating_sub(1)).step_by(context) {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::option("evaluation", "interrupted", "time to finish"));
            }
            let window = &ids[first..ids.len().min(first + context + 1)];
            let mut state = model.start(cache)?;
            total.nats += model.cross_entropy(window, &mut state)?;
            total.tokens += window.len() - 1;
            total.held = total.held.max(state.held());
        }
    }
    if total.tokens == 0 {
        return Err(Error::option("text", "too short", "at least 2 tokens"));
    }
    Ok(Perplexity { nats: total.nats / total.tokens as f64, seconds: began.elapsed().as_secs_f64(), ..total })
}
