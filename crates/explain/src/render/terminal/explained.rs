//! Text coloured by scores in a terminal, with the trust strip under it.

use super::{Colour, SIGNED, end_line, step};
use crate::Result;
use crate::render::Explained;
use crate::render::colour::{diverging, wants_dark_text_on};
use crate::render::label::{clusters, joined, shorten, visible, width as columns_of};
use crate::trust::number;

const BAR_STEPS: usize = 13;

/// Draws an explanation `width` columns wide: tokens on the colours of their scores, or beside their scores where there is no colour; a
/// colour bar; what the scores add up to; and the trust strip, or that it was not measured. Tokens are escaped.
///
/// # Errors
/// What [`svg::explained`](crate::render::svg::explained) says.
pub fn explained(explained: &Explained, colour: Colour, width: usize) -> Result<String> {
    let (shares, greatest) = explained.shares("text")?;
    let mut picture = format!("{}\n{}\n\n", visible(explained.title), visible(&explained.subtitle()));
    let ellipsis = if colour == Colour::Ascii { '~' } else { '…' };
    let mut used = 0;
    for ((token, &share), &score) in explained.tokens.iter().zip(&shares).zip(&explained.explanation.scores) {
        let score = if colour == Colour::Ascii { format!("({})", number(score)) } else { String::new() };
        let room = width.saturating_sub(score.chars().count() + 2).max(1);
        let label = shorten(clusters(token), room, ellipsis);
        let cell = columns_of(&label) + score.chars().count();
        // A colour reaches a column to both sides of its token; a score is set off by one.
        let padded = if colour == Colour::Ascii { cell + 1 } else { cell + 2 };
        if used > 0 && used + padded > width {
            end_line(&mut picture, colour);
            used = 0;
        }
        used += padded;
        match colour {
            Colour::Ascii => picture += &format!("{}{score} ", joined(&label)),
            _ => picture += &format!("{} {} \x1b[0m", paint(colour, share), joined(&label)),
        }
    }
    end_line(&mut picture, colour);
    picture.push('\n');
    if colour != Colour::Ascii {
        picture += &format!("{} ", number(-greatest));
        for step in 0..BAR_STEPS {
            picture += &format!("{}  ", paint(colour, 2.0 * step as f32 / (BAR_STEPS - 1) as f32 - 1.0));
        }
        picture += &format!("\x1b[0m {}  score: blue against, orange for\n", number(greatest));
    }
    picture.extend(explained.sum().map(|sum| sum + "\n"));
    picture.push('\n');
    match explained.trust {
        Some(trust) => picture += &trust.to_string(),
        None => picture += "how far to trust this: not measured\n",
    }
    Ok(picture)
}

/// Sets the colours of a share's background and of what is written on it.
fn paint(colour: Colour, share: f32) -> String {
    let ink = if wants_dark_text_on(share) { 16 } else { 231 };
    match colour {
        Colour::Ansi256 => {
            format!("\x1b[48;5;{}m\x1b[38;5;{ink}m", step(&SIGNED, (share + 1.0) / 2.0))
        }
        _ => {
            let [red, green, blue] = diverging(share);
            format!("\x1b[48;2;{red};{green};{blue}m\x1b[38;5;{ink}m")
        }
    }
}
