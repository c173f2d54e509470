//! Time by length as a chart on logarithmic scales, and a page with the numbers.

use std::fmt::Write;

use super::{Row, crossing};
use crate::page::{self, escaped};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 130.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 44.0;
/// Hues that stay apart, also for eyes that confuse red and green; used in turn, dashed from the second turn on.
const HUES: [&str; 7] = ["#3a6ea5", "#c2570c", "#7b5ea7", "#2a8f83", "#b3375e", "#8a7400", "#5a6572"];

/// Forward and backward, a line a mechanism.
pub fn svg(title: &str, rows: &[Row]) -> String {
    let lines: Vec<(&str, Vec<(f64, f64)>)> = rows
        .iter()
        .map(|row| {
            let measured =
                row.cells.iter().filter_map(|(length, cell)| Some((*length as f64, 1e3 * cell.as_ref().ok()?.both)));
            (row.card.name, measured.collect())
        })
        .collect();
    let points = || lines.iter().flat_map(|(_, points)| points).copied();
    let range = |pick: fn((f64, f64)) -> f64| {
        let least = points().map(pick).fold(f64::INFINITY, f64::min).clamp(1e-6, 1e12);
        (least, points().map(pick).fold(2.0 * least, f64::max))
    };
    let ((shortest, longest), (fastest, slowest)) = (range(|(x, _)| x), range(|(_, y)| y));
    let x = |length: f64| LEFT + (length / shortest).ln() / (longest / shortest).ln() * (WIDTH - LEFT - RIGHT);
    let y = |time: f64| HEIGHT - BOTTOM - (time / fastest).ln() / (slowest / fastest).ln() * (HEIGHT - TOP - BOTTOM);
    let mut out = format!(
        r##"<svg class="compare" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Time by length">
<style>
svg.compare {{ font: 13px system-ui, sans-serif; background: #fff; color: #1c2430; }}
.compare text {{ fill: currentColor; }}
.compare .grid {{ stroke: currentColor; stroke-opacity: .15; }}
.compare polyline {{ fill: none; stroke-width: 2; }}
@media (prefers-color-scheme: dark) {{ svg.compare {{ background: #14181f; color: #e6e9ef; }} .compare polyline {{ filter: brightness(1.4); }} }}
</style>
<text x="{LEFT}" y="20" font-weight="600">Forward and backward, ms</text>
<text x="{LEFT}" y="37" font-size="11">{}</text>
"##,
        escaped(title)
    );
    let mut ticks: Vec<f64> = points().map(|(length, _)| length).collect();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    for tick in ticks {
        let _ = writeln!(
            out,
            r#"<text x="{:.1}" y="{}" text-anchor="middle">{tick}</text>"#,
            x(tick),
            HEIGHT - BOTTOM + 20.0
        );
    }
    for power in -3..=7 {
        let tick = 10f64.powi(power);
        if (fastest..=slowest).contains(&tick) {
            let _ = writeln!(
                out,
                r#"<line class="grid" x1="{LEFT}" x2="{}" y1="{2:.1}" y2="{2:.1}"/><text x="{1}" y="{3:.1}" text-anchor="end">{tick}</text>"#,
                WIDTH - RIGHT,
                LEFT - 8.0,
                y(tick),
                y(tick) + 4.0
            );
        }
    }
    // Names stand at the ends of their lines, pushed apart where those are close.
    let mut names: Vec<(f64, usize)> =
        lines.iter().enumerate().filter_map(|(which, (_, points))| Some((y(points.last()?.1), which))).collect();
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut above = f64::NEG_INFINITY;
    for (at, which) in names {
        above = at.max(above + 14.0);
        let (name, points) = &lines[which];
        let (hue, dash) =
            (HUES[which % HUES.len()], if which < HUES.len() { "" } else { r#" stroke-dasharray="5 3""# });
        let path: String = points.iter().map(|&(length, time)| format!("{:.1},{:.1} ", x(length), y(time))).collect();
        let _ = writeln!(out, r#"<polyline stroke="{hue}"{dash} points="{}"/>"#, path.trim_end());
        let end = points.last().map_or(LEFT, |&(length, _)| x(length));
        let _ = writeln!(
            out,
            r#"<text x="{:.1}" y="{:.1}" font-size="12" style="fill:{hue}">{}</text>"#,
            end + 8.0,
            above + 4.0,
            escaped(name)
        );
    }
    let _ = writeln!(
        out,
        r#"<text x="{}" y="{}" text-anchor="end">positions</text>
</svg>"#,
        WIDTH - RIGHT,
        HEIGHT - 6.0
    );
    out
}

/// The chart, and every number in a table.
pub fn page(title: &str, rows: &[Row]) -> String {
    let mut out = format!("<p>{}</p>\n{}", escaped(title), svg(title, rows));
    let lengths =
        rows.first().map(|row| row.cells.iter().map(|(length, _)| *length).collect::<Vec<_>>()).unwrap_or_default();
    for (at, length) in lengths.iter().enumerate() {
        let _ = writeln!(
            out,
            "<h2>{length} positions</h2><table><tr><th>mechanism</th><th>forward, ms</th><th>and backward, ms</th><th>memory, MB</th><th>error of output</th><th>of distribution</th></tr>"
        );
        for row in rows {
            let _ = match &row.cells[at].1 {
                Ok(m) => writeln!(
                    out,
                    "<tr><td>{}</td><td>{:.2}</td><td>{:.2}</td><td>{:.1}</td><td>{:.1} %</td><td>{:.1} %</td></tr>",
                    escaped(row.card.name),
                    1e3 * m.forward,
                    1e3 * m.both,
                    m.peak as f64 / 1e6,
                    100.0 * m.output,
                    100.0 * m.distribution
                ),
                Err(reason) => {
                    writeln!(out, "<tr><td>{}</td><td colspan=5>{}</td></tr>", escaped(row.card.name), escaped(reason))
                }
            };
        }
        let _ = writeln!(out, "</table>");
    }
    if let Some((exact, others)) = rows.split_first() {
        let _ = writeln!(out, "<h2>Faster than exact attention</h2><table>");
        for row in others {
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
                escaped(row.card.name),
                escaped(&crossing(exact, row)),
                escaped(row.card.when)
            );
        }
        let _ = writeln!(out, "</table>");
    }
    page::page("Mechanisms compared", &out)
}
