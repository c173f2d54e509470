//! Several small maps in a terminal: side by side where tokens are many, one below the other where they are written.

use std::iter::repeat_n;

use super::{Colour, NARROW, code, end_line, labelled, legend, paint};
use crate::Map;
use crate::render::label::{clusters, joined, shorten, width as columns_of};
use crate::render::panel::{Panel, Scale};

/// Columns between neighbours.
const GAP: usize = 3;

/// Draws maps with what their colours stand for, `width` columns wide.
///
/// Where there are few tokens they are written, as [`alignment`](super::alignment) does. Of a larger map each pair is half
/// a character, the upper half or the lower one, so that it stays square and small; without colour it is two characters
/// wide. A map that is too wide even so is shrunk to the greatest of neighbours, or to what is farthest from 0.
pub fn panels(panels: &[Panel], colour: Colour, width: usize) -> String {
    let mut picture = String::new();
    let mut row: Vec<Block> = Vec::new();
    for panel in panels {
        if panel.is_written() {
            lay(&mut picture, &mut row);
            separate(&mut picture);
            picture += &format!("{}: {} down, {} across\n", panel.title, panel.rows.name, panel.columns.name);
            let (map, _) = labelled(&panel.map, &panel.rows.tokens, &panel.columns.tokens, &panel.scale, colour, width);
            picture += &map;
            continue;
        }
        let block = Block::new(panel, colour, width);
        if row.iter().map(|block| block.width + GAP).sum::<usize>() + block.width > width {
            lay(&mut picture, &mut row);
        }
        row.push(block);
    }
    lay(&mut picture, &mut row);
    let mut scales: Vec<&Scale> = Vec::new();
    for Panel { scale, .. } in panels {
        if !scales.contains(&scale) {
            scales.push(scale);
            legend(&mut picture, scale, colour, 0);
        }
    }
    picture
}

/// A map as lines of so many columns.
struct Block {
    width: usize,
    heading: [String; 2],
    lines: Vec<(String, usize)>,
}

impl Block {
    fn new(panel: &Panel, colour: Colour, width: usize) -> Self {
        let cell = if colour == Colour::Ascii { NARROW } else { 1 };
        let map = shrunk(&panel.map, &panel.scale, (width / cell).max(1));
        let heading = [panel.title.clone(), format!("{} down, {} across", panel.rows.name, panel.columns.name)];
        let lines: Vec<_> = match colour {
            Colour::Ascii => (0..map.rows).map(|row| (plain(&map, &panel.scale, row), map.columns * cell)).collect(),
            _ => (0..map.rows).step_by(2).map(|row| (halves(&map, &panel.scale, row, colour), map.columns)).collect(),
        };
        let heading = heading.map(|text| joined(&shorten(clusters(&text), width, '~')));
        let widest = heading.iter().map(|text| columns_of(&clusters(text))).max().unwrap_or(0);
        Self { width: widest.max(map.columns * cell), heading, lines }
    }

    /// A line and the columns that it fills.
    fn line(&self, at: usize) -> (&str, usize) {
        match at.checked_sub(self.heading.len()) {
            None => (&self.heading[at], columns_of(&clusters(&self.heading[at]))),
            Some(at) => self.lines.get(at).map_or(("", 0), |(line, columns)| (line, *columns)),
        }
    }
}

/// Writes blocks side by side.
fn lay(picture: &mut String, row: &mut Vec<Block>) {
    let height = row.iter().map(|block| block.heading.len() + block.lines.len()).max().unwrap_or(0);
    if height > 0 {
        separate(picture);
    }
    for at in 0..height {
        for block in row.iter() {
            let (line, columns) = block.line(at);
            picture.push_str(line);
            picture.extend(repeat_n(' ', block.width - columns + GAP));
        }
        end_line(picture, Colour::Ascii);
    }
    row.clear();
}

fn separate(picture: &mut String) {
    if !picture.is_empty() {
        picture.push('\n');
    }
}

fn plain(map: &Map, scale: &Scale, row: usize) -> String {
    let mut line = String::new();
    (0..map.columns).for_each(|column| paint(&mut line, scale, Colour::Ascii, map.weight(row, column), NARROW, ""));
    line
}

/// Two rows in one line of half blocks.
fn halves(map: &Map, scale: &Scale, row: usize, colour: Colour) -> String {
    let mut line = String::new();
    for column in 0..map.columns {
        let code = |layer: u8, row: usize| code(layer, scale, colour, map.weight(row, column));
        line += &code(38, row);
        line += &if row + 1 < map.rows { code(48, row + 1) } else { "\x1b[49m".to_owned() };
        line.push('▀');
    }
    line + "\x1b[0m"
}

/// The map with at most so many columns: a cell is the greatest, or the farthest from 0, of those it stands for.
fn shrunk(map: &Map, scale: &Scale, columns: usize) -> Map {
    let by = map.columns.div_ceil(columns).max(1);
    let (rows, columns) = (map.rows.div_ceil(by), map.columns.div_ceil(by));
    let one = |row: usize, column: usize| {
        let pairs = (0..by * by).map(|at| (row * by + at / by, column * by + at % by));
        let within = pairs.filter(|&(row, column)| row < map.rows && column < map.columns);
        scale.of_many(within.map(|(row, column)| map.weight(row, column)))
    };
    let weights = (0..rows * columns).map(|at| one(at / columns, at % columns)).collect();
    Map { rows, columns, weights }
}
