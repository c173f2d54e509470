//! The kernels along rows against double precision.

mod oracle;

use oracle::*;
use rayon::ThreadPoolBuilder;
use regard_kernel::rows;

fn loss(logits: &[f64], targets: &[usize], classes: usize, smoothing: f64, ignore: Option<usize>) -> f64 {
    let rows = logits.chunks(classes).zip(targets).filter(|(_, target)| Some(**target) != ignore);
    rows.map(|(row, &target)| {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let lse = max + row.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
        let mean = row.iter().sum::<f64>() / classes as f64;
        (1.0 - smoothing) * (lse - row[target]) + smoothing * (lse - mean)
    })
    .sum()
}

#[test]
fn cross_entropy_and_its_gradient() {
    for (count, classes) in [(1, 1), (3, 5), (9, 16), (40, 33), (70, 1000)] {
        for (smoothing, ignore) in [(0.0, None), (0.1, Some(0)), (1.0, Some(1_000_000))] {
            let mut logits: Vec<f32> = numbers(1, count * classes).iter().map(|x| 8.0 * x).collect();
            let mut targets: Vec<usize> = (0..count).map(|i| i * 7 % classes).collect();
            if ignore == Some(1_000_000) {
                targets[0] = 1_000_000;
                logits[..classes].fill(f32::NAN);
            }
            let found = rows::cross_entropy(&logits, &targets, classes, smoothing, ignore).unwrap();
            let exact = loss(&wide(&logits), &targets, classes, f64::from(smoothing), ignore);
            assert!((found.sum - exact).abs() <= 1e-6 * exact.abs().max(1.0), "{} is not {exact}", found.sum);
            assert_eq!(found.count, targets.iter().filter(|&&t| Some(t) != ignore).count());

            let mut grad = vec![9.0; logits.len()];
            rows::cross_entropy_backward(&logits, &targets, classes, smoothing, ignore, &found.lse, 0.5, &mut grad)
                .unwrap();
            let direction = wide(&numbers(2, logits.len()));
            let moved = |sign: f64| -> f64 {
                let logits: Vec<f64> = wide(&logits).iter().zip(&direction).map(|(x, d)| x + sign * 1e-5 * d).collect();
                loss(&logits, &targets, classes, f64::from(smoothing), ignore)
            };
            let expected = 0.5 * (moved(1.0) - moved(-1.0)) / 2e-5;
            let along = dot(&wide(&grad), &direction);
            assert!((along - expected).abs() < 1e-5 * expected.abs().max(1.0), "gradient {along} is not {expected}");
        }
    }
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
    let (count, classes) = (3000, 700);
    let x = numbers(1, count * classes);
    let targets: Vec<usize> = (0..count).map(|i| i % classes).collect();
    let run = |threads| {
        ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let loss = rows::cross_entropy(&x, &targets, classes, 0.1, None).unwrap();
            let gamma = &x[..classes];
            let (mut dx, mut dgamma, mut dbeta) = (vec![0.0; x.len()], vec![0.0; classes], vec![0.0; classes]);
            rows::layer_norm_backward(&x, gamma, &x[..count], &x[..count], &x, &mut dx, &mut dgamma, &mut dbeta)
                .unwrap();
            (loss, dx, dgamma, dbeta)
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn empty_rows_are_fine() {
    assert_eq!(rows::cross_entropy(&[], &[], 5, 0.1, None).unwrap().count, 0);
    rows::layer_norm(&[], &[1.0; 4], &[0.0; 4], 1e-5, &mut [], &mut [], &mut []).unwrap();
    let (mut dgamma, mut dbeta) = ([1.0; 4], [1.0; 4]);
    rows::layer_norm_backward(&[], &[1.0; 4], &[], &[], &[], &mut [], &mut dgamma, &mut dbeta).unwrap();
    assert_eq!(dgamma, [0.0; 4]);
}
