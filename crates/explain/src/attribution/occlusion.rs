//! Occlusion: what the number loses when a window of neighbouring places is missing, for every place of the window.
//!
//! `score_i = mean of f(x) − f(x without w) over the windows w that cover i`; windows move by one place. Zeiler and Fergus, "Visualizing
//! and Understanding Convolutional Networks", ECCV 2014, arXiv:1311.2901.
//!
//! A forward pass a window. For images, and text whose words are many tokens, where a single place is too little to be missed. Not for
//! fine detail: a score is shared by a window's places. A window of one place is leave-one-out.

use crate::error::field;
use crate::perturbation::places;
use crate::{Error, Explanation, Perturbation, Progress, Result, Subject};

/// Scores the places of a subject by windows that are missing. `grid` is how places lie, `[rows, columns]` in row-major order
/// (`[1, places]` for text), `window` the rows and columns of a window.
///
/// # Errors
/// [`Error::Shape`] unless the places fill the grid, [`Error::Field`] for a window of 0 or larger than the grid, no places or too
/// many, or places that cannot be removed; [`Error::Shape`], [`Error::Value`] and [`Error::Given`] for what the subject returns,
/// [`Error::Cancelled`].
pub fn occlusion(
    subject: &dyn Subject,
    grid: [usize; 2],
    window: [usize; 2],
    perturbation: Perturbation,
    progress: Progress,
) -> Result<Explanation> {
    let places = places(subject)?;
    let [rows, columns] = grid;
    if rows.checked_mul(columns) != Some(places) {
        return Err(Error::Shape { name: "places in the grid".to_owned(), given: places, shape: grid.to_vec() });
    }
    let [high, wide] = window;
    if high == 0 || wide == 0 || high > rows || wide > columns {
        return field("window", format!("{high} × {wide}"), "at least 1 × 1 and at most the grid");
    }
    let corners: Vec<[usize; 2]> =
        (0..=rows - high).flat_map(|row| (0..=columns - wide).map(move |column| [row, column])).collect();
    let covered = |[row, column]: [usize; 2]| {
        (row..row + high).flat_map(move |row| (column..column + wide).map(move |column| row * columns + column))
    };
    let mut kept = vec![vec![true; places]; corners.len() + 1];
    for (kept, &corner) in kept.iter_mut().zip(&corners) {
        covered(corner).for_each(|place| kept[place] = false);
    }
    let numbers = perturbation.numbers(subject, &kept, "occlusion", progress)?;
    let whole = f64::from(numbers[corners.len()]);
    let (mut sums, mut counts) = (vec![0.0f64; places], vec![0.0f64; places]);
    for (&without, &corner) in numbers.iter().zip(&corners) {
        for place in covered(corner) {
            sums[place] += whole - f64::from(without);
            counts[place] += 1.0;
        }
    }
    Ok(Explanation {
        method: "occlusion".to_owned(),
        scores: sums.iter().zip(&counts).map(|(sum, count)| (sum / count) as f32).collect(),
        note: format!("windows of {high} × {wide} places {}", perturbation.describe(subject)),
        completeness: None,
    })
}
