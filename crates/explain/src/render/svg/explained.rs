//! Text coloured by scores: a chip a token, a colour bar, and the trust strip under it.

mod curves;

use std::fmt::Write;

use super::bar::bar;
use super::{GAP, INK, LINE, MARGIN, PALE_INK, SMALL_SIZE, TITLE_SIZE, escaped, fitted, header, opening, text, width};
use crate::Result;
use crate::render::Explained;
use crate::render::colour::{diverging, wants_dark_text_on, written};
use crate::render::label::visible;
use crate::trust::number;

const WIDTH: f32 = 760.0;
const CHIP: f32 = 24.0;
const TOKEN_SIZE: f32 = 14.0;
/// Where the strip's columns begin, from the margin.
const COLUMNS: [f32; 5] = [0.0, 190.0, 370.0, 560.0, 630.0];

/// Draws an explanation: each token on the colour of its score, blue below 0 and orange above, a colour bar, what the scores add up to,
/// and the trust strip with its curves, or that it was not measured. Each token has its score as a tooltip. All text is escaped.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) unless there is a token for each score, [`Error::Value`](crate::Error::Value) for a score that
/// is not finite, [`Error::TooLarge`](crate::Error::TooLarge) over 4096 tokens.
pub fn explained(explained: &Explained) -> Result<String> {
    let (shares, greatest) = explained.shares("SVG of text")?;
    let mut body = String::new();
    header(&mut body, explained.title, "Scores by", &explained.subtitle(), WIDTH);
    let mut y = chips(&mut body, explained, &shares, MARGIN + TITLE_SIZE + 36.0);
    y = colour_bar(&mut body, greatest, y);
    if let Some(sum) = explained.sum() {
        text(&mut body, MARGIN, y, PALE_INK, &sum);
        y += LINE;
    }
    y = strip(&mut body, explained, y + GAP);
    Ok(opening(WIDTH, (y + MARGIN - LINE / 2.0).ceil()) + &body + "</svg>\n")
}

/// The tokens in lines, as text is read.
fn chips(svg: &mut String, explained: &Explained, shares: &[f32], top: f32) -> f32 {
    let (mut x, mut y) = (MARGIN, top);
    let right = WIDTH - MARGIN;
    let _ = writeln!(svg, r#"<g font-size="{TOKEN_SIZE}">"#);
    for ((token, &share), score) in explained.tokens.iter().zip(shares).zip(&explained.explanation.scores) {
        let whole = visible(token);
        let shown = fitted(&whole, right - MARGIN - GAP, TOKEN_SIZE);
        let wide = (width(&shown, TOKEN_SIZE) + GAP).min(right - MARGIN);
        if x + wide > right && x > MARGIN {
            (x, y) = (MARGIN, y + CHIP + 4.0);
        }
        let ink = if wants_dark_text_on(share) { "#000" } else { "#fff" };
        let _ = writeln!(
            svg,
            r#"<g><title>{}: {score}</title><rect x="{x:.1}" y="{y:.1}" width="{wide:.1}" height="{CHIP}" rx="3" fill="{}"/><text x="{:.1}" y="{:.1}" fill="{ink}">{}</text></g>"#,
            escaped(&whole),
            written(diverging(share)),
            x + GAP / 2.0,
            y + CHIP * 0.68,
            escaped(&shown),
        );
        x += wide + 3.0;
    }
    svg.push_str("</g>\n");
    y + CHIP + LINE
}

/// Of scores on both sides of 0; where the picture goes on.
fn colour_bar(svg: &mut String, greatest: f32, y: f32) -> f32 {
    let caption = "score, in the unit of the explained number: blue against, orange for";
    let numbers = [-greatest, 0.0, greatest].map(number);
    bar(svg, [MARGIN, y], |share| diverging(2.0 * share - 1.0), &numbers, caption);
    y + 28.0 + LINE
}

fn strip(svg: &mut String, explained: &Explained, mut y: f32) -> f32 {
    let Some(trust) = explained.trust else {
        text(svg, MARGIN, y, PALE_INK, "how far to trust this: not measured");
        return y + LINE;
    };
    let headings = ["how far to trust this", "measured", "random orders", "better is", "this is"];
    row(svg, headings.map(|heading| (heading.to_owned(), PALE_INK)), y);
    let _ = writeln!(
        svg,
        r#"<rect x="{MARGIN}" y="{:.1}" width="{}" height="1" fill="{PALE_INK}"/>"#,
        y + 6.0,
        WIDTH - 2.0 * MARGIN
    );
    for line in trust.lines() {
        y += LINE;
        let ink = if line.measured.is_some() { INK } else { PALE_INK };
        row(svg, line.cells().map(|cell| (cell, ink)), y);
    }
    text(svg, MARGIN, y + LINE, PALE_INK, &fitted(&trust.conditions(), WIDTH - 2.0 * MARGIN, SMALL_SIZE));
    curves::draw(svg, trust, y + 2.0 * LINE)
}

fn row(svg: &mut String, cells: [(String, &str); 5], y: f32) {
    for ((cell, ink), x) in cells.into_iter().zip(COLUMNS) {
        text(svg, MARGIN + x, y, ink, &cell);
    }
}
