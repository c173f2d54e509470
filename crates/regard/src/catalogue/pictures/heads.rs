//! Pictures of heads.

use burn::tensor::Device;
use regard_kernel::Attention;

use super::scene::{SENTENCE, attended, read, same, set, words};
use super::{Draw, Picture};
use crate::attention::MultiHeadAttentionConfig;
use crate::error::Result;
use crate::noise::Mode;

pub(super) const PICTURES: &[(&str, Draw)] = &[("MultiHead", multi_head)];

/// Projections that leave everything where it is: each head gets a third of the features, and those tell different things.
fn multi_head() -> Result<Picture> {
    let words = words();
    let mut layer = MultiHeadAttentionConfig::new(words.width, 3).init(&Device::default())?;
    for projection in [&mut layer.query, &mut layer.key] {
        set(projection, |from, to| 1.2 * same(from, to));
    }
    let input = words.tensor().squeeze_dim::<3>(1);
    let look = layer.forward(input.clone(), input, &Attention::default(), Mode::Evaluate)?.look;
    let weights = read(look.weights()?)?;
    let heads =
        weights.chunks(words.len() * words.len()).zip(["head 1: which word", "head 2: which kind", "head 3: where"]);
    let panels = heads.map(|(map, title)| attended(title, &words, &words, map.to_vec())).collect();
    let caption = "The projections are the identity, so that each head sees another third of the features.";
    Ok(Picture { caption: format!("{caption} {SENTENCE}"), panels })
}
