//! What the colours of a picture stand for.

use std::fmt::Write;

use super::{BAR, GAP, PALE_INK, SMALL_SIZE, text, width};
use crate::render::colour::written;

const STEPS: usize = 32;

/// Draws a colour bar: `colour` from 0 on the left to 1 on the right, `numbers` at even distances under it, and beside it what they are.
///
/// It is made of rectangles: a gradient needs a name, and a page may hold many pictures.
pub(super) fn bar(
    svg: &mut String,
    [x, y]: [f32; 2],
    colour: impl Fn(f32) -> [u8; 3],
    numbers: &[String; 3],
    caption: &str,
) {
    let piece = BAR / STEPS as f32;
    svg.push_str("<g shape-rendering=\"crispEdges\">");
    for step in 0..STEPS {
        let left = x + step as f32 * piece;
        let fill = written(colour(step as f32 / (STEPS - 1) as f32));
        let _ = write!(svg, r#"<rect x="{left:.2}" y="{y:.1}" width="{piece:.2}" height="10" fill="{fill}"/>"#);
    }
    svg.push_str("</g>\n");
    let below = y + 24.0;
    for (number, (at, anchor)) in numbers.iter().zip([(0.0, "start"), (0.5, "middle"), (1.0, "end")]) {
        let x = x + BAR * at;
        let _ = writeln!(
            svg,
            r#"<text x="{x:.1}" y="{below:.1}" font-size="{SMALL_SIZE}" fill="{PALE_INK}" text-anchor="{anchor}">{number}</text>"#
        );
    }
    text(svg, x + BAR + 1.5 * GAP, y + 9.5, PALE_INK, caption);
}

/// How wide the bar is with its caption.
pub(super) fn bar_width(caption: &str) -> f32 {
    BAR + 1.5 * GAP + width(caption, SMALL_SIZE)
}
