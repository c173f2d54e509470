//! Pictures of what approximates exact attention, or replaces it: its weights beside the exact ones.

use burn::module::Param;
use burn::tensor::Device;

use super::scene::{GROUP, Rows, TEXT, measured, on_one_scale, read, same, set, tensor, topics};
use super::{Draw, Panel, Picture};
use crate::error::Result;
use crate::hard::HardLocalConfig;
use crate::linear::{Linear, LinformerConfig, NystromConfig, PerformerConfig};
use crate::mechanism::{EXACT, Mechanism, Nouns, distribution};
use crate::sparse::{Axial, HybridConfig, LongformerConfig, LshConfig};

pub(super) const PICTURES: &[(&str, Draw)] = &[
    ("Exact", || {
        let panels = on_one_scale(vec![panel("exact", &exact())?]);
        Ok(Picture {
            caption: format!("Squares on the diagonal are topics, those off it topics that come back. {TEXT}"),
            panels,
        })
    }),
    ("Linear", || {
        beside("Weights follow the exact ones, but flatly: nothing is as sharp as an exponential.", &Linear::new())
    }),
    ("Performer", || {
        let performer = PerformerConfig::new(2 * GROUP).with_features(Some(64)).with_seed(1).init(&Device::default())?;
        beside("64 random features estimate the exponential: right on average, with noise.", &performer)
    }),
    ("Linformer", linformer),
    ("Nystrom", || {
        let nystrom = NystromConfig::new(1).with_landmarks(12).with_filter(0).init(&Device::default())?;
        beside(
            "12 landmarks, each the mean of four neighbours; what differs from its neighbours is smoothed away.",
            &nystrom,
        )
    }),
    ("Lsh", || {
        let lsh = LshConfig::new().with_bucket(6).with_rounds(2).with_seed(3).init()?;
        beside("Two rounds of hashing into buckets of 6: a query looks at what hashes alike, wherever that is.", &lsh)
    }),
    ("Hybrid", || {
        let hybrid = HybridConfig::new().with_block(4).with_keep(2).with_near(1).init()?;
        beside("Blocks of 4: those around a query's own, and the two whose means promise most, exactly.", &hybrid)
    }),
    ("Axial", || beside("48 positions as a grid of 6 × 8: along rows, then along columns.", &Axial::new(6, 8)?)),
    ("HardLocal", hard_local),
    ("Longformer", longformer),
];

const LENGTH: usize = 48;

fn exact() -> impl Mechanism {
    Nouns::new(&EXACT, regard_kernel::Attention::default())
}

fn panel(title: &str, mechanism: &dyn Mechanism) -> Result<Panel> {
    let text = topics(LENGTH);
    let weights = distribution(mechanism, text.tensor(), text.tensor())?;
    Ok(map(title, read(weights)?))
}

fn map(title: &str, weights: Vec<f32>) -> Panel {
    measured(title, "weight", ("query", LENGTH), ("key", LENGTH), weights)
}

fn beside(caption: &str, mechanism: &dyn Mechanism) -> Result<Picture> {
    with_exact(caption, panel(mechanism.card().name, mechanism)?)
}

fn with_exact(caption: &str, shown: Panel) -> Result<Picture> {
    let panels = on_one_scale(vec![shown, panel("exact", &exact())?]);
    Ok(Picture { caption: format!("{caption} {TEXT}"), panels })
}

fn linformer() -> Result<Picture> {
    const RANK: usize = 12;
    let mut linformer = LinformerConfig::new(LENGTH).with_rank(RANK).init(&Device::default())?;
    let of = LENGTH / RANK;
    let means: Vec<f32> = (0..LENGTH * RANK).map(|at| same(at / RANK / of, at % RANK) / of as f32).collect();
    for weight in [&mut linformer.key, &mut linformer.value] {
        *weight = Param::from_tensor(tensor(means.clone(), [LENGTH, RANK]));
    }
    beside("E and F, which would be learned, are set to means of four neighbours: 12 keys remain of 48.", &linformer)
}

/// `W` takes the one feature that grows along the text, `v` stretches it to all of the text.
fn hard_local() -> Result<Picture> {
    let mut local = HardLocalConfig::new(2 * GROUP).with_reach(6).init(&Device::default())?;
    let (width, place) = (2 * GROUP, 2 * GROUP - 2);
    let from = (0..width * width).map(|at| 0.7 * same(at / width, place) * same(at % width, 0)).collect();
    local.project = Param::from_tensor(tensor(from, [width, width]));
    local.vector = Param::from_tensor(tensor((0..width).map(|feature| 3.0 * same(feature, 0)).collect(), [width]));
    beside(
        "W and v, which would be learned, are set to predict about a query's own place; 6 keys to each side.",
        &local,
    )
}

/// Position numbers ride along as features that only the values take, so that the output is the weights.
fn longformer() -> Result<Picture> {
    let text = topics(LENGTH);
    let width = text.width + LENGTH;
    let mut layer = LongformerConfig::new(width, 1).with_window(4).init(&Device::default())?;
    // Scores are divided by the root of the width, which is greater than the text's.
    let gain = (width as f32 / text.width as f32).powf(0.25);
    let content = |from: usize, to: usize| gain * same(from, to) * f32::from(u8::from(from < text.width));
    for projection in [&mut layer.query, &mut layer.key, &mut layer.global_query, &mut layer.global_key] {
        set(projection, content);
    }
    for projection in [&mut layer.value, &mut layer.global_value, &mut layer.output] {
        set(projection, |from, to| same(from, to) * f32::from(u8::from(from >= text.width)));
    }
    let numbered =
        Rows::map(&text, |at, row| row.iter().copied().chain((0..LENGTH).map(|place| same(at, place))).collect());
    let out = layer.forward(numbered.tensor().squeeze_dim(1), &[0, 24], None)?;
    let weights = read(out.output.narrow(2, text.width, LENGTH))?;
    with_exact(
        "Positions 0 and 24 are global, all others see 4 to each side and those two.",
        map("Longformer", weights),
    )
}
