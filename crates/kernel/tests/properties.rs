//! What must hold whatever the numbers are.

mod oracle;

use oracle::*;
use proptest::prelude::*;
use rayon::ThreadPoolBuilder;
use regard_kernel::probe::Weights;
use regard_kernel::{
    Additive, Alibi, Attention, Bilinear, Causal, Cosine, DenseBias, DenseMask, Dot, Entmax15, Gradients,
    KeyValueCache, Mask, Output, Padding, RelativeBuckets, Sigmoid, SoftCap, Softmax, Sparsemax, TopK, View, Window,
};

const LENGTHS: [usize; 9] = [0, 1, 15, 16, 17, 63, 64, 65, 129];

fn forward_and_backward(attention: &Attention, [q, k, v]: [&View; 3], grad: &View) -> (Output, Gradients) {
    let output = attention.forward(q, k, v).unwrap();
    let gradients = attention.backward(q, k, v, &output.context, &output.lse, grad).unwrap();
    (output, gradients)
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn all_bits((output, gradients): &(Output, Gradients)) -> Vec<Vec<u32>> {
    let mut all = vec![bits(&output.context), bits(&output.lse)];
    let Gradients { queries, keys, values, score, biases, normalizer } = gradients;
    all.extend([queries, keys, values, score, normalizer].map(|x| bits(x)));
    all.extend(biases.iter().map(|x| bits(x)));
    all
}

/// Every normalizer whose rows sum to 1.
fn normalized() -> Vec<Attention> {
    let plain = Attention::default;
    vec![
        plain(),
        plain().normalizer(TopK::new(7).unwrap()),
        plain().normalizer(Sparsemax),
        plain().normalizer(Entmax15),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_sum_to_one(queries in prop::sample::select(&LENGTHS[1..]), keys in prop::sample::select(&LENGTHS[1..]), seed: u64) {
        let (q_shape, k_shape) = ([1, 2, queries, 8], [1, 2, keys, 8]);
        let (q, k) = (numbers(seed, size(q_shape)), numbers(seed ^ 1, size(k_shape)));
        let (q, k) = (view(&q, q_shape), view(&k, k_shape));
        for attention in normalized() {
            let attention = attention.mask(Causal::default());
            let output = attention.forward(&q, &k, &k).unwrap();
            let mut weights = Weights::new();
            attention.observe(&q, &k, &output.lse, &mut [&mut weights]).unwrap();
            for (row, lse) in weights.values().chunks(keys).zip(&output.lse) {
                let sum: f64 = wide(row).iter().sum();
                let expected = if *lse == f32::NEG_INFINITY { 0.0 } else { 1.0 };
                prop_assert!((sum - expected).abs() < 1e-5, "a row of {:?} sums to {}", attention, sum);
            }
        }
    }

    #[test]
    fn the_order_of_keys_does_not_matter(keys in prop::sample::select(&LENGTHS[1..]), seed: u64, shift in 1usize..64) {
        let (q_shape, k_shape) = ([1, 1, 20, 8], [1, 1, keys, 8]);
        let (q, k, v) = (numbers(seed, 160), numbers(seed ^ 1, size(k_shape)), numbers(seed ^ 2, size(k_shape)));
        let turned = |x: &[f32]| { let mut x = x.to_vec(); x.rotate_left(shift % keys * 8); x };
        let (k2, v2) = (turned(&k), turned(&v));
        let q = view(&q, q_shape);
        for attention in normalized().into_iter().chain([Attention::default().normalizer(Sigmoid::default())]) {
            let one = attention.forward(&q, &view(&k, k_shape), &view(&v, k_shape)).unwrap();
            let two = attention.forward(&q, &view(&k2, k_shape), &view(&v2, k_shape)).unwrap();
            prop_assert!(difference(&one.context, &wide(&two.context)) < 1e-6);
            prop_assert!(difference(&one.lse, &wide(&two.lse)) < 1e-6);
        }
    }

    #[test]
    fn a_window_that_hides_more_weighs_no_more(length in prop::sample::select(&LENGTHS[1..]), past in 0usize..80, seed: u64) {
        let shape = [1, 1, length, 4];
        let x = numbers(seed, size(shape));
        let x = view(&x, shape);
        let lse = |past| Attention::default().mask(Window::new(Some(past), Some(0))).forward(&x, &x, &x).unwrap().lse;
        for (narrow, wide) in lse(past).iter().zip(lse(past + 7)) {
            prop_assert!(*narrow <= wide + 1e-5);
        }
    }

    #[test]
    fn any_strides_are_read(seed: u64, heads in 1usize..4, length in prop::sample::select(&LENGTHS[..])) {
        // [batch, position, head, feature] in memory, as projections leave it; and features before positions.
        let shape = [2, heads, length, 6];
        let x = numbers(seed, size(shape));
        let by_position = View::strided(&x, shape, [length * heads * 6, 6, heads * 6, 1]).unwrap();
        let by_feature = View::strided(&x, shape, [heads * 6 * length, 6 * length, 1, length]).unwrap();
        for strided in [by_position, by_feature] {
            let mut copied = Vec::new();
            let [s0, s1, s2, s3] = strided.strides();
            for index in 0..size(shape) {
                let (b, h) = (index / (heads * length * 6), index / (length * 6) % heads);
                copied.push(x[b * s0 + h * s1 + index / 6 % length * s2 + index % 6 * s3]);
            }
            let copied = view(&copied, shape);
            let attention = Attention::default().mask(Causal::default());
            let one = forward_and_backward(&attention, [&strided; 3], &strided);
            let two = forward_and_backward(&attention, [&copied; 3], &copied);
            prop_assert_eq!(all_bits(&one), all_bits(&two));
        }
    }
}

/// Attentions in which everything takes part.
fn crowded(heads: usize, queries: usize, keys: usize) -> Vec<Attention> {
    let bias = |shape: [usize; 4]| DenseBias::new(numbers(20, size(shape)), shape).unwrap();
    vec![
        Attention::default(),
        Attention::default().mask(Causal::default()).dropout(0.2, 3).unwrap(),
        Attention::new(Cosine::new(numbers(21, heads)))
            .mask(Window::new(Some(30), None))
            .bias(RelativeBuckets::new(numbers(22, 16 * heads), heads, true, 30).unwrap())
            .bias(bias([1, 1, queries, keys]))
            .bias(SoftCap::new(2.0).unwrap())
            .normalizer(Softmax::default().sink(numbers(23, heads))),
        Attention::new(Bilinear::new(numbers(24, 64), 8, 8).unwrap()).bias(Alibi::new(heads)),
        Attention::new(Additive::new(numbers(25, 8), 8)).bias(bias([1, heads, queries, keys])),
        Attention::default().normalizer(Sigmoid::default()).bias(bias([1, heads, 1, 1])).dropout(0.1, 5).unwrap(),
        Attention::default()
            .normalizer(TopK::new(9).unwrap())
            .bias(bias([1, 1, queries, keys]))
            .dropout(0.1, 5)
            .unwrap(),
    ]
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for (batch, heads, queries, keys) in [(1, 2, 300, 330), (3, 4, 70, 65)] {
        let (q_shape, k_shape) = ([batch, heads, queries, 8], [batch, heads / 2, keys, 8]);
        let [q, k, v] = [(1, q_shape), (2, k_shape), (3, k_shape)].map(|(seed, shape)| numbers(seed, size(shape)));
        let (q, k, v) = (view(&q, q_shape), view(&k, k_shape), view(&v, k_shape));
        for (i, attention) in crowded(heads, queries, keys).iter().enumerate() {
            let run = |threads| {
                let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| all_bits(&forward_and_backward(attention, [&q, &k, &v], &q)))
            };
            let one = run(1);
            assert!(one == run(2), "attention {i}, 2 threads");
            assert!(one == run(3), "attention {i}, 3 threads");
            assert!(one == run(8), "attention {i}, 8 threads");
        }
    }
}

#[test]
fn the_rest_of_the_batch_changes_no_bit() {
    let shape = [5, 2, 70, 8];
    let each = 2 * 70 * 8;
    let [q, k, v] = [1, 2, 3].map(|seed| numbers(seed, size(shape)));
    for attention in crowded(2, 70, 70) {
        let views = [&q, &k, &v].map(|x| view(x, shape));
        let (output, gradients) = forward_and_backward(&attention, views.each_ref(), &views[0]);
        for b in 0..5 {
            let alone = [&q, &k, &v].map(|x| view(&x[b * each..(b + 1) * each], [1, 2, 70, 8]));
            if b > 0 && format!("{attention:?}").contains("Dropout") {
                continue; // keyed by the batch
            }
            let (one, one_gradients) = forward_and_backward(&attention, alone.each_ref(), &alone[0]);
            let part = b * each..(b + 1) * each;
            assert_eq!(bits(&one.context), bits(&output.context[part.clone()]));
            assert_eq!(bits(&one_gradients.queries), bits(&gradients.queries[part.clone()]));
            assert_eq!(bits(&one_gradients.keys), bits(&gradients.keys[part.clone()]));
            assert_eq!(bits(&one_gradients.values), bits(&gradients.values[part]));
        }
    }
}

#[test]
fn dropout_keeps_the_mean_and_repeats_itself() {
    let shape = [1, 1, 64, 4];
    let x = numbers(1, size(shape));
    let x = view(&x, shape);
    let plain = Attention::default().forward(&x, &x, &x).unwrap().context;
    let mut mean = vec![0.0; plain.len()];
    for seed in 0..2000 {
        let attention = Attention::default().dropout(0.3, seed).unwrap();
        let one = attention.forward(&x, &x, &x).unwrap();
        assert_eq!(bits(&one.context), bits(&attention.forward(&x, &x, &x).unwrap().context));
        mean.iter_mut().zip(&one.context).for_each(|(mean, x)| *mean += f64::from(*x) / 2000.0);
    }
    assert!(difference(&plain, &mean) < 0.02);
}

#[test]
fn what_is_hidden_does_not_leak_and_what_is_seen_does() {
    let (batch, length, keys, width) = (1, 70, 75, 8);
    let (q_shape, k_shape) = ([batch, 2, length, width], [batch, 2, keys, width]);
    let (real_queries, real_keys) = (66, 67);
    let seen: Vec<bool> = (0..length * keys).map(|i| i / keys < real_queries && i % keys < real_keys).collect();
    let hidden = DenseMask::new(&seen, [1, 1, length, keys]).unwrap();
    let [q, grad] = [1, 4].map(|seed| numbers(seed, size(q_shape)));
    let [k, v] = [2, 3].map(|seed| numbers(seed, size(k_shape)));
    // Numbers behind the mask: of queries after the real ones, and of keys after the real ones.
    let spoil = |x: &[f32], length: usize, real: usize, with: f32| -> Vec<f32> {
        let past = |i: usize| i / width % length >= real;
        x.iter().enumerate().map(|(i, &x)| if past(i) { with } else { x }).collect()
    };
    for (i, attention) in crowded(2, length, keys).into_iter().enumerate() {
        let attention = attention.mask(hidden.clone());
        let run = |with: f32| {
            let (q, grad) = (spoil(&q, length, real_queries, with), spoil(&grad, length, real_queries, with));
            let (k, v) = (spoil(&k, keys, real_keys, with), spoil(&v, keys, real_keys, with));
            let (q, grad) = (view(&q, q_shape), view(&grad, q_shape));
            forward_and_backward(&attention, [&q, &view(&k, k_shape), &view(&v, k_shape)], &grad)
        };
        let clean = run(0.5);
        for with in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let spoiled = run(with);
            assert!(all_bits(&clean) == all_bits(&spoiled), "{with} behind the mask of attention {i}");
        }
        assert!(clean.0.lse[real_queries] == f32::NEG_INFINITY || format!("{attention:?}").contains("sink: [0"));
        assert!(clean.0.context[real_queries * width..length * width].iter().all(|&x| x == 0.0));

        // A NaN that is seen comes out, exactly at the queries that see it.
        for place in [0, 1, 2] {
            let mut inputs = [q.clone(), k.clone(), v.clone()];
            inputs[place][3 * width] = f32::NAN;
            let [q, k, v] = &inputs;
            let views = [view(q, q_shape), view(k, k_shape), view(v, k_shape)];
            let context = attention.forward(&views[0], &views[1], &views[2]).unwrap().context;
            assert!(context[3 * width..4 * width].iter().any(|x| x.is_nan()), "NaN in input {place} was swallowed");
            assert!(!context[length * width..].iter().any(|x| x.is_nan()), "NaN in input {place} left its head");
        }
    }
}

#[test]
fn a_nan_in_a_value_stays_with_those_who_see_it() {
    let shape = [1, 1, 40, 4];
    let x = numbers(1, size(shape));
    let mut v = x.clone();
    v[20 * 4 + 1] = f32::NAN;
    let x = view(&x, shape);
    let output = Attention::default().mask(Causal::default()).forward(&x, &x, &view(&v, shape)).unwrap();
    for (i, x) in output.context.iter().enumerate() {
        assert_eq!(x.is_nan(), i / 4 >= 20 && i % 4 == 1, "query {}, feature {}", i / 4, i % 4);
    }
    // And backwards: the gradient of query 5 is NaN, which keys after it cannot see.
    let mut grad = numbers(2, size(shape));
    grad[5 * 4] = f32::NAN;
    let attention = Attention::default().mask(Causal::default());
    let (_, gradients) = forward_and_backward(&attention, [&x; 3], &view(&grad, shape));
    assert!(gradients.keys[6 * 4..].iter().all(|x| x.is_finite()));
    assert!(gradients.values[6 * 4..].iter().all(|x| x.is_finite()));
    assert!(gradients.values[..6 * 4].iter().step_by(4).all(|x| x.is_nan()));
}

#[test]
fn decoding_is_the_forward_pass() {
    for (queries, keys) in [(1, 1), (1, 700), (3, 1300), (70, 600), (1, 0)] {
        let (q_shape, k_shape) = ([2, 4, queries, 12], [2, 2, keys, 12]);
        let (q, k, v) = (numbers(1, size(q_shape)), numbers(2, size(k_shape)), numbers(3, size(k_shape)));
        let (q, k, v) = (view(&q, q_shape), view(&k, k_shape), view(&v, k_shape));
        let mut cache = KeyValueCache::new(2, 2, 12, 12);
        for start in (0..keys).step_by(37) {
            let length = 37.min(keys - start);
            let part = |x: &View<'_>| x.data::<f32>().unwrap()[start * 12..].to_vec();
            let (k_part, v_part) = (part(&k), part(&v));
            let shape = [2, 2, length, 12];
            let strides = [2 * keys * 12, keys * 12, 12, 1];
            let slice = |x| View::strided(x, shape, strides).unwrap();
            cache.append(&slice(&k_part), &slice(&v_part)).unwrap();
        }
        assert_eq!(cache.len(), keys);
        for attention in [
            Attention::default(),
            Attention::default().mask(Causal::default()).bias(Alibi::new(4)),
            Attention::default().normalizer(Softmax::default().sink(vec![0.5; 4])).mask(Padding::new([keys, keys / 2])),
            Attention::default().normalizer(Sigmoid::default()).mask(Padding::new([keys, 0])),
            Attention::default().normalizer(TopK::new(5).unwrap()).mask(Padding::new([keys, keys / 2])),
            Attention::default().normalizer(Sparsemax).mask(Causal::default()).bias(Alibi::new(4)),
            Attention::default().normalizer(Entmax15).mask(Padding::new([keys, 0])),
        ] {
            let expected = attention.forward(&q, &k, &v).unwrap();
            let found = attention.decode(&q, &cache).unwrap();
            assert!(difference(&found.context, &wide(&expected.context)) < 1e-6);
            assert!(difference(&found.lse, &wide(&expected.lse)) < 1e-6);
        }
    }
}

#[test]
fn the_top_of_everything_is_the_softmax() {
    let shape = [1, 2, 150, 8];
    let x = numbers(1, size(shape));
    let x = view(&x, shape);
    let softmax = Attention::default().mask(Causal::default());
    let expected = forward_and_backward(&softmax, [&x; 3], &x);
    for k in [150, usize::MAX] {
        let top = softmax.clone().normalizer(TopK::new(k).unwrap());
        assert!(all_bits(&forward_and_backward(&top, [&x; 3], &x)) == all_bits(&expected));
    }
    // With 100, the passes are made, and the first 100 queries see no more.
    let top = softmax.normalizer(TopK::new(100).unwrap()).forward(&x, &x, &x).unwrap();
    for head in 0..2 {
        let seen = head * 150 * 8..(head * 150 + 100) * 8;
        assert_eq!(bits(&top.context[seen.clone()]), bits(&expected.0.context[seen]));
    }
}

#[test]
fn of_equal_scores_the_earlier_keys_count() {
    let (queries, keys) = (3, 200);
    let q = vec![1.0; queries];
    // Scores of 0, 1 and 2 by turns, the zeros of either sign.
    let k: Vec<f32> = (0..keys).map(|j| [-0.0, 1.0, 2.0, 0.0][j % 4]).collect();
    let (q, k) = (view(&q, [1, 1, queries, 1]), view(&k, [1, 1, keys, 1]));
    for count in [1, 49, 50, 51, 99, 100, 101, 137, 199] {
        let attention = Attention::new(Dot).normalizer(TopK::new(count).unwrap());
        let output = attention.forward(&q, &k, &k).unwrap();
        let mut weights = Weights::new();
        attention.observe(&q, &k, &output.lse, &mut [&mut weights]).unwrap();
        let mut order: Vec<usize> = (0..keys).collect();
        order.sort_by_key(|j| 2 - [0, 1, 2, 0][j % 4]);
        for row in weights.values().chunks(keys) {
            let chosen: Vec<usize> = (0..keys).filter(|&j| row[j] > 0.0).collect();
            let mut expected = order[..count].to_vec();
            expected.sort_unstable();
            assert_eq!(chosen, expected);
        }
    }
}

#[test]
fn masks_join_at_run_time() {
    let shape = [1, 1, 9, 4];
    let x = numbers(1, size(shape));
    let x = view(&x, shape);
    let boxed: Box<dyn Mask> = Box::new(Causal::default());
    let joined = Attention::default().mask(boxed & !Window::new(Some(1), Some(0)));
    let stated: Vec<bool> = (0..81).map(|i| i % 9 + 1 < i / 9).collect();
    let dense = Attention::default().mask(DenseMask::new(&stated, [1, 1, 9, 9]).unwrap());
    assert_eq!(joined.forward(&x, &x, &x).unwrap(), dense.forward(&x, &x, &x).unwrap());
}
