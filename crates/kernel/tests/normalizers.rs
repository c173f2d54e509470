//! Normalizers that end at a threshold, against the package `entmax` and on rows that need every kind of pass.

mod oracle;

use oracle::*;
use regard_kernel::probe::Weights;
use regard_kernel::{Attention, Causal, Dot, Entmax15, Normalizer, Sparsemax, TopK};

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
        let found = [attend(Sparsemax, scores, cotangent), attend(Entmax15, scores, cotangent)];
        for ((weights, gradient), expected) in found.into_iter().zip(case[2..].chunks_exact(2)) {
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
