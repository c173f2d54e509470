//! Attention by features against its definition in double precision, one pair after another.

mod oracle;

use oracle::*;
use rayon::ThreadPoolBuilder;
use regard_kernel::features::FeatureOutput;
use regard_kernel::{FeatureAttention, FeatureMap};

/// `[batch, heads, queries, keys, d, dv]`
type Sizes = [usize; 6];

fn shapes([batch, heads, queries, keys, width, value_width]: Sizes) -> [[usize; 4]; 3] {
    [[batch, heads, queries, width], [batch, heads, keys, width], [batch, heads, keys, value_width]]
}

fn arrays(sizes: Sizes) -> [Vec<f32>; 3] {
    let mut seed = 0;
    shapes(sizes).map(|shape| {
        seed += 1;
        numbers(seed, size(shape)).iter().map(|x| 1.5 * x).collect()
    })
}

fn attention(directions: &[f32], width: usize, causal: bool) -> FeatureAttention {
    let map = if directions.is_empty() { FeatureMap::Elu } else { FeatureMap::exponential(directions, width).unwrap() };
    if causal { FeatureAttention::causal(map) } else { FeatureAttention::new(map) }
}

/// Features of rows; exponents are relative to the greatest of each row, or to `reference`.
fn features(rows: &[f64], width: usize, directions: &[f64], references: &[f64]) -> Vec<Vec<f64>> {
    let each = rows.chunks(width).zip(references);
    each.map(|(x, reference)| {
        if directions.is_empty() {
            return x.iter().map(|&x| if x > 0.0 { x + 1.0 } else { x.exp() }).collect();
        }
        let (scale, norm) = ((width as f64).powf(-0.25), dot(x, x) / 2.0 / (width as f64).sqrt());
        directions.chunks(width).map(|w| (scale * dot(w, x) - norm - reference).exp() + 1e-4).collect()
    })
    .collect()
}

/// What exponents are relative to: for each query its greatest, for all keys of a head theirs.
fn references(sizes: Sizes, x: &[Vec<f64>; 3], directions: &[f64]) -> [Vec<f64>; 2] {
    let [_, _, _, keys, width, _] = sizes;
    let along = |x: &[f64]| {
        let greatest = |a: f64, w: &[f64]| a.max((width as f64).powf(-0.25) * dot(w, x));
        directions.chunks(width).fold(f64::NEG_INFINITY, greatest)
    };
    let queries = x[0].chunks(width).map(along).collect();
    let heads = x[1].chunks(keys * width).flat_map(|head| {
        let greatest = head.chunks(width).map(along).fold(f64::NEG_INFINITY, f64::max);
        std::iter::repeat_n(greatest, keys)
    });
    [queries, heads.collect()]
}

fn exact(sizes: Sizes, x: &[Vec<f64>; 3], directions: &[f64], references: &[Vec<f64>; 2], causal: bool) -> Vec<f64> {
    let [batch, heads, queries, keys, width, value_width] = sizes;
    let [q, k] = [0, 1].map(|i| features(&x[i], width, directions, &references[i]));
    let mut context = vec![];
    for (row, query) in q.iter().enumerate().take(batch * heads * queries) {
        let (unit, i) = (row / queries, row % queries);
        let seen = if causal { i + 1 } else { keys };
        let weights: Vec<f64> = (0..seen).map(|j| dot(query, &k[unit * keys + j])).collect();
        let total: f64 = weights.iter().sum();
        for f in 0..value_width {
            let sum: f64 = (0..seen).map(|j| weights[j] * x[2][(unit * keys + j) * value_width + f]).sum();
            context.push(sum / total);
        }
    }
    context
}

fn run(attention: &FeatureAttention, sizes: Sizes, x: &[Vec<f32>; 3]) -> FeatureOutput {
    let [q, k, v] = shapes(sizes);
    attention.forward(&view(&x[0], q), &view(&x[1], k), &view(&x[2], v)).unwrap()
}

#[test]
fn context_and_gradients() {
    let directions = numbers(9, 7 * 5);
    // Less and more than a vector and a block, and several blocks.
    for (sizes, causal) in [
        ([1, 1, 1, 1, 5, 1], true),
        ([2, 2, 5, 9, 5, 3], false),
        ([1, 2, 70, 130, 5, 17], false),
        ([1, 2, 150, 150, 5, 4], true),
        ([2, 1, 64, 64, 5, 32], true),
    ] {
        for directions in [&[][..], &directions] {
            let (x, attention) = (arrays(sizes), attention(directions, 5, causal));
            let (at, wide_directions) = (x.each_ref().map(|x| wide(x)), wide(directions));
            let references = references(sizes, &at, &wide_directions);
            let value = |at: &[Vec<f64>; 3]| exact(sizes, at, &wide_directions, &references, causal);
            let output = run(&attention, sizes, &x);
            let expected = value(&at);
            assert!(difference(&output.context, &expected) < 3e-6, "{sizes:?}");

            let [q, k, v] = shapes(sizes);
            let shape = [q[0], q[1], q[2], v[3]];
            let grad = numbers(8, size(shape));
            let gradients = attention
                .backward(
                    &view(&x[0], q),
                    &view(&x[1], k),
                    &view(&x[2], v),
                    &output.context,
                    &output.totals,
                    &view(&grad, shape),
                )
                .unwrap();
            for (which, found) in [&gradients.queries, &gradients.keys, &gradients.values].into_iter().enumerate() {
                for seed in 0..3 {
                    let direction = wide(&numbers(20 + seed, found.len()));
                    let moved = |by: f64| {
                        let mut at = at.clone();
                        at[which].iter_mut().zip(&direction).for_each(|(x, d)| *x += by * d);
                        dot(&value(&at), &wide(&grad))
                    };
                    let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                    let along = dot(&wide(found), &direction);
                    let near = (along - expected).abs() < 3e-5 * expected.abs().max(1.0);
                    assert!(near, "{sizes:?}, gradient {which}: {along} is not {expected}");
                }
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let sizes = [1, 5, 200, 200, 16, 16];
    let (x, attention) = (arrays(sizes), attention(&numbers(9, 32 * 16), 16, true));
    let [one, many] = [1, 3].map(|threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&attention, sizes, &x))
    });
    assert_eq!(one, many);
}

#[test]
fn what_comes_later_cannot_leak() {
    let sizes = [1, 1, 80, 80, 4, 3];
    let (mut x, attention) = (arrays(sizes), attention(&[], 4, true));
    let before = run(&attention, sizes, &x);
    x[2][75 * 3..].fill(f32::NAN);
    let after = run(&attention, sizes, &x);
    assert_eq!(before.context[..75 * 3], after.context[..75 * 3]);
    assert!(after.context[75 * 3..].iter().all(|x| x.is_nan()), "a NaN that is seen comes out");
}

#[test]
fn nothing_to_see_is_zero() {
    let attention = attention(&[], 4, false);
    let output = run(&attention, [1, 1, 3, 0, 4, 2], &arrays([1, 1, 3, 0, 4, 2]));
    assert_eq!(output.context, [0.0; 6]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let x = [0.0; 24];
    let at = |shape: [usize; 4]| view(&x[..size(shape)], shape);
    let says = |result: regard_kernel::Result<FeatureOutput>, expected: &str| {
        assert_eq!(result.unwrap_err().to_string(), expected);
    };
    let causal = attention(&[], 4, true);
    let refused = causal.forward(&at([1, 1, 2, 4]), &at([1, 1, 3, 4]), &at([1, 1, 3, 4]));
    says(refused, "keys: 3 positions given, as many as the 2 queries, since it is causal expected");
    let refused = causal.forward(&at([1, 1, 2, 4]), &at([1, 2, 2, 4]), &at([1, 2, 2, 4]));
    says(refused, "keys: [1, 2, 2, 4] given, [1, 1, 2, 4] expected");
    let performer = attention(&[1.0; 6], 3, false);
    let refused = performer.forward(&at([1, 1, 2, 4]), &at([1, 1, 2, 4]), &at([1, 1, 2, 4]));
    says(refused, "queries: 4 features given, 3, as the directions have expected");
    let refused = FeatureMap::exponential(&[1.0; 5], 3).unwrap_err().to_string();
    assert!(refused.starts_with("directions: 5 numbers given"), "{refused}");
}
