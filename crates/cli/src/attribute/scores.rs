//! Scores of tokens as a table and as a picture.

use console::{Alignment, measure_text_width, pad_str};
use regard_explain::Axis;
use regard_explain::render::{Panel, Scale, svg};
use regard_recipes::question::Question;

use super::Explained;
use crate::{Result, strip};

/// Columns of a number.
const NUMBER: usize = 9;
/// Columns of a bar, to either side of its middle.
const BAR: usize = 12;
/// Columns of text on a page.
const PAGE: usize = 180;
/// Columns that a token may take.
const LONGEST: usize = 24;

/// A line a token, a column a method; beside the scores of a single one, bars. As many methods side by side as fit.
pub fn table(tokens: &[String], found: &[Explained], width: usize) -> String {
    let shown: Vec<String> = tokens.iter().map(|token| plain(token)).collect();
    let widest = shown.iter().map(|token| measure_text_width(token)).max().unwrap_or(0);
    let columns: Vec<usize> =
        found.iter().map(|found| measure_text_width(&found.explanation.method).max(NUMBER) + 2).collect();
    let (mut text, mut rest) = (String::new(), 0);
    while rest < found.len() {
        let mut room = width.saturating_sub(widest);
        let fit = columns[rest..].iter().take_while(|column| {
            let fits = room >= **column;
            room = room.saturating_sub(**column);
            fits
        });
        let end = rest + fit.count().max(1);
        let (some, columns) = (&found[rest..end], &columns[rest..end]);
        if rest > 0 {
            text.push('\n');
        }
        text += &pad_str("", widest, Alignment::Left, None);
        for (Explained { explanation, .. }, &column) in some.iter().zip(columns) {
            text += &pad_str(&explanation.method, column, Alignment::Right, None);
        }
        text.push('\n');
        for (place, token) in shown.iter().enumerate() {
            text += &pad_str(token, widest, Alignment::Left, None);
            for (Explained { explanation, .. }, &column) in some.iter().zip(columns) {
                text += &pad_str(&format!("{:+.4}", explanation.scores[place]), column, Alignment::Right, None);
            }
            if let [only] = found {
                text += &bar(only.explanation.scores[place], greatest(&only.explanation.scores));
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        rest = end;
    }
    text
}

/// A token without what would change the terminal, no longer than a column.
fn plain(token: &str) -> String {
    let visible = token.replace(|c: char| c.is_control(), "·");
    let text = if visible.trim().is_empty() { format!("{visible:?}") } else { visible.trim().to_owned() };
    console::truncate_str(&text, LONGEST, "…").into_owned()
}

/// To the right for what speaks for the answer, to the left for what speaks against it.
fn bar(score: f32, greatest: f32) -> String {
    let length = if greatest > 0.0 { (score.abs() / greatest * BAR as f32).round() as usize } else { 0 };
    let side = |full: bool| if full { length } else { 0 };
    let (against, speaks) = (side(score < 0.0), side(score > 0.0));
    format!("  {}{}│{}", " ".repeat(BAR - against), "▒".repeat(against), "█".repeat(speaks))
}

fn greatest(scores: &[f32]) -> f32 {
    scores.iter().fold(0.0, |most, score| most.max(score.abs()))
}

/// A row of cells for each method, each on its own scale: two methods' numbers have different units.
pub fn svg(question: &Question, found: &[Explained]) -> Result<String> {
    let tokens = question.tokens();
    let panels = found.iter().map(|Explained { explanation, .. }| {
        let most = greatest(&explanation.scores).max(f32::MIN_POSITIVE);
        let axis = |name: &str, tokens: Vec<String>| Axis { name: name.to_owned(), tokens };
        let (rows, columns) = (axis("method", vec![String::new()]), axis("tokens", tokens.clone()));
        let scale = Scale { name: "score".into(), low: -most, high: most };
        Panel::new(explanation.method.clone(), rows, columns, &explanation.scores, scale)
    });
    let panels = panels.collect::<Result<Vec<_>, _>>()?;
    Ok(svg::panels(&format!("{} · {}", question.title(), question.number()), &panels)?)
}

/// The picture and, under it, how far to trust it.
pub fn page(question: &Question, found: &[Explained]) -> Result<String> {
    let trust: Vec<_> = found.iter().filter_map(|found| found.trust.clone()).collect();
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let (title, strip, notes) = (
        escaped(question.title()),
        escaped(&strip::table(&trust, PAGE)),
        found.iter().map(|Explained { explanation, .. }| format!("{}: {}\n", explanation.method, explanation.note)),
    );
    let notes = escaped(&notes.collect::<String>());
    let picture = svg(question, found)?;
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\n\
         <style>body {{ font: 15px sans-serif; margin: 2em; }} pre {{ overflow-x: auto; }}</style>\n\
         {picture}<pre>{notes}</pre>\n<pre>{strip}</pre>\n</html>\n"
    ))
}
