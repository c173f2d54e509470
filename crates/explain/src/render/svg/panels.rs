//! Several small maps side by side, for a page that may be light or dark.

use std::fmt::Write;

use super::{MOST_TOKENS, escaped, label, width as text_width};
use crate::render::colour::written;
use crate::render::panel::{Panel, Scale};
use crate::{Error, Map, Result};

/// Shades that a map is drawn in: as many as an eye tells apart in a small picture.
const SHADES: usize = 32;
/// The side of a map whose tokens are not written.
const SIDE: f32 = 264.0;
/// The side of a cell with a token.
const CELL: f32 = 30.0;
const FONT: f32 = 12.0;
const GAP: f32 = 32.0;
const WIDEST: f32 = 900.0;
const BAR: f32 = 150.0;
/// Colours of scales that are signed or not.
const GRADIENTS: [(bool, &str); 2] = [(false, "scale"), (true, "signed")];

/// A panel and the space that it takes.
struct Placed<'a> {
    panel: &'a Panel,
    /// Of the map's corner within the panel.
    left: f32,
    top: f32,
    /// Of a cell.
    cell: [f32; 2],
    size: [f32; 2],
}

/// Draws maps side by side, as many in a row as fit, and what their colours stand for. `title` is for screen readers.
///
/// The background is transparent, and writing follows the reader's preference for light or dark. Few tokens are written,
/// and then cells carry their numbers.
///
/// # Errors
/// [`Error::TooLarge`] for more than 512 rows or columns.
pub fn panels(title: &str, panels: &[Panel]) -> Result<String> {
    let placed = panels.iter().map(Placed::new).collect::<Result<Vec<_>>>()?;
    let (mut x, mut y, mut height, mut width) = (0.0f32, 0.0f32, 0.0f32, 0.0f32);
    let mut body = String::new();
    for place in &placed {
        if x > 0.0 && x + place.size[0] > WIDEST {
            (x, y, height) = (0.0, y + height + GAP / 2.0, 0.0);
        }
        let _ = writeln!(body, r#"<g transform="translate({x:.0} {y:.0})">"#);
        place.draw(&mut body);
        body += "</g>\n";
        (width, height) = (width.max(x + place.size[0]), height.max(place.size[1]));
        x += place.size[0] + GAP;
    }
    y += height + 16.0;
    let mut scales: Vec<&Scale> = Vec::new();
    for Panel { scale, .. } in panels {
        if !scales.contains(&scale) {
            scales.push(scale);
            width = width.max(bar(&mut body, scale, y));
            y += 26.0;
        }
    }
    let (width, height) = ((width + 8.0).ceil(), y.ceil());
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" font-family="system-ui, 'Noto Sans', sans-serif" font-size="{FONT}" fill="#1b2230">
<style>@media (prefers-color-scheme: dark) {{ svg {{ fill: #dfe4ec; background: #14181f }} }}</style>
<title>{}</title>
"##,
        escaped(title),
    );
    for (signed, name) in GRADIENTS {
        if let Some(scale) = scales.iter().find(|scale| scale.is_signed() == signed) {
            let _ = writeln!(svg, r#"<linearGradient id="{name}">{}</linearGradient>"#, scale.stops());
        }
    }
    svg += &body;
    svg += "</svg>\n";
    Ok(svg)
}

impl<'a> Placed<'a> {
    fn new(panel: &'a Panel) -> Result<Self> {
        let (rows, columns) = (panel.map.rows, panel.map.columns);
        if rows > MOST_TOKENS || columns > MOST_TOKENS {
            return Err(Error::TooLarge { what: "SVG", rows, columns, limit: "512 × 512" });
        }
        // A line for the title and one for the axes.
        let (mut left, mut top, mut right) = (0.0, 2.0 * FONT + 16.0, 0.0f32);
        let mut cell = [SIDE / columns.max(1) as f32, SIDE / rows.max(1) as f32];
        if panel.is_written() {
            let longest = |tokens: &[String]| {
                let labels = (0..tokens.len()).map(|at| text_width(&label(tokens, at), FONT));
                labels.fold(0.0, f32::max)
            };
            let slant = longest(&panel.columns.tokens) * std::f32::consts::FRAC_1_SQRT_2;
            (left, top, right) = (longest(&panel.rows.tokens) + 8.0, top + slant + 4.0, slant * 0.6);
            cell = [CELL; 2];
        }
        let across = left + columns as f32 * cell[0] + right;
        let written = [text_width(&panel.title, FONT), text_width(&axes(panel), FONT)];
        let width = written.into_iter().fold(across, f32::max);
        Ok(Self { panel, left, top, cell, size: [width.ceil(), (top + rows as f32 * cell[1]).ceil()] })
    }

    fn draw(&self, svg: &mut String) {
        let &Self { panel, left, top, cell: [wide, high], .. } = self;
        let _ = writeln!(
            svg,
            r#"<text y="{FONT}" font-weight="600">{}</text><text y="{:.0}" fill-opacity=".75">{}</text>"#,
            escaped(&panel.title),
            2.0 * FONT + 5.0,
            escaped(&axes(panel))
        );
        let _ = writeln!(
            svg,
            r#"<g transform="translate({left:.1} {top:.1}) scale({wide:.3} {high:.3})" fill="none" shape-rendering="crispEdges">{}</g>"#,
            runs(&panel.map, &panel.scale)
        );
        if panel.is_written() {
            self.write(svg);
        }
    }

    /// Tokens at the sides, and numbers in the cells.
    fn write(&self, svg: &mut String) {
        let &Self { panel, left, top, .. } = self;
        for row in 0..panel.map.rows {
            let y = top + (row as f32 + 0.5) * CELL + FONT * 0.35;
            let token = escaped(&label(&panel.rows.tokens, row));
            let _ = writeln!(svg, r#"<text x="{:.1}" y="{y:.1}" text-anchor="end">{token}</text>"#, left - 6.0);
        }
        for column in 0..panel.map.columns {
            let x = left + (column as f32 + 0.6) * CELL;
            let token = escaped(&label(&panel.columns.tokens, column));
            let _ = writeln!(svg, r#"<text transform="translate({x:.1} {:.1}) rotate(-45)">{token}</text>"#, top - 5.0);
        }
        for (dark, ink) in [(true, "#000"), (false, "#fff")] {
            let _ = write!(svg, r#"<g font-size="10" text-anchor="middle" fill="{ink}">"#);
            for row in 0..panel.map.rows {
                for column in 0..panel.map.columns {
                    let weight = panel.map.weight(row, column);
                    let number = panel.scale.cell(weight);
                    if panel.scale.wants_dark_text(weight) == dark && !number.is_empty() {
                        let (x, y) = (left + (column as f32 + 0.5) * CELL, top + (row as f32 + 0.5) * CELL + 3.5);
                        let _ = write!(svg, r#"<text x="{x:.0}" y="{y:.0}">{number}</text>"#);
                    }
                }
            }
            svg.push_str("</g>\n");
        }
    }
}

fn axes(panel: &Panel) -> String {
    format!("{} ↓, {} →", panel.rows.name, panel.columns.name)
}

/// One path of horizontal strokes a shade over that of 0; neighbours of one shade are one stroke.
pub(super) fn runs(map: &Map, scale: &Scale) -> String {
    let shade = |row, column| (map.weight(row, column) * SHADES as f32).round() as usize;
    let mut paths = vec![String::new(); SHADES + 1];
    for row in 0..map.rows {
        let mut column = 0;
        while column < map.columns {
            let (start, level) = (column, shade(row, column));
            while column < map.columns && shade(row, column) == level {
                column += 1;
            }
            let _ = write!(paths[level], "M{start} {row}.5h{}", column - start);
        }
    }
    let (columns, rows) = (map.columns, map.rows);
    let colour = |level: usize| written(scale.colour(level as f32 / SHADES as f32));
    let zero = if scale.is_signed() { SHADES / 2 } else { 0 };
    let ground = format!(r#"<path fill="{}" d="M0 0h{columns}v{rows}h-{columns}z"/>"#, colour(zero));
    let drawn = paths.into_iter().enumerate().filter(|(level, path)| *level != zero && !path.is_empty());
    let lines = drawn.map(|(level, path)| format!(r#"<path stroke="{}" d="{path}"/>"#, colour(level)));
    std::iter::once(ground).chain(lines).collect::<Vec<_>>().join("\n")
}

/// What the colours stand for; where it ends.
fn bar(svg: &mut String, scale: &Scale, y: f32) -> f32 {
    let (low, high) = (scale.written(scale.low), scale.written(scale.high));
    let from = text_width(&low, FONT).max(8.0) + 6.0;
    let below = y + 9.5;
    let _ = writeln!(
        svg,
        r#"<text x="{:.1}" y="{below:.1}" text-anchor="end">{low}</text><rect x="{from:.1}" y="{y:.1}" width="{BAR}" height="10" rx="2" fill="url(#{})"/><text x="{:.1}" y="{below:.1}">{high}  {}</text>"#,
        from - 5.0,
        GRADIENTS[usize::from(scale.is_signed())].1,
        from + BAR + 6.0,
        escaped(&scale.name)
    );
    from + BAR + 12.0 + text_width(&high, FONT) + text_width(&scale.name, FONT)
}
