//! Continuing a text, one token after another.
//!
//! A token is drawn from `softmax(logits / temperature)`, of the `top_k` most likely alone if that is asked for (Fan et al. 2018,
//! arXiv:1805.04833); temperature 0 takes the most likely. The draw is a function of the seed and of how many tokens were drawn
//! before, so the same seed gives the same text.
//!
//! When the context is full, the last half of it is read again from its first position; so a token sees at least half a
//! context, and a long text takes amortised O(context) a token. With relative positions and a cache that forgets what is far
//! away, the context never fills.

use regard::cache::CacheConfig;
use regard::mix;

use crate::error::{Error, Result};
use crate::language::{DecoderState, LanguageModel};

/// How to draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Scores are divided by it; 0 takes the most likely token.
    pub temperature: f32,
    /// Only so many of the most likely tokens are drawn from.
    pub top_k: Option<usize>,
    /// Of the draws.
    pub seed: u64,
}

impl Default for Sampling {
    /// Temperature 1, from all tokens.
    fn default() -> Self {
        Sampling { temperature: 1.0, top_k: None, seed: 1 }
    }
}

/// A text being written; an iterator over its further tokens, without end.
pub struct Continuation<'a> {
    model: &'a dyn LanguageModel,
    how: Sampling,
    cache: CacheConfig,
    state: DecoderState,
    /// What the model has been or will be shown, from where it last began.
    seen: Vec<u32>,
    drawn: u64,
}

impl<'a> Continuation<'a> {
    /// Goes on with `prompt`, remembering as `cache` says. Of a prompt that does not fit the context the end is seen.
    ///
    /// # Errors
    /// When the prompt is empty, or the options make no sense.
    pub fn new(model: &'a dyn LanguageModel, prompt: &[u32], how: Sampling, cache: CacheConfig) -> Result<Self> {
        if !(how.temperature.is_finite() && how.temperature >= 0.0) {
            let given = how.temperature.to_string();
            return Err(Error::Config { argument: "temperature", given, expected: "a number of at least 0".into() });
        }
        if how.top_k == Some(0) {
            return Err(Error::Config { argument: "top_k", given: "0".into(), expected: "at least 1".into() });
        }
        if prompt.is_empty() {
            return Err(Error::Input {
                argument: "prompt",
                given: "empty".into(),
                expected: "at least one token".into(),
            });
        }
        let (state, first) = (model.start(&cache)?, Self::unseen(model, prompt.len(), &cache)?);
        Ok(Continuation { model, how, cache, state, seen: prompt[first..].to_vec(), drawn: 0 })
    }

    /// How many tokens at the beginning of so long a prompt are not seen, because they do not fit the context.
    ///
    /// # Errors
    /// When the cache's sizes make none.
    pub fn unseen(model: &dyn LanguageModel, tokens: usize, cache: &CacheConfig) -> Result<usize> {
        let fits = model.positions(&model.start(cache)?, tokens) <= model.context();
        Ok(if fits { 0 } else { tokens.saturating_sub(model.context()) })
    }

    fn draw(&mut self) -> Result<u32> {
        let context = self.model.context();
        if self.model.positions(&self.state, self.seen.len() - self.state.position()) > context {
            let kept = context.div_ceil(2);
            self.seen.drain(..self.seen.len() - kept);
            self.state = self.model.start(&self.cache)?;
        }
        let scores = self.model.step(&self.seen[self.state.position()..], &mut self.state)?;
        let scores = scores.into_data().try_into_vec::<f32>().map_err(|error| Error::Input {
            argument: "scores",
            given: format!("{error:?}"),
            expected: "32-bit floating point numbers".into(),
        })?;
        let uniform = (mix(mix(self.how.seed) ^ self.drawn) >> 11) as f64 / (1u64 << 53) as f64;
        self.drawn += 1;
        let token = pick(&scores, &self.how, uniform);
        self.seen.push(token);
        Ok(token)
    }
}

impl Iterator for Continuation<'_> {
    type Item = Result<u32>;

    fn next(&mut self) -> Option<Result<u32>> {
        Some(self.draw())
    }
}

/// The token at `uniform`, in `[0, 1)`, of the cumulative distribution, the most likely tokens first; ties go to the
/// smaller id.
fn pick(scores: &[f32], how: &Sampling, uniform: f64) -> u32 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let count = if how.temperature == 0.0 { 1 } else { how.top_k.unwrap_or(order.len()) };
    order.truncate(count.max(1));
    let best = order.first().map_or(0.0, |&token| f64::from(scores[token]));
    let weight = |&token: &usize| ((f64::from(scores[token]) - best) / f64::from(how.temperature)).exp();
    let weights: Vec<f64> = if order.len() == 1 { vec![1.0] } else { order.iter().map(weight).collect() };
    let mut left = uniform * weights.iter().sum::<f64>();
    for (token, weight) in order.iter().zip(&weights) {
        left -= weight;
        if left < 0.0 {
            return *token as u32;
        }
    }
    order.last().map_or(0, |&token| token as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_as_often_as_the_distribution_says() {
        let scores = [1.0f32.ln(), 3.0f32.ln(), 4.0f32.ln(), f32::NEG_INFINITY];
        let count = |how: Sampling| {
            let mut counts = [0u32; 4];
            for at in 0..800 {
                counts[pick(&scores, &how, (f64::from(at) + 0.5) / 800.0) as usize] += 1;
            }
            counts
        };
        assert_eq!(count(Sampling::default()), [100, 300, 400, 0]);
        assert_eq!(count(Sampling { temperature: 0.0, ..Sampling::default() }), [0, 0, 800, 0]);
        assert_eq!(count(Sampling { top_k: Some(1), ..Sampling::default() }), [0, 0, 800, 0]);
        let two = count(Sampling { top_k: Some(2), ..Sampling::default() });
        assert!(two[0] == 0 && two[1].abs_diff(343) <= 1, "{two:?}");
    }
}
