//! Scores, biases, masks and normalizers: `q`, `k` and `v` are `[batch, head, position, feature]`.
use super::{OfHeads, Outcome};
use burn::tensor::Tensor;

pub const ALL: &[OfHeads] = &[
    ("Dot", dot),
    ("ScaledDot", scaled_dot),
    ("Cosine", cosine),
    ("Distance", distance),
    ("Trilinear", trilinear),
    ("DenseBias", dense_bias),
    ("Alibi", alibi),
    ("RelativeBuckets", relative_buckets),
    ("SoftCap", soft_cap),
    ("Causal", causal),
    ("Window", window),
    ("Dilated", dilated),
    ("Global", global),
    ("Prefix", prefix),
    ("Blocks", blocks),
    ("BigBird", big_bird),
    ("Padding", padding),
    ("Documents", documents),
    ("DenseMask", dense_mask),
    ("Softmax", softmax),
    ("Sigmoid", sigmoid),
    ("Sparsemax", sparsemax),
    ("Entmax15", entmax15),
    ("Entmax", entmax),
    ("TopK", top_k),
    ("Hard", hard),
    ("Gumbel", gumbel),
    ("Sampled", sampled),
];

/// Dot
fn dot([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, Dot, ops};

    let attention = Attention::new(Dot);
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// ScaledDot
fn scaled_dot([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, ScaledDot, ops};

    let attention = Attention::new(ScaledDot::default());
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Cosine
fn cosine([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, Cosine, ops};

    let attention = Attention::new(Cosine::new([10.0]));
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Distance
fn distance([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, Distance, ops};

    let attention = Attention::new(Distance::default());
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Trilinear
fn trilinear([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::View;
    use regard::trilinear::{Side, Trilinear};

    // In the kernel, on slices: each query sees pairs of the last 8 keys of one kind and the last 4 of the other.
    let [q, k, v] = [q, k, v].map(|x| x.into_data().try_into_vec::<f32>().expect("f32"));
    let shape = [1, 4, 64, 16];
    let side = Side { keys: View::new(&k, shape)?, values: View::new(&v, shape)? };
    let trilinear = Trilinear::default().windows(8, 4)?;
    let context = trilinear.forward(&View::new(&q, shape)?, &side, &side)?.context;
    assert_eq!(context.len(), 4 * 64 * 16);
    Ok(())
}

/// DenseBias
fn dense_bias([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, DenseBias, ops};

    // One number for each pair, the same in all batches and heads.
    let numbers: Vec<f32> = (0..64 * 64).map(|at| -((at / 64) as f32 - (at % 64) as f32).abs()).collect();
    let attention = Attention::default().bias(DenseBias::new(numbers, [1, 1, 64, 64])?);
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Alibi
fn alibi([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Alibi, Attention, Causal, ops};

    let attention = Attention::default().mask(Causal::default()).bias(Alibi::new(4));
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// RelativeBuckets
fn relative_buckets([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, RelativeBuckets, ops};

    // A table of 32 buckets for each of 4 heads, both directions, distances up to 128.
    let table = vec![0.0; 32 * 4];
    let attention = Attention::default().bias(RelativeBuckets::new(table, 4, true, 128)?);
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// SoftCap
fn soft_cap([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, SoftCap, ops};

    let attention = Attention::default().bias(SoftCap::new(50.0)?);
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Causal
fn causal([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, Causal, ops};

    let attention = Attention::default().mask(Causal::default());
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Window
fn window([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, Window, ops};

    // Itself and 15 keys before, none ahead.
    let attention = Attention::default().mask(Window::new(Some(15), Some(0)));
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Dilated
fn dilated([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, Dilated, ops};

    // Four keys to each side, every third one.
    let attention = Attention::default().mask(Dilated::new(Some(4), Some(4), 3)?);
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Global
fn global([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, Global, Window, ops};

    let attention = Attention::default().mask(Window::new(Some(8), Some(8)) | Global::new([0]));
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Prefix
fn prefix([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, Causal, Prefix, ops};

    // The first 20 positions are the prompt.
    let attention = Attention::default().mask(Causal::default() | Prefix::new([20]));
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Blocks
fn blocks([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, Blocks, ops};

    // Any rule over batch, head, query and key; a size of 1 means: the same for all.
    let mask = Blocks::new([1, 1, 64, 64], |_, _, i, j| j <= i && (i - j < 8 || j % 8 == 7))?;
    let attention = Attention::default().mask(mask);
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// BigBird
fn big_bird([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, BigBird, ops};

    let mask = BigBird::new(1).block(8)?.window(1).global(1).random(2);
    let attention = Attention::default().mask(mask);
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Padding
fn padding([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, Padding, ops};

    // A length for each sequence of the batch.
    let attention = Attention::default().mask(Padding::new([50]));
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Documents
fn documents([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, Causal, Documents, ops};

    // Where documents begin, and where the last one ends.
    let attention = Attention::default().mask(Documents::new([0, 30, 64])?).mask(Causal::default());
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// DenseMask
fn dense_mask([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, DenseMask, ops};

    let visible: Vec<bool> = (0..64 * 64).map(|at| at % 3 != 1).collect();
    let attention = Attention::default().mask(DenseMask::new(&visible, [1, 1, 64, 64])?);
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Softmax
fn softmax([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, Softmax, ops};

    // Warmer than 1, with a sink for each of 4 heads.
    let attention = Attention::default().normalizer(Softmax::default().temperature(2.0)?.sink([0.0; 4]));
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Sigmoid
fn sigmoid([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, Sigmoid, ops};

    let attention = Attention::default().normalizer(Sigmoid::default());
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Sparsemax
fn sparsemax([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, Sparsemax, ops};

    let attention = Attention::default().normalizer(Sparsemax);
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Entmax15
fn entmax15([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, Entmax15, ops};

    let attention = Attention::default().normalizer(Entmax15);
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Entmax
fn entmax([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, Entmax, ops};

    let attention = Attention::default().normalizer(Entmax::new(1.3)?);
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// TopK
fn top_k([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, TopK, ops};

    let attention = Attention::default().normalizer(TopK::new(8)?);
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Hard
fn hard([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, Hard, ops};

    let attention = Attention::default().normalizer(Hard);
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Gumbel
fn gumbel([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, Gumbel, ops};

    // Temperature 0.5, and a seed: another one for each step of training.
    let attention = Attention::default().normalizer(Gumbel::new(0.5, 1)?);
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}

/// Sampled
fn sampled([q, k, v]: [Tensor<4>; 3]) -> Outcome {
    use regard::{Attention, Sampled, ops};

    let attention = Attention::default().normalizer(Sampled::new(1));
    let context = ops::attend(q, k, v, &attention)?.context;
    assert_eq!(context.dims(), [1, 4, 64, 16]);
    Ok(())
}
