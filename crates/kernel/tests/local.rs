//! Local attention around given positions against its definition in double precision.

mod oracle;

use oracle::*;
use rayon::ThreadPoolBuilder;
use regard_kernel::local::LocalAttention;

/// `[batch, heads, queries, keys, d, dv]`
type Sizes = [usize; 6];

fn shapes([batch, heads, queries, keys, width, value_width]: Sizes) -> [[usize; 4]; 4] {
    let rows = |positions, width| [batch, heads, positions, width];
    [rows(queries, width), rows(keys, width), rows(keys, value_width), rows(queries, 1)]
}

fn arrays(sizes: Sizes) -> [Vec<f32>; 4] {
    let mut seed = 0;
    let mut arrays = shapes(sizes).map(|shape| {
        seed += 1;
        numbers(seed, size(shape))
    });
    // Beyond the ends, too.
    arrays[3].iter_mut().for_each(|x| *x = (0.55 + 0.6 * *x) * sizes[3] as f32);
    arrays
}

fn exact(sizes: Sizes, reach: usize, [q, k, v, positions]: &[Vec<f64>; 4]) -> Vec<f64> {
    let [batch, heads, queries, keys, width, value_width] = sizes;
    let mut context = vec![];
    for row in 0..batch * heads * queries {
        let first = row / queries * keys;
        let away = |j: usize| j as f64 - positions[row];
        let seen: Vec<usize> = (0..keys).filter(|&j| away(j).abs() <= reach as f64).collect();
        let score =
            |j: usize| dot(&q[row * width..][..width], &k[(first + j) * width..][..width]) / (width as f64).sqrt();
        let total: f64 = seen.iter().map(|&j| score(j).exp()).sum();
        for f in 0..value_width {
            let weight = |j: usize| score(j).exp() / total * (-2.0 * (away(j) / reach as f64).powi(2)).exp();
            context.push(seen.iter().map(|&j| weight(j) * v[(first + j) * value_width + f]).sum());
        }
    }
    context
}

fn run(sizes: Sizes, reach: usize, x: &[Vec<f32>; 4]) -> Vec<f32> {
    let [q, k, v, positions] = shapes(sizes);
    let attention = LocalAttention::new(reach).unwrap();
    attention.forward(&view(&x[0], q), &view(&x[1], k), &view(&x[2], v), &view(&x[3], positions)).unwrap()
}

#[test]
fn context_and_gradients() {
    for (sizes, reach) in [([2, 2, 5, 9, 4, 3], 2), ([1, 2, 300, 40, 16, 32], 10), ([1, 1, 3, 5, 20, 1], 40)] {
        let x = arrays(sizes);
        let at = x.each_ref().map(|x| wide(x));
        assert!(difference(&run(sizes, reach, &x), &exact(sizes, reach, &at)) < 1e-6, "{sizes:?}");

        let [q, k, v, positions] = shapes(sizes);
        let shape = [q[0], q[1], q[2], v[3]];
        let grad = numbers(8, size(shape));
        let views = [view(&x[0], q), view(&x[1], k), view(&x[2], v), view(&x[3], positions)];
        let attention = LocalAttention::new(reach).unwrap();
        let found = attention.backward(&views[0], &views[1], &views[2], &views[3], &view(&grad, shape)).unwrap();
        let all = [found.queries, found.keys, found.values, found.positions];
        for (which, found) in all.iter().enumerate() {
            let direction = wide(&numbers(20, found.len()));
            let moved = |by: f64| {
                let mut at = at.clone();
                at[which].iter_mut().zip(&direction).for_each(|(x, d)| *x += by * d);
                dot(&exact(sizes, reach, &at), &wide(&grad))
            };
            let expected = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            let along = dot(&wide(found), &direction);
            let near = (along - expected).abs() < 3e-5 * expected.abs().max(1.0);
            assert!(near, "{sizes:?}, gradient {which}: {along} is not {expected}");
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let sizes = [1, 3, 600, 600, 64, 64];
    let x = arrays(sizes);
    let [one, many] = [1, 3].map(|threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(sizes, 10, &x))
    });
    assert_eq!(one, many);
}

#[test]
fn what_is_far_is_not_seen() {
    let sizes = [1, 1, 3, 9, 2, 1];
    let mut x = arrays(sizes);
    x[2].fill(f32::NAN);
    x[2][3..6].fill(1.0);
    // In reach of 3, 4 and 5; of nothing; not a place.
    x[3].copy_from_slice(&[4.0, -7.0, f32::NAN]);
    let context = run(sizes, 1, &x);
    assert!(context[0] > 0.0 && context[0] <= 1.0, "{}", context[0]);
    assert_eq!(context[1], 0.0);
    assert!(context[2].is_nan(), "a NaN that is seen comes out");
    assert!(LocalAttention::new(0).is_err());
}
