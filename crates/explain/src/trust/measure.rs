use std::collections::HashMap;

use super::curve::{area, counts, deletion, insertion};
use super::erasure::{Number, comprehensiveness, sufficiency};
use super::summary::{interval, mean_of};
use super::{Curve, Measured, Protocol, Trust, spearman};
use crate::error::{checked, field};
use crate::perturbation::places;
use crate::random::Random;
use crate::{Explanation, Progress, Result, Subject};

/// Measures an explanation of a subject, beside random orders.
///
/// `randomised` is the explanation, by the same method, of the same input and a model with random weights; without it the
/// randomisation check is not measured. Takes about `(orders + 1) · 2 · (steps + 5) + places` evaluations of the subject, less those
/// that are the same.
///
/// # Errors
/// [`Error::Field`](crate::Error::Field) for no places, no steps, no orders, or places that cannot be removed;
/// [`Error::Shape`](crate::Error::Shape) unless there is a score for each place; [`Error::Value`](crate::Error::Value) for what is
/// not finite, [`Error::Given`](crate::Error::Given) for what the subject says, [`Error::Cancelled`](crate::Error::Cancelled).
pub fn measure(
    subject: &dyn Subject,
    explanation: &Explanation,
    randomised: Option<&Explanation>,
    protocol: &Protocol,
    progress: Progress,
) -> Result<Trust> {
    let places = places(subject)?;
    let scores = checked("scores", explanation.scores.as_slice(), &[places])?;
    let randomised = match randomised {
        Some(other) => Some(checked("scores of the randomised model", other.scores.as_slice(), &[places])?),
        None => None,
    };
    if protocol.steps == 0 {
        return field("steps", 0, "at least 1");
    }
    if protocol.orders == 0 {
        return field("orders", 0, "at least 1");
    }
    let mut random = Random::new(protocol.seed);
    let mut orders = vec![highest_first(scores)];
    orders.extend((0..protocol.orders).map(|_| random.order(places)));
    let counts = counts(places, protocol.steps);
    let shares: Vec<f32> = counts.iter().map(|&count| count as f32 / places as f32).collect();

    // Once to learn which inputs are asked for, then with their numbers.
    let mut wanted = Wanted::default();
    orders.iter().for_each(|order| drop(Look::new(order, &counts, &mut |kept| wanted.note(kept))));
    leave_one_out(places, &mut |kept| wanted.note(kept));
    let numbers = protocol.perturbation.numbers(subject, &wanted.kept, "measuring trust", progress)?;
    let mut number = |kept: Vec<bool>| numbers[wanted.index[&kept]];
    let looks: Vec<Look> = orders.iter().map(|order| Look::new(order, &counts, &mut number)).collect();
    let alone = leave_one_out(places, &mut number);

    let mut measured = |value: f32, random_values: &[f32]| Measured {
        value,
        interval: None,
        random: mean_of(random_values),
        random_interval: interval(random_values, &mut random),
    };
    let mut of_looks = |value: &dyn Fn(&Look) -> f32| {
        let values: Vec<f32> = looks.iter().map(value).collect();
        measured(values[0], &values[1..])
    };
    let [comprehensiveness, sufficiency] =
        [of_looks(&|look| look.comprehensiveness), of_looks(&|look| look.sufficiency)];
    let mut curve = |values: fn(&Look) -> &Vec<f32>| {
        let at = |point: usize| looks[1..].iter().map(|look| values(look)[point]).collect::<Vec<f32>>();
        Curve {
            shares: shares.clone(),
            values: values(&looks[0]).clone(),
            random: (0..shares.len()).map(|point| mean_of(&at(point))).collect(),
            area: of_looks(&|look| area(&shares, values(look))),
        }
    };
    let [deletion, insertion] = [curve(|look| &look.deletion), curve(|look| &look.insertion)];
    let mut correlated = |with: &[f32]| -> Result<Option<Measured>> {
        let Some(value) = spearman(scores, with)? else { return Ok(None) };
        let mut others = Vec::with_capacity(orders.len() - 1);
        for order in &orders[1..] {
            let as_scores: Vec<f32> = order.iter().map(|&place| place as f32).collect();
            others.extend(spearman(&as_scores, with)?);
        }
        Ok(Some(measured(value, &others)))
    };
    Ok(Trust {
        method: explanation.method.clone(),
        perturbation: protocol.perturbation.describe(subject),
        inputs: 1,
        orders: protocol.orders,
        seed: protocol.seed,
        comprehensiveness: Some(comprehensiveness),
        sufficiency: Some(sufficiency),
        deletion: Some(deletion),
        insertion: Some(insertion),
        agreement: correlated(&alone)?,
        randomisation: randomised.map_or(Ok(None), correlated)?,
    })
}

/// Equal scores in the order of their places.
fn highest_first(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order
}

/// What one order of the places scores.
struct Look {
    comprehensiveness: f32,
    sufficiency: f32,
    deletion: Vec<f32>,
    insertion: Vec<f32>,
}

impl Look {
    fn new(order: &[usize], counts: &[usize], number: Number) -> Self {
        Self {
            comprehensiveness: comprehensiveness(order, number),
            sufficiency: sufficiency(order, number),
            deletion: deletion(order, counts, number),
            insertion: insertion(order, counts, number),
        }
    }
}

/// What each place takes away when it alone is missing.
fn leave_one_out(places: usize, number: Number) -> Vec<f32> {
    let whole = number(vec![true; places]);
    let without = |place: usize| (0..places).map(|other| other != place).collect();
    (0..places).map(|place| whole - number(without(place))).collect()
}

/// Altered inputs, each once.
#[derive(Default)]
struct Wanted {
    kept: Vec<Vec<bool>>,
    index: HashMap<Vec<bool>, usize>,
}

impl Wanted {
    fn note(&mut self, kept: Vec<bool>) -> f32 {
        self.index.entry(kept).or_insert_with_key(|kept| {
            self.kept.push(kept.clone());
            self.kept.len() - 1
        });
        0.0
    }
}
