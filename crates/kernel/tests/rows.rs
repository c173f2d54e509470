//! The kernels along rows against double precision.

mod oracle;

use oracle::*;
use rayon::ThreadPoolBuilder;
use regard_kernel::View;
use regard_kernel::rows::{self, LinearCrossEntropy, Pairs, Weight};

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
fn root_mean_square_norm_and_its_gradient() {
    for (count, width) in [(0, 3), (1, 1), (2, 3), (7, 16), (33, 40), (300, 128)] {
        let x: Vec<f32> = numbers(1, count * width).iter().map(|x| 3.0 * x + 1.0).collect();
        let (gamma, grad) = (numbers(2, width), numbers(4, count * width));
        let exact = |x: &[f64], gamma: &[f64]| -> Vec<f64> {
            let rows = x.chunks(width).flat_map(|row| {
                let size = (row.iter().map(|x| x * x).sum::<f64>() / width as f64 + 1e-5).sqrt();
                row.iter().zip(gamma).map(move |(x, g)| x / size * g)
            });
            rows.collect()
        };
        let (mut out, mut rrms) = (vec![0.0; x.len()], vec![0.0; count]);
        rows::rms_norm(&x, &gamma, 1e-5, &mut out, &mut rrms).unwrap();
        assert!(difference(&out, &exact(&wide(&x), &wide(&gamma))) < 2e-6);

        let (mut dx, mut dgamma) = (vec![9.0; x.len()], vec![9.0; width]);
        rows::rms_norm_backward(&x, &gamma, &rrms, &grad, &mut dx, &mut dgamma).unwrap();
        let all = [wide(&x), wide(&gamma)];
        for (place, found) in [&dx, &dgamma].into_iter().enumerate() {
            let direction = wide(&numbers(5, found.len()));
            let moved = |sign: f64| {
                let mut all = all.clone();
                all[place].iter_mut().zip(&direction).for_each(|(x, d)| *x += sign * 1e-5 * d);
                dot(&exact(&all[0], &all[1]), &wide(&grad))
            };
            let expected = (moved(1.0) - moved(-1.0)) / 2e-5;
            let along = dot(&wide(found), &direction);
            assert!((along - expected).abs() < 1e-4 * expected.abs().max(1.0), "gradient {along} is not {expected}");
        }
    }
    assert!(rows::rms_norm(&[0.0; 4], &[1.0; 2], 0.0, &mut [0.0; 4], &mut [0.0; 3]).is_err());
    assert!(rows::rms_norm(&[0.0; 4], &[1.0; 2], 0.0, &mut [0.0; 3], &mut [0.0; 2]).is_err());
    let mut dgamma = [0.0; 2];
    assert!(rows::rms_norm_backward(&[0.0; 4], &[1.0; 2], &[1.0; 2], &[0.0; 3], &mut [0.0; 4], &mut dgamma).is_err());
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
fn rotation_turns_pairs() {
    let [batch, heads, length, width, half] = [2, 3, 5, 11, 4];
    let x = numbers(1, batch * heads * length * width);
    let angles: Vec<f64> = numbers(2, 2 * 9 * half).iter().map(|&x| f64::from(3.0 * x)).collect();
    let [cos, sin] = [f64::cos, f64::sin].map(|f| angles.iter().map(|&x| f(x) as f32).collect::<Vec<_>>());
    let table = |x| View::new(x, [2, 1, 9, half]).unwrap();
    let x_view = View::new(&x, [batch, heads, length, width]).unwrap();
    let positions = [3, 1, 4, 8, 0, 2, 6, 5, 3, 7];
    for pairs in [Pairs::Halves, Pairs::Neighbours] {
        let mut out = vec![9.0; x.len()];
        rows::rotate(&x_view, &table(&cos), &table(&sin), Some(&positions), pairs, &mut out).unwrap();
        for (place, (out, x)) in out.chunks(width).zip(x.chunks(width)).enumerate() {
            let (b, t) = (place / length / heads, place % length);
            for i in 0..half {
                let [first, second] = if pairs == Pairs::Halves { [i, i + half] } else { [2 * i, 2 * i + 1] };
                let angle = angles[(b * 9 + positions[b * length + t]) * half + i];
                let (a, c) = (f64::from(x[first]), f64::from(x[second]));
                assert!((f64::from(out[first]) - (a * angle.cos() - c * angle.sin())).abs() < 1e-6);
                assert!((f64::from(out[second]) - (a * angle.sin() + c * angle.cos())).abs() < 1e-6);
            }
            assert_eq!(out[2 * half..], x[2 * half..], "the rest is copied");
        }
    }
    // Without positions, a row for each; the same for all batches and heads; what lies otherwise comes out in order.
    let (mut plain, mut out) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    let rows_of = |x| View::strided(x, [1, 1, length, half], [0, 0, half, 1]).unwrap();
    rows::rotate(&x_view, &rows_of(&cos), &rows_of(&sin), None, Pairs::Halves, &mut plain).unwrap();
    let (one, first) = (View::new(&cos[..9 * half], [1, 1, 9, half]), View::new(&sin[..9 * half], [1, 1, 9, half]));
    let ordered: Vec<usize> = (0..length).chain(0..length).collect();
    rows::rotate(&x_view, &one.unwrap(), &first.unwrap(), Some(&ordered), Pairs::Halves, &mut out).unwrap();
    assert_eq!(out, plain);
    let turned = View::strided(&x, [batch, width, length, heads], [heads * length * width, 1, width, length * width]);
    let error = rows::rotate(&turned.unwrap(), &rows_of(&cos), &rows_of(&sin), None, Pairs::Halves, &mut out);
    assert_eq!(error.unwrap_err().to_string(), "cosines: 4 features given, at most half of the 3 of x expected");
}

#[test]
fn rotations_that_do_not_fit_are_refused() {
    let x = View::new(&[0.0; 24], [1, 2, 3, 4]).unwrap();
    let table = View::new(&[0.0; 6], [1, 1, 3, 2]).unwrap();
    let short = View::new(&[0.0; 4], [1, 1, 2, 2]).unwrap();
    let refused = |sin: &View, positions: Option<&[usize]>, out: usize, message: &str| {
        let error = rows::rotate(&x, &table, sin, positions, Pairs::Halves, &mut vec![0.0; out]).unwrap_err();
        assert_eq!(error.to_string(), message);
    };
    refused(&short, None, 24, "sines: [1, 1, 2, 2] given, [1 or 1, 2 or 1, 3, 2] expected");
    refused(&table, Some(&[0, 1]), 24, "positions: 2 numbers given, 3 expected");
    refused(&table, Some(&[0, 3, 0]), 24, "position: 3 given, less than the 3 rows of the table expected");
    refused(&table, None, 23, "out: 23 numbers given, the product of [1, 2, 3, 4] expected");
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

#[test]
fn a_linear_layer_and_its_gradients_match_the_definition() {
    // Few rows and many, whole vectors and not, deeper than what is packed at a time.
    for [count, width, features] in [
        [1, 1, 1],
        [3, 5, 7],
        [25, 97, 64],
        [40, 100, 81],
        [70, 33, 130],
        [30, 1100, 17],
        [40, 1100, 140],
        [900, 6, 16],
    ] {
        let (x, w) = (numbers(1, count * width), numbers(2, width * features));
        let (b, g) = (numbers(3, features), numbers(4, count * features));
        let at = |data: &[f32], row: usize, columns: usize, column: usize| f64::from(data[row * columns + column]);
        let weight = Weight::new(&w, [width, features]).unwrap();
        let out = rows::linear(&x, &weight, &b).unwrap();
        assert_eq!(out.len(), count * features);
        let grads = rows::linear_backward(&x, &weight, true, &g).unwrap();
        let close = |found: f32, expected: f64, terms: usize| {
            let error = (f64::from(found) - expected).abs();
            assert!(error < 1e-7 * terms as f64 + 1e-6, "{found}, not {expected} ({count}, {width}, {features})");
        };
        for row in 0..count {
            for feature in 0..features {
                let sum: f64 = (0..width).map(|i| at(&x, row, width, i) * at(&w, i, features, feature)).sum();
                close(out[row * features + feature], sum + f64::from(b[feature]), width);
            }
            for i in 0..width {
                let sum = (0..features).map(|f| at(&g, row, features, f) * at(&w, i, features, f)).sum();
                close(grads.states[row * width + i], sum, features);
            }
        }
        for feature in 0..features {
            for i in 0..width {
                let sum = (0..count).map(|row| at(&x, row, width, i) * at(&g, row, features, feature)).sum();
                close(grads.weight[i * features + feature], sum, count);
            }
            close(grads.bias[feature], (0..count).map(|row| at(&g, row, features, feature)).sum(), count);
        }
    }
}

#[test]
fn a_linear_layer_gives_a_row_the_same_bits_in_any_company_and_on_any_threads() {
    let [count, width, features] = [500, 200, 96];
    let (x, w) = (numbers(1, count * width), numbers(2, width * features));
    let weight = Weight::new(&w, [width, features]).unwrap();
    let linear = |x: &[f32]| rows::linear(x, &weight, &[]).unwrap();
    let all = linear(&x);
    for (first, last) in [(0, 1), (7, 20), (100, 430)] {
        assert_eq!(linear(&x[first * width..last * width]), all[first * features..last * features]);
    }
    let pool = ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    assert_eq!(pool.install(|| linear(&x)), all);
}

/// Products of each batch and head in double precision; an axis of 1 is repeated.
fn products(a: &[f64], b: &[f64], [left, right]: [[usize; 4]; 2]) -> Vec<f64> {
    let at = |x: &[f64], shape: [usize; 4], place: [usize; 4]| {
        x[(0..4).fold(0, |at, axis| at * shape[axis] + if shape[axis] == 1 { 0 } else { place[axis] })]
    };
    let [batch, heads] = [0, 1].map(|axis| left[axis].max(right[axis]));
    let mut out = vec![];
    for place in 0..batch * heads * left[2] * right[3] {
        let (column, row) = (place % right[3], place / right[3] % left[2]);
        let unit = place / right[3] / left[2];
        let (batch, head) = (unit / heads, unit % heads);
        let term = |p: usize| at(a, left, [batch, head, row, p]) * at(b, right, [batch, head, p, column]);
        out.push((0..left[3]).map(term).sum());
    }
    out
}

#[test]
fn products_of_many_matrices() {
    for [left, right] in [
        [[2, 3, 4, 5], [2, 3, 5, 6]],
        [[1, 1, 40, 100], [2, 3, 100, 16]],
        [[2, 1, 7, 33], [1, 3, 33, 1]],
        [[1, 2, 250, 20], [1, 1, 20, 70]],
    ] {
        let (a, b) = (numbers(1, size(left)), numbers(2, size(right)));
        let expected = products(&wide(&a), &wide(&b), [left, right]);
        let shape = [left[0].max(right[0]), left[1].max(right[1]), left[2], right[3]];
        let grad = numbers(3, size(shape));
        // As they are, and both the other way round in memory.
        let turned = |x: &[f32], [batch, heads, rows, columns]: [usize; 4]| -> Vec<f32> {
            let unit = rows * columns;
            let place = |at: usize| at / unit * unit + at % unit % rows * columns + at % unit / rows;
            (0..batch * heads * unit).map(|at| x[place(at)]).collect()
        };
        let (a_turned, b_turned) = (turned(&a, left), turned(&b, right));
        let other = |x, [batch, heads, rows, columns]: [usize; 4]| {
            let strides = [heads * rows * columns, rows * columns, 1, rows];
            View::strided(x, [batch, heads, rows, columns], strides).unwrap()
        };
        for [l, r] in [[view(&a, left), view(&b, right)], [other(&a_turned, left), other(&b_turned, right)]] {
            let mut out = vec![9.0; expected.len()];
            rows::product(&l, &r, &mut out).unwrap();
            assert!(difference(&out, &expected) < 2e-6, "{left:?} {right:?}");
            let gradients = rows::product_backward(&l, &r, &view(&grad, shape)).unwrap();
            for (which, found) in [&gradients.left, &gradients.right].into_iter().enumerate() {
                let direction = wide(&numbers(4, found.len()));
                let along = dot(&wide(found), &direction);
                // A product is linear in each side.
                let moved = if which == 0 {
                    products(&direction, &wide(&b), [left, right])
                } else {
                    products(&wide(&a), &direction, [left, right])
                };
                let expected = dot(&moved, &wide(&grad));
                assert!((along - expected).abs() < 1e-5 * expected.abs().max(1.0), "{along} is not {expected}");
            }
        }
    }
    // Rows that lie apart.
    let (a, b) = (numbers(1, 3 * 5), numbers(2, 5 * 20));
    let apart = View::strided(&b, [1, 1, 5, 16], [0, 0, 20, 1]).unwrap();
    let mut out = vec![0.0; 3 * 16];
    rows::product(&view(&a, [1, 1, 3, 5]), &apart, &mut out).unwrap();
    let together: Vec<f32> = b.chunks(20).flat_map(|row| row[..16].iter().copied()).collect();
    let shapes = [[1, 1, 3, 5], [1, 1, 5, 16]];
    assert!(difference(&out, &products(&wide(&a), &wide(&together), shapes)) < 2e-6);
    let x = [0.0; 12];
    let refused = rows::product(&view(&x, [1, 2, 2, 3]), &view(&x, [1, 3, 4, 1]), &mut []).unwrap_err().to_string();
    assert_eq!(refused, "right side of a product: [1, 3, 4, 1] given, [1 or 1, 2 or 1, 3, column] expected");
}

#[test]
fn filters_and_their_gradients() {
    for (shape @ [batch, heads, length, width], taps) in
        [([1, 1, 1, 1], 1), ([2, 3, 7, 5], 3), ([1, 2, 40, 64], 33), ([2, 1, 300, 70], 5)]
    {
        let (x, weights, grad) = (numbers(1, size(shape)), numbers(2, heads * taps), numbers(3, size(shape)));
        let exact = |x: &[f64], weights: &[f64]| -> Vec<f64> {
            let mut out = vec![0.0; x.len()];
            for (at, out) in out.iter_mut().enumerate() {
                let (unit, t, f) = (at / width / length, at / width % length, at % width);
                for s in 0..taps {
                    if let Some(other) = (t + s).checked_sub(taps / 2).filter(|&other| other < length) {
                        *out += weights[unit % heads * taps + s] * x[(unit * length + other) * width + f];
                    }
                }
            }
            out
        };
        let mut out = vec![9.0; x.len()];
        rows::filter(&view(&x, shape), &weights, &mut out).unwrap();
        assert!(difference(&out, &exact(&wide(&x), &wide(&weights))) < 2e-6, "{batch} {shape:?}");
        let gradients = rows::filter_backward(&view(&x, shape), &weights, &view(&grad, shape)).unwrap();
        let direction = wide(&numbers(4, x.len()));
        let expected = dot(&exact(&direction, &wide(&weights)), &wide(&grad));
        let along = dot(&wide(&gradients.x), &direction);
        assert!((along - expected).abs() < 1e-5 * expected.abs().max(1.0), "{along} is not {expected}");
        let direction = wide(&numbers(5, weights.len()));
        let expected = dot(&exact(&wide(&x), &direction), &wide(&grad));
        let along = dot(&wide(&gradients.weights), &direction);
        assert!((along - expected).abs() < 1e-5 * expected.abs().max(1.0), "{along} is not {expected}");
    }
    assert!(rows::filter(&view(&[0.0; 4], [1, 2, 2, 1]), &[1.0; 4], &mut [0.0; 4]).is_err(), "no middle");
}
