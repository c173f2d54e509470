//! Measuring a translator as others measure theirs: BLEU and chrF over a whole test set, all references used.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rayon::prelude::*;
use regard_models::Search;

use crate::bleu::{Bleu, BleuScore};
use crate::chrf::{Chrf, ChrfScore};
use crate::data::pairs::{Pair, references};
use crate::error::{Error, Result};
use crate::interpreter::{Interpreter, Translation};

/// Sources that are read together.
const BATCH: usize = 32;

/// What a test set says.
#[derive(Debug, Clone)]
pub struct Report {
    /// BLEU with sacreBLEU's defaults, on the text as people write it.
    pub bleu: BleuScore,
    /// chrF2 with sacreBLEU's defaults.
    pub chrf: ChrfScore,
    /// BLEU on the words as they stand, without smoothing (`multi-bleu`, fairseq), when the data are tokenised already.
    pub tokenized: Option<BleuScore>,
    /// Different source sentences.
    pub sentences: usize,
    /// Sentences with a token limit in place of an end.
    pub cut: usize,
    /// Seconds of translating.
    pub seconds: f64,
    /// Sources, hypotheses and references, in the order of the data.
    pub segments: Vec<(String, String, Vec<String>)>,
}

/// Translates the different sources of `pairs` and compares with all their targets. `progress` is told how many
/// sentences are done.
///
/// # Errors
/// When there are no pairs, a sentence cannot be translated, or `stop` is set.
pub fn evaluate(
    interpreter: &Interpreter,
    pairs: &[Pair],
    how: &Search,
    stop: &AtomicBool,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Report> {
    let grouped = references(pairs);
    if grouped.is_empty() {
        return Err(Error::option("data", "without a sentence", "at least one pair"));
    }
    // Subwords of data that come segmented are joined, as the model's own output is.
    let segmented = pairs.iter().any(|pair| pair.source.contains("@@ "));
    let plain = |text: &str| if segmented { text.replace("@@ ", "") } else { text.to_owned() };

    let sources: Vec<&str> = grouped.iter().map(|(source, _)| *source).collect();
    let began = Instant::now();
    let found = all(&sources, stop, progress, |sources| interpreter.translate(sources, how))?;
    let seconds = began.elapsed().as_secs_f64();

    let cut = found.iter().filter(|found| !found.ended).count();
    let hypotheses: Vec<String> = found.into_iter().map(|found| found.target).collect();
    let references: Vec<Vec<String>> =
        grouped.iter().map(|(_, targets)| targets.iter().map(|target| plain(target)).collect()).collect();
    let scored = |error: crate::score::ScoreError| Error::option("data", error, "hypotheses with references");
    let bleu = Bleu::default().corpus(&hypotheses, &references).map_err(scored)?;
    let chrf = Chrf::default().corpus(&hypotheses, &references).map_err(scored)?;
    let tokenized =
        segmented.then(|| Bleu::tokenized().corpus(&hypotheses, &references)).transpose().map_err(scored)?;
    let sentences = grouped.len();
    let sources = grouped.iter().map(|(source, _)| plain(source));
    let segments = sources.zip(hypotheses).zip(references).map(|((s, h), r)| (s, h, r)).collect();
    Ok(Report { bleu, chrf, tokenized, sentences, cut, seconds, segments })
}

/// What `translate` makes of each source, on all threads, batches of similar length at a time so that little is padded.
pub(crate) fn all(
    sources: &[&str],
    stop: &AtomicBool,
    progress: &(dyn Fn(usize) + Sync),
    translate: impl Fn(&[&str]) -> Result<Vec<Translation>> + Sync,
) -> Result<Vec<Translation>> {
    let mut order: Vec<usize> = (0..sources.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(sources[index].len()));
    let batches: Vec<Vec<Translation>> = order
        .par_chunks(BATCH)
        .map(|indices| {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::option("evaluation", "interrupted", "to run to its end"));
            }
            let found = translate(&indices.iter().map(|&index| sources[index]).collect::<Vec<_>>())?;
            progress(indices.len());
            Ok(found)
        })
        .collect::<Result<_>>()?;
    let mut found: Vec<_> = order.into_iter().zip(batches.into_iter().flatten()).collect();
    found.sort_by_key(|&(index, _)| index);
    Ok(found.into_iter().map(|(_, translation)| translation).collect())
}
