//! Probes: `q`, `k` and `v` are `[batch, head, position, feature]`.
use super::{OfHeads, Outcome};
use burn::tensor::Tensor;

pub const ALL: &[OfHeads] =
    &[("Weights", weights), ("Entropy", entropy), ("TopKeys", top_keys), ("Received", received), ("Pyramid", pyramid)];

/// Weights
fn weights([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::attention::Look;
    use regard::probe::Weights;
    use regard::{Attention, ops};

    let attention = Attention::default();
    let attended = ops::attend(q.clone(), k.clone(), v, &attention)?;
    let look = Look { queries: q, keys: k, lse: attended.lse, attention };
    let mut probe = Weights::new();
    look.observe(&mut [&mut probe])?;
    assert_eq!(probe.shape(), [1, 4, 64, 64]);
    Ok(())
}

/// Entropy
fn entropy([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::attention::Look;
    use regard::probe::Entropy;
    use regard::{Attention, ops};

    let attention = Attention::default();
    let attended = ops::attend(q.clone(), k.clone(), v, &attention)?;
    let look = Look { queries: q, keys: k, lse: attended.lse, attention };
    let mut probe = Entropy::new();
    look.observe(&mut [&mut probe])?;
    assert_eq!(probe.values().len(), 4 * 64);
    Ok(())
}

/// TopKeys
fn top_keys([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::attention::Look;
    use regard::probe::TopKeys;
    use regard::{Attention, ops};

    let attention = Attention::default();
    let attended = ops::attend(q.clone(), k.clone(), v, &attention)?;
    let look = Look { queries: q, keys: k, lse: attended.lse, attention };
    let mut probe = TopKeys::new(8);
    look.observe(&mut [&mut probe])?;
    let strongest = probe.get(0, 0, 63)[0];
    assert!(strongest.key < 64 && strongest.weight > 0.0);
    Ok(())
}

/// Received
fn received([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::attention::Look;
    use regard::probe::Received;
    use regard::{Attention, ops};

    let attention = Attention::default();
    let attended = ops::attend(q.clone(), k.clone(), v, &attention)?;
    let look = Look { queries: q, keys: k, lse: attended.lse, attention };
    let mut probe = Received::new();
    look.observe(&mut [&mut probe])?;
    assert_eq!(probe.values().len(), 4 * 64);
    Ok(())
}

/// Pyramid
fn pyramid([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::attention::Look;
    use regard::probe::Pyramid;
    use regard::{Attention, ops};

    let attention = Attention::default();
    let attended = ops::attend(q.clone(), k.clone(), v, &attention)?;
    let look = Look { queries: q, keys: k, lse: attended.lse, attention };
    let mut probe = Pyramid::new(16)?;
    look.observe(&mut [&mut probe])?;
    assert_eq!((probe.shape(), probe.mean().len()), ([1, 4, 16, 16], 4 * 16 * 16));
    Ok(())
}
