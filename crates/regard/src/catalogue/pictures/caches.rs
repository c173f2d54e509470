//! Pictures of what decoders keep: which positions of a text each step still looks at.

use burn::tensor::{Device, Tensor};
use regard_kernel::Attention;

use super::scene::{TEXT, measured, on_one_scale, read, topics};
use super::{Draw, Panel, Picture};
use crate::cache::{CacheConfig, Next};
use crate::error::Result;

pub(super) const PICTURES: &[(&str, Draw)] = &[
    ("ContiguousCache", || picture("Every step looks at all that came before.", vec![weights("full")?])),
    ("RoundedCache", rounded),
    ("PagedCache", || {
        let caption = "The same weights as with a ContiguousCache: only where keys and values lie is different.";
        Ok(Picture { caption: caption.to_owned(), panels: Vec::new() })
    }),
    ("RingCache", || {
        picture(
            "Four sinks and a window of 12: what leaves the window is gone, and the sinks are not.",
            vec![weights("ring:4+12")?, weights("full")?],
        )
    }),
    ("HeavyHitters", || {
        picture(
            "Room for 16 positions: a column ends where another position had received more.",
            vec![weights("h2o:8+8")?, weights("full")?],
        )
    }),
    ("Compressive", || {
        picture(
            "Room for 16: the last ones as they are, and six means of four each, which are looked at as one.",
            vec![weights("compressive:6x4+10")?, weights("full")?],
        )
    }),
];

const LENGTH: usize = 48;

fn picture(caption: &str, panels: Vec<Panel>) -> Result<Picture> {
    Ok(Picture { caption: format!("{caption} {TEXT}"), panels: on_one_scale(panels) })
}

fn map(title: &str, quantity: &str, values: Vec<f32>) -> Panel {
    measured(title, quantity, ("step", LENGTH), ("position", LENGTH), values)
}

/// What each step's context is made of: every mix is linear in the values, so it is what becomes of the identity.
fn looked_at(cache: &str) -> Result<Vec<f32>> {
    let text = topics(LENGTH).tensor();
    let identity = Tensor::<2>::eye(LENGTH, &Device::default()).reshape([1, 1, LENGTH, LENGTH]);
    let mut cache = cache.parse::<CacheConfig>()?.init()?;
    let (mut steps, attention) = (Vec::new(), Attention::default());
    for step in 0..LENGTH {
        let row = |of: &Tensor<4>| of.clone().narrow(2, step, 1);
        let (queries, keys, values) = (row(&text), row(&text), row(&identity));
        steps.extend(read(cache.attend(Next { queries, keys, values, rotary: None, attention: &attention })?)?);
    }
    Ok(steps)
}

fn weights(cache: &str) -> Result<Panel> {
    Ok(map(cache, "attention weight", looked_at(cache)?))
}

fn rounded() -> Result<Picture> {
    let full = looked_at("full")?;
    let panel = |cache: &str| -> Result<Panel> {
        let moved = looked_at(cache)?.iter().zip(&full).map(|(rounded, exact)| (rounded - exact).abs()).collect();
        Ok(map(cache, "weight moved", moved))
    };
    picture(
        "How far rounding moves each weight: brain floats and bytes, on one scale.",
        vec![panel("bf16")?, panel("int8")?],
    )
}
