//! `regard translate`: sentences in, sentences out, and pictures of what the model looked at.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::PathBuf;

use clap::Args;
use regard_models::Search;
use regard_recipes::interpreter::{Interpreter, Translation};

use crate::drawing::Drawing;
use crate::{Result, output, shipped};

/// Lines that are translated together.
const BATCH: usize = 32;
/// A line with more bytes is not read into memory whole.
const LONGEST_LINE: u64 = 1 << 20;

#[derive(Args)]
pub struct Translate {
    /// Sentences; without any, one a line from --input or standard input.
    sentences: Vec<String>,
    /// Read sentences from this file, one a line.
    #[arg(long, value_name = "FILE", conflicts_with = "sentences")]
    input: Option<PathBuf>,
    /// Folder of a trained model instead of the one that comes with the program: a run of `regard train translate`, or one in Hugging
    /// Face's layout (Marian, T5, BART) with its tokenizer.json.
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// Language of the sentences.
    #[arg(long, value_name = "LANGUAGE", conflicts_with = "model")]
    from: Option<String>,
    /// Language to translate into.
    #[arg(long, value_name = "LANGUAGE", conflicts_with = "model")]
    to: Option<String>,
    #[command(flatten)]
    searching: Searching,
    #[command(flatten)]
    drawing: Drawing,
    /// Print one JSON object a sentence, with all weights, instead of text.
    #[arg(long)]
    json: bool,
    /// Print the translations alone, without a picture.
    #[arg(long, short)]
    quiet: bool,
}

/// How to search: the options of every command that writes a text for a text.
#[derive(Args)]
pub struct Searching {
    /// Hypotheses that beam search keeps; 1 is greedy. As the model's folder says unless given, 4 if it says nothing.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    beam: Option<u16>,
    /// Exponent of the length that log-probabilities are divided by: more favours longer sentences. As the model's folder says unless
    /// given, 1 if it says nothing.
    #[arg(long, value_parser = finite)]
    length_penalty: Option<f32>,
}

impl Searching {
    /// The search that was asked for.
    pub fn with(&self, interpreter: &Interpreter) -> Search {
        let usual = interpreter.search();
        Search {
            beam: self.beam.map_or(usual.beam, usize::from),
            length_penalty: self.length_penalty.unwrap_or(usual.length_penalty),
            ..usual
        }
    }
}

/// A number that a length can be raised to.
pub fn finite(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("expected a number of at least 0".into()),
    }
}

/// What is known of a line of input.
enum Line {
    Blank,
    Sentence(String),
    Bad(String),
}

impl Translate {
    pub fn run(self) -> Result {
        self.check_languages()?;
        if !self.sentences.is_empty() {
            if let Some(blank) = self.sentences.iter().position(|sentence| sentence.trim().is_empty()) {
                return Err(format!("sentence {} is blank, expected at least one word", blank + 1).into());
            }
            let interpreter = shipped::interpreter(self.model.as_deref())?;
            let translations = interpreter.translate(&self.sentences, &self.searching.with(&interpreter))?;
            return self.show(&interpreter, &translations, !self.quiet);
        }
        let input: Box<dyn Read> = match &self.input {
            Some(path) => Box::new(File::open(path).map_err(|error| self.unreadable(&error))?),
            None if io::stdin().is_terminal() => {
                return Err("no sentence; give one as an argument, --input FILE, or lines on standard input".into());
            }
            None => Box::new(io::stdin()),
        };
        self.lines(BufReader::new(input))
    }

    fn check_languages(&self) -> Result {
        let (from, to) = shipped::LANGUAGES;
        let given = (self.from.as_deref().unwrap_or(from), self.to.as_deref().unwrap_or(to));
        if given != (from, to) {
            let (a, b) = given;
            return Err(format!(
                "no model from {a:?} to {b:?}; the built-in one goes from {from:?} to {to:?}, --model takes others"
            )
            .into());
        }
        Ok(())
    }

    fn unreadable(&self, error: &io::Error) -> String {
        let input = self.input.as_ref().map_or("standard input".into(), |path| path.display().to_string());
        format!("cannot read {input}: {error}")
    }

    /// Translates line by line in batches, a line out for a line in. A bad line is reported, gives an empty line and
    /// fails the command at its end, when all others are done.
    fn lines(&self, mut input: impl BufRead) -> Result {
        let interpreter = shipped::interpreter(self.model.as_deref())?;
        let pictures = self.drawing.is_wanted();
        let draw = !self.quiet && io::stdout().is_terminal();
        let (mut number, mut bad, mut kept) = (0, 0, Vec::new());
        loop {
            let mut batch = Vec::new();
            while batch.len() < BATCH {
                let Some(line) = read_line(&mut input).map_err(|error| self.unreadable(&error))? else { break };
                batch.push(match line {
                    Line::Sentence(text) => match interpreter.encode(&text) {
                        Ok(_) => Line::Sentence(text),
                        Err(error) => Line::Bad(output::chain(&error)),
                    },
                    other => other,
                });
            }
            if batch.is_empty() {
                break;
            }
            let sentences: Vec<&str> = batch
                .iter()
                .filter_map(|line| if let Line::Sentence(text) = line { Some(text.as_str()) } else { None })
                .collect();
            let mut translations = interpreter.translate(&sentences, &self.searching.with(&interpreter))?.into_iter();
            for line in batch {
                number += 1;
                match line {
                    Line::Sentence(_) => {
                        let translation: Vec<_> = translations.next().into_iter().collect();
                        self.print(&interpreter, &translation, draw)?;
                        if pictures {
                            kept.extend(translation);
                        }
                    }
                    Line::Blank => writeln!(io::stdout())?,
                    Line::Bad(problem) => {
                        bad += 1;
                        output::complain(format_args!("line {number}: {problem}"));
                        writeln!(io::stdout())?;
                    }
                }
            }
        }
        if number == 0 {
            return Err("the input is empty, expected at least one sentence".into());
        }
        if pictures {
            self.write(&interpreter, &kept)?;
        }
        match bad {
            0 => Ok(()),
            _ => Err(format!("{bad} of {number} lines could not be translated").into()),
        }
    }

    fn show(&self, interpreter: &Interpreter, translations: &[Translation], draw: bool) -> Result {
        self.print(interpreter, translations, draw)?;
        self.write(interpreter, translations)
    }

    fn print(&self, interpreter: &Interpreter, translations: &[Translation], draw: bool) -> Result {
        self.drawing.print(interpreter, translations, self.json, draw, |translation| translation.target.clone())
    }

    fn write(&self, interpreter: &Interpreter, translations: &[Translation]) -> Result {
        let trace = |at: usize| Ok(interpreter.trace(&translations[at])?);
        self.drawing.write("sentence", translations.len(), &trace)
    }
}

/// The next line without its end, or `None` after the last.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<Line>> {
    let mut bytes = Vec::new();
    if input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.len() as u64 == LONGEST_LINE && bytes.last() != Some(&b'\n') {
        skip_line(input)?;
        return Ok(Some(Line::Bad(format!("longer than {LONGEST_LINE} bytes; split it into sentences"))));
    }
    let line = match String::from_utf8(bytes) {
        Ok(text) if text.trim().is_empty() => Line::Blank,
        Ok(text) => Line::Sentence(text.trim().to_owned()),
        Err(error) => Line::Bad(format!("not UTF-8 from byte {} on", error.utf8_error().valid_up_to() + 1)),
    };
    Ok(Some(line))
}

/// Reads on to the end of the line without keeping it.
fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let (length, end) = match buffer.iter().position(|&byte| byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(length);
        if end {
            return Ok(());
        }
    }
}
