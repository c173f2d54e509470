//! Linear attention against its definition in double precision, one position after another.

mod oracle;

use oracle::elements::{Numbers, TYPES};
use oracle::*;
use rayon::ThreadPoolBuilder;
use regard_kernel::View;
use regard_kernel::linear::{Gates, Gradients, LinearAttention, LinearOutput};

/// `[batch, heads, key heads, positions, d, dv]`
type Sizes = [usize; 6];

/// Everything that comes in, in either precision. A decay has `d` features or 1, none if empty; a beta is for each key head or all, none if empty.
#[derive(Clone)]
struct Inputs<T = f32> {
    q: Vec<T>,
    k: Vec<T>,
    v: Vec<T>,
    decay: Vec<T>,
    beta: Vec<T>,
    state: Vec<T>,
}

impl Inputs {
    fn new([batch, heads, memories, positions, width, value_width]: Sizes, decays: usize, betas: usize) -> Self {
        let size = batch * memories * positions;
        Self {
            q: numbers(1, batch * heads * positions * width),
            k: numbers(2, size * width).iter().map(|x| x / (width as f32 / 3.0).sqrt()).collect(),
            v: numbers(3, size * value_width),
            decay: numbers(4, size * decays).iter().map(|x| (x - 1.0) / 4.0).collect(),
            beta: numbers(5, batch * betas * positions).iter().map(|x| (x + 1.0) / 2.0).collect(),
            state: numbers(6, batch * memories * width * value_width),
        }
    }

    /// The gates' shapes: of decay and of beta.
    fn gates(&self, [batch, _, memories, positions, ..]: Sizes) -> Gates<'_> {
        let keys = batch * memories * positions;
        let decay = [batch, memories, positions, self.decay.len().checked_div(keys).unwrap_or(0)];
        let beta = [batch, self.beta.len().checked_div(batch * positions).unwrap_or(0), positions, 1];
        Gates {
            decay: (!self.decay.is_empty()).then(|| view(&self.decay, decay)),
            beta: (!self.beta.is_empty()).then(|| view(&self.beta, beta)),
        }
    }

    /// Queries, keys and values.
    fn views(&self, [batch, heads, memories, positions, width, value_width]: Sizes) -> [View<'_>; 3] {
        let q = view(&self.q, [batch, heads, positions, width]);
        let k = view(&self.k, [batch, memories, positions, width]);
        [q, k, view(&self.v, [batch, memories, positions, value_width])]
    }

    fn forward(&self, sizes: Sizes, state: Option<&[f32]>) -> LinearOutput {
        let [batch, _, memories, _, width, value_width] = sizes;
        let [q, k, v] = self.views(sizes);
        let state = state.map(|state| view(state, [batch, memories, width, value_width]));
        LinearAttention::default().forward(&q, &k, &v, &self.gates(sizes), state.as_ref()).unwrap()
    }

    /// Gradients from the state on, given those of the context and of the state in the end.
    fn backward(&self, sizes: Sizes, grad_context: &[f32], grad_state: &[f32]) -> Gradients {
        let [batch, heads, memories, positions, width, value_width] = sizes;
        let [q, k, v] = self.views(sizes);
        let [state, grad_state] =
            [&self.state[..], grad_state].map(|state| view(state, [batch, memories, width, value_width]));
        let grad = view(grad_context, [batch, heads, positions, value_width]);
        LinearAttention::default()
            .backward(&q, &k, &v, &self.gates(sizes), Some(&state), &grad, Some(&grad_state))
            .unwrap()
    }

    fn wide(&self) -> Inputs<f64> {
        let Self { q, k, v, decay, beta, state } = self;
        let [q, k, v, decay, beta, state] = [q, k, v, decay, beta, state].map(|x| wide(x));
        Inputs { q, k, v, decay, beta, state }
    }
}

impl Inputs<f64> {
    /// By the definition: context and state.
    fn exact(&self, [batch, heads, memories, positions, width, value_width]: Sizes) -> (Vec<f64>, Vec<f64>) {
        let mut context = vec![0.0; batch * heads * positions * value_width];
        let mut states = self.state.clone();
        let decays = self.decay.len() / (batch * memories * positions);
        let betas = self.beta.len() / (batch * positions);
        for unit in 0..batch * memories {
            let (b, m) = (unit / memories, unit % memories);
            let state = &mut states[unit * width * value_width..][..width * value_width];
            for t in 0..positions {
                let place = unit * positions + t;
                let key = &self.k[place * width..][..width];
                let mut value = self.v[place * value_width..][..value_width].to_vec();
                if decays > 0 {
                    for (i, row) in state.chunks_mut(value_width).enumerate() {
                        let kept = self.decay[place * decays + i % decays].exp();
                        row.iter_mut().for_each(|x| *x *= kept);
                    }
                }
                if betas > 0 {
                    let beta = self.beta[(b * betas + m % betas) * positions + t];
                    for (j, x) in value.iter_mut().enumerate() {
                        let found: f64 = (0..width).map(|i| key[i] * state[i * value_width + j]).sum();
                        *x = beta * (*x - found);
                    }
                }
                for (key, row) in key.iter().zip(state.chunks_mut(value_width)) {
                    row.iter_mut().zip(&value).for_each(|(x, value)| *x += key * value);
                }
                let group = heads / memories;
                for h in m * group..(m + 1) * group {
                    let place = (b * heads + h) * positions + t;
                    let query = &self.q[place * width..][..width];
                    for (j, out) in context[place * value_width..][..value_width].iter_mut().enumerate() {
                        let found: f64 = (0..width).map(|i| query[i] * state[i * value_width + j]).sum();
                        *out = found / (width as f64).sqrt();
                    }
                }
            }
        }
        (context, states)
    }
}

#[test]
fn every_rule_matches_the_definition() {
    // Less and more than a chunk, than a vector of features, than a tile of a product; heads that share a memory.
    let all =
        [[1, 1, 1, 1, 1, 1], [2, 2, 2, 5, 3, 4], [2, 6, 2, 16, 16, 20], [1, 4, 1, 33, 20, 17], [1, 2, 2, 70, 64, 96]];
    for sizes in all {
        let [_, _, memories, _, width, _] = sizes;
        for decays in [0, 1, width] {
            for betas in [0, 1, memories] {
                let inputs = Inputs::new(sizes, decays, betas);
                let output = inputs.forward(sizes, Some(&inputs.state));
                let (context, state) = inputs.wide().exact(sizes);
                let case = format!("{sizes:?}, decay {decays}, beta {betas}");
                assert!(difference(&output.context, &context) < 2e-6, "{case}");
                assert!(difference(&output.state, &state) < 2e-6, "{case}");
            }
        }
    }
}

#[test]
fn every_gradient_matches_finite_differences() {
    // Less and more than a chunk and than the memories that are kept; heads that share a memory.
    let all = [
        [1, 1, 1, 1, 1, 1],
        [2, 2, 2, 5, 3, 4],
        [1, 4, 2, 16, 16, 5],
        [2, 2, 1, 41, 5, 18],
        [1, 1, 1, 300, 4, 3],
        [1, 1, 1, 513, 2, 2],
    ];
    for sizes in all {
        let [_, _, memories, _, width, _] = sizes;
        for decays in [0, 1, width] {
            for betas in [0, 1, memories] {
                let inputs = Inputs::new(sizes, decays, betas);
                let case = format!("{sizes:?}, decay {decays}, beta {betas}");
                let exact = inputs.wide();
                let (context, state) = exact.exact(sizes);
                let [grad_context, grad_state] = [numbers(7, context.len()), numbers(8, state.len())];
                let found = inputs.backward(sizes, &grad_context, &grad_state);
                let along = |what: &str, found: &[f32], pick: &dyn Fn(&mut Inputs<f64>) -> &mut Vec<f64>| {
                    let direction = wide(&numbers(100, found.len()));
                    let step = 1e-6;
                    let loss = |sign: f64| -> f64 {
                        let mut moved = exact.clone();
                        let values = pick(&mut moved);
                        assert_eq!(values.len(), found.len(), "{case}: {what}");
                        values.iter_mut().zip(&direction).for_each(|(x, d)| *x += sign * step * d);
                        let (context, state) = moved.exact(sizes);
                        dot(&context, &wide(&grad_context)) + dot(&state, &wide(&grad_state))
                    };
                    let expected = (loss(1.0) - loss(-1.0)) / (2.0 * step);
                    let found = dot(&wide(found), &direction);
                    let error = (found - expected).abs() / expected.abs().max(1.0);
                    assert!(error < 2e-5, "{case}: gradient of {what} is {found}, not {expected}");
                };
                along("queries", &found.queries, &|inputs| &mut inputs.q);
                along("keys", &found.keys, &|inputs| &mut inputs.k);
                along("values", &found.values, &|inputs| &mut inputs.v);
                along("decay", &found.decay, &|inputs| &mut inputs.decay);
                along("beta", &found.beta, &|inputs| &mut inputs.beta);
                along("state", &found.state, &|inputs| &mut inputs.state);
            }
        }
    }
}

#[test]
fn gradients_do_not_pass_what_forgets_everything() {
    let sizes = [1, 1, 1, 24, 4, 4];
    let mut inputs = Inputs::new(sizes, 4, 1);
    inputs.decay[10 * 4..11 * 4].fill(f32::NEG_INFINITY);
    let mut grad = vec![0.0; 24 * 4];
    grad[10 * 4..].copy_from_slice(&numbers(7, 14 * 4));
    let found = inputs.backward(sizes, &grad, &numbers(8, 16));
    for x in [&found.queries, &found.keys, &found.values, &found.decay] {
        assert!(x.iter().all(|x| x.is_finite()) && x[..10 * 4].iter().all(|&x| x == 0.0));
        assert!(x[11 * 4..].iter().any(|&x| x != 0.0));
    }
    assert!(found.state.iter().chain(&found.decay[10 * 4..11 * 4]).all(|&x| x == 0.0));
}

#[test]
fn a_sequence_may_be_cut_anywhere() {
    let [batch, memories, positions, width] = [2, 3, 37, 8];
    let sizes = [batch, memories, memories, positions, width, width];
    let inputs = Inputs::new(sizes, width, memories);
    let whole = inputs.forward(sizes, Some(&inputs.state));
    let (mut state, mut start) = (inputs.state.clone(), 0);
    for count in [1, 1, 20, 0, 15] {
        let part = |x: &[f32]| -> Vec<f32> {
            let row = x.len() / (batch * memories * positions);
            x.chunks(positions * row).flat_map(|unit| &unit[start * row..][..count * row]).copied().collect()
        };
        let [q, k, v, decay, beta] = [&inputs.q, &inputs.k, &inputs.v, &inputs.decay, &inputs.beta].map(|x| part(x));
        let expected = part(&whole.context);
        let sizes = [batch, memories, memories, count, width, width];
        let output = Inputs { q, k, v, decay, beta, state: vec![] }.forward(sizes, Some(&state));
        assert!(difference(&output.context, &wide(&expected)) < 2e-6, "{count} positions from {start}");
        (state, start) = (output.state, start + count);
    }
    assert!(difference(&state, &wide(&whole.state)) < 2e-6);
}

#[test]
fn forgetting_everything_is_starting_anew() {
    let sizes = [1, 1, 1, 24, 4, 4];
    let mut inputs = Inputs::new(sizes, 4, 1);
    inputs.decay[10 * 4..11 * 4].fill(f32::NEG_INFINITY);
    let all = inputs.forward(sizes, None);
    let from = |x: &[f32], width: usize| x[10 * width..].to_vec();
    let late = Inputs {
        q: from(&inputs.q, 4),
        k: from(&inputs.k, 4),
        v: from(&inputs.v, 4),
        decay: from(&inputs.decay, 4),
        beta: from(&inputs.beta, 1),
        state: vec![],
    };
    let late = late.forward([1, 1, 1, 14, 4, 4], None);
    assert!(difference(&all.context[10 * 4..], &wide(&late.context)) < 2e-6);
    assert!(difference(&all.state, &wide(&late.state)) < 2e-6);
}

#[test]
fn nobody_sees_the_future() {
    let sizes = [1, 1, 1, 20, 4, 4];
    for (decays, betas) in [(0, 0), (4, 1)] {
        let mut inputs = Inputs::new(sizes, decays, betas);
        let clean = inputs.forward(sizes, None);
        for x in [&mut inputs.q, &mut inputs.k, &mut inputs.v] {
            x[7 * 4..8 * 4].fill(f32::NAN);
        }
        let poisoned = inputs.forward(sizes, None);
        assert_eq!(poisoned.context[..7 * 4], clean.context[..7 * 4]);
        assert!(poisoned.context[7 * 4..].iter().chain(&poisoned.state).all(|x| x.is_nan()));
    }
}

#[test]
fn any_element_and_any_strides() {
    let (batch, heads, positions, width) = (2, 3, 21, 16);
    let shape = [batch, heads, positions, width];
    let size = batch * heads * positions * width;
    for kind in TYPES {
        for by_position in [false, true] {
            let [q, k, v] = [1, 2, 3].map(|seed| Numbers::new(kind, seed, size, width));
            let [q, k, v] = [&q, &k, &v].map(|x| x.views(shape, by_position));
            let run = |i: usize| {
                let gates = Gates { decay: None, beta: None };
                LinearAttention::with_scale(0.5).forward(&q[i], &k[i], &v[i], &gates, None).unwrap()
            };
            assert_eq!(run(0), run(1), "{kind}");
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let sizes = [2, 4, 2, 100, 32, 64];
    let inputs = Inputs::new(sizes, 32, 2);
    let run = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| inputs.forward(sizes, Some(&inputs.state)))
    };
    assert_eq!(run(1), run(3));
    let [grad_context, grad_state] = [numbers(7, 2 * 4 * 100 * 64), numbers(8, inputs.state.len())];
    let run = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| inputs.backward(sizes, &grad_context, &grad_state))
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn nothing_is_fine() {
    for sizes in [[0, 1, 1, 3, 2, 2], [1, 0, 1, 3, 2, 2], [1, 1, 1, 3, 0, 2], [1, 1, 1, 3, 2, 0]] {
        let output = Inputs::new(sizes, 0, 0).forward(sizes, None);
        assert!(output.context.iter().all(|&x| x == 0.0), "{sizes:?}");
        let inputs = Inputs::new(sizes, 0, 0);
        let gradients = inputs.backward(sizes, &output.context, &inputs.state);
        assert_eq!(gradients.queries.len(), inputs.q.len());
    }
    let inputs = Inputs::new([1, 1, 1, 0, 2, 2], 0, 0);
    assert_eq!(inputs.forward([1, 1, 1, 0, 2, 2], Some(&inputs.state)).state, inputs.state);
}

#[test]
fn what_does_not_fit_is_refused() {
    let x = [0.0; 48];
    let view = |shape: [usize; 4]| View::new(&x[..shape.iter().product()], shape).unwrap();
    let (q, k, v) = (view([1, 4, 3, 2]), view([1, 2, 3, 2]), view([1, 2, 3, 4]));
    let refused = |q: &View, k: &View, v: &View, gates: Gates, state: Option<&View>, message: &str| {
        let error = LinearAttention::default().forward(q, k, v, &gates, state).unwrap_err();
        assert_eq!(error.to_string(), message);
    };
    let none = Gates::default();
    refused(&q, &view([1, 3, 3, 2]), &v, none, None, "keys: 3 heads given, a divisor of the 4 query heads expected");
    let message = "keys: [1, 2, 4, 2] given, [1, 2, 3, 2], as the queries have expected";
    refused(&q, &view([1, 2, 4, 2]), &v, none, None, message);
    let message = "values: [2, 2, 3, 4] given, [1, 2, 3, 4], as the keys have expected";
    refused(&q, &k, &view([2, 2, 3, 4]), none, None, message);
    let message = "state: [1, 2, 4, 2] given, [1, 2, 2, 4], [batch, key head, d, dv] expected";
    refused(&q, &k, &v, none, Some(&view([1, 2, 4, 2])), message);
    let gates = Gates { decay: Some(view([1, 2, 3, 3])), beta: None };
    let message = "decay: [1, 2, 3, 3] given, [1, 2, 3, 2], [batch, key head, position, d or 1] expected";
    refused(&q, &k, &v, gates, None, message);
    let gates = Gates { decay: None, beta: Some(view([1, 4, 3, 1])) };
    let message = "beta: [1, 4, 3, 1] given, [1, 2, 3, 1], [batch, key head or 1, position, 1] expected";
    refused(&q, &k, &v, gates, None, message);
    let [grad, state] = [view([1, 4, 2, 4]), view([1, 2, 4, 2])];
    let attention = LinearAttention::default();
    let error = attention.backward(&q, &k, &v, &none, None, &grad, None).unwrap_err();
    let message = "gradient of the context: [1, 4, 2, 4] given, [1, 4, 3, 4], as the context has expected";
    assert_eq!(error.to_string(), message);
    let error = attention.backward(&q, &k, &v, &none, None, &view([1, 4, 3, 4]), Some(&state)).unwrap_err();
    let message = "gradient of the state: [1, 2, 4, 2] given, [1, 2, 2, 4], as the state has expected";
    assert_eq!(error.to_string(), message);
}
