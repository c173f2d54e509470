//! The deletion and insertion curves, side by side, each with the mean of random orders.

use std::fmt::Write;

use super::{GAP, INK, LINE, MARGIN, PALE_INK, SMALL_SIZE, text};
use crate::trust::{Curve, Trust, number};

const PLOT: [f32; 2] = [260.0, 90.0];
/// Left of a plot, for its numbers.
const NUMBERS: f32 = 54.0;
const STROKE: &str = "#b85707";

/// Both have one scale, so that they can be compared. Gives where the picture goes on.
pub(super) fn draw(svg: &mut String, trust: &Trust, top: f32) -> f32 {
    let curves =
        [("deletion: places go, the highest first", &trust.deletion), ("insertion: places come", &trust.insertion)];
    let drawn = curves.map(|(name, curve)| (name, curve.as_ref().filter(|curve| curve.is_whole())));
    let numbers =
        || drawn.iter().flat_map(|(_, curve)| curve).flat_map(|curve| curve.values.iter().chain(&curve.random));
    let low = numbers().copied().fold(f32::INFINITY, f32::min);
    let high = numbers().copied().fold(f32::NEG_INFINITY, f32::max);
    // No curves, or numbers that were put in from outside.
    if !(low.is_finite() && high.is_finite()) {
        return top;
    }
    let drawn = drawn.iter().filter_map(|(name, curve)| Some((name, (*curve)?)));
    for (at, (name, curve)) in drawn.enumerate() {
        let left = MARGIN + NUMBERS + at as f32 * (PLOT[0] + NUMBERS + 2.0 * GAP);
        plot(svg, name, curve, [left, top + LINE], [low, high]);
    }
    let below = top + PLOT[1] + 3.0 * LINE;
    text(
        svg,
        MARGIN,
        below - LINE / 2.0,
        PALE_INK,
        "the explained number over the share of places; solid: by these scores, dashed: random orders",
    );
    below + LINE / 2.0
}

fn plot(svg: &mut String, name: &str, curve: &Curve, [left, top]: [f32; 2], [low, high]: [f32; 2]) {
    let [wide, tall] = PLOT;
    text(svg, left, top - 6.0, INK, name);
    let _ = writeln!(
        svg,
        r#"<rect x="{left:.1}" y="{top:.1}" width="{wide}" height="{tall}" fill="none" stroke="{PALE_INK}" stroke-width="0.5"/>"#
    );
    for (value, y) in [(high, top + 9.0), (low, top + tall)] {
        let _ = writeln!(
            svg,
            r#"<text x="{:.1}" y="{y:.1}" font-size="{SMALL_SIZE}" fill="{PALE_INK}" text-anchor="end">{}</text>"#,
            left - GAP / 2.0,
            number(value)
        );
    }
    for (share, anchor) in [("0", "start"), ("100 %", "end")] {
        let x = if anchor == "start" { left } else { left + wide };
        let _ = writeln!(
            svg,
            r#"<text x="{x:.1}" y="{:.1}" font-size="{SMALL_SIZE}" fill="{PALE_INK}" text-anchor="{anchor}">{share}</text>"#,
            top + tall + 14.0
        );
    }
    // A number that never changes is a line along the top.
    let range = if high > low { high - low } else { 1.0 };
    let line = |values: &[f32]| -> String {
        let point = |(&share, &value): (&f32, &f32)| {
            format!("{:.1},{:.1} ", left + share.clamp(0.0, 1.0) * wide, top + (high - value) / range * tall)
        };
        curve.shares.iter().zip(values).map(point).collect()
    };
    for (values, ink, dashes) in [(&curve.random, PALE_INK, " stroke-dasharray=\"4 3\""), (&curve.values, STROKE, "")] {
        let points = line(values);
        let _ = writeln!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{ink}" stroke-width="1.5"{dashes}/>"#,
            points.trim_end()
        );
    }
}
