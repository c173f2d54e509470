//! The trust strips of several methods as one table.

use console::{Alignment, measure_text_width, pad_str};
use regard_explain::trust::Trust;

/// Columns of a number with its interval, under the longest name of a measurement.
const CELL: usize = 30;

/// A line for random orders of the places and one for each method, with as many measurements side by side as fit.
pub fn table(trust: &[Trust], width: usize) -> String {
    let Some(first) = trust.first() else { return "how far to trust this: not measured\n".into() };
    let names = trust.iter().map(|trust| trust.method.as_str()).chain(["random orders"]);
    let widest = names.map(measure_text_width).max().unwrap_or(0);
    let lines: Vec<_> = trust.iter().map(Trust::lines).collect();
    let columns: Vec<usize> = (0..lines[0].len()).collect();
    let mut text = String::new();
    for columns in columns.chunks((width.saturating_sub(widest) / CELL).max(1)) {
        let row = |name: &str, cell: &dyn Fn(usize) -> String| {
            let cells = columns.iter().map(|&column| pad_str(&cell(column), CELL, Alignment::Right, None).into_owned());
            let row = pad_str(name, widest, Alignment::Left, None).into_owned() + &cells.collect::<String>();
            row.trim_end().to_owned() + "\n"
        };
        text += &row("", &|column| lines[0][column].name.to_owned());
        text += &row("", &|column| format!("better is {}", lines[0][column].better));
        text += &row("random orders", &|column| {
            let measured = lines.iter().find(|lines| lines[column].measured.is_some());
            let [_, _, random, ..] = measured.unwrap_or(&lines[0])[column].cells();
            random
        });
        for (trust, lines) in trust.iter().zip(&lines) {
            text += &row(&trust.method, &|column| {
                let [_, value, ..] = lines[column].cells();
                value
            });
        }
        text.push('\n');
    }
    text + &first.conditions() + "\n"
}
