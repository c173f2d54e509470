//! Mechanisms that take split heads: `q`, `k` and `v` are `[batch, head, position, feature]`.
use super::{OfHeads, Outcome};
use burn::tensor::Tensor;

pub const ALL: &[OfHeads] = &[
    ("Exact", exact),
    ("Linear", linear),
    ("Performer", performer),
    ("Linformer", linformer),
    ("Nystrom", nystrom),
    ("Lsh", lsh),
    ("Hybrid", hybrid),
    ("Axial", axial),
    ("HardLocal", hard_local),
];

/// Exact
fn exact([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::catalogue::{Setting, mechanisms};
    use regard::{Attention, Causal, ops};

    // The operation itself, forward and backward, with any nouns:
    let exact = ops::attend(q.clone(), k.clone(), v.clone(), &Attention::default().mask(Causal::default()))?;
    assert_eq!(exact.context.dims(), [1, 4, 64, 16]);
    // or behind the trait that all mechanisms share, by name:
    let setting = Setting { heads: 4, head_dim: 16, length: 64, causal: true, seed: 1, device: q.device() };
    let entry = mechanisms().into_iter().find(|entry| entry.name == "Exact").expect("it is listed");
    let mechanism = (entry.build)(&setting)?;
    let mixed = mechanism.mix(q, k, v)?;
    assert_eq!(mixed.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Linear
fn linear([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::Mechanism;
    use regard::linear::Linear;

    let mechanism = Linear::causal();
    let mixed = mechanism.mix(q, k, v)?;
    assert_eq!(mixed.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Performer
fn performer([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::Mechanism;
    use regard::linear::PerformerConfig;

    let mechanism = PerformerConfig::new(16).with_causal(true).init(&q.device())?;
    let mixed = mechanism.mix(q, k, v)?;
    assert_eq!(mixed.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Linformer
fn linformer([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::Mechanism;
    use regard::linear::LinformerConfig;

    // Up to 64 keys become 8.
    let mechanism = LinformerConfig::new(64).with_rank(8).init(&q.device())?;
    let mixed = mechanism.mix(q, k, v)?;
    assert_eq!(mixed.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Nystrom
fn nystrom([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::Mechanism;
    use regard::linear::NystromConfig;

    // 4 heads; the landmarks divide the length.
    let mechanism = NystromConfig::new(4).with_landmarks(16).init(&q.device())?;
    let mixed = mechanism.mix(q, k, v)?;
    assert_eq!(mixed.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Lsh
fn lsh([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::Mechanism;
    use regard::sparse::LshConfig;

    let mechanism = LshConfig::new().with_bucket(8).with_rounds(4).init()?;
    let mixed = mechanism.mix(q, k, v)?;
    assert_eq!(mixed.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Hybrid
fn hybrid([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::Mechanism;
    use regard::sparse::HybridConfig;

    let mechanism = HybridConfig::new().with_block(8).with_keep(2).with_causal(true).init()?;
    let mixed = mechanism.mix(q, k, v)?;
    assert_eq!(mixed.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Axial
fn axial([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::Mechanism;
    use regard::sparse::Axial;

    // 64 positions as a grid of 8 rows and 8 columns.
    let mechanism = Axial::new(8, 8)?;
    let mixed = mechanism.mix(q, k, v)?;
    assert_eq!(mixed.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// HardLocal
fn hard_local([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::Mechanism;
    use regard::hard::HardLocalConfig;

    let mechanism = HardLocalConfig::new(16).with_reach(10).init(&q.device())?;
    let mixed = mechanism.mix(q, k, v)?;
    assert_eq!(mixed.dims(), [1, 4, 64, 16]);
    Ok(())
}
