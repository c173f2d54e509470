//! Layers: `x` is `[batch, position, feature]`.
use super::{OfPositions, Outcome};
use burn::tensor::Tensor;

pub const ALL: &[OfPositions] = &[
    ("Additive", additive),
    ("Bilinear", bilinear),
    ("LocationAware", location_aware),
    ("MultiHead", multi_head),
    ("Longformer", longformer),
    ("GroupedQuery", grouped_query),
    ("GatedOutput", gated_output),
    ("QueryKeyNorm", query_key_norm),
    ("TalkingHeads", talking_heads),
    ("Mla", mla),
];

/// Additive
fn additive(x: Tensor<3>) -> Outcome {
    use regard::Padding;
    use regard::attention::AdditiveAttentionConfig;

    // Queries and memory of 32 features, a hidden layer of 24.
    let layer = AdditiveAttentionConfig::new(32, 32, 24).init(&x.device());
    let projected = layer.project(x.clone());
    let (context, look) = layer.forward(x.clone(), projected, x, Padding::new([64]))?;
    assert_eq!((context.dims(), look.weights()?.dims()), ([1, 64, 32], [1, 1, 64, 64]));
    Ok(())
}

/// Bilinear
fn bilinear(x: Tensor<3>) -> Outcome {
    use regard::Padding;
    use regard::attention::GeneralAttentionConfig;

    let layer = GeneralAttentionConfig::new(32, 32).init(&x.device());
    let projected = layer.project(x.clone());
    let (context, look) = layer.forward(x.clone(), projected, x, Padding::new([64]))?;
    assert_eq!((context.dims(), look.weights()?.dims()), ([1, 64, 32], [1, 1, 64, 64]));
    Ok(())
}

/// LocationAware
fn location_aware(x: Tensor<3>) -> Outcome {
    use regard::memory::LocationAwareConfig;

    let layer = LocationAwareConfig::new(32, 32, 24).with_filters(4).with_reach(5).init(&x.device())?;
    let projected = layer.project(x.clone());
    let mut weights = None;
    for step in 0..3 {
        let query = x.clone().narrow(1, step, 1).squeeze_dim::<2>(1);
        let (context, looked) = layer.forward(query, projected.clone(), x.clone(), weights, None)?;
        assert_eq!(context.dims(), [1, 32]);
        weights = Some(looked);
    }
    Ok(())
}

/// MultiHead
fn multi_head(x: Tensor<3>) -> Outcome {
    use regard::attention::MultiHeadAttentionConfig;
    use regard::{Attention, Causal, Mode};

    // 8 query heads share 2 heads of keys and values.
    let layer = MultiHeadAttentionConfig::new(32, 8).with_key_heads(Some(2)).init(&x.device())?;
    let causal = Attention::default().mask(Causal::default());
    let out = layer.forward(x.clone(), x, &causal, Mode::Evaluate)?;
    assert_eq!((out.output.dims(), out.look.weights()?.dims()), ([1, 64, 32], [1, 8, 64, 64]));
    Ok(())
}

/// Longformer
fn longformer(x: Tensor<3>) -> Outcome {
    use regard::sparse::LongformerConfig;

    // 4 heads, 8 positions to each side; the first position is global.
    let layer = LongformerConfig::new(32, 4).with_window(8).init(&x.device())?;
    let out = layer.forward(x, &[0], None)?;
    assert_eq!((out.output.dims(), out.look()?.weights()?.dims()), ([1, 64, 32], [1, 4, 64, 64]));
    Ok(())
}

/// GroupedQuery
fn grouped_query(x: Tensor<3>) -> Outcome {
    use regard::attention::MultiHeadAttentionConfig;
    use regard::{Attention, Causal, Mode};

    // 8 query heads over one head of keys and values; 4 query heads a key head with `Some(2)`.
    let layer = MultiHeadAttentionConfig::new(32, 8).with_key_heads(Some(1)).init(&x.device())?;
    let causal = Attention::default().mask(Causal::default());
    let out = layer.forward(x.clone(), x, &causal, Mode::Evaluate)?;
    assert_eq!((out.output.dims(), out.look.weights()?.dims()), ([1, 64, 32], [1, 8, 64, 64]));
    Ok(())
}

/// GatedOutput
fn gated_output(x: Tensor<3>) -> Outcome {
    use regard::attention::MultiHeadAttentionConfig;
    use regard::{Attention, Mode};

    let layer = MultiHeadAttentionConfig::new(32, 4).with_gate(true).init(&x.device())?;
    let out = layer.forward(x.clone(), x, &Attention::default(), Mode::Evaluate)?;
    assert_eq!(out.output.dims(), [1, 64, 32]);
    Ok(())
}

/// QueryKeyNorm
fn query_key_norm(x: Tensor<3>) -> Outcome {
    use regard::attention::{MultiHeadAttentionConfig, QueryKeyNorm};
    use regard::{Attention, Mode};

    let config = MultiHeadAttentionConfig::new(32, 4).with_query_key_norm(Some(QueryKeyNorm::Rms));
    let out = config.init(&x.device())?.forward(x.clone(), x, &Attention::default(), Mode::Evaluate)?;
    assert_eq!(out.output.dims(), [1, 64, 32]);
    Ok(())
}

/// TalkingHeads
fn talking_heads(x: Tensor<3>) -> Outcome {
    use regard::attention::TalkingHeadsConfig;
    use regard::{Attention, Mode};

    let layer = TalkingHeadsConfig::new(32, 4).init(&x.device())?;
    let out = layer.forward(x.clone(), x, &Attention::default(), Mode::Evaluate)?;
    assert_eq!((out.output.dims(), out.look.weights()?.dims()), ([1, 64, 32], [1, 4, 64, 64]));
    Ok(())
}

/// Mla
fn mla(x: Tensor<3>) -> Outcome {
    use regard::attention::LatentAttentionConfig;
    use regard::{Attention, Causal, Mode};

    let layer = LatentAttentionConfig::new(32, 4).init(&x.device())?;
    let causal = Attention::default().mask(Causal::default());
    let out = layer.forward(x.clone(), &causal, Mode::Evaluate)?;
    assert_eq!(out.output.dims(), [1, 64, 32]);
    // A step at a time, with a cache of short vectors.
    let mut cache = None;
    for step in 0..3 {
        layer.decode(x.clone().narrow(1, step, 1), &mut cache, &causal)?;
    }
    Ok(())
}
