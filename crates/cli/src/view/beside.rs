//! Two heads beside each other, or one less the other, as the studio compares them: of two traces, or of one.

use clap::Args;
use regard_explain::Axis;
use regard_explain::render::{Figure, Panel, Scale, visible};

use crate::Result;
use crate::place::Place;

#[derive(Args)]
pub struct Beside {
    /// Draw another attention beside the first: the one of this name, of the second trace if there are two; the same name unless given.
    #[arg(long, value_name = "NAME", requires = "drawn")]
    with_site: Option<String>,
    /// Layer of the other, from 1; the same unless given.
    #[arg(long, value_name = "LAYER", requires = "drawn")]
    with_layer: Option<usize>,
    /// Head of the other, from 1, or mean; the same unless given.
    #[arg(long, value_name = "HEAD", value_parser = which, requires = "drawn")]
    with_head: Option<Which>,
    /// Draw the first less the other instead of both.
    #[arg(long, requires = "drawn")]
    difference: bool,
}

/// A head from 1, or the mean of all.
#[derive(Debug, Clone, Copy)]
struct Which(Option<usize>);

fn which(text: &str) -> Result<Which, String> {
    match text {
        "mean" => Ok(Which(None)),
        _ => text.parse().map(|head| Which(Some(head))).map_err(|_| "expected a number from 1, or mean".into()),
    }
}

impl Beside {
    /// Whether another attention was asked for.
    pub fn is_wanted(&self) -> bool {
        self.with_site.is_some() || self.with_layer.is_some() || self.with_head.is_some() || self.difference
    }

    /// Where the other is.
    pub fn place(&self, first: &Place) -> Place {
        Place {
            site: self.with_site.clone().or_else(|| first.site.clone()),
            layer: self.with_layer.or(first.layer),
            head: self.with_head.map_or(first.head, |Which(head)| head),
        }
    }

    /// Both maps in the same colours, or their difference; `names` tell where they are from.
    pub fn panels(&self, figures: [&Figure; 2], names: [&str; 2]) -> Result<Vec<Panel>> {
        let [first, second] = figures.map(|figure| &figure.map);
        let titles = [0, 1].map(|at| visible(&format!("{}{}", figures[at].subtitle, names[at])));
        let panel = |at: usize, title: String, values: &[f32], scale| {
            let Figure { row_axis, rows, column_axis, columns, .. } = figures[at];
            let axis = |name: &str, tokens: &[String]| Axis { name: visible(name), tokens: tokens.to_vec() };
            Panel::new(title, axis(row_axis, rows), axis(column_axis, columns), values, scale)
        };
        if !self.difference {
            let greatest = first.weights.iter().chain(&second.weights).fold(0.01f32, |most, weight| most.max(*weight));
            let scale = Scale { high: greatest, ..Scale::weights() };
            let [one, other] = titles;
            return Ok(vec![panel(0, one, &first.weights, scale.clone())?, panel(1, other, &second.weights, scale)?]);
        }
        if [first.rows, first.columns] != [second.rows, second.columns] {
            let given = format!("{} × {} and {} × {}", first.rows, first.columns, second.rows, second.columns);
            return Err(format!("--difference: {given} weights given, as many of both expected").into());
        }
        let values: Vec<f32> =
            first.weights.iter().zip(&second.weights).map(|(first, second)| first - second).collect();
        let most = values.iter().fold(0.01f32, |most, value| most.max(value.abs()));
        let scale = Scale { name: "difference of attention weights, first − second".into(), low: -most, high: most };
        Ok(vec![panel(0, titles.join(" − "), &values, scale)?])
    }
}
