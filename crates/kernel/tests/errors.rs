//! Arguments that cannot be used, and what is said about them.

use regard_kernel::probe::{Pyramid, TopKeys, Weights};
use regard_kernel::rows::{self, LinearCrossEntropy};
use regard_kernel::{
    Additive, Alibi, Attention, BigBird, Bilinear, Blocks, Cosine, DenseBias, DenseMask, Dilated, Documents, Entmax,
    Global, Gumbel, KeyMask, KeyValueCache, Padding, Prefix, RelativeBuckets, Result, Sigmoid, SoftCap, Softmax, TopK,
    View, dropout,
};

#[track_caller]
fn refused<T>(result: Result<T>, message: &str) {
    match result {
        Ok(_) => panic!("not refused; expected: {message}"),
        Err(error) => assert_eq!(error.to_string(), message),
    }
}

#[test]
fn views() {
    refused(View::new(&[0.0; 5], [1, 1, 2, 3]), "data: 5 numbers given, the product of [1, 1, 2, 3] expected");
    refused(
        View::new::<f32>(&[], [usize::MAX, 2, 2, 3]),
        &format!("data: 0 numbers given, the product of [{}, 2, 2, 3] expected", usize::MAX),
    );
    refused(
        View::strided(&[0.0; 5], [1, 1, 2, 3], [0, 0, 3, 1]),
        "data: 5 numbers given, enough for the shape [1, 1, 2, 3] with the strides [0, 0, 3, 1] expected",
    );
    let overflow = View::strided(&[0.0; 5], [1, 1, 3, 3], [0, 0, usize::MAX, 1]);
    assert!(overflow.is_err());
    assert!(View::strided(&[1.0], [2, 3, 4, 5], [0; 4]).is_ok());
    assert!(View::strided::<f32>(&[], [2, 0, 4, 5], [9; 4]).is_ok());
    refused(
        View::quantized(&[0; 6], &[0.0; 3], [1, 1, 2, 3]),
        "scales: 3 numbers given, the product of [1, 1, 2] expected",
    );
    refused(
        View::quantized_strided(&[0; 6], &[0.0; 2], [1, 1, 2, 3], [0, 0, 3, 1], [0, 0, 2]),
        "scales: 2 numbers given, enough for the shape [1, 1, 2] with the strides [0, 0, 2] expected",
    );
    assert!(View::quantized(&[0; 6], &[0.0; 2], [1, 1, 2, 3]).is_ok());
}

#[test]
fn shapes() {
    let x = [0.0; 48];
    let view = |shape| View::new(&x, shape).unwrap();
    let attention = Attention::default();
    let q = view([1, 4, 3, 4]);
    refused(attention.forward(&q, &view([2, 2, 3, 4]), &q), "keys: batch 2 given, 1 as the queries have expected");
    refused(
        attention.forward(&q, &view([1, 3, 4, 4]), &q),
        "keys: 3 heads given, a divisor of the 4 query heads expected",
    );
    refused(attention.forward(&q, &view([1, 4, 4, 3]), &q), "keys: 3 features given, 4 as the queries have expected");
    refused(
        attention.forward(&q, &q, &view([1, 4, 4, 3])),
        "values: [batch, head, position] [1, 4, 4] given, [1, 4, 3] as the keys have expected",
    );
    refused(
        attention.decode(&q, (&q, &view([1, 4, 4, 3]))),
        "values: [batch, head, position] [1, 4, 4] given, [1, 4, 3] as the keys have expected",
    );
    refused(attention.forward_into(&q, &q, &q, &mut [0.0; 48], &mut [0.0; 11]), "lse: 11 numbers given, 12 expected");
    refused(
        attention.backward(&q, &q, &q, &x, &[0.0; 12], &view([1, 4, 4, 3])),
        "gradient of the context: [1, 4, 4, 3] given, [1, 4, 3, 4] expected",
    );
    refused(attention.backward(&q, &q, &q, &x[1..], &[0.0; 12], &q), "context: 47 numbers given, 48 expected");
    let endless = View::strided(&x, [1, 1 << 40, 1 << 40, 1], [0; 4]).unwrap();
    refused(
        attention.forward(&endless, &endless, &endless),
        &format!(
            "sizes [batch, head, position, feature]: [1, {}, {0}, 1] given, less than memory can hold expected",
            1usize << 40
        ),
    );
    refused(attention.observe(&q, &q, &[], &mut []), "lse: 0 numbers given, 12 expected");
}

#[test]
fn modifiers() {
    let x = [0.0; 48];
    let q = View::new(&x, [1, 4, 3, 4]).unwrap();
    let run = |attention: Attention| attention.forward(&q, &q, &q);
    let plain = Attention::default;
    refused(run(plain().mask(Padding::new([1, 2]))), "padding: 2 lengths given, one for each of 1 batches expected");
    refused(run(plain().mask(Padding::new([4]))), "padding: length 4 given, at most 3 keys expected");
    refused(
        run(plain().mask(DenseMask::new(&[true; 6], [1, 1, 2, 3]).unwrap())),
        "dense mask: [1, 1, 2, 3] given, [1 or 1, 4 or 1, 3, 3] expected",
    );
    refused(
        DenseMask::new(&[true; 5], [1, 1, 2, 3]),
        "dense mask: 5 booleans given, the product of [1, 1, 2, 3] expected",
    );
    refused(KeyMask::new(vec![true; 5], 2), "key mask: 5 booleans given, a multiple of 2 keys expected");
    refused(run(plain().mask(KeyMask::new(vec![true; 4], 4).unwrap())), "key mask: [1, 4] given, [1 or 1, 3] expected");
    refused(Documents::new([1, 3]), "query offsets: [1, 3] given, a rising sequence that starts with 0 expected");
    refused(Documents::cross([0, 1, 2], [0, 2]), "key offsets: 1 documents given, 2 as the queries have expected");
    refused(
        run(plain().mask(Documents::new([0, 2]).unwrap())),
        "query offsets: an end at 2 given, the length, 3 expected",
    );
    refused(run(plain().mask(Prefix::new([4]))), "prefix: length 4 given, at most 3 keys expected");
    refused(Dilated::new(None, None, 0), "dilation: 0 given, a step of at least 1 expected");
    refused(run(plain().mask(Global::new([0, 3]))), "global positions: key 3 given, less than 3 keys expected");
    refused(
        run(plain().mask(Global::batches([vec![], vec![0]]))),
        "global positions: 2 lists given, 1, or one for each of 1 batches expected",
    );
    refused(
        run(plain().mask(Blocks::new([1, 1, 2, 3], |_, _, _, _| true).unwrap())),
        "blocks: [1, 1, 2, 3] given, [1 or 1, 4 or 1, 3, 3] expected",
    );
    refused(Blocks::from_layout(&[true], [1, 1, 3, 3], 0), "side of a block: 0 given, at least 1 expected");
    refused(
        Blocks::from_layout(&[true; 3], [1, 1, 5, 3], 3),
        "layout of blocks: 3 booleans given, the product of [1, 1, 2, 1] expected",
    );
    let endless = Blocks::new([1, 1, usize::MAX, usize::MAX], |_, _, _, _| true).unwrap_err();
    assert!(endless.to_string().ends_with("so few that they fit into memory expected"));
    refused(
        run(plain().bias(DenseBias::new([0.0; 4], [1, 2, 1, 2]).unwrap())),
        "dense bias: [1, 2, 1, 2] given, [1, 4, 3, 3], or 1 instead of any expected",
    );
    refused(run(plain().bias(Alibi::new(3))), "ALiBi: 3 slopes given, one for each of 4 heads expected");
    refused(
        RelativeBuckets::new([0.0; 12], 4, true, 10),
        "relative buckets: 3 buckets given, an even number, at least 4 expected",
    );
    refused(
        RelativeBuckets::new([0.0; 32], 4, true, 2),
        "relative buckets: a greatest distance of 2 given, more than 2 expected",
    );
    refused(SoftCap::new(0.0), "soft cap: 0 given, a positive, finite number expected");
    refused(
        Softmax::default().temperature(f32::NAN),
        "softmax temperature: NaN given, a positive, finite number expected",
    );
    refused(
        run(plain().normalizer(Softmax::default().sink([0.0; 3]))),
        "softmax sink: 3 logits given, one for each of 4 heads expected",
    );
    refused(TopK::new(0), "k of the strongest keys: 0 given, at least 1 expected");
    for alpha in [1.0, 0.5, f32::NAN] {
        refused(Entmax::new(alpha), &format!("entmax alpha: {alpha} given, a finite number greater than 1 expected"));
    }
    refused(Gumbel::new(0.0, 1), "softmax temperature: 0 given, a positive, finite number expected");
    refused(BigBird::new(1).block(0), "block of BigBird: 0 given, at least 1 position expected");
    refused(
        run(plain().mask(BigBird::new(1))),
        "keys: 3 positions given, a multiple of the block of BigBird, 64 expected",
    );
    refused(Sigmoid::new(f32::INFINITY), "sigmoid bias: inf given, a finite number expected");
    refused(
        run(Attention::new(Cosine::new([1.0; 3]))),
        "tau: 3 numbers given, 1 for all heads or 4 for 4 heads expected",
    );
    refused(
        run(Attention::new(Additive::new([1.0; 3], 3))),
        "additive v: 3 features given, 4 as the queries have expected",
    );
    refused(
        Attention::new(Cosine::new([1.0])).scaled_as(4).map(|_| ()),
        "score: no dot product given, q · k with any factor expected",
    );
    refused(Bilinear::new([1.0; 3], 2, 2), "bilinear weights: 3 numbers given, a multiple of 2×2 expected");
    refused(run(Attention::new(Bilinear::new([1.0; 4], 2, 2).unwrap())), "bilinear weights: 2×2 given, 4×4 expected");
    refused(plain().dropout(1.0, 0), "dropout probability: 1 given, at least 0 and less than 1 expected");
    refused(dropout::check(f32::NAN), "dropout probability: NaN given, at least 0 and less than 1 expected");
}

#[test]
fn probes_and_caches() {
    let x = [0.0; 48];
    let q = View::new(&x, [1, 4, 3, 4]).unwrap();
    let lse = [0.0; 12];
    let mut weights = Weights::heads([1, 4]);
    refused(
        Attention::default().observe(&q, &q, &lse, &mut [&mut weights]),
        "heads to observe: 4 given, less than 4 expected",
    );
    refused(Pyramid::new(0), "pixels: 0 given, between 1 and 65536 expected");
    refused(Pyramid::strided(0), "stride: 0 given, at least 1 expected");
    let long = View::strided(&x, [1, 1, 40_000, 4], [0; 4]).unwrap();
    refused(
        Attention::default().observe(&long, &long, &vec![0.0; 40_000], &mut [&mut Weights::new()]),
        "weights to keep: [1, 1, 40000, 40000] given, at most 268435456 numbers; a pyramid shows larger maps expected",
    );
    assert!(TopKeys::new(3).get(0, 0, 0).is_empty());
    let mut cache = KeyValueCache::new(1, 4, 4, 4);
    let other = View::new(&x, [1, 4, 4, 3]).unwrap();
    refused(cache.append(&other, &q), "keys: [1, 4, 4, 3] given, [1, 4, 4, 4] expected");
    refused(cache.append(&q, &other), "values: [1, 4, 4, 3] given, [1, 4, 3, 4] expected");
    assert!(cache.is_empty());
}

#[test]
fn rows_of_numbers() {
    let [three, four, six] = [&[0.0; 3][..], &[0.0; 4], &[0.0; 6]];
    let good = LinearCrossEntropy {
        states: four,
        weight: six,
        bias: three,
        width: 2,
        targets: &[0, 1],
        smoothing: 0.1,
        ignore: None,
    };
    let refuses = |problem: LinearCrossEntropy, message: &str| {
        refused(problem.loss(), message);
        refused(problem.loss_and_gradients(), message);
    };
    let wide = LinearCrossEntropy { width: 4, ..good };
    refuses(wide, "weight: 6 numbers given, rows of width 4, > 0 expected");
    refuses(LinearCrossEntropy { width: 0, ..good }, "weight: 6 numbers given, rows of width 0, > 0 expected");
    refuses(LinearCrossEntropy { states: six, ..good }, "states: 6 numbers given, 2 rows of width 2 expected");
    refuses(LinearCrossEntropy { bias: four, ..good }, "bias: 4 numbers given, none or 3 expected");
    refuses(LinearCrossEntropy { smoothing: 1.5, ..good }, "label smoothing: 1.5 given, between 0 and 1 expected");
    let wrong = LinearCrossEntropy { targets: &[0, 3], ..good };
    refuses(wrong, "target: 3 given, less than 3 classes expected");
    assert!(LinearCrossEntropy { ignore: Some(3), ..wrong }.loss().is_ok());
    let (mut out, mut mean, mut rstd) = ([0.0; 6], [0.0; 2], [0.0; 2]);
    refused(
        rows::layer_norm(&[0.0; 6], &[1.0; 3], &[0.0; 2], 1e-5, &mut out, &mut mean, &mut rstd),
        "beta: 2 numbers given, 3 expected",
    );
}
