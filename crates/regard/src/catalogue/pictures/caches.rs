//! Pictures of caches: a text read a position at a time, and what each position could look back at.

use burn::tensor::{Device, Tensor};
use regard_kernel::{Attention, Causal, Precision};

use super::scene::{Rows, TEXT, measured, on_one_scale, read, topics};
use super::{Draw, Picture};
use crate::cache::{CacheConfig, Next};
use crate::error::Result;

pub(super) const PICTURES: &[(&str, Draw)] = &[
    ("ContiguousCache", || {
        let shown = through(CacheConfig::Contiguous)?;
        picture(
            "All that came before is held, and each position looks at it as if the text were read at once.",
            "everything",
            shown,
        )
    }),
    ("RoundedCache", rounded),
    ("PagedCache", || {
        let caption = "There is nothing to draw: where positions lie changes nothing of what is seen; the weights are those of \
                       ContiguousCache.";
        Ok(Picture { caption: caption.to_owned(), panels: Vec::new() })
    }),
    ("RingCache", || {
        let shown = through(CacheConfig::Ring { sinks: 2, window: 10 })?;
        picture("The first two positions stay, and the last ten.", "2 sinks, window of 10", shown)
    }),
    ("HeavyHitters", || {
        let shown = through(CacheConfig::HeavyHitters { heavy: 6, recent: 6 })?;
        picture(
            "Columns that go on are positions that were looked at much, and stay; six of them, and the last six.",
            "6 heavy, 6 recent",
            shown,
        )
    }),
    ("Compressive", || {
        let shown = through(CacheConfig::Compressive { memory: 6, rate: 4, recent: 8 })?;
        picture(
            "The last eight as they are; what is older is looked at in means of four, until their six places are taken.",
            "6 means of 4, 8 recent",
            shown,
        )
    }),
];

const LENGTH: usize = 48;

/// The weights of each position on the positions of the text. Values that are 1 in a place of their own tell them, also
/// where a cache has made one of several.
fn through(config: CacheConfig) -> Result<Vec<f32>> {
    let text = topics(LENGTH);
    let places = Tensor::<2>::eye(LENGTH, &Device::default()).reshape([1, 1, LENGTH, LENGTH]);
    let causal = Attention::default().mask(Causal::default());
    let mut cache = config.init()?;
    let mut weights = Vec::new();
    for position in 0..LENGTH {
        let one = Rows::new(vec![text.tokens[position].clone()], text.row(position).to_vec()).tensor();
        let values = places.clone().narrow(2, position, 1);
        let next = Next { queries: one.clone(), keys: one, values, rotary: None, attention: &causal };
        weights.extend(read(cache.attend(next)?)?);
    }
    Ok(weights)
}

/// What a cache sees, beside all there was.
fn picture(caption: &str, title: &str, shown: Vec<f32>) -> Result<Picture> {
    let map = |title, weights| measured(title, "weight", ("step", LENGTH), ("position", LENGTH), weights);
    let panels = if title == "everything" {
        vec![map(title, shown)]
    } else {
        vec![map(title, shown), map("everything", through(CacheConfig::Contiguous)?)]
    };
    Ok(Picture { caption: format!("{caption} {TEXT}"), panels: on_one_scale(panels) })
}

fn rounded() -> Result<Picture> {
    let exact = through(CacheConfig::Contiguous)?;
    let differ = |precision| -> Result<Vec<f32>> {
        let rounded = through(CacheConfig::Rounded(precision))?;
        Ok(rounded.iter().zip(&exact).map(|(a, b)| 1000.0 * (a - b).abs()).collect())
    };
    let map = |title, values| measured(title, "thousandths of weight", ("step", LENGTH), ("position", LENGTH), values);
    let panels = vec![map("int8", differ(Precision::I8)?), map("bf16", differ(Precision::BF16)?)];
    let caption = "How far weights are from those of unrounded keys, in thousandths.";
    Ok(Picture { caption: format!("{caption} {TEXT}"), panels: on_one_scale(panels) })
}
