//! Memory: `x` is `[batch, position, feature]`.
use super::{OfPositions, Outcome};
use burn::tensor::Tensor;

pub const ALL: &[OfPositions] = &[
    ("EmaDistribution", ema_distribution),
    ("Hopfield", hopfield),
    ("KeyValueMemory", key_value_memory),
    ("LstmAttention", lstm_attention),
    ("MegaEma", mega_ema),
    ("NtmMemory", ntm_memory),
];

/// EmaDistribution
fn ema_distribution(x: Tensor<3>) -> Outcome {
    use regard::memory::EmaDistributionConfig;

    // Scores of 64 steps, each over 32 keys.
    let layer = EmaDistributionConfig::new().with_decay(0.9).init(&x.device())?;
    let weights = layer.forward(x, None)?;
    assert_eq!(weights.dims(), [1, 64, 32]);
    Ok(())
}

/// Hopfield
fn hopfield(x: Tensor<3>) -> Outcome {
    use regard::Padding;
    use regard::memory::{HopfieldConfig, retrieve};

    // The bare update: β = 2, three steps.
    let (states, _) = retrieve(x.clone(), x.clone(), 2.0, 3, Padding::new([64]))?;
    assert_eq!(states.dims(), [1, 64, 32]);
    // A layer with learned projections.
    let layer = HopfieldConfig::new(32, 32, 16, 32).init(&x.device())?;
    let (output, look) = layer.forward(x.clone(), x, Padding::new([64]))?;
    assert_eq!((output.dims(), look.weights()?.dims()), ([1, 64, 32], [1, 1, 64, 64]));
    Ok(())
}

/// KeyValueMemory
fn key_value_memory(x: Tensor<3>) -> Outcome {
    use regard::Padding;
    use regard::memory::KeyValueMemoryConfig;

    // Here questions, keys and values are the same vectors.
    let layer = KeyValueMemoryConfig::new(32, 16).with_hops(2).init(&x.device())?;
    let answer = layer.forward(x.clone(), x.clone(), x, Padding::new([64]))?;
    assert_eq!((answer.state.dims(), answer.looks.len()), ([1, 64, 16], 2));
    Ok(())
}

/// LstmAttention
fn lstm_attention(x: Tensor<3>) -> Outcome {
    use regard::Padding;
    use regard::memory::LstmAttentionConfig;

    let layer = LstmAttentionConfig::new(32, 16).init(&x.device())?;
    let (states, last, looks) = layer.forward(x, 5, None, Padding::new([64]))?;
    assert_eq!((states.dims(), last.hidden.dims(), looks.len()), ([1, 5, 16], [1, 16], 5));
    Ok(())
}

/// MegaEma
fn mega_ema(x: Tensor<3>) -> Outcome {
    use regard::memory::MegaEmaConfig;
    use regard::{Attention, Causal};

    let layer = MegaEmaConfig::new(32).with_shared_width(16).init(&x.device())?;
    let (output, look) = layer.forward(x, &Attention::default().mask(Causal::default()))?;
    assert_eq!((output.dims(), look.weights()?.dims()), ([1, 64, 32], [1, 1, 64, 64]));
    Ok(())
}

/// NtmMemory
fn ntm_memory(x: Tensor<3>) -> Outcome {
    use regard::memory::NtmMemoryConfig;

    // A controller of 32 features, 16 slots of 8.
    let layer = NtmMemoryConfig::new(32).with_slots(16).with_width(8).init(&x.device())?;
    let mut state = layer.start(1, &x.device());
    for step in 0..3 {
        let controller = x.clone().narrow(1, step, 1).squeeze_dim::<2>(1);
        let (read, after) = layer.step(controller, state)?;
        assert_eq!(read.dims(), [1, 8]);
        state = after;
    }
    Ok(())
}
