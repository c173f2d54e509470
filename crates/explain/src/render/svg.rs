//! Attention as SVG: one map with its tokens, all layers and heads side by side, or small maps of a mechanism; text coloured by an
//! explanation's scores; and a class activation map over its image.

mod bar;
mod explained;
mod grid;
mod overlay;
mod panels;

use std::fmt::Write;

use unicode_width::UnicodeWidthChar;

use super::Figure;
use super::colour::{cividis, hex, wants_dark_text};
use super::label::visible;
use crate::{Error, Result};
use bar::bar;

pub use explained::explained;
pub use grid::grid;
pub use overlay::{Image, overlay};
pub use panels::panels;

const MOST_TOKENS: usize = 512;
const MARGIN: f32 = 28.0;
const HEADER: f32 = 50.0;
const FOOTER: f32 = 58.0;
const GAP: f32 = 8.0;
const TITLE_SIZE: f32 = 18.0;
const SMALL_SIZE: f32 = 12.0;
const LINE: f32 = 20.0;
const BAR: f32 = 180.0;
const INK: &str = "#1b2230";
const PALE_INK: &str = "#5a6473";

/// Where everything goes, in pixels.
struct Layout {
    cell: f32,
    /// Size of the token labels.
    font: f32,
    /// Whether the labels across are written upwards instead of slanted: slanted lines would touch.
    upright: bool,
    left: f32,
    top: f32,
    width: f32,
    height: f32,
}

/// Draws a figure: the title, queries down, keys across, a cell a weight (with the number where it fits), a colour bar.
///
/// Each cell of at least 0.005 carries its weight and tokens as a tooltip. All text is escaped.
///
/// # Errors
/// [`Error::TooLarge`] for more than 512 rows or columns.
pub fn heat_map(figure: &Figure) -> Result<String> {
    let (rows, columns) = (figure.map.rows, figure.map.columns);
    if rows > MOST_TOKENS || columns > MOST_TOKENS {
        return Err(Error::TooLarge { what: "SVG", rows, columns, limit: "512 × 512" });
    }
    let row_labels: Vec<String> = (0..rows).map(|row| label(figure.rows, row)).collect();
    let column_labels: Vec<String> = (0..columns).map(|column| label(figure.columns, column)).collect();
    let layout = Layout::new(figure, &row_labels, &column_labels);

    let mut svg = opening(layout.width, layout.height);
    header(&mut svg, figure.title, "Attention weights:", &figure.subtitle, layout.width);
    axes(&mut svg, figure, &layout, &row_labels, &column_labels);
    cells(&mut svg, figure, &layout, &row_labels, &column_labels);
    colour_bar(&mut svg, layout.left, layout.top + rows as f32 * layout.cell + 24.0);
    svg.push_str("</svg>\n");
    Ok(svg)
}

impl Layout {
    fn new(figure: &Figure, row_labels: &[String], column_labels: &[String]) -> Self {
        let (rows, columns) = (row_labels.len(), column_labels.len());
        let cell = (640.0 / rows.max(columns).max(1) as f32).clamp(11.0, 42.0).floor();
        let font = (cell * 0.6).clamp(9.5, 13.5);
        let upright = cell < 16.0;
        let longest = |labels: &[String]| labels.iter().map(|label| width(label, font)).fold(0.0, f32::max);
        let (across, corner) =
            (longest(column_labels), width(figure.column_axis, SMALL_SIZE).max(width(figure.row_axis, SMALL_SIZE)));
        let slant = if upright { 1.0 } else { std::f32::consts::FRAC_1_SQRT_2 };

        let left = MARGIN + longest(row_labels).max(corner + 16.0) + GAP;
        let top = MARGIN + HEADER + (across * slant + font).max(2.2 * SMALL_SIZE) + GAP;
        // Slanted labels lean over the right edge, each from its own column.
        let overhang = column_labels.iter().enumerate().map(|(column, label)| {
            let lean = if upright { 0.0 } else { width(label, font) * slant + font };
            lean - (columns - 1 - column) as f32 * cell
        });
        let right = left + columns as f32 * cell + overhang.fold(0.0, f32::max);
        let width = right.max(left + BAR + width("attention weight", SMALL_SIZE) + 2.0 * GAP).max(360.0) + MARGIN;
        let height = top + rows as f32 * cell + FOOTER + MARGIN;
        Self { cell, font, upright, left, top, width: width.ceil(), height: height.ceil() }
    }
}

/// The element that everything is in, on white.
fn opening(width: f32, height: f32) -> String {
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" font-family="'Noto Sans', 'Segoe UI', system-ui, sans-serif">
<rect width="{width}" height="{height}" fill="#fff"/>
"##
    )
}

/// Title and subtitle, for the eye and, with what is drawn, for a screen reader.
fn header(svg: &mut String, title: &str, drawn: &str, subtitle: &str, width: f32) {
    let (title, subtitle) = (visible(title), visible(subtitle));
    let room = width - 2.0 * MARGIN;
    let _ = writeln!(
        svg,
        r#"<title>{}</title>
<desc>{drawn} {}</desc>
<text x="{MARGIN}" y="{}" font-size="{TITLE_SIZE}" fill="{INK}">{}</text>
<text x="{MARGIN}" y="{}" font-size="{SMALL_SIZE}" fill="{PALE_INK}">{}</text>"#,
        escaped(&title),
        escaped(&subtitle),
        MARGIN + TITLE_SIZE - 4.0,
        escaped(&fitted(&title, room, TITLE_SIZE)),
        MARGIN + TITLE_SIZE + 18.0,
        escaped(&fitted(&subtitle, room, SMALL_SIZE)),
    );
}

fn axes(svg: &mut String, figure: &Figure, layout: &Layout, row_labels: &[String], column_labels: &[String]) {
    let &Layout { cell, font, upright, left, top, .. } = layout;
    let corner = left - GAP;
    let _ = writeln!(
        svg,
        r#"<g font-size="{SMALL_SIZE}" fill="{PALE_INK}" text-anchor="end"><text x="{corner}" y="{}">{} →</text><text x="{corner}" y="{}">{} ↓</text></g>"#,
        top - GAP - 1.3 * SMALL_SIZE,
        escaped(&visible(figure.column_axis)),
        top - GAP,
        escaped(&visible(figure.row_axis)),
    );
    // Letters sit on their baseline: a third of the size centres them.
    let drop = font * 0.35;
    let _ = writeln!(svg, r#"<g font-size="{font}" fill="{INK}" text-anchor="end">"#);
    for (row, label) in row_labels.iter().enumerate() {
        let y = top + (row as f32 + 0.5) * cell + drop;
        let _ = writeln!(svg, r#"<text x="{corner}" y="{y:.1}">{}</text>"#, escaped(label));
    }
    let angle = if upright { -90 } else { -45 };
    let _ = writeln!(
        svg,
        r#"</g>
<g font-size="{font}" fill="{INK}">"#
    );
    for (column, label) in column_labels.iter().enumerate() {
        let x = left + (column as f32 + 0.5) * cell + if upright { drop } else { 0.0 };
        let y = top - GAP + 2.0;
        let _ =
            writeln!(svg, r#"<text transform="translate({x:.1} {y:.1}) rotate({angle})">{}</text>"#, escaped(label));
    }
    svg.push_str("</g>\n");
}

fn cells(svg: &mut String, figure: &Figure, layout: &Layout, row_labels: &[String], column_labels: &[String]) {
    let &Layout { cell, left, top, .. } = layout;
    let (rows, columns) = (row_labels.len(), column_labels.len());
    let (gap, radius) = if cell < 16.0 { (0.0, 0.0) } else { (1.0, 2.0) };
    let numbers = cell >= 32.0;
    let rendering = if gap == 0.0 { r#" shape-rendering="crispEdges""# } else { "" };
    let _ = writeln!(svg, r#"<g text-anchor="middle" font-size="{}"{rendering}>"#, cell * 0.3);
    if gap == 0.0 {
        // One rectangle for all that is nearly 0 keeps a big map small.
        let (width, height) = (columns as f32 * cell, rows as f32 * cell);
        let _ = writeln!(
            svg,
            r#"<rect x="{left:.1}" y="{top:.1}" width="{width}" height="{height}" fill="{}"/>"#,
            hex(0.0)
        );
    }
    let side = cell - gap;
    for (row, query) in row_labels.iter().enumerate() {
        for (column, key) in column_labels.iter().enumerate() {
            let weight = figure.map.weight(row, column);
            let told = weight >= 0.005;
            if gap == 0.0 && !told {
                continue;
            }
            let (x, y) = (left + column as f32 * cell, top + row as f32 * cell);
            let corners = if radius > 0.0 { format!(r#" rx="{radius}""#) } else { String::new() };
            let _ = write!(
                svg,
                r#"<rect x="{x:.1}" y="{y:.1}" width="{side}" height="{side}"{corners} fill="{}""#,
                hex(weight)
            );
            let _ = match told {
                true => writeln!(svg, "><title>{} → {}: {weight}</title></rect>", escaped(query), escaped(key)),
                false => writeln!(svg, "/>"),
            };
            if numbers && told {
                let ink = if wants_dark_text(weight) { "#000" } else { "#fff" };
                let (x, y) = (x + side / 2.0, y + side / 2.0 + cell * 0.105);
                let number = format!("{weight:.2}");
                let _ =
                    writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" fill="{ink}" pointer-events="none">{number}</text>"#);
            }
        }
    }
    svg.push_str("</g>\n");
}

/// Of attention weights.
fn colour_bar(svg: &mut String, x: f32, y: f32) {
    bar(svg, [x, y], cividis, &["0", "0.5", "1"].map(String::from), "attention weight");
}

/// A line of small text.
fn text(svg: &mut String, x: f32, y: f32, ink: &str, text: &str) {
    if !text.is_empty() {
        let text = escaped(text);
        let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" font-size="{SMALL_SIZE}" fill="{ink}">{text}</text>"#);
    }
}

/// The token of this index as it is written beside the map.
fn label(tokens: &[String], index: usize) -> String {
    const LONGEST: f32 = 11.0;
    fitted(&tokens.get(index).map_or_else(|| index.to_string(), |token| visible(token)), LONGEST, 1.0)
}

/// The text, cut with an ellipsis to fit into `room` pixels.
fn fitted(text: &str, room: f32, size: f32) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut used = size;
    let kept = text.chars().take_while(|c| {
        used += advance(*c) * size;
        used <= room
    });
    format!("{}…", kept.collect::<String>().trim_end())
}

/// About how many pixels a text is wide: the font that shows it is not known here.
fn width(text: &str, size: f32) -> f32 {
    text.chars().map(advance).sum::<f32>() * size
}

fn advance(c: char) -> f32 {
    match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '’' | '|' | '!' | ' ' => 0.28,
        't' | 'f' | 'r' | '(' | ')' | '[' | ']' | '-' | '/' => 0.4,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' => 0.95,
        _ if c.is_uppercase() => 0.7,
        _ => match c.width() {
            Some(0) | None => 0.0,
            Some(1) => 0.58,
            Some(_) => 1.0,
        },
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // Not allowed in XML, not even escaped.
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(c),
        }
    }
    escaped
}
