//! Layers: `x` is `[batch, position, feature]`.
use super::Outcome;
use burn::tensor::Tensor;

pub const ALL: &[(&str, fn(Tensor<3>) -> Outcome)] = &[
    ("Additive", additive),
    ("Bilinear", bilinear),
    ("LocationAware", location_aware),
    ("MultiHead", multi_head),
    ("Longformer", longformer),
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
    let output = layer.forward(x, &[0])?;
    assert_eq!(output.dims(), [1, 64, 32]);
    Ok(())
}
