//! Rounding: what it costs to keep no matrix, on every kind of input, beside the plain computation in single precision.
//!
//! Both are measured against double precision, over several inputs of a kind, by the root of the mean square error and by
//! the greatest error. The context must not be worse, up to the luck of the numbers, and is better by far where sums are
//! long. Gradients may be worse by the factors stated below: their weights are made again from a log-sum-exp of single
//! precision, which knows a row's scale to within 2⁻²⁴ of its greatest score and no better. Where scores go into the
//! thousands, that is the greatest error there is.

mod oracle;

use oracle::{numbers, view};
use regard_kernel::{Attention, ScaledDot, View, bf16, f16};

/// Attention on a blackboard: context, and gradients of queries, keys and values.
macro_rules! plain {
    ($name:ident, $number:ty) => {
        fn $name(input: &Input) -> [Vec<f64>; 4] {
            let numbers = |x: &[f32]| -> Vec<$number> { x.iter().map(|&x| <$number>::from(x)).collect() };
            let [q, k, v, grad] = [&input.q, &input.k, &input.v, &input.grad].map(|x| numbers(x));
            let (width, scale) = (input.width, <$number>::from(input.scale));
            let product = |a: &[$number], b: &[$number]| a.iter().zip(b).map(|(a, b)| a * b).sum::<$number>();
            let add = |to: &mut [$number], factor: $number, x: &[$number]| {
                to.iter_mut().zip(x).for_each(|(to, x)| *to += factor * x);
            };
            let mut results = [q.len(), q.len(), k.len(), v.len()].map(|size| vec![<$number>::default(); size]);
            let [context, d_q, d_k, d_v] = &mut results;
            for (i, q) in q.chunks(width).enumerate() {
                let scores: Vec<$number> = k.chunks(width).map(|k| product(q, k) * scale).collect();
                let max = scores.iter().copied().fold(<$number>::NEG_INFINITY, <$number>::max);
                let powers: Vec<$number> = scores.iter().map(|e| (e - max).exp()).collect();
                let total: $number = powers.iter().sum();
                let weights: Vec<$number> = powers.iter().map(|power| power / total).collect();
                let row = i * width..(i + 1) * width;
                let d_weights: Vec<$number> = v.chunks(width).map(|v| product(&grad[row.clone()], v)).collect();
                let inner = product(&weights, &d_weights);
                for (j, (&a, d_a)) in weights.iter().zip(d_weights).enumerate() {
                    let column = j * width..(j + 1) * width;
                    add(&mut context[row.clone()], a, &v[column.clone()]);
                    add(&mut d_v[column.clone()], a, &grad[row.clone()]);
                    let d_score = a * (d_a - inner) * scale;
                    add(&mut d_q[row.clone()], d_score, &k[column.clone()]);
                    add(&mut d_k[column], d_score, q);
                }
            }
            results.map(|x| x.into_iter().map(f64::from).collect())
        }
    };
}
plain!(single, f32);
plain!(double, f64);

/// Queries, keys, values and the gradient of the context, of one width.
struct Input {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    grad: Vec<f32>,
    width: usize,
    scale: f32,
}

impl Input {
    /// Numbers between -1 and 1.
    fn new(seed: u64, queries: usize, keys: usize, width: usize) -> Self {
        let [q, k, v, grad] = [(1, queries), (2, keys), (3, keys), (4, queries)]
            .map(|(place, rows)| numbers(seed * 4 + place, rows * width));
        Self { q, k, v, grad, width, scale: 1.0 / (width as f32).sqrt() }
    }

    /// The same numbers as another type has them.
    fn rounded(mut self, round: impl Fn(f32) -> f32) -> Self {
        for x in [&mut self.q, &mut self.k, &mut self.v, &mut self.grad] {
            x.iter_mut().for_each(|x| *x = round(*x));
        }
        self
    }

    fn fused(&self) -> [Vec<f64>; 4] {
        let shape = |x: &[f32]| [1, 1, x.len() / self.width, self.width];
        let views = [&self.q, &self.k, &self.v, &self.grad].map(|x| view(x, shape(x)));
        self.fused_of(views)
    }

    fn fused_of(&self, [q, k, v, grad]: [View; 4]) -> [Vec<f64>; 4] {
        let attention = Attention::new(ScaledDot { scale: Some(self.scale) });
        let output = attention.forward(&q, &k, &v).unwrap();
        let gradients = attention.backward(&q, &k, &v, &output.context, &output.lse, &grad).unwrap();
        [output.context, gradients.queries, gradients.keys, gradients.values].map(|x| oracle::wide(&x))
    }
}

/// Root of the mean square error, and greatest error.
#[derive(Clone, Copy, Default)]
struct Errors {
    squares: f64,
    count: usize,
    max: f64,
}

impl Errors {
    fn add(&mut self, found: &[f64], exact: &[f64]) {
        for (found, exact) in found.iter().zip(exact) {
            let error = (found - exact).abs();
            assert!(error.is_finite(), "{found}, not {exact}");
            self.squares += error * error;
            self.count += 1;
            self.max = self.max.max(error);
        }
    }

    fn mean(&self) -> f64 {
        (self.squares / self.count as f64).sqrt()
    }
}

/// How many times the plain computation's error is granted.
struct Limits {
    context: f64,
    gradients: f64,
    /// Granted besides, for where the plain computation is exact by chance.
    units: f64,
}

const ORDINARY: Limits = Limits { context: 1.1, gradients: 1.75, units: 0.0 };

/// Compares the two computations over some inputs of a kind; greatest errors may be half as large again.
fn compare(kind: &str, limits: &Limits, inputs: impl Iterator<Item = Input>) {
    compare_as(kind, limits, inputs, Input::fused);
}

fn compare_as(
    kind: &str,
    limits: &Limits,
    inputs: impl Iterator<Item = Input>,
    fused: impl Fn(&Input) -> [Vec<f64>; 4],
) {
    let (mut ours, mut plain) = ([Errors::default(); 4], [Errors::default(); 4]);
    for input in inputs {
        let (exact, found, single) = (double(&input), fused(&input), single(&input));
        for result in 0..4 {
            ours[result].add(&found[result], &exact[result]);
            plain[result].add(&single[result], &exact[result]);
        }
    }
    let unit = limits.units * f64::from(f32::EPSILON);
    for (result, (ours, plain)) in ["context", "d queries", "d keys", "d values"].iter().zip(ours.iter().zip(&plain)) {
        let limit = if *result == "context" { limits.context } else { limits.gradients };
        let (means, greatest) = ((ours.mean(), plain.mean()), (ours.max, plain.max));
        println!(
            "{kind:24} {result:9}: mean {:.2e} beside {:.2e}, max {:.2e} beside {:.2e}",
            means.0, means.1, ours.max, plain.max
        );
        assert!(means.0 <= limit * means.1 + unit, "{kind}: mean error of {result} {means:?}");
        assert!(greatest.0 <= 1.5 * limit * greatest.1 + 8.0 * unit, "{kind}: greatest error of {result} {greatest:?}");
    }
}

#[test]
fn ordinary() {
    compare("ordinary", &ORDINARY, (0..20).map(|seed| Input::new(seed, 65, 129, 32)));
    compare("ordinary, wide", &ORDINARY, (0..4).map(|seed| Input::new(seed, 100, 300, 128)));
    let spread = |by: f32| move |seed| Input::new(seed, 70, 200, 32).rounded(|x| x * by);
    compare("spread 3", &ORDINARY, (0..10).map(spread(3.0)));
    compare("spread 10", &ORDINARY, (0..10).map(spread(10.0)));
}

#[test]
fn extreme_logits() {
    let with = |f: fn(&mut Input, u64)| {
        move |seed| {
            let mut input = Input::new(seed, 70, 200, 32);
            input.scale = 1.0;
            f(&mut input, seed);
            input
        }
    };
    let large = Limits { gradients: 2.0, ..ORDINARY };
    compare("hundreds", &large, (0..10).map(with(|input, _| input.q.iter_mut().for_each(|x| *x *= 100.0))));
    let huge = Limits { context: 1.5, gradients: 6.0, ..ORDINARY };
    compare("thousands", &huge, (0..10).map(with(|input, _| input.q.iter_mut().for_each(|x| *x *= 1000.0))));
    let dominated = with(|input, seed| {
        // One key is like all queries, which are much alike.
        let width = input.width;
        let best = seed as usize * 17 % 200 * width;
        for row in input.q.chunks_mut(width) {
            row.iter_mut().for_each(|x| *x += 5.0);
        }
        input.k[best..best + width].fill(2.0);
    });
    let exact = Limits { units: 32.0, ..ORDINARY };
    compare("one key dominates", &exact, (0..10).map(dominated));
    let alike = with(|input, _| {
        input.q.iter_mut().for_each(|x| *x = 6.0 + 0.01 * *x);
        input.k.iter_mut().for_each(|x| *x = 6.0 + 0.01 * *x);
    });
    compare("large and nearly equal", &ORDINARY, (0..10).map(alike));
}

#[test]
fn constant() {
    let same = |seed| {
        let mut input = Input::new(seed, 70, 200, 32);
        input.q.fill(0.1);
        input.k.fill(0.3);
        input.v.fill(0.7);
        input
    };
    let exact = Limits { units: 8.0, ..ORDINARY };
    compare("constant", &exact, (0..3).map(same));
}

#[test]
fn cancellation() {
    let width = 32;
    let alternating = |seed| {
        let mut input = Input::new(seed, 70, 200, width);
        for (j, row) in input.v.chunks_mut(width).enumerate() {
            row.iter_mut().for_each(|x| *x += if j % 2 == 0 { 1000.0 } else { -1000.0 });
        }
        // Pairs of equal keys: the large parts cancel.
        for pair in input.k.chunks_mut(2 * width) {
            let (first, second) = pair.split_at_mut(width);
            second.copy_from_slice(first);
        }
        input
    };
    compare("values that cancel", &ORDINARY, (0..10).map(alternating));
    let dots = |seed| {
        let mut input = Input::new(seed, 70, 200, width);
        for x in [&mut input.q, &mut input.k] {
            x.iter_mut().enumerate().for_each(|(i, x)| *x += 30.0 * [1.0, 1.0, -1.0, 1.0][i % 4]);
        }
        // Half of the features count the other way.
        input.k.chunks_mut(2).for_each(|pair| pair[1] = -pair[1]);
        input
    };
    compare("scores that cancel", &ORDINARY, (0..10).map(dots));
}

#[test]
fn denormal() {
    let tiny = |by: f32| move |seed| Input::new(seed, 70, 200, 32).rounded(|x| x * by);
    compare("tiny", &ORDINARY, (0..10).map(tiny(1e-18)));
    let values = |seed| {
        let mut input = Input::new(seed, 70, 200, 32);
        input.v.iter_mut().for_each(|x| *x *= 1e-38);
        input
    };
    compare("denormal values", &ORDINARY, (0..10).map(values));
}

#[test]
fn long() {
    compare("20,000 keys", &ORDINARY, (0..2).map(|seed| Input::new(seed, 16, 20_000, 16)));
    compare("20,000 queries", &ORDINARY, (0..2).map(|seed| Input::new(seed, 20_000, 16, 16)));
    let positive = |seed| {
        let mut input = Input::new(seed, 16, 20_000, 16);
        input.v.iter_mut().for_each(|x| *x = x.abs());
        input
    };
    compare("20,000 keys of one sign", &ORDINARY, (0..2).map(positive));
}

#[test]
fn halves() {
    let inputs =
        |round: fn(f32) -> f32| (0..10).map(move |seed| Input::new(seed, 70, 200, 32).rounded(|x| round(3.0 * x)));
    macro_rules! stored {
        ($type:ty) => {
            |input: &Input| {
                let typed = [&input.q, &input.k, &input.v, &input.grad]
                    .map(|x| x.iter().map(|&x| <$type>::from_f32(x)).collect::<Vec<_>>());
                input.fused_of(
                    typed
                        .each_ref()
                        .map(|x| View::new(x.as_slice(), [1, 1, x.len() / input.width, input.width]).unwrap()),
                )
            }
        };
    }
    compare_as("f16", &ORDINARY, inputs(|x| f16::from_f32(x).to_f32()), stored!(f16));
    compare_as("bf16", &ORDINARY, inputs(|x| bf16::from_f32(x).to_f32()), stored!(bf16));
}
