//! The kernels along rows against double precision.

mod oracle;

use oracle::*;
use rayon::ThreadPoolBuilder;
use regard_kernel::rows::{self, LinearCrossEntropy};

/// The loss in double precision; `at` holds states, weights and biases (or none) one after the other.
fn loss(problem: &LinearCrossEntropy, at: &[f64]) -> f64 {
    let (width, smoothing) = (problem.width, f64::from(problem.smoothing));
    let (states, learned) = at.split_at(problem.states.len());
    let (weight, bias) = learned.split_at(problem.weight.len());
    let rows = states.chunks(width).zip(problem.targets).filter(|(_, target)| Some(**target) != problem.ignore);
    rows.map(|(state, &target)| {
        let bias = bias.iter().copied().chain(std::iter::repeat(0.0));
        let logits: Vec<f64> = weight.chunks(width).zip(bias).map(|(weight, bias)| dot(weight, state) + bias).collect();
        let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let lse = max + logits.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
        let mean = logits.iter().sum::<f64>() / logits.len() as f64;
        (1.0 - smoothing) * (lse - logits[target]) + smoothing * (lse - mean)
    })
    .sum()
}

#[test]
fn linear_cross_entropy_and_its_gradients() {
    // Less and more than a vector, a tile of classes, a block of rows and a task of tiles.
    for (count, width, classes) in [(1, 1, 1), (3, 5, 7), (9, 16, 64), (40, 3, 100), (300, 33, 70), (130, 8, 1500)] {
        for (smoothing, biased, ignore) in [(0.0, false, None), (0.1, true, Some(0)), (1.0, true, Some(1_000_000))] {
            let mut states: Vec<f32> = numbers(1, count * width).iter().map(|x| 4.0 * x).collect();
            let (weight, bias) = (numbers(2, classes * width), numbers(3, if biased { classes } else { 0 }));
            let mut targets: Vec<usize> = (0..count).map(|i| i * 7 % classes).collect();
            if ignore == Some(1_000_000) {
                targets[0] = 1_000_000;
                states[..width].fill(f32::NAN);
            }
            let (states, weight, bias, targets) = (&states[..], &weight[..], &bias[..], &targets[..]);
            let problem = LinearCrossEntropy { states, weight, bias, width, targets, smoothing, ignore };
            let at = [wide(states), wide(weight), wide(bias)].concat();
            let exact = loss(&problem, &at);
            let (found, gradients) = problem.loss_and_gradients().unwrap();
            assert!((found - exact).abs() <= 1e-6 * exact.abs().max(1.0), "{found} is not {exact}");
            assert_eq!(problem.loss().unwrap(), found);

            let all = [&gradients.states[..], &gradients.weight, &gradients.bias];
            assert_eq!(all.map(<[f32]>::len), [states.len(), weight.len(), bias.len()]);
            let mut start = 0;
            for found in all {
                let direction = wide(&numbers(4, found.len()));
                let moved = |sign: f64| -> f64 {
                    let mut at = at.clone();
                    at[start..].iter_mut().zip(&direction).for_each(|(x, d)| *x += sign * 1e-5 * d);
                    loss(&problem, &at)
                };
                let expected = (moved(1.0) - moved(-1.0)) / 2e-5;
                let along = dot(&wide(found), &direction);
                assert!(
                    (along - expected).abs() < 2e-5 * expected.abs().max(1.0),
                    "gradient {along} is not {expected}"
                );
                start += found.len();
            }
            for (row, _) in targets.iter().enumerate().filter(|(_, target)| Some(**target) == ignore) {
                assert!(gradients.states[row * width..][..width].iter().all(|&x| x == 0.0), "row {row} is ignored");
            }
        }
    }
}

#[test]
fn far_logits_neither_overflow_nor_vanish() {
    // Logits 0, 200 and -∞, and a tile of classes that are impossible.
    let weight = [&[0.0, 2.0][..], &[f32::NEG_INFINITY; 80]].concat();
    let problem = LinearCrossEntropy {
        states: &[100.0],
        weight: &weight,
        bias: &[],
        width: 1,
        targets: &[0],
        smoothing: 0.0,
        ignore: None,
    };
    assert_eq!(problem.loss().unwrap(), 200.0);
    assert_eq!(LinearCrossEntropy { targets: &[1], ..problem }.loss().unwrap(), 0.0);
    assert!(
        LinearCrossEntropy { states: &[f32::NAN], ..problem }.loss().unwrap().is_nan(),
        "a NaN that is seen comes out"
    );
}

#[test]
fn layer_norm_and_its_gradient() {
    for (count, width) in [(1, 1), (2, 3), (7, 16), (33, 40), (300, 128)] {
        let x: Vec<f32> = numbers(1, count * width).iter().map(|x| 3.0 * x + 5.0).collect();
        let (gamma, beta, grad) = (numbers(2, width), numbers(3, width), numbers(4, count * width));
        let exact = |x: &[f64], gamma: &[f64], beta: &[f64]| -> Vec<f64> {
            let rows = x.chunks(width).flat_map(|row| {
                let mean = row.iter().sum::<f64>() / width as f64;
                let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
                row.iter().zip(gamma).zip(beta).map(move |((x, g), b)| (x - mean) / (variance + 1e-5).sqrt() * g + b)
            });
            rows.collect()
        };
        let (mut out, mut mean, mut rstd) = (vec![0.0; x.len()], vec![0.0; count], vec![0.0; count]);
        rows::layer_norm(&x, &gamma, &beta, 1e-5, &mut out, &mut mean, &mut rstd).unwrap();
        assert!(difference(&out, &exact(&wide(&x), &wide(&gamma), &wide(&beta))) < 2e-6);

        let (mut dx, mut dgamma, mut dbeta) = (vec![9.0; x.len()], vec![9.0; width], vec![9.0; width]);
        rows::layer_norm_backward(&x, &gamma, &mean, &rstd, &grad, &mut dx, &mut dgamma, &mut dbeta).unwrap();
        let all = [wide(&x), wide(&gamma), wide(&beta)];
        for (place, found) in [&dx, &dgamma, &dbeta].into_iter().enumerate() {
            let direction = wide(&numbers(5, found.len()));
            let moved = |sign: f64| {
                let mut all = all.clone();
                all[place].iter_mut().zip(&direction).for_each(|(x, d)| *x += sign * 1e-5 * d);
                dot(&exact(&all[0], &all[1], &all[2]), &wide(&grad))
            };
            let expected = (moved(1.0) - moved(-1.0)) / 2e-5;
            let along = dot(&wide(found), &direction);
            assert!((along - expected).abs() < 1e-4 * expected.abs().max(1.0), "gradient {along} is not {expected}");
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (count, width) = (3000, 700);
    let x = numbers(1, count * width);
    let targets: Vec<usize> = (0..count).map(|i| i % 1100).collect();
    let run = |threads| {
        ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let problem = LinearCrossEntropy {
                states: &x[..300 * width],
                weight: &x[..1100 * width],
                bias: &x[..1100],
                width,
                targets: &targets[..300],
                smoothing: 0.1,
                ignore: None,
            };
            let loss = problem.loss_and_gradients().unwrap();
            let gamma = &x[..width];
            let (mut dx, mut dgamma, mut dbeta) = (vec![0.0; x.len()], vec![0.0; width], vec![0.0; width]);
            rows::layer_norm_backward(&x, gamma, &x[..count], &x[..count], &x, &mut dx, &mut dgamma, &mut dbeta)
                .unwrap();
            (loss, dx, dgamma, dbeta)
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn empty_rows_are_fine() {
    let none = LinearCrossEntropy {
        states: &[],
        weight: &[1.0; 6],
        bias: &[],
        width: 2,
        targets: &[],
        smoothing: 0.1,
        ignore: None,
    };
    let (loss, gradients) = none.loss_and_gradients().unwrap();
    assert_eq!((loss, gradients.weight), (0.0, vec![0.0; 6]));
    rows::layer_norm(&[], &[1.0; 4], &[0.0; 4], 1e-5, &mut [], &mut [], &mut []).unwrap();
    let (mut dgamma, mut dbeta) = ([1.0; 4], [1.0; 4]);
    rows::layer_norm_backward(&[], &[1.0; 4], &[], &[], &[], &mut [], &mut dgamma, &mut dbeta).unwrap();
    assert_eq!(dgamma, [0.0; 4]);
}
