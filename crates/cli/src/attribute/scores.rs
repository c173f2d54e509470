//! Scores of tokens by several methods, as a table.

use console::{Alignment, measure_text_width, pad_str};

use super::Explained;
use crate::output;

/// Columns of a number.
const NUMBER: usize = 9;
/// Columns that a token may take.
const LONGEST: usize = 24;

/// A line a token, a column a method; as many methods side by side as fit.
pub fn table(tokens: &[String], found: &[Explained], width: usize) -> String {
    let shown: Vec<String> = tokens.iter().map(|token| output::token(token, LONGEST)).collect();
    let widest = shown.iter().map(|token| measure_text_width(token)).max().unwrap_or(0);
    let columns: Vec<usize> =
        found.iter().map(|found| measure_text_width(&found.explanation.method).max(NUMBER) + 2).collect();
    let (mut text, mut first) = (String::new(), 0);
    while first < found.len() {
        let mut room = width.saturating_sub(widest);
        let fit = columns[first..].iter().take_while(|column| {
            let fits = room >= **column;
            room = room.saturating_sub(**column);
            fits
        });
        let end = first + fit.count().max(1);
        let row = |name: &str, cell: &dyn Fn(&Explained) -> String| {
            let cells = found[first..end].iter().zip(&columns[first..end]);
            let cells =
                cells.map(|(found, &column)| pad_str(&cell(found), column, Alignment::Right, None).into_owned());
            pad_str(name, widest, Alignment::Left, None).into_owned() + &cells.collect::<String>() + "\n"
        };
        text += &row("", &|found| found.explanation.method.clone());
        for (place, token) in shown.iter().enumerate() {
            text += &row(token, &|found| format!("{:+.4}", found.explanation.scores[place]));
        }
        text.push('\n');
        first = end;
    }
    text
}
