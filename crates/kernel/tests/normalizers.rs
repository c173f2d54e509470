//! Normalizers that end at a threshold, against the package `entmax` and on rows that need every kind of pass.

mod oracle;

use oracle::*;
use regard_kernel::normalize::gumbel;
use regard_kernel::probe::Weights;
use regard_kernel::{Attention, Causal, Dot, Entmax, Entmax15, Gumbel, Hard, Normalizer, Sampled, Sparsemax, TopK};

/// Rows of scores as keys of one feature, which a query of 1 gives back.
fn attend(normalizer: impl Normalizer + 'static, scores: &[f32], cotangent: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let q = view(&[1.0], [1, 1, 1, 1]);
    let (k, v) = (view(scores, [1, 1, scores.len(), 1]), view(cotangent, [1, 1, scores.len(), 1]));
    let attention = Attention::new(Dot).normalizer(normalizer);
    let output = attention.forward(&q, &k, &v).unwrap();
    let mut weights = Weights::new();
    attention.observe(&q, &k, &output.lse, &mut [&mut weights]).unwrap();
    // With the cotangent as values and a gradient of 1, that of the weights is the cotangent.
    let gradients = attention.backward(&q, &k, &v, &output.context, &output.lse, &q).unwrap();
    (weights.into_values(), gradients.keys)
}

#[test]
fn the_package_agrees() {
    let lines: Vec<(&str, Vec<f32>)> = include_str!("oracle/entmax.txt")
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, numbers)| (name, numbers.split(' ').map(|x| x.parse().unwrap()).collect()))
        .collect();
    assert_eq!(lines.len() % 6, 0);
    for case in lines.chunks_exact(6) {
        let [scores, cotangent] = [&case[0].1, &case[1].1];
        let entmax = |alpha| attend(Entmax::new(alpha).unwrap(), scores, cotangent);
        let found =
            [attend(Sparsemax, scores, cotangent), attend(Entmax15, scores, cotangent), entmax(2.0), entmax(1.5)];
        for ((weights, gradient), expected) in found.into_iter().zip(case[2..].chunks_exact(2).cycle()) {
            let error = difference(&weights, &wide(&expected[0].1));
            assert!(error < 5e-7, "{}: weights are off by {error:e}", expected[0].0);
            let error = difference(&gradient, &wide(&expected[1].1));
            assert!(error < 1e-6, "{}: off by {error:e}", expected[1].0);
        }
    }
}

/// The weights of queries of one feature, and of any keys.
fn weights(attention: &Attention, q: &[f32], k: &[f32]) -> Vec<f32> {
    let (q, k) = (view(q, [1, 1, q.len(), 1]), view(k, [1, 1, k.len(), 1]));
    let output = attention.forward(&q, &k, &k).unwrap();
    let mut weights = Weights::new();
    attention.observe(&q, &k, &output.lse, &mut [&mut weights]).unwrap();
    weights.into_values()
}

#[test]
fn rows_of_every_spread_sum_to_one() {
    // From scores that are all alike, which leave every key a weight, to some that tower above the others.
    let q: Vec<f32> = (0..80).map(|i| 1e-4 * 1.18f32.powi(i)).collect();
    for keys in [1, 100, 130, 1000, 3000] {
        let k = numbers(keys as u64, keys);
        for attention in [
            Attention::new(Dot).normalizer(Sparsemax),
            Attention::new(Dot).normalizer(Entmax15),
            Attention::new(Dot).normalizer(Entmax::new(1.3).unwrap()),
            Attention::new(Dot).normalizer(Sparsemax).mask(Causal::default()),
        ] {
            let mut support = Vec::new();
            for row in weights(&attention, &q, &k).chunks_exact(keys) {
                assert!(row.iter().all(|&weight| (0.0..=1.00001).contains(&weight)));
                let sum: f64 = wide(row).iter().sum();
                // A query before all keys sees none.
                assert!((sum - 1.0).abs() < 3e-5 || sum == 0.0 && keys < 80, "{attention:?}: a row sums to {sum}");
                support.push(row.iter().filter(|&&weight| weight > 0.0).count());
            }
            if keys >= 1000 {
                assert!(support[0] > 900 && support[79] < 200, "{support:?}");
            }
        }
    }
}

#[test]
fn scores_that_arrive_in_order() {
    // Each key beats the ones before, or none does: the most and the fewest candidates that a pass can meet.
    for step in [0.001f32, -0.001, 0.3, -0.3, 0.0] {
        let k: Vec<f32> = (0..2000).map(|j| j as f32 * step).collect();
        for (attention, normalize) in [
            (Attention::new(Dot).normalizer(Sparsemax), Normalize::Sparsemax),
            (Attention::new(Dot).normalizer(Entmax15), Normalize::Entmax15),
            (Attention::new(Dot).normalizer(Entmax::new(1.2).unwrap()), Normalize::Entmax(f64::from(1.2f32))),
            (Attention::new(Dot).normalizer(Hard), Normalize::Hard),
            (Attention::new(Dot).normalizer(TopK::new(150).unwrap()), Normalize::TopK(150)),
        ] {
            let found = weights(&attention, &[1.0], &k);
            let scores: Vec<Option<f64>> = wide(&k).into_iter().map(Some).collect();
            let (expected, _) = normalize.row(&scores, f64::NEG_INFINITY);
            // Scores of 600 are known to 3e-5.
            let error = difference(&found, &expected);
            assert!(error < 4e-5, "{normalize:?}, step {step}: weights are off by {error:e}");
        }
    }
}

#[test]
fn numbers_beyond_measure_do_no_harm() {
    let normalizers = [
        Attention::new(Dot).normalizer(Sparsemax),
        Attention::new(Dot).normalizer(Entmax15),
        Attention::new(Dot).normalizer(Entmax::new(1.7).unwrap()),
        Attention::new(Dot).normalizer(Entmax::new(3.0).unwrap()),
        Attention::new(Dot).normalizer(Hard),
        Attention::new(Dot).normalizer(TopK::new(2).unwrap()),
    ];
    for attention in normalizers {
        for odd in [f32::NAN, f32::INFINITY] {
            for keys in [3, 500] {
                let mut k = vec![0.5; keys];
                k[1] = odd;
                let found = weights(&attention, &[1.0, 0.5], &k);
                assert!(found.chunks(keys).all(|row| row[1].is_nan()), "{odd} was swallowed by {attention:?}");
            }
        }
        let found = weights(&attention, &[1.0], &[f32::NEG_INFINITY, 0.25, f32::MIN]);
        assert_eq!(found[0], 0.0);
        assert_eq!(found[1], 1.0);
        assert_eq!(found[2], 0.0);
        assert_eq!(weights(&attention, &[1.0], &[]), []);
    }
}

#[test]
fn steep_ends_are_as_exact_as_they_can_be() {
    for alpha in [2.5f32, 3.0, 5.0] {
        for (keys, spread) in [(3, 1.0), (50, 1.0), (900, 1e-3), (900, 1e-6), (900, 0.0)] {
            let scores: Vec<f32> = numbers(9, keys).iter().map(|x| x * spread).collect();
            let found = weights(&Attention::new(Dot).normalizer(Entmax::new(alpha).unwrap()), &[1.0], &scores);
            let all: Vec<Option<f64>> = wide(&scores).into_iter().map(Some).collect();
            let (expected, _) = Normalize::Entmax(f64::from(alpha)).row(&all, f64::NEG_INFINITY);
            let error = difference(&found, &expected);
            let bound = 2.0 * 2e-7f64.powf(1.0 / f64::from(alpha - 1.0));
            assert!(error < bound, "alpha {alpha}, {keys} keys, spread {spread}: weights are off by {error:e}");
        }
    }
}

#[test]
fn of_equal_keys_the_first_is_chosen() {
    let scores: Vec<f32> = (0..300).map(|j| [0.0, 2.0, 1.0][j % 3]).collect();
    let values: Vec<f32> = (0..300).map(|j| j as f32).collect();
    for queries in [1, 9] {
        let q = vec![1.0; queries];
        let (q, k, v) = (view(&q, [1, 1, queries, 1]), view(&scores, [1, 1, 300, 1]), view(&values, [1, 1, 300, 1]));
        let attention = Attention::new(Dot).normalizer(Hard);
        assert_eq!(attention.forward(&q, &k, &v).unwrap().context, vec![1.0; queries]);
        assert_eq!(attention.decode(&q, (&k, &v)).unwrap().context, vec![1.0; queries]);
    }
}

#[test]
fn draws_are_as_frequent_as_they_are_probable() {
    // Many queries are many draws.
    let (queries, scores) = (20_000, [0.0f32, 1.0, -1.0, 2.0]);
    let q = vec![1.0; queries];
    let soft = Normalize::Softmax { temperature: 1.0 };
    let all: Vec<Option<f64>> = scores.iter().map(|&e| Some(f64::from(e))).collect();
    let (expected, _) = soft.row(&all, f64::NEG_INFINITY);
    for attention in [
        Attention::new(Dot).normalizer(Sampled::new(1)),
        Attention::new(Dot).normalizer(Gumbel::new(0.3, 2).unwrap().hard()),
    ] {
        let found = weights(&attention, &q, &scores);
        for (key, expected) in expected.iter().enumerate() {
            let drawn = found.chunks_exact(4).filter(|row| row[key] == 1.0).count() as f64 / queries as f64;
            assert!((drawn - expected).abs() < 0.015, "{attention:?}: {drawn} of draws, not {expected}");
        }
        assert_eq!(weights(&attention, &q, &scores), found);
    }
}

#[test]
fn the_score_function_is_right_on_average() {
    // The mean of r · ∂ ln p over draws is the gradient of the mean of r.
    let (queries, scores, costs) = (20_000, [0.3f32, -0.4, 0.9], [1.0f32, -2.0, 0.5]);
    let ones = vec![1.0; queries];
    let q = view(&ones, [1, 1, queries, 1]);
    let (k, v) = (view(&scores, [1, 1, 3, 1]), view(&costs, [1, 1, 3, 1]));
    let attention = Attention::new(Dot).normalizer(Sampled::new(3));
    let output = attention.forward(&q, &k, &v).unwrap();
    let gradients = attention.backward(&q, &k, &v, &output.context, &output.lse, &q).unwrap();
    let total: f64 = scores.iter().map(|&e| f64::from(e).exp()).sum();
    let p = scores.map(|e| f64::from(e).exp() / total);
    let mean: f64 = p.iter().zip(costs).map(|(p, cost)| p * f64::from(cost)).sum();
    for ((p, cost), found) in p.iter().zip(costs).zip(&gradients.keys) {
        let (expected, found) = (p * (f64::from(cost) - mean), f64::from(*found) / queries as f64);
        assert!((found - expected).abs() < 0.02, "{found}, not {expected}");
    }
}

#[test]
fn noise_has_a_place_of_its_own() {
    let seen: Vec<f32> =
        [(1, 0, 0, 0, 0), (2, 0, 0, 0, 0), (1, 1, 0, 0, 0), (1, 0, 1, 0, 0), (1, 0, 0, 1, 0), (1, 0, 0, 0, 1)]
            .map(|(seed, b, h, i, j)| gumbel(seed, b, h, i, j))
            .to_vec();
    for (i, x) in seen.iter().enumerate() {
        assert!(seen[..i].iter().all(|y| x != y) && x.is_finite());
    }
}
