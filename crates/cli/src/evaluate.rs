//! `regard evaluate translate`: BLEU and chrF with their signatures. `regard evaluate g2p`: word and phoneme error rate.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use regard_explain::write_atomically;
use regard_models::Search;
use regard_recipes::data::pairs::{Corpus, Pair, read_tsv, references};
use regard_recipes::evaluate::{Report, evaluate};
use regard_recipes::pronunciation;

use crate::{Result, interruption, shipped};

#[derive(Args)]
pub struct Evaluate {
    /// Folder of a trained model; for translate, the one that comes with the program unless given.
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// A data folder; for translate also one file of tab-separated pairs.
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Part of a data folder: test, test.2016, dev …; the first test unless given.
    #[arg(long)]
    split: Option<String>,
    /// Hypotheses that beam search keeps; 1 is greedy.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    beam: u16,
    /// Exponent of the length that log-probabilities are divided by.
    #[arg(long, default_value_t = 1.0, value_parser = crate::translate::finite)]
    length_penalty: f32,
    /// Only the first so many different sentences or words.
    #[arg(long)]
    limit: Option<usize>,
    /// Write source, hypothesis and references as tab-separated lines.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Evaluate {
    pub fn translate(self) -> Result {
        let stop = interruption()?;
        let interpreter = shipped::interpreter(self.model.as_deref())?;
        let pairs = self.pairs()?;
        let bar = progress(&pairs, "sentences")?;
        let report = evaluate(&interpreter, &pairs, &self.search(), &stop, &|done| bar.inc(done as u64))?;
        bar.finish_and_clear();
        self.print(&report)
    }

    pub fn pronounce(self) -> Result {
        let stop = interruption()?;
        let interpreter = shipped::speller(self.model.as_deref())?;
        let pairs = self.pairs()?;
        let bar = progress(&pairs, "words")?;
        let report =
            pronunciation::evaluate(&interpreter, &pairs, &self.search(), &stop, &|done| bar.inc(done as u64))?;
        bar.finish_and_clear();
        let mut out = io::stdout().lock();
        let (wrong, words) = (report.wrong, report.words);
        writeln!(out, "WER {:.2} % ({wrong} of {words} words)", report.word_error_rate())?;
        let (errors, phonemes) = (report.errors, report.phonemes);
        writeln!(out, "PER {:.2} % ({errors} errors in {phonemes} phonemes)", report.phoneme_error_rate())?;
        writeln!(out, "{words} words in {:.1} s, {:.1} a second", report.seconds, words as f64 / report.seconds)?;
        self.write(&report.entries)?;
        Ok(out.flush()?)
    }

    fn search(&self) -> Search {
        Search { beam: self.beam.into(), length_penalty: self.length_penalty, ..Search::default() }
    }

    /// Writes what was said beside what was expected, if that was asked for.
    fn write(&self, segments: &[(String, String, Vec<String>)]) -> Result {
        let Some(path) = &self.output else { return Ok(()) };
        let mut text = String::new();
        for (source, hypothesis, references) in segments {
            writeln!(text, "{source}\t{hypothesis}\t{}", references.join("\t"))?;
        }
        Ok(write_atomically(path, text.as_bytes())?)
    }

    fn pairs(&self) -> Result<Vec<Pair>> {
        let mut pairs = if self.data.is_dir() {
            let corpus = Corpus::open(&self.data)?;
            match self.split.as_deref() {
                Some("train") => corpus.train,
                Some("dev" | "valid") => corpus.dev,
                split => {
                    let names: Vec<String> = corpus.tests.iter().map(|(name, _)| name.clone()).collect();
                    let found = corpus.tests.into_iter().find(|(name, _)| split.is_none_or(|split| split == name));
                    found
                        .ok_or_else(|| {
                            let asked = split.unwrap_or("test");
                            format!(
                                "{} has no part {asked:?}; it has train, dev, {}",
                                self.data.display(),
                                names.join(", ")
                            )
                        })?
                        .1
                }
            }
        } else {
            read_tsv(&self.data)?
        };
        if let Some(limit) = self.limit {
            let first: Vec<String> =
                references(&pairs).into_iter().take(limit).map(|(source, _)| source.to_owned()).collect();
            pairs.retain(|pair| first.contains(&pair.source));
        }
        Ok(pairs)
    }

    fn print(&self, report: &Report) -> Result {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", report.bleu)?;
        writeln!(out, "{}", report.chrf)?;
        if let Some(tokenized) = &report.tokenized {
            writeln!(out, "tokenised {tokenized}")?;
        }
        let (count, seconds) = (report.sentences, report.seconds);
        writeln!(out, "{count} sentences in {seconds:.1} s, {:.1} a second", count as f64 / seconds)?;
        if report.cut > 0 {
            writeln!(out, "{} translations were cut at the longest length allowed", report.cut)?;
        }
        self.write(&report.segments)?;
        Ok(out.flush()?)
    }
}

fn progress(pairs: &[Pair], what: &str) -> Result<ProgressBar> {
    let template = format!("{{bar:30}} {{pos}}/{{len}} {what}, {{eta}} left");
    Ok(ProgressBar::new(references(pairs).len() as u64).with_style(ProgressStyle::with_template(&template)?))
}
