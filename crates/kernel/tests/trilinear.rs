//! Trilinear attention against its definition in double precision, one pair of keys after another.

mod oracle;

use oracle::*;
use rayon::ThreadPoolBuilder;
use regard_kernel::trilinear::{Gradients, Side, Trilinear};
use regard_kernel::{Output, View};

/// `[batch, heads, key heads, queries, keys, d, dv]`
type Sizes = [usize; 7];

/// Queries, keys of both kinds, values of both kinds.
type Arrays<T> = [Vec<T>; 5];

fn shapes([batch, heads, key_heads, queries, keys, width, value_width]: Sizes) -> [[usize; 4]; 5] {
    let (side, values) = ([batch, key_heads, keys, width], [batch, key_heads, keys, value_width]);
    [[batch, heads, queries, width], side, side, values, values]
}

fn arrays(sizes: Sizes) -> Arrays<f32> {
    let mut seed = 0;
    shapes(sizes).map(|shape| {
        seed += 1;
        numbers(seed, size(shape)).iter().map(|x| 1.5 * x).collect()
    })
}

fn attention(windows: Option<[usize; 2]>) -> Trilinear {
    windows.map_or(Trilinear::default(), |[first, second]| Trilinear::default().windows(first, second).unwrap())
}

fn forward(attention: Trilinear, sizes: Sizes, x: &Arrays<f32>) -> Output {
    let [q, k, k2, v, v2] = views(sizes, x);
    attention.forward(&q, &Side { keys: k, values: v }, &Side { keys: k2, values: v2 }).unwrap()
}

fn backward(attention: Trilinear, sizes: Sizes, x: &Arrays<f32>, output: &Output, grad: &[f32]) -> Gradients {
    let [q, k, k2, v, v2] = views(sizes, x);
    let [batch, heads, _, queries, _, _, value_width] = sizes;
    let grad = view(grad, [batch, heads, queries, value_width]);
    attention.backward(&q, &Side { keys: k, values: v }, &Side { keys: k2, values: v2 }, output, &grad).unwrap()
}

fn views(sizes: Sizes, x: &Arrays<f32>) -> [View<'_>; 5] {
    let shapes = shapes(sizes);
    std::array::from_fn(|i| view(&x[i], shapes[i]))
}

/// Context and log-sum-exps by the definition.
fn exact(windows: Option<[usize; 2]>, sizes: Sizes, [q, k, k2, v, v2]: &Arrays<f64>) -> (Vec<f64>, Vec<f64>) {
    let [batch, heads, key_heads, queries, keys, width, value_width] = sizes;
    let (mut context, mut lses) = (vec![], vec![]);
    for row in 0..batch * heads * queries {
        let (unit, i) = (row / queries, row % queries);
        let first = (unit / heads * key_heads + unit % heads / (heads / key_heads)) * keys;
        let seen = |j: usize, kind: usize| {
            let behind = (i + keys) as isize - queries as isize - j as isize;
            behind >= 0 && windows.is_none_or(|windows| behind < windows[kind] as isize)
        };
        let pairs: Vec<(usize, usize, f64)> = (0..keys)
            .flat_map(|j| (0..keys).map(move |l| (j, l)))
            .filter(|&(j, l)| seen(j, 0) && seen(l, 1))
            .map(|(j, l)| {
                let products =
                    (0..width).map(|f| q[row * width + f] * k[(first + j) * width + f] * k2[(first + l) * width + f]);
                (j, l, products.sum::<f64>() / (width as f64).sqrt())
            })
            .collect();
        let max = pairs.iter().fold(f64::NEG_INFINITY, |max, pair| max.max(pair.2));
        let total: f64 = pairs.iter().map(|pair| (pair.2 - max).exp()).sum();
        lses.push(if pairs.is_empty() { max } else { max + total.ln() });
        for f in 0..value_width {
            let value = |j: usize, l: usize| v[(first + j) * value_width + f] * v2[(first + l) * value_width + f];
            context.push(pairs.iter().map(|&(j, l, e)| (e - max).exp() / total * value(j, l)).sum());
        }
    }
    (context, lses)
}

fn cases() -> Vec<(Option<[usize; 2]>, Sizes)> {
    vec![
        (None, [1, 1, 1, 1, 1, 1, 1]),
        (None, [2, 2, 1, 7, 9, 5, 3]),
        (None, [1, 2, 2, 9, 4, 3, 17]),
        (Some([5, 2]), [1, 4, 2, 20, 20, 8, 4]),
        (Some([1, 1]), [1, 1, 1, 6, 6, 2, 2]),
        // More than a tile of either kind, and more than a block and a span of queries.
        (Some([70, 66]), [1, 1, 1, 4, 80, 16, 16]),
        (Some([9, 3]), [1, 1, 1, 150, 150, 4, 2]),
    ]
}

#[test]
fn context_matches_the_definition() {
    for (windows, sizes) in cases() {
        let x = arrays(sizes);
        let output = forward(attention(windows), sizes, &x);
        let (context, lse) = exact(windows, sizes, &x.map(|x| wide(&x)));
        assert!(difference(&output.context, &context) < 2e-6, "{windows:?}, {sizes:?}");
        assert!(difference(&output.lse, &lse) < 2e-6, "{windows:?}, {sizes:?}");
    }
}

#[test]
fn gradients_match_finite_differences() {
    for (windows, sizes) in cases() {
        let x = arrays(sizes);
        let output = forward(attention(windows), sizes, &x);
        let grad = numbers(9, output.context.len());
        let Gradients { queries, keys: [k, k2], values: [v, v2] } =
            backward(attention(windows), sizes, &x, &output, &grad);
        let exact_x = x.map(|x| wide(&x));
        for (i, found) in [queries, k, k2, v, v2].iter().enumerate() {
            let direction = wide(&numbers(100 + i as u64, found.len()));
            let step = 1e-6;
            let loss = |sign: f64| {
                let mut moved = exact_x.clone();
                moved[i].iter_mut().zip(&direction).for_each(|(x, d)| *x += sign * step * d);
                dot(&exact(windows, sizes, &moved).0, &wide(&grad))
            };
            let (expected, found) = ((loss(1.0) - loss(-1.0)) / (2.0 * step), dot(&wide(found), &direction));
            let error = (found - expected).abs() / expected.abs().max(1.0);
            assert!(error < 2e-5, "{windows:?}, {sizes:?}: gradient {i} is {found}, not {expected}");
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let sizes = [1, 2, 1, 300, 300, 16, 16];
    let x = arrays(sizes);
    let grad = numbers(9, 2 * 300 * 16);
    let run = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let output = forward(attention(Some([100, 20])), sizes, &x);
            let gradients = backward(attention(Some([100, 20])), sizes, &x, &output, &grad);
            (output, gradients)
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn nobody_sees_the_future_and_what_is_seen_comes_out() {
    let sizes = [1, 1, 1, 20, 20, 4, 4];
    let clean = forward(attention(Some([6, 3])), sizes, &arrays(sizes));
    for i in 1..5 {
        let mut x = arrays(sizes);
        x[i][7 * 4..8 * 4].fill(f32::NAN);
        let poisoned = forward(attention(Some([6, 3])), sizes, &x);
        assert_eq!(poisoned.context[..7 * 4], clean.context[..7 * 4]);
        assert!(poisoned.context[7 * 4..10 * 4].iter().all(|x| x.is_nan()));
        assert_eq!(poisoned.context[13 * 4..], clean.context[13 * 4..]);
    }
}

#[test]
fn long_sequences_run_in_windows() {
    let sizes = [1, 1, 1, 4096, 4096, 4, 4];
    let x = arrays(sizes);
    let output = forward(attention(Some([512, 32])), sizes, &x);
    // The last query sees what it would see alone.
    let last = |i: usize| x[i][3500 * 4..].to_vec();
    let alone = [x[0][4095 * 4..].to_vec(), last(1), last(2), last(3), last(4)];
    let expected = forward(attention(Some([512, 32])), [1, 1, 1, 1, 596, 4, 4], &alone);
    assert!(difference(&output.context[4095 * 4..], &wide(&expected.context)) < 1e-6);
}

#[test]
fn nothing_is_fine() {
    for sizes in [[0, 1, 1, 3, 3, 2, 2], [1, 1, 1, 0, 3, 2, 2], [1, 1, 1, 3, 0, 2, 2], [1, 1, 1, 3, 3, 2, 0]] {
        let x = arrays(sizes);
        let output = forward(Trilinear::default(), sizes, &x);
        assert!(output.context.iter().all(|&x| x == 0.0), "{sizes:?}");
        let gradients = backward(Trilinear::default(), sizes, &x, &output, &output.context);
        assert_eq!(gradients.queries.len(), x[0].len());
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let error = Trilinear::default().windows(0, 3).unwrap_err();
    assert_eq!(error.to_string(), "windows: 0 and 3 given, at least 1 key each expected");
    let x = [0.0; 48];
    let view = |shape: [usize; 4]| View::new(&x[..shape.iter().product()], shape).unwrap();
    let (q, keys, values) = (view([1, 2, 3, 4]), view([1, 1, 3, 4]), view([1, 1, 3, 2]));
    let side = Side { keys, values };
    let refused = |first: &Side, second: &Side, message: &str| {
        assert_eq!(Trilinear::default().forward(&q, first, second).unwrap_err().to_string(), message);
    };
    refused(
        &Side { keys: view([1, 3, 3, 4]), values },
        &side,
        "keys: 3 heads given, a divisor of the 2 query heads expected",
    );
    refused(
        &side,
        &Side { keys: view([1, 1, 4, 4]), values },
        "second keys: [1, 1, 4, 4] given, [1, 1, 3, 4] expected",
    );
    refused(
        &side,
        &Side { keys, values: view([1, 1, 3, 3]) },
        "second values: [1, 1, 3, 3] given, [1, 1, 3, 2] expected",
    );
    let output = Trilinear::default().forward(&q, &side, &side).unwrap();
    let error = Trilinear::default().backward(&q, &side, &side, &output, &q).unwrap_err();
    assert_eq!(error.to_string(), "gradient of the context: [1, 2, 3, 4] given, [1, 2, 3, 2] expected");
}
