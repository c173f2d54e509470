//! Curves as SVG: a run's training loss (smoothed over steps) and development loss, and the right answers of several runs.

use std::fmt::Write;

use crate::train::Metric;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 28.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 44.0;

/// Hues that stay apart, also for eyes that confuse red and green; used in turn.
const HUES: [&str; 7] = ["#3a6ea5", "#c2570c", "#7b5ea7", "#2a8f83", "#b3375e", "#8a7400", "#5a6572"];

/// Draws the losses of a run.
pub fn svg(metrics: &[Metric]) -> String {
    let mut train = Vec::new();
    let mut dev = Vec::new();
    for metric in metrics {
        match metric {
            Metric::Train { step, loss, .. } => train.push((*step as f64, f64::from(*loss))),
            Metric::Dev { step, loss, .. } => dev.push((*step as f64, *loss)),
        }
    }
    let train = thinned(&train, 240);
    let all = || train.iter().chain(&dev).copied();
    let top = all().map(|(_, loss)| loss).fold(1.0, f64::max).ceil();
    let bottom = all().map(|(_, loss)| loss).fold(top, f64::min).floor().min(top - 1.0);
    let frame = Frame { last: all().map(|(step, _)| step).fold(1.0, f64::max), top, bottom, right: RIGHT };
    let mut out = frame.begin("Loss over steps", "nats a token", |loss| format!("{loss:.1}"));
    let _ = writeln!(out, r#"<polyline class="train" points="{}"/>"#, frame.path(&train));
    let _ = writeln!(out, r#"<polyline class="dev" points="{}"/>"#, frame.path(&dev));
    for &(step, loss) in &dev {
        let _ =
            writeln!(out, r#"<circle class="dev-dot" cx="{:.1}" cy="{:.1}" r="2.5"/>"#, frame.x(step), frame.y(loss));
    }
    out += r#"<line class="train" x1="430" x2="454" y1="18" y2="18"/><text x="460" y="22">training</text>
<line class="dev" x1="300" x2="324" y1="18" y2="18"/><text x="330" y="22">development</text>
</svg>
"#;
    out
}

/// Draws how many answers were right over the steps of several runs, a line a run that is called so.
pub fn accuracies(runs: &[(&str, Vec<Metric>)]) -> String {
    let points = |metrics: &[Metric]| -> Vec<(f64, f64)> {
        let point = |metric: &Metric| match metric {
            Metric::Dev { step, accuracy: Some(accuracy), .. } => Some((*step as f64, 100.0 * accuracy)),
            _ => None,
        };
        metrics.iter().filter_map(point).collect()
    };
    let lines: Vec<(&str, Vec<(f64, f64)>)> = runs.iter().map(|(name, metrics)| (*name, points(metrics))).collect();
    let last = lines.iter().flat_map(|(_, line)| line).map(|(step, _)| *step).fold(1.0, f64::max);
    let frame = Frame { last, top: 100.0, bottom: 0.0, right: 96.0 };
    let mut out = frame.begin("Right answers over steps", "right answers, %", |share| format!("{share:.0}"));
    // Names stand at the ends of their lines, pushed apart where those are close, and not out of the picture.
    let mut names: Vec<(f64, f64, usize)> = Vec::new();
    for (which, (_, line)) in lines.iter().enumerate() {
        // Lines that lie on each other show as bands.
        let (hue, width) = (HUES[which % HUES.len()], 2 * (lines.len() - which));
        let path = frame.path(line);
        let _ = writeln!(out, r#"<polyline class="run" stroke="{hue}" stroke-width="{width}" points="{path}"/>"#);
        names.extend(line.last().map(|&(step, share)| (frame.y(share), frame.x(step), which)));
    }
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut above = f64::NEG_INFINITY;
    for (y, x, which) in names {
        above = y.max(above + 15.0);
        let (hue, name) = (HUES[which % HUES.len()], lines[which].0);
        let _ = writeln!(out, r#"<text x="{:.1}" y="{:.1}" style="fill:{hue}">{name}</text>"#, x + 8.0, above + 4.0);
    }
    out + "</svg>\n"
}

/// Axes: steps from 0 to `last`, and numbers from `bottom` to `top`.
struct Frame {
    last: f64,
    top: f64,
    bottom: f64,
    /// Room beside the axes.
    right: f64,
}

impl Frame {
    fn x(&self, step: f64) -> f64 {
        LEFT + step / self.last * (WIDTH - LEFT - self.right)
    }

    fn y(&self, number: f64) -> f64 {
        TOP + (self.top - number) / (self.top - self.bottom) * (HEIGHT - TOP - BOTTOM)
    }

    fn path(&self, points: &[(f64, f64)]) -> String {
        let point = |&(step, number): &(f64, f64)| format!("{:.1},{:.1}", self.x(step), self.y(number));
        points.iter().map(point).collect::<Vec<_>>().join(" ")
    }

    /// A picture that is open to be drawn in, with its grid.
    fn begin(&self, label: &str, unit: &str, tick: impl Fn(f64) -> String) -> String {
        let mut out = format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">
<style>
svg {{ font: 13px system-ui, sans-serif; background: #fff; color: #1c2430; }}
text {{ fill: currentColor; }}
.grid {{ stroke: currentColor; stroke-opacity: .15; }}
.run {{ fill: none; }}
.train {{ stroke: #3a6ea5; fill: none; stroke-width: 1.5; }}
.dev {{ stroke: #c2570c; fill: none; stroke-width: 2; }}
.dev-dot {{ fill: #c2570c; }}
@media (prefers-color-scheme: dark) {{
svg {{ background: #14181f; color: #e6e9ef; }}
.run {{ filter: brightness(1.4); }}
.train {{ stroke: #7fb2e5; }} .dev {{ stroke: #f0954a; }} .dev-dot {{ fill: #f0954a; }}
}}
</style>
"##
        );
        let ticks = 5;
        for at in 0..=ticks {
            let share = f64::from(at) / f64::from(ticks);
            let (number, step) = (self.bottom + share * (self.top - self.bottom), share * self.last);
            let (line, column, right) = (self.y(number), self.x(step), WIDTH - self.right);
            let _ = writeln!(out, r#"<line class="grid" x1="{LEFT}" x2="{right}" y1="{line:.1}" y2="{line:.1}"/>"#);
            let (edge, below) = (LEFT - 8.0, line + 4.0);
            let _ = writeln!(out, r#"<text x="{edge}" y="{below:.1}" text-anchor="end">{}</text>"#, tick(number));
            let below = HEIGHT - BOTTOM + 20.0;
            let _ = writeln!(out, r#"<text x="{column:.1}" y="{below}" text-anchor="middle">{step:.0}</text>"#);
        }
        let (right, below) = (WIDTH - self.right, HEIGHT - 6.0);
        let _ = writeln!(out, r#"<text x="{LEFT}" y="22">{unit}</text>"#);
        let _ = writeln!(out, r#"<text x="{right}" y="{below}" text-anchor="end">step</text>"#);
        out
    }
}

/// Means of equal stretches, so that a long run stays a small picture.
fn thinned(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    let stretch = points.len().div_ceil(most).max(1);
    let mean = |values: &[(f64, f64)]| {
        let count = values.len() as f64;
        let sum = values.iter().fold((0.0, 0.0), |sum, value| (sum.0 + value.0, sum.1 + value.1));
        (sum.0 / count, sum.1 / count)
    };
    points.chunks(stretch).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_any_run_including_none() {
        assert!(svg(&[]).ends_with("</svg>\n"));
        let train = |step| Metric::Train {
            step,
            epoch: 0,
            loss: 9.0 / step as f32,
            rate: 0.1,
            norm: 1.0,
            tokens: 9,
            speed: 9.0,
        };
        let mut metrics: Vec<Metric> = (1..1000).map(train).collect();
        metrics.push(Metric::Dev { step: 1000, loss: 1.5, accuracy: Some(0.75) });
        let picture = svg(&metrics);
        assert!(picture.len() < 20_000 && !picture.contains("NaN"), "{picture}");

        assert!(accuracies(&[]).ends_with("</svg>\n"));
        let picture = accuracies(&[("one", metrics.clone()), ("other", metrics), ("none", Vec::new())]);
        assert!(picture.matches("<polyline").count() == 3 && !picture.contains("NaN"), "{picture}");
        assert!(picture.contains(">one</text>") && picture.contains(">other</text>"), "{picture}");
    }
}
