//! Decoding is the forward pass, whatever the type of the numbers, the cut of the keys and the number of threads.

mod oracle;

use oracle::elements::{Numbers, TYPES};
use oracle::*;
use rayon::ThreadPoolBuilder;
use regard_kernel::{
    Additive, Alibi, Attention, Bilinear, Causal, Cosine, DenseBias, Documents, Padding, ScaledDot, SoftCap, Softmax,
    View, Window,
};

/// Attentions with everything that can be done to a score, for a batch of 2.
fn attentions(heads: usize, queries: usize, keys: usize, width: usize) -> Vec<Attention> {
    let documents = Documents::cross([0, queries / 2, queries], [0, keys / 3, keys]).unwrap();
    let dense = DenseBias::new(numbers(20, heads * queries * keys), [1, heads, queries, keys]).unwrap();
    vec![
        Attention::default(),
        Attention::new(ScaledDot { scale: Some(0.3) }).mask(Causal::default()),
        Attention::default().mask(Window::new(Some(100), Some(0))).bias(Alibi::new(heads)),
        Attention::default().mask(Padding::new([keys / 2, keys])).mask(documents),
        Attention::default().bias(dense).bias(SoftCap::new(2.0).unwrap()).dropout(0.1, 7).unwrap(),
        Attention::default().normalizer(Softmax::default().sink(numbers(23, heads))).mask(Causal::default()),
        Attention::new(Cosine::new(numbers(21, heads))).mask(Causal::default()),
        Attention::new(Bilinear::new(numbers(24, width * width), width, width).unwrap()).bias(Alibi::new(heads)),
        Attention::new(Additive::new(numbers(25, width), width)),
    ]
}

#[test]
fn every_size_is_the_forward_pass() {
    let keys = [0, 1, 15, 16, 17, 64, 255, 256, 300, 1024, 1025, 1300];
    let rows =
        [(1, 1, 1), (1, 2, 1), (2, 6, 1), (1, 4, 1), (1, 5, 1), (1, 8, 1), (1, 9, 1), (1, 70, 1), (2, 2, 4), (1, 3, 7)];
    let rows = rows.into_iter().chain([(2, 8, 2), (1, 2, 16), (2, 4, 33), (1, 2, 70)]);
    for (i, (key_heads, heads, queries)) in rows.enumerate() {
        for (j, &keys) in keys.iter().enumerate() {
            let kind = TYPES[(i + j) % 4];
            let (width, value_width) = [(16, 16), (12, 20), (64, 128), (33, 5)][(i * 3 + j) % 4];
            let (q_shape, k_shape) = ([2, heads, queries, width], [2, key_heads, keys, width]);
            let v_shape = [2, key_heads, keys, value_width];
            let q = Numbers::new("f32", 1, size(q_shape), width);
            let (k, v) =
                (Numbers::new(kind, 2, size(k_shape), width), Numbers::new(kind, 3, size(v_shape), value_width));
            let by_position = i % 2 == 0;
            let ([q, _], [k, k_single], [v, v_single]) =
                (q.views(q_shape, false), k.views(k_shape, by_position), v.views(v_shape, by_position));
            for (number, attention) in attentions(heads, queries, keys, width).iter().enumerate() {
                let name = format!("{kind}, {q_shape:?}, {k_shape:?}, {v_shape:?}, attention {number}");
                let expected = attention.forward(&q, &k_single, &v_single).unwrap();
                let found = attention.decode(&q, (&k, &v)).unwrap();
                let error = difference(&found.context, &wide(&expected.context));
                assert!(error < 2e-6, "{name}: context is off by {error:e}");
                let error = difference(&found.lse, &wide(&expected.lse));
                assert!(error < 2e-6, "{name}: lse is off by {error:e}");
            }
        }
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn neither_threads_nor_batch_change_a_bit() {
    for (kind, queries) in TYPES.into_iter().zip([1, 2, 5, 40]) {
        let (q_shape, k_shape, width) = ([2, 4, queries, 64], [2, 2, 2500, 64], 64);
        let q = Numbers::new("f32", 1, size(q_shape), width);
        let (k, v) = (Numbers::new(kind, 2, size(k_shape), width), Numbers::new(kind, 3, size(k_shape), width));
        let ([q, _], [k, _], [v, _]) = (q.views(q_shape, false), k.views(k_shape, false), v.views(k_shape, false));
        for (number, attention) in attentions(4, queries, 2500, width).iter().enumerate() {
            let run = |threads| {
                let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let output = pool.install(|| attention.decode(&q, (&k, &v)).unwrap());
                (bits(&output.context), bits(&output.lse))
            };
            let one = run(1);
            for threads in 2..=7 {
                assert!(one == run(threads), "{kind}, attention {number}, {threads} threads");
            }
        }
        let x = numbers(9, size(q_shape));
        let both = Attention::default().decode(&view(&x, q_shape), (&k, &v)).unwrap();
        let first = View::new(&x[..size(q_shape) / 2], [1, 4, queries, 64]).unwrap();
        let k = Numbers::new(kind, 2, size(k_shape), width);
        let v = Numbers::new(kind, 3, size(k_shape), width);
        let half = [1, 2, 2500, 64];
        let alone = Attention::default().decode(&first, (&k.views(half, false)[0], &v.views(half, false)[0])).unwrap();
        assert_eq!(bits(&alone.context), bits(&both.context[..alone.context.len()]), "{kind}, alone");
    }
}

#[test]
fn what_is_hidden_does_not_leak_and_what_is_seen_does() {
    let (keys, real, width) = (700, 590, 16);
    for queries in [1, 3, 20] {
        let (q_shape, k_shape) = ([1, 2, queries, width], [1, 1, keys, width]);
        let q = numbers(1, size(q_shape));
        let q = view(&q, q_shape);
        let run = |with: f32, from: usize| {
            let spoil = |seed: u64| -> Vec<f32> {
                let x = numbers(seed, size(k_shape));
                x.iter().enumerate().map(|(i, &x)| if i / width >= from { with } else { x }).collect()
            };
            let (k, v) = (spoil(2), spoil(3));
            let attention = Attention::default().mask(Padding::new([real]));
            attention.decode(&q, (&view(&k, k_shape), &view(&v, k_shape))).unwrap()
        };
        let clean = run(0.5, real);
        for with in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(clean, run(with, real), "{with} behind the mask, {queries} queries");
        }
        assert!(run(f32::NAN, real - 1).context.iter().all(|x| x.is_nan()), "a NaN was swallowed, {queries} queries");
    }
}
