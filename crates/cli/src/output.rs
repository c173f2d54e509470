//! Writing for people and for pipes.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use regard_explain::render::terminal::{Colour, colour_mode};
use regard_explain::render::visible;

/// What standard output can show.
pub fn colour() -> Colour {
    let variable = |name| std::env::var(name).ok();
    colour_mode(
        variable("NO_COLOR").as_deref(),
        variable("COLORTERM").as_deref(),
        variable("TERM").as_deref(),
        io::stdout().is_terminal(),
    )
}

/// Columns to draw in: the terminal's, or what `COLUMNS` says, or 100.
pub fn width() -> usize {
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = io::stdout().is_terminal().then(|| console::Term::stdout().size().1 as usize);
    told.or(terminal).unwrap_or(100).clamp(20, 400)
}

/// The text in lines of at most `width` columns, longer words apart.
pub fn wrapped(text: &str, width: usize) -> String {
    let (mut lines, mut room) = (String::new(), width);
    for word in text.split_whitespace() {
        let columns = console::measure_text_width(word) + 1;
        if columns > room && !lines.is_empty() {
            lines.push('\n');
            room = width;
        } else if !lines.is_empty() {
            lines.push(' ');
        }
        lines += word;
        room = room.saturating_sub(columns);
    }
    lines
}

/// A token as a cell of a table, of at most so many columns: without what would change the terminal, and without the blanks around it
/// unless it is nothing else.
pub fn token(token: &str, columns: usize) -> String {
    let word = token.trim();
    let shown = visible(if word.is_empty() { token } else { word });
    console::truncate_str(&shown, columns, "…").into_owned()
}

/// Says on standard error what went wrong; when nobody can hear it, that is no reason to panic.
pub fn complain(problem: impl Display) {
    let _ = writeln!(io::stderr(), "regard: {problem}");
}

/// An error and its causes in one line, none said twice.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    if error.is::<io::Error>() {
        // Every file's error names the file, so this is what has no name.
        text = format!("cannot write to standard output: {text}");
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// Whether the reader of our output has gone, which is no failure of ours.
pub fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(current) = error {
        if current.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            return true;
        }
        error = current.source();
    }
    false
}
