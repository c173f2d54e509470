//! Pictures of biases: the numbers that are added, or the weights with and without them.

use regard_kernel::{Alibi, Attention, DenseBias, RelativeBuckets, SoftCap};

use super::scene::{SENTENCE, biased, look, measured, on_one_scale, words};
use super::{Draw, Panel, Picture};
use crate::error::Result;

pub(super) const PICTURES: &[(&str, Draw)] =
    &[("DenseBias", dense), ("Alibi", alibi), ("RelativeBuckets", buckets), ("SoftCap", soft_cap)];

const LENGTH: usize = 32;
const HEADS: usize = 8;

fn alibi() -> Result<Picture> {
    let attention = Attention::default().bias(Alibi::new(HEADS));
    let panel = |head, title| -> Result<Panel> {
        let values = biased(&attention, LENGTH, HEADS, head, 1)?;
        Ok(measured(title, "added to the score", ("query", LENGTH), ("key", LENGTH), values))
    };
    let panels = vec![panel(0, "head 1 of 8, slope 1/2")?, panel(2, "head 3 of 8, slope 1/8")?];
    let caption = "What is added falls with the distance, steeply in one head and gently in another.";
    Ok(Picture { caption: caption.to_owned(), panels: on_one_scale(panels) })
}

/// A table whose numbers are those of the buckets.
fn buckets() -> Result<Picture> {
    const BUCKETS: usize = 16;
    let panel = |bidirectional, title| -> Result<Panel> {
        let table: Vec<f32> = (0..BUCKETS).map(|bucket| bucket as f32).collect();
        let attention = Attention::default().bias(RelativeBuckets::new(table, 1, bidirectional, LENGTH)?);
        let values = biased(&attention, LENGTH, 1, 0, 1)?;
        Ok(measured(title, "number of the bucket", ("query", LENGTH), ("key", LENGTH), values))
    };
    let panels = vec![panel(true, "both directions")?, panel(false, "for decoders: back only")?];
    let caption = "Which of 16 buckets a pair's distance falls into; each has a learned number a head. Near distances have a bucket \
                   each, far ones share.";
    Ok(Picture { caption: caption.to_owned(), panels: on_one_scale(panels) })
}

fn soft_cap() -> Result<Picture> {
    let words = words().scaled(2.0);
    let panels = vec![
        look("capped at 3", &Attention::default().bias(SoftCap::new(3.0)?), &words)?,
        look("scores as they are", &Attention::default(), &words)?,
    ];
    let caption = "The vectors are twice as long as they should be. Without a cap every word looks at itself alone.";
    Ok(Picture { caption: format!("{caption} {SENTENCE}"), panels })
}

/// Places of a picture, a row after another: the farther apart on it, the less.
fn dense() -> Result<Picture> {
    const SIDE: usize = 5;
    let place = |at: usize| [(at / SIDE) as f32, (at % SIDE) as f32];
    let length = SIDE * SIDE;
    let distance = |a: usize, b: usize| (place(a)[0] - place(b)[0]).hypot(place(a)[1] - place(b)[1]);
    let numbers: Vec<f32> = (0..length * length).map(|at| -distance(at / length, at % length)).collect();
    let attention = Attention::default().bias(DenseBias::new(numbers, [1, 1, length, length])?);
    let values = biased(&attention, length, 1, 0, 1)?;
    let panels =
        vec![measured("25 places of a picture", "added to the score", ("query", length), ("key", length), values)];
    let caption = "A picture of 5 × 5 places, read row by row: what is added is the distance on the picture, negated.";
    Ok(Picture { caption: caption.to_owned(), panels: on_one_scale(panels) })
}
