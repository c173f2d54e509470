//! Maps drawn with the characters of a terminal.

mod explained;
mod panels;

use std::iter::repeat_n;

use super::label::{Cluster, clusters, joined, shorten, width as columns_of};
use super::panel::Scale;
use crate::Map;

pub use explained::explained;
pub use panels::panels;

/// What a terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// 24-bit colours.
    TrueColor,
    /// The 256-colour palette.
    Ansi256,
    /// No colour at all: a ramp of characters.
    Ascii,
}

/// From 0 to 1 without colour.
const RAMP: [u8; 10] = *b" .:-=+*#%@";
/// From 0 to 1 in the 256-colour palette: blue over grey to yellow, ever lighter. (The palette's nearest colours to
/// cividis jump between blue, green and grey.)
const PALETTE: [u8; 8] = [17, 18, 60, 102, 144, 185, 221, 227];
/// Likewise, from −1 to 1: blue over white to orange.
const SIGNED: [u8; 7] = [25, 67, 110, 255, 216, 209, 166];
/// A cell that is this wide has room for a number.
const NUMBER: usize = 5;
/// A narrow cell looks square.
const NARROW: usize = 2;
const LONGEST_LABEL: usize = 14;

/// What to draw with, given the environment variables `NO_COLOR`, `COLORTERM` and `TERM`, and whether the output is a
/// terminal.
///
/// `NO_COLOR`, if not empty, means no colour, and so does a pipe: see <https://no-color.org>.
pub fn colour_mode(no_color: Option<&str>, colorterm: Option<&str>, term: Option<&str>, is_terminal: bool) -> Colour {
    const MANY: [&str; 9] = ["256color", "xterm", "screen", "tmux", "rxvt", "alacritty", "kitty", "foot", "ghostty"];
    let term = term.unwrap_or("");
    if no_color.is_some_and(|value| !value.is_empty()) || !is_terminal || term == "dumb" {
        Colour::Ascii
    } else if matches!(colorterm, Some("truecolor" | "24bit")) || term.ends_with("-direct") {
        Colour::TrueColor
    } else if MANY.iter().any(|name| term.contains(name)) {
        Colour::Ansi256
    } else {
        Colour::Ascii
    }
}

/// Draws a map with its tokens: keys across, queries down, a colour cell a weight, and a legend.
///
/// A short sentence has its keys written across and numbers in the cells; a longer one has them written downwards over
/// cells of two columns, in as many panels as `width` columns ask for. Tokens are escaped, so that nothing in them
/// steers the terminal; a missing token is shown as its number. Every line ends with a line feed.
///
/// ```
/// use regard_explain::{Map, render::terminal::{Colour, alignment}};
///
/// let map = Map::new(2, 3, vec![0.9, 0.1, 0.0, 0.0, 0.3, 0.7])?;
/// let rows = ["chat", "noir"].map(String::from);
/// let columns = ["the", "black", "cat"].map(String::from);
/// print!("{}", alignment(&map, &rows, &columns, Colour::Ascii, 80));
/// # Ok::<(), regard_explain::Error>(())
/// ```
pub fn alignment(map: &Map, rows: &[String], columns: &[String], colour: Colour, width: usize) -> String {
    let scale = Scale::weights();
    let (mut picture, margin) = labelled(map, rows, columns, &scale, colour, width);
    legend(&mut picture, &scale, colour, margin);
    picture
}

/// A map, whose weights are shares of the scale, with its tokens; and the columns in front of its cells.
fn labelled(
    map: &Map,
    rows: &[String],
    columns: &[String],
    scale: &Scale,
    colour: Colour,
    width: usize,
) -> (String, usize) {
    let ellipsis = if colour == Colour::Ascii { '~' } else { '…' };
    let labels = |tokens: &[String], count: usize, longest: usize| -> Vec<Vec<Cluster>> {
        let token = |index: usize| tokens.get(index).map_or_else(|| clusters(&index.to_string()), |t| clusters(t));
        (0..count).map(|index| shorten(token(index), longest, ellipsis)).collect()
    };
    let widest = |labels: &[Vec<Cluster>]| labels.iter().map(|label| columns_of(label)).max().unwrap_or(0);

    let rows = labels(rows, map.rows, LONGEST_LABEL.min(width / 4).max(1));
    let columns = labels(columns, map.columns, LONGEST_LABEL);
    let margin = widest(&rows) + 1;
    let room = width.saturating_sub(margin);
    let wide = (widest(&columns) + 1).max(NUMBER);
    let across = wide * map.columns <= room;
    let cell = if across { wide } else { NARROW };

    let mut picture = String::new();
    let panel = (room / cell).max(1);
    for start in (0..map.columns).step_by(panel) {
        let end = map.columns.min(start + panel);
        if start > 0 {
            picture.push('\n');
        }
        match across {
            true => headings_across(&mut picture, &columns[start..end], margin, cell),
            false => headings_down(&mut picture, &columns[start..end], margin),
        }
        for (row, label) in rows.iter().enumerate() {
            let blank = margin - 1 - columns_of(label);
            picture.extend(repeat_n(' ', blank));
            picture += &joined(label);
            picture.push(' ');
            for column in start..end {
                let weight = map.weight(row, column);
                paint(&mut picture, scale, colour, weight, cell, &scale.cell(weight));
            }
            end_line(&mut picture, colour);
        }
    }
    (picture, margin)
}

fn headings_across(picture: &mut String, labels: &[Vec<Cluster>], margin: usize, cell: usize) {
    picture.extend(repeat_n(' ', margin));
    for label in labels {
        let blank = cell - columns_of(label);
        picture.extend(repeat_n(' ', blank / 2));
        picture.push_str(&joined(label));
        picture.extend(repeat_n(' ', blank - blank / 2));
    }
    end_line(picture, Colour::Ascii);
}

fn headings_down(picture: &mut String, labels: &[Vec<Cluster>], margin: usize) {
    let height = labels.iter().map(Vec::len).max().unwrap_or(0);
    for line in 0..height {
        picture.extend(repeat_n(' ', margin));
        for label in labels {
            let cluster = (line + label.len()).checked_sub(height).map(|index| &label[index]);
            picture.push_str(cluster.map_or("", |cluster| &cluster.text));
            picture.extend(repeat_n(' ', NARROW - cluster.map_or(0, |cluster| cluster.width)));
        }
        end_line(picture, Colour::Ascii);
    }
}

/// A cell in the colour of a weight, with a number if there are colours and room for it.
fn paint(picture: &mut String, scale: &Scale, colour: Colour, weight: f32, cell: usize, number: &str) {
    if colour == Colour::Ascii {
        let character = char::from(step(&RAMP, weight));
        // A gap tells wide neighbours apart.
        let gap = usize::from(cell > NARROW);
        picture.extend(repeat_n(character, cell - gap));
        picture.extend(repeat_n(' ', gap));
        return;
    }
    let number = if cell < NUMBER || number.chars().count() > cell { "" } else { number };
    let ink = if scale.wants_dark_text(weight) { 16 } else { 231 };
    *picture += &code(48, scale, colour, weight);
    if !number.is_empty() {
        *picture += &format!("\x1b[38;5;{ink}m");
    }
    *picture += &format!("{number:^cell$}");
}

/// Sets the colour of a share of the scale, of what is written (38) or of what is under it (48).
fn code(layer: u8, scale: &Scale, colour: Colour, share: f32) -> String {
    match colour {
        Colour::Ansi256 if scale.is_signed() => format!("\x1b[{layer};5;{}m", step(&SIGNED, share)),
        Colour::Ansi256 => format!("\x1b[{layer};5;{}m", step(&PALETTE, share)),
        _ => {
            let [red, green, blue] = scale.colour(share);
            format!("\x1b[{layer};2;{red};{green};{blue}m")
        }
    }
}

fn end_line(picture: &mut String, colour: Colour) {
    match colour {
        Colour::Ascii => picture.truncate(picture.trim_end_matches(' ').len()),
        _ => picture.push_str("\x1b[0m"),
    }
    picture.push('\n');
}

fn legend(picture: &mut String, scale: &Scale, colour: Colour, margin: usize) {
    const STEPS: usize = 10;
    picture.push('\n');
    picture.extend(repeat_n(' ', margin));
    *picture += &format!("{} ", scale.written(scale.low));
    for step in 0..STEPS {
        paint(picture, scale, colour, step as f32 / (STEPS - 1) as f32, NARROW, "");
    }
    if colour != Colour::Ascii {
        picture.push_str("\x1b[0m");
    }
    *picture += &format!(" {}  {}\n", scale.written(scale.high), scale.name);
}

/// The entry of a ramp that stands for this weight.
fn step<T: Copy>(ramp: &[T], weight: f32) -> T {
    ramp[(weight.clamp(0.0, 1.0) * (ramp.len() - 1) as f32).round() as usize]
}
