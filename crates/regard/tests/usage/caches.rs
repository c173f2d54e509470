//! Caches take in the next positions and let them look back: `q`, `k` and `v` are `[batch, head, position, feature]`.

use burn::tensor::Tensor;

use super::{OfHeads, Outcome};

pub const ALL: &[OfHeads] = &[
    ("ContiguousCache", contiguous_cache),
    ("RoundedCache", rounded_cache),
    ("PagedCache", paged_cache),
    ("RingCache", ring_cache),
    ("HeavyHitters", heavy_hitters),
    ("Compressive", compressive),
];

/// ContiguousCache
fn contiguous_cache([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::attention::Cache;
    use regard::cache::{Next, Policy};
    use regard::{Attention, Causal};

    let mut cache = None::<Cache>;
    let attention = Attention::default().mask(Causal::default());
    for step in 0..64 {
        let [queries, keys, values] = [&q, &k, &v].map(|x| x.clone().narrow(2, step, 1));
        let context = cache.attend(Next { queries, keys, values, rotary: None, attention: &attention })?;
        assert_eq!(context.dims(), [1, 4, 1, 16]);
    }
    Ok(())
}

/// RoundedCache
fn rounded_cache([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::cache::{Next, Policy, Rounded};
    use regard::{Attention, Causal, Precision};

    // Bytes, with a scale for each row.
    let mut cache = Rounded::new(Precision::I8);
    let attention = Attention::default().mask(Causal::default());
    for step in 0..64 {
        let [queries, keys, values] = [&q, &k, &v].map(|x| x.clone().narrow(2, step, 1));
        let context = cache.attend(Next { queries, keys, values, rotary: None, attention: &attention })?;
        assert_eq!(context.dims(), [1, 4, 1, 16]);
    }
    Ok(())
}

/// PagedCache
fn paged_cache([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::cache::{Next, Paged, Policy};
    use regard::{Attention, Causal};

    // Pages of 64 positions.
    let mut cache = Paged::new(64)?;
    let attention = Attention::default().mask(Causal::default());
    for step in 0..64 {
        let [queries, keys, values] = [&q, &k, &v].map(|x| x.clone().narrow(2, step, 1));
        let context = cache.attend(Next { queries, keys, values, rotary: None, attention: &attention })?;
        assert_eq!(context.dims(), [1, 4, 1, 16]);
    }
    Ok(())
}

/// RingCache
fn ring_cache([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::cache::{Next, Policy, Ring};
    use regard::{Attention, Causal};

    // The first 4 positions and the last 16.
    let mut cache = Ring::new(4, 16)?;
    let attention = Attention::default().mask(Causal::default());
    for step in 0..64 {
        let [queries, keys, values] = [&q, &k, &v].map(|x| x.clone().narrow(2, step, 1));
        let context = cache.attend(Next { queries, keys, values, rotary: None, attention: &attention })?;
        assert_eq!(context.dims(), [1, 4, 1, 16]);
    }
    Ok(())
}

/// HeavyHitters
fn heavy_hitters([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::cache::{HeavyHitters, Next, Policy};
    use regard::{Attention, Causal};

    // The 8 positions that were looked at most, and the last 8.
    let mut cache = HeavyHitters::new(8, 8)?;
    let attention = Attention::default().mask(Causal::default());
    for step in 0..64 {
        let [queries, keys, values] = [&q, &k, &v].map(|x| x.clone().narrow(2, step, 1));
        let context = cache.attend(Next { queries, keys, values, rotary: None, attention: &attention })?;
        assert_eq!(context.dims(), [1, 4, 1, 16]);
    }
    Ok(())
}

/// Compressive
fn compressive([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::cache::{Compressive, Next, Policy};
    use regard::{Attention, Causal};

    // 4 means of 4 positions each, and the last 8 as they are.
    let mut cache = Compressive::new(4, 4, 8)?;
    let attention = Attention::default().mask(Causal::default());
    for step in 0..64 {
        let [queries, keys, values] = [&q, &k, &v].map(|x| x.clone().narrow(2, step, 1));
        let context = cache.attend(Next { queries, keys, values, rotary: None, attention: &attention })?;
        assert_eq!(context.dims(), [1, 4, 1, 16]);
    }
    Ok(())
}
