//! `regard book`: a page and a picture for each card, in Markdown and SVG, as mdBook and web pages of repositories show them.
//!
//! The chapters before them are written by hand and are not touched; `SUMMARY.md` lists them first.

mod usage;

use std::fs;
use std::path::PathBuf;

use clap::Args;
use regard::catalogue::{Card, Family, mechanisms};
use regard_explain::render::svg;
use regard_explain::write_atomically;

use crate::picture::{self, Drawn};
use crate::{Result, catalogue};

/// Chapters that people wrote: file and title.
const CHAPTERS: [(&str, &str); 3] =
    [("attention.md", "What attention is"), ("reading.md", "How to read a map"), ("choosing.md", "Which one?")];

#[derive(Args)]
pub struct Book {
    /// The folder to write to, such as docs/book.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Book {
    pub fn run(self) -> Result {
        let cards = catalogue::all();
        for card in &cards {
            let folder = self.out.join(shelf(card.family));
            fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
            let (name, drawn) = (slug(card.name), picture::of(card)?);
            if !drawn.panels.is_empty() {
                let picture = svg::panels(card.name, &drawn.panels)?;
                write_atomically(folder.join(format!("{name}.svg")), picture.as_bytes())?;
            }
            write_atomically(folder.join(format!("{name}.md")), page(card, &drawn).as_bytes())?;
        }
        Ok(write_atomically(self.out.join("SUMMARY.md"), summary(&cards).as_bytes())?)
    }
}

fn page(card: &Card, drawn: &Drawn) -> String {
    let Card { name, family, sentence, equation, paper, cost, when } = card;
    let mut page =
        format!("# {name}\n\n*{family}. {}*\n\n{sentence}\n\n```text\n{equation}\n```\n\n", family.question());
    if !drawn.panels.is_empty() {
        page += &format!("![{name}: {}]({}.svg)\n\n", described(drawn), slug(name));
    }
    page += &format!("{}\n\n", drawn.caption);
    page += &format!("**Source.** {}\n\n**Cost.** {cost}.\n\n**When.** {when}\n", linked(paper));
    for (language, usage) in [("Rust", usage::rust(name)), ("Python", usage::python(name))] {
        if let Some(usage::Usage { about, code }) = usage {
            page += &format!("\n## In {language}\n\n{about}\n\n```{}\n{code}\n```\n", language.to_lowercase());
        }
    }
    page += &format!("\n## In the terminal\n\n```sh\nregard show {name}");
    if mechanisms().iter().any(|entry| entry.name == *name) && *name != "Exact" {
        page += &format!("\nregard compare {name}      # beside exact attention, on your machine");
    }
    page + "\n```\n"
}

/// A picture in words, for those who cannot see it.
fn described(drawn: &Drawn) -> String {
    drawn.panels.iter().map(|panel| panel.title()).collect::<Vec<_>>().join("; ")
}

fn summary(cards: &[Card]) -> String {
    let mut summary = "# Summary\n\n".to_owned();
    for (file, title) in CHAPTERS {
        summary += &format!("- [{title}]({file})\n");
    }
    let mut family = None;
    for card in cards {
        if family != Some(card.family) {
            summary += &format!("\n# {}\n\n", card.family);
            family = Some(card.family);
        }
        summary += &format!("- [{}]({}/{}.md)\n", card.name, shelf(card.family), slug(card.name));
    }
    summary
}

/// The folder of a family.
fn shelf(family: Family) -> &'static str {
    match family {
        Family::Scores => "scores",
        Family::Biases => "biases",
        Family::Masks => "masks",
        Family::Normalizers => "normalizers",
        Family::Positions => "positions",
        Family::Heads => "heads",
        Family::Efficient => "efficient",
        Family::Memory => "memory",
        Family::Graphs => "graphs",
        Family::Probes => "probes",
        Family::Models => "models",
    }
}

/// `ScaledDot` as `scaled-dot`, and `LLaMA` as `llama`.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    let mut before = None;
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        let begins = letter.is_uppercase() && letters.peek().is_none_or(|next| !next.is_uppercase());
        if begins && before.is_some_and(|before: char| before.is_lowercase() || before.is_numeric()) {
            slug.push('-');
        }
        slug.extend(letter.to_lowercase().map(|letter| if letter.is_alphanumeric() { letter } else { '-' }));
        before = Some(letter);
    }
    slug
}

/// Papers on arXiv as links.
fn linked(paper: &str) -> String {
    const ARXIV: &str = "arXiv:";
    let (mut text, mut rest) = (String::new(), paper);
    while let Some((before, after)) = rest.split_once(ARXIV) {
        let end = after.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(after.len());
        let number = after[..end].trim_end_matches('.');
        text += &format!("{before}[{ARXIV}{number}](https://arxiv.org/abs/{number})");
        rest = &after[number.len()..];
    }
    text + rest
}
