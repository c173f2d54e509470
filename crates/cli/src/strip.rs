//! The trust strip: how explanations do beside random orders of the places.

use console::{Alignment, measure_text_width, pad_str};
use regard_explain::trust::{Measured, Trust};

/// What is measured, which way is better, and where it is found.
type Column = (&'static str, &'static str, fn(&Trust) -> Option<Measured>);

const COLUMNS: [Column; 6] = [
    ("comprehensiveness", "higher is better", |trust| trust.comprehensiveness),
    ("sufficiency", "lower is better", |trust| trust.sufficiency),
    ("deletion", "lower is better", |trust| trust.deletion.as_ref().map(|curve| curve.area)),
    ("insertion", "higher is better", |trust| trust.insertion.as_ref().map(|curve| curve.area)),
    ("agreement", "higher is better", |trust| trust.agreement),
    ("randomisation", "near 0 is right", |trust| trust.randomisation),
];

/// Columns of a number with its interval.
const CELL: usize = 26;

/// A line for random orders of the places and one for each method, with as many measurements side by side as fit.
pub fn table(trust: &[Trust], width: usize) -> String {
    let Some(first) = trust.first() else { return "Trust: not measured.\n".into() };
    let inputs = if first.inputs == 1 { String::new() } else { format!("mean of {} texts, ", first.inputs) };
    let mut text = format!(
        "Trust: {inputs}missing places {}, beside {} random orders (seed {}), 95 % intervals\n",
        first.perturbation, first.orders, first.seed
    );
    let names = trust.iter().map(|trust| trust.method.as_str()).chain(["random orders"]);
    let widest = names.map(measure_text_width).max().unwrap_or(0);
    for columns in COLUMNS.chunks((width.saturating_sub(widest) / CELL).max(1)) {
        let line = |name: &str, cells: &mut dyn Iterator<Item = String>| {
            let cells = cells.map(|cell| pad_str(&cell, CELL, Alignment::Right, None).into_owned());
            let line = pad_str(name, widest, Alignment::Left, None).into_owned() + &cells.collect::<String>();
            line.trim_end().to_owned() + "\n"
        };
        text.push('\n');
        text += &line("", &mut columns.iter().map(|(name, ..)| (*name).to_owned()));
        text += &line("", &mut columns.iter().map(|(_, better, _)| (*better).to_owned()));
        let random = |of: fn(&Trust) -> Option<Measured>| {
            let found = trust.iter().find_map(of);
            found.map(|found| Measured { value: found.random, interval: Some(found.random_interval), ..found })
        };
        text += &line("random orders", &mut columns.iter().map(|(.., of)| written(random(*of))));
        for trust in trust {
            text += &line(&trust.method, &mut columns.iter().map(|(.., of)| written(of(trust))));
        }
    }
    text + "\nComprehensiveness, sufficiency: what the answer loses without the highest places, and with them alone. Deletion,\n\
            insertion: the mean answer as places go and come, the highest first. Agreement: rank correlation with leave-one-out;\n\
            randomisation: with the scores of the same network, its weights shuffled.\n"
}

fn written(measured: Option<Measured>) -> String {
    let Some(Measured { value, interval, .. }) = measured else { return "not measured".into() };
    let most = interval.into_iter().flatten().fold(value.abs(), |most, end| most.max(end.abs()));
    let digits = if most >= 100.0 { 1 } else { 2 + usize::from(most < 10.0) };
    match interval {
        Some([low, high]) => format!("{value:.digits$} [{low:.digits$}, {high:.digits$}]"),
        None => format!("{value:.digits$}"),
    }
}
