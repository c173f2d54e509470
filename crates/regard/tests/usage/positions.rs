//! Positions: `q`, `k` and `v` are `[batch, head, position, feature]`.
use super::{OfHeads, Outcome};
use burn::tensor::Tensor;

pub const ALL: &[OfHeads] = &[
    ("Sinusoidal", sinusoidal),
    ("Learned", learned),
    ("Rotary", rotary),
    ("Relative", relative),
    ("TransformerXl", transformer_xl),
];

/// Sinusoidal
fn sinusoidal([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::position::sinusoidal;

    // 64 positions of 16 features, added to embeddings.
    let positions = sinusoidal(0, 64, 16, &q.device());
    let [q, k] = [q, k].map(|x| x + positions.clone().unsqueeze());
    assert_eq!([q.dims(), k.dims()], [v.dims(); 2]);
    Ok(())
}

/// Learned
fn learned([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::position::LearnedPositionsConfig;

    // Room for 512 positions of 16 features.
    let layer = LearnedPositionsConfig::new(512, 16).init(&q.device());
    let positions = layer.forward(0, 64)?;
    let [q, k] = [q, k].map(|x| x + positions.clone().unsqueeze());
    assert_eq!([q.dims(), k.dims()], [v.dims(); 2]);
    Ok(())
}

/// Rotary
fn rotary([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::position::RotaryConfig;
    use regard::{Attention, Causal, ops};

    let rotary = RotaryConfig::new(16).init()?;
    let (q, k) = (rotary.forward(q, 0)?, rotary.forward(k, 0)?);
    let context = ops::attend(q, k, v, &Attention::default().mask(Causal::default()))?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Relative
fn relative([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::Attention;
    use regard::position::RelativePositionsConfig;

    let layer = RelativePositionsConfig::new(16).with_reach(8).init(&q.device())?;
    let (context, look) = layer.forward(q, k, v, &Attention::default())?;
    assert_eq!((context.dims(), look.weights()?.dims()), ([1, 4, 64, 16], [1, 4, 64, 64]));
    Ok(())
}

/// TransformerXl
fn transformer_xl([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::position::TransformerXlPositionsConfig;
    use regard::{Attention, Causal};

    let layer = TransformerXlPositionsConfig::new(4, 16).init(&q.device())?;
    let (context, look) = layer.forward(q, k, v, &Attention::default().mask(Causal::default()))?;
    assert_eq!((context.dims(), look.weights()?.dims()), ([1, 4, 64, 16], [1, 4, 64, 64]));
    Ok(())
}
