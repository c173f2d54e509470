//! Caches of a layer that decodes: `x` is `[batch, position, feature]`.
use super::Outcome;
use burn::tensor::Tensor;

pub const ALL: &[(&str, fn(Tensor<3>) -> Outcome)] = &[
    ("ContiguousCache", contiguous_cache),
    ("RoundedCache", rounded_cache),
    ("PagedCache", paged_cache),
    ("RingCache", ring_cache),
    ("HeavyHitters", heavy_hitters),
    ("Compressive", compressive),
];

/// ContiguousCache
fn contiguous_cache(x: Tensor<3>) -> Outcome {
    use regard::attention::MultiHeadAttentionConfig;
    use regard::{Attention, Causal};

    let layer = MultiHeadAttentionConfig::new(32, 4).init(&x.device())?;
    let causal = Attention::default().mask(Causal::default());
    let mut cache = None;
    layer.decode(x.clone(), &mut cache, &causal)?;
    // One position more looks at 65.
    let output = layer.decode(x.narrow(1, 0, 1), &mut cache, &causal)?;
    assert_eq!((output.dims(), cache.map(|cache| cache.len())), ([1, 1, 32], Some(65)));
    Ok(())
}

/// RoundedCache
fn rounded_cache(x: Tensor<3>) -> Outcome {
    use regard::attention::MultiHeadAttentionConfig;
    use regard::cache::{Policy, Rounded};
    use regard::{Attention, Causal, Precision};

    let layer = MultiHeadAttentionConfig::new(32, 4).init(&x.device())?;
    let mut cache = Rounded::new(Precision::I8);
    let output = layer.decode(x, &mut cache, &Attention::default().mask(Causal::default()))?;
    assert_eq!((output.dims(), cache.held()), ([1, 64, 32], 64));
    Ok(())
}

/// PagedCache
fn paged_cache(x: Tensor<3>) -> Outcome {
    use regard::attention::MultiHeadAttentionConfig;
    use regard::cache::{Paged, Policy};
    use regard::{Attention, Causal};

    let layer = MultiHeadAttentionConfig::new(32, 4).init(&x.device())?;
    let mut cache = Paged::new(256)?;
    let output = layer.decode(x, &mut cache, &Attention::default().mask(Causal::default()))?;
    assert_eq!((output.dims(), cache.held()), ([1, 64, 32], 64));
    Ok(())
}

/// RingCache
fn ring_cache(x: Tensor<3>) -> Outcome {
    use regard::attention::MultiHeadAttentionConfig;
    use regard::cache::{Policy, Ring};
    use regard::{Attention, Causal};

    // The first 4 positions stay, and a window of 16 slides.
    let layer = MultiHeadAttentionConfig::new(32, 4).init(&x.device())?;
    let mut cache = Ring::new(4, 16)?;
    let output = layer.decode(x, &mut cache, &Attention::default().mask(Causal::default()))?;
    assert_eq!((output.dims(), cache.held()), ([1, 64, 32], 20));
    Ok(())
}

/// HeavyHitters
fn heavy_hitters(x: Tensor<3>) -> Outcome {
    use regard::attention::MultiHeadAttentionConfig;
    use regard::cache::{HeavyHitters, Policy};
    use regard::{Attention, Causal};

    let layer = MultiHeadAttentionConfig::new(32, 4).init(&x.device())?;
    let mut cache = HeavyHitters::new(8, 8)?;
    let output = layer.decode(x, &mut cache, &Attention::default().mask(Causal::default()))?;
    assert_eq!((output.dims(), cache.held()), ([1, 64, 32], 16));
    Ok(())
}

/// Compressive
fn compressive(x: Tensor<3>) -> Outcome {
    use regard::attention::MultiHeadAttentionConfig;
    use regard::cache::{Compressive, Policy};
    use regard::{Attention, Causal};

    // 4 means of 4 positions each, and the last 12 as they are.
    let layer = MultiHeadAttentionConfig::new(32, 4).init(&x.device())?;
    let mut cache = Compressive::new(4, 4, 12)?;
    let output = layer.decode(x, &mut cache, &Attention::default().mask(Causal::default()))?;
    assert!(output.dims() == [1, 64, 32] && cache.held() <= 16);
    Ok(())
}
