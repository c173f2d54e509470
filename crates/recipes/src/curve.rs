//! The loss curve of a run as SVG: training loss (smoothed over steps) and development loss.

use std::fmt::Write;

use crate::train::Metric;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 28.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 44.0;

/// Draws the metrics of a run.
pub fn svg(metrics: &[Metric]) -> String {
    let mut train = Vec::new();
    let mut dev = Vec::new();
    for metric in metrics {
        match metric {
            Metric::Train { step, loss, .. } => train.push((*step as f64, f64::from(*loss))),
            Metric::Dev { step, loss } => dev.push((*step as f64, *loss)),
        }
    }
    let train = thinned(&train, 240);
    let all = || train.iter().chain(&dev).copied();
    let last = all().map(|(step, _)| step).fold(1.0, f64::max);
    let top = all().map(|(_, loss)| loss).fold(1.0, f64::max).ceil();
    let bottom = all().map(|(_, loss)| loss).fold(top, f64::min).floor().min(top - 1.0);
    let x = |step: f64| LEFT + step / last * (WIDTH - LEFT - RIGHT);
    let y = |loss: f64| TOP + (top - loss) / (top - bottom) * (HEIGHT - TOP - BOTTOM);

    let mut out = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Loss over steps">
<style>
svg {{ font: 13px system-ui, sans-serif; background: #fff; color: #1c2430; }}
text {{ fill: currentColor; }}
.grid {{ stroke: currentColor; stroke-opacity: .15; }}
.train {{ stroke: #3a6ea5; fill: none; stroke-width: 1.5; }}
.dev {{ stroke: #c2570c; fill: none; stroke-width: 2; }}
.dev-dot {{ fill: #c2570c; }}
@media (prefers-color-scheme: dark) {{
svg {{ background: #14181f; color: #e6e9ef; }}
.train {{ stroke: #7fb2e5; }} .dev {{ stroke: #f0954a; }} .dev-dot {{ fill: #f0954a; }}
}}
</style>
"##
    );
    let ticks = 5;
    for tick in 0..=ticks {
        let share = f64::from(tick) / f64::from(ticks);
        let (loss, step) = (bottom + share * (top - bottom), share * last);
        let (line, column) = (y(loss), x(step));
        let _ =
            writeln!(out, r#"<line class="grid" x1="{LEFT}" x2="{}" y1="{line:.1}" y2="{line:.1}"/>"#, WIDTH - RIGHT);
        let _ = writeln!(out, r#"<text x="{}" y="{:.1}" text-anchor="end">{loss:.1}</text>"#, LEFT - 8.0, line + 4.0);
        let _ = writeln!(
            out,
            r#"<text x="{column:.1}" y="{}" text-anchor="middle">{step:.0}</text>"#,
            HEIGHT - BOTTOM + 20.0
        );
    }
    let path = |points: &[(f64, f64)]| -> String {
        points.iter().map(|&(step, loss)| format!("{:.1},{:.1} ", x(step), y(loss))).collect()
    };
    let _ = writeln!(out, r#"<polyline class="train" points="{}"/>"#, path(&train).trim_end());
    let _ = writeln!(out, r#"<polyline class="dev" points="{}"/>"#, path(&dev).trim_end());
    for &(step, loss) in &dev {
        let _ = writeln!(out, r#"<circle class="dev-dot" cx="{:.1}" cy="{:.1}" r="2.5"/>"#, x(step), y(loss));
    }
    let _ = writeln!(
        out,
        r#"<text x="{LEFT}" y="22">nats a token</text>
<line class="train" x1="430" x2="454" y1="18" y2="18"/><text x="460" y="22">training</text>
<line class="dev" x1="300" x2="324" y1="18" y2="18"/><text x="330" y="22">development</text>
<text x="{}" y="{}" text-anchor="end">step</text>
</svg>"#,
        WIDTH - RIGHT,
        HEIGHT - 6.0
    );
    out
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
        metrics.push(Metric::Dev { step: 1000, loss: 1.5 });
        let picture = svg(&metrics);
        assert!(picture.len() < 20_000 && !picture.contains("NaN"), "{picture}");
    }
}
