//! Attention by hashing against its definition in double precision, one pair after another.

mod oracle;

use oracle::*;
use rayon::ThreadPoolBuilder;
use regard_kernel::hashed::{HashedOutput, Order};
use regard_kernel::{HashedAttention, Hashing, View};

/// `[batch, heads, positions, d, dv]`
type Sizes = [usize; 5];

fn shapes([batch, heads, length, width, value_width]: Sizes) -> [[usize; 4]; 3] {
    let rows = [batch, heads, length, width];
    [rows, rows, [batch, heads, length, value_width]]
}

/// The position in each place, and the sizes of a bucket and of all rounds of a head.
struct Places<'a> {
    queries: &'a [u32],
    keys: &'a [u32],
    bucket: usize,
    all: usize,
}

/// Queries, keys and values; keys are the queries at length 1 if `shared`.
fn exact(sizes: Sizes, places: &Places, x: &[Vec<f64>; 3], causal: bool, shared: bool) -> Vec<f64> {
    let [batch, heads, length, width, value_width] = sizes;
    let row =
        |from: &[f64], unit: usize, at: usize, width: usize| from[(unit * length + at) * width..][..width].to_vec();
    let mut context = vec![];
    for unit in 0..batch * heads {
        let [queries, keys] = [places.queries, places.keys].map(|order| &order[unit * places.all..][..places.all]);
        for at in 0..length {
            let q = row(&x[0], unit, at, width);
            let mut seen = vec![];
            for (place, _) in queries.iter().enumerate().filter(|(_, query)| **query as usize == at) {
                let chunk = place / places.bucket;
                let before = (chunk + places.all / places.bucket - 1) % (places.all / places.bucket);
                for chunk in [chunk, before] {
                    for &key in &keys[chunk * places.bucket..][..places.bucket] {
                        let mut k = row(&x[usize::from(!shared)], unit, key as usize, width);
                        if shared {
                            let norm = dot(&k, &k).sqrt();
                            k.iter_mut().for_each(|k| *k /= norm);
                        }
                        let own = if shared && key as usize == at { 5e4 } else { 0.0 };
                        if !causal || key as usize <= at {
                            seen.push((dot(&q, &k) / (width as f64).sqrt() - own, key as usize));
                        }
                    }
                }
            }
            let max = seen.iter().fold(f64::NEG_INFINITY, |max, (score, _)| max.max(*score));
            let total: f64 = seen.iter().map(|(score, _)| (score - max).exp()).sum();
            for f in 0..value_width {
                let value = |key: usize| x[2][(unit * length + key) * value_width + f];
                let sum: f64 = seen.iter().map(|&(score, key)| (score - max).exp() * value(key)).sum();
                context.push(if seen.is_empty() { 0.0 } else { sum / total });
            }
        }
    }
    context
}

fn arrays(sizes: Sizes) -> [Vec<f32>; 3] {
    let mut seed = 0;
    shapes(sizes).map(|shape| {
        seed += 1;
        numbers(seed, size(shape)).iter().map(|x| 2.0 * x).collect()
    })
}

fn sort(sizes: Sizes, bucket: usize, rounds: usize, x: &[f32]) -> Order {
    let hashing = Hashing::new(sizes[2], bucket, rounds).unwrap();
    let rotations = numbers(30, sizes[3] * rounds * hashing.columns());
    hashing.sort(&view(x, shapes(sizes)[0]), &rotations).unwrap()
}

fn run(attention: &HashedAttention, sizes: Sizes, x: &[Vec<f32>; 3], shared: bool) -> HashedOutput {
    let [q, k, v] = shapes(sizes);
    let keys = view(&x[1], k);
    attention.forward(&view(&x[0], q), (!shared).then_some(&keys), &view(&x[2], v)).unwrap()
}

#[test]
fn context_and_gradients() {
    for (sizes, bucket, rounds) in
        [([2, 2, 32, 6, 5], 4, 3), ([1, 2, 64, 16, 32], 16, 2), ([1, 1, 96, 5, 17], 24, 1), ([1, 1, 4, 3, 3], 2, 1)]
    {
        for (shared, causal) in [(true, false), (true, true), (false, false), (false, true)] {
            let x = arrays(sizes);
            let order = sort(sizes, bucket, rounds, &x[0]);
            let of_keys = sort(sizes, bucket, rounds, &x[1]);
            let queries = order.positions().to_vec();
            let keys = if shared { queries.clone() } else { of_keys.positions().to_vec() };
            let places = Places { queries: &queries, keys: &keys, bucket, all: rounds * sizes[2] };
            let attention =
                if shared { HashedAttention::shared(order) } else { HashedAttention::new(order, of_keys).unwrap() };
            let attention = if causal { attention.causal() } else { attention };

            let at = x.each_ref().map(|x| wide(x));
            let output = run(&attention, sizes, &x, shared);
            let expected = exact(sizes, &places, &at, causal, shared);
            assert!(difference(&output.context, &expected) < 2e-6, "{sizes:?}, shared {shared}, causal {causal}");

            let [q, k, v] = shapes(sizes);
            let grad = numbers(8, size(v));
            let of_keys = view(&x[1], k);
            let of_keys: Option<&View> = (!shared).then_some(&of_keys);
            let gradients = attention
                .backward(&view(&x[0], q), of_keys, &view(&x[2], v), &output.context, &output.rows, &view(&grad, v))
                .unwrap();
            assert_eq!(gradients.keys.is_empty(), shared);
            for (which, found) in [&gradients.queries, &gradients.keys, &gradients.values].into_iter().enumerate() {
                let direction = wide(&numbers(20, found.len()));
                let moved = |by: f64| {
                    let mut at = at.clone();
                    at[which].iter_mut().zip(&direction).for_each(|(x, d)| *x += by * d);
                    dot(&exact(sizes, &places, &at, causal, shared), &wide(&grad))
                };
                let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                let along = dot(&wide(found), &direction);
                let near = (along - expected).abs() < 5e-5 * expected.abs().max(1.0);
                assert!(
                    near,
                    "{sizes:?}, shared {shared}, causal {causal}, gradient {which}: {along} is not {expected}"
                );
            }
        }
    }
}

#[test]
fn positions_are_sorted_by_bucket() {
    // One number of buckets, and a product of two.
    for (length, bucket, factors) in [(64, 4, vec![16]), (1040, 4, vec![10, 26]), (1024, 4, vec![16, 16])] {
        let sizes = [1, 2, length, 8, 1];
        let x = arrays(sizes);
        let order = sort(sizes, bucket, 2, &x[0]);
        let columns: usize = factors.iter().map(|factor| factor / 2).sum();
        assert_eq!(Hashing::new(length, bucket, 2).unwrap().columns(), columns);
        let rotations = numbers(30, 8 * 2 * columns);
        for (at, order) in order.positions().chunks(length).enumerate() {
            let (unit, round) = (at / 2, at % 2);
            let bucket_of = |position: u32| {
                let x = wide(&x[0][(unit * length + position as usize) * 8..][..8]);
                let (mut start, mut step, mut bucket) = (round * columns, 1, 0);
                for factor in &factors {
                    let along = |column: usize| -> f64 {
                        (0..8).map(|i| x[i] * f64::from(rotations[i * 2 * columns + start + column])).sum()
                    };
                    let both = (0..factor / 2).map(along).chain((0..factor / 2).map(|column| -along(column)));
                    let both: Vec<f64> = both.collect();
                    let best = (0..*factor).fold(0, |best, i| if both[i] > both[best] { i } else { best });
                    (start, bucket, step) = (start + factor / 2, bucket + step * best, step * factor);
                }
                (bucket, position)
            };
            let buckets: Vec<_> = order.iter().map(|&position| bucket_of(position)).collect();
            assert!(buckets.is_sorted(), "{length} positions: bucket by bucket, each in order");
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let sizes = [1, 5, 256, 16, 16];
    let x = arrays(sizes);
    let [one, many] = [1, 3].map(|threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&HashedAttention::shared(sort(sizes, 32, 4, &x[0])), sizes, &x, true))
    });
    assert_eq!(one, many);
}

#[test]
fn what_comes_later_cannot_leak() {
    let sizes = [1, 1, 64, 4, 3];
    let mut x = arrays(sizes);
    let orders = || [&x[0], &x[1]].map(|x| sort(sizes, 16, 2, x));
    let [queries, keys] = orders();
    let attention = HashedAttention::new(queries, keys).unwrap().causal();
    let before = run(&attention, sizes, &x, false);
    x[2][60 * 3..].fill(f32::NAN);
    x[1][62 * 4..].fill(f32::INFINITY);
    let after = run(&attention, sizes, &x, false);
    assert!(difference(&after.context[..60 * 3], &wide(&before.context[..60 * 3])) < 1e-6);
}

#[test]
fn what_does_not_fit_is_refused() {
    for (length, bucket, rounds, expected) in [
        (12, 4, 1, "length: 12 given, a multiple of two buckets, 8 positions expected"),
        (0, 4, 1, "length: 0 given, a multiple of two buckets, 8 positions expected"),
        (8, 0, 1, "hashing: buckets of 0 and 1 rounds given, at least 1 position a bucket and 1 round expected"),
    ] {
        assert_eq!(Hashing::new(length, bucket, rounds).unwrap_err().to_string(), expected);
    }
    let sizes = [1, 1, 8, 4, 4];
    let x = arrays(sizes);
    let attention = HashedAttention::shared(sort(sizes, 2, 1, &x[0]));
    let [shape, ..] = shapes(sizes);
    let rows = view(&x[0], shape);
    let refused = attention.forward(&rows, Some(&rows), &rows).unwrap_err().to_string();
    assert_eq!(refused, "keys: Some([1, 1, 8, 4]) given, none, since queries are keys expected");
    let short = view(&x[0][..16], [1, 1, 4, 4]);
    let refused = attention.forward(&short, None, &short).unwrap_err().to_string();
    assert!(refused.starts_with("queries: [1, 1, 4, 4] given, 1 batches and heads of 8 positions"), "{refused}");
}
