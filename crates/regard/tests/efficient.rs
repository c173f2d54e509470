//! The efficient mechanisms: against the packages of their papers (`oracle/efficient.py`), against exact attention where they
//! must agree with it, and what they refuse.

mod common;

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use common::{Oracle, close, random, tracked};
use regard::catalogue::{Setting, mechanisms};
use regard::hard::HardLocalConfig;
use regard::linear::{Linear, LinformerConfig, NystromConfig, PerformerConfig};
use regard::mechanism::{Mechanism, distribution};
use regard::sparse::{Axial, AxialAttentionConfig, HybridConfig, LongformerConfig, LshConfig};
use regard::{Attention, Causal, LocalAttention, Mode, Window, ops};

/// A case of the oracle, on a device that tracks gradients.
struct Case {
    oracle: Oracle,
    name: &'static str,
    device: Device,
}

impl Case {
    fn open(name: &'static str) -> Self {
        Case { oracle: Oracle::open("efficient"), name, device: tracked() }
    }

    fn tensor<const D: usize>(&self, key: &str) -> Tensor<D> {
        self.oracle.tensor(&format!("{}.{key}", self.name), &self.device)
    }

    fn input<const D: usize>(&self, key: &str) -> Tensor<D> {
        self.tensor::<D>(key).require_grad()
    }

    fn mixed(&self, mechanism: &dyn Mechanism) -> Tensor<4> {
        let inputs = ["q", "k", "v"].map(|key| self.input::<4>(key));
        let output = mechanism.mix(inputs[0].clone(), inputs[1].clone(), inputs[2].clone()).unwrap();
        let gradients = self.compare(output.clone());
        for (key, input) in ["q", "k", "v"].into_iter().zip(inputs) {
            self.gradient(key, &input, &gradients);
        }
        output
    }

    /// Compares the output; then the gradients are known.
    fn compare<const D: usize>(&self, output: Tensor<D>) -> burn::tensor::Gradients {
        close(self.name, &output, &self.tensor("output"), 2e-5);
        (output * self.tensor("cotangent")).sum().backward()
    }

    fn gradient<const D: usize>(&self, key: &str, input: &Tensor<D>, gradients: &burn::tensor::Gradients) {
        let expected = self.oracle.tensor::<D>(&format!("{}.gradient.{key}", self.name), &self.device.clone().inner());
        close(&format!("gradient of {}.{key}", self.name), &input.grad(gradients).unwrap(), &expected, 5e-5);
    }
}

#[test]
fn linear() {
    Case::open("linear").mixed(&Linear::new());
    Case::open("linear_causal").mixed(&Linear::causal());
}

#[test]
fn performer_with_the_same_directions() {
    for (name, causal) in [("performer", false), ("performer_causal", true)] {
        let case = Case::open(name);
        let mut performer = PerformerConfig::new(8).with_causal(causal).init(&case.device).unwrap();
        performer.directions = case.tensor("directions");
        case.mixed(&performer);
    }
}

#[test]
fn gates_and_the_delta_rule() {
    let device = tracked();
    let shapes = [[1, 2, 9, 4], [1, 2, 9, 4], [1, 2, 9, 3], [1, 2, 9, 4], [1, 2, 9, 1]];
    let [q, k, v, decay, beta] = [0, 1, 2, 3, 4].map(|at| random::<4>(at as u64, shapes[at], &device));
    let [q, k, v] = [q, k, v].map(Tensor::require_grad);
    let (decay, beta) = ((decay - 1.0).require_grad(), beta.abs().require_grad());
    for (keeps, corrects) in [(false, false), (true, false), (false, true), (true, true)] {
        let (gate, rate) = (keeps.then(|| decay.clone()), corrects.then(|| beta.clone()));
        let given = ops::linear_attention(q.clone(), k.clone(), v.clone(), gate, rate, 1.0).unwrap();
        // One position after another, as the rule is written.
        let at = |x: &Tensor<4>, position| x.clone().narrow(2, position, 1);
        let mut state = Tensor::<4>::zeros([1, 2, 4, 3], &device);
        let mut rows = Vec::new();
        for position in 0..9 {
            let [q, k, v] = [&q, &k, &v].map(|x| at(x, position));
            if keeps {
                state = state * at(&decay, position).exp().swap_dims(2, 3);
            }
            let written = if corrects { at(&beta, position) * (v - k.clone().matmul(state.clone())) } else { v };
            state = state + k.swap_dims(2, 3).matmul(written);
            rows.push(q.matmul(state.clone()));
        }
        let expected = Tensor::cat(rows, 2);
        close("context", &given, &expected, 1e-5);
        let [given, expected] = [given, expected].map(|context| context.square().sum().backward());
        for (input, used) in [(&q, true), (&k, true), (&v, true), (&decay, keeps), (&beta, corrects)] {
            if used {
                close("gradient", &input.grad(&given).unwrap(), &input.grad(&expected).unwrap(), 2e-5);
            }
        }
    }
    let refused = ops::linear_attention(q.clone(), k.clone(), v.clone(), Some(beta.narrow(1, 0, 1)), None, 1.0);
    let expected = "decay has shape [1, 1, 9, 1], expected [1, 2, 9, 4], or 1 as the last axis";
    assert_eq!(refused.unwrap_err().to_string(), expected);
}

#[test]
fn linformer() {
    let case = Case::open("linformer");
    let mut linformer = LinformerConfig::new(16).with_rank(5).init(&case.device).unwrap();
    let (key, value) = (case.input::<2>("key"), case.input::<2>("value"));
    linformer.key = Param::from_tensor(key.clone());
    linformer.value = Param::from_tensor(value.clone());
    let inputs = ["q", "k", "v"].map(|key| case.input::<4>(key));
    let [q, k, v] = inputs.clone();
    let gradients = case.compare(linformer.mix(q, k, v).unwrap());
    for (key, input) in ["q", "k", "v"].into_iter().zip(&inputs) {
        case.gradient(key, input, &gradients);
    }
    case.gradient("key", &linformer.key.val(), &gradients);
    case.gradient("value", &linformer.value.val(), &gradients);
}

#[test]
fn nystrom() {
    let case = Case::open("nystrom");
    let config = NystromConfig::new(2).with_landmarks(5).with_filter(5);
    let mut nystrom = config.init(&case.device).unwrap();
    nystrom.residual = Some(Param::from_tensor(case.input("filter")));
    let inputs = ["q", "k", "v"].map(|key| case.input::<4>(key));
    let [q, k, v] = inputs.clone();
    let gradients = case.compare(nystrom.mix(q, k, v).unwrap());
    for (key, input) in ["q", "k", "v"].into_iter().zip(&inputs) {
        case.gradient(key, input, &gradients);
    }
    case.gradient("filter", &nystrom.residual.unwrap().val(), &gradients);
}

#[test]
fn reformer() {
    for (name, causal) in [("lsh", false), ("lsh_causal", true)] {
        let case = Case::open(name);
        let lsh = LshConfig::new().with_bucket(4).with_rounds(3).with_causal(causal).init().unwrap();
        let (vectors, values) = (case.input::<3>("qk"), case.input::<3>("v"));
        let output =
            lsh.shared(vectors.clone().unsqueeze_dim(1), values.clone().unsqueeze_dim(1), case.tensor("rotations"));
        let gradients = case.compare(output.unwrap().squeeze_dim::<3>(1));
        case.gradient("qk", &vectors, &gradients);
        case.gradient("v", &values, &gradients);
    }
}

#[test]
fn axial_with_projections() {
    let case = Case::open("axial");
    let mut axial = AxialAttentionConfig::new(8, 2).init(&case.device).unwrap();
    for (line, layer) in [("row", &mut axial.row), ("column", &mut axial.column)] {
        for (name, linear) in [("query", &mut layer.query), ("key", &mut layer.key), ("value", &mut layer.value)] {
            linear.weight = Param::from_tensor(case.tensor::<2>(&format!("{line}.{name}.weight")).transpose());
            linear.bias = None;
        }
        layer.output.weight = Param::from_tensor(case.tensor::<2>(&format!("{line}.output.weight")).transpose());
        layer.output.bias = Some(Param::from_tensor(case.tensor(&format!("{line}.output.bias"))));
    }
    let input = case.input::<4>("input");
    let gradients = case.compare(axial.forward(input.clone(), Mode::Evaluate).unwrap());
    case.gradient("input", &input, &gradients);
    let weight = axial.row.value.weight.val().grad(&gradients).unwrap().transpose();
    let expected = case.oracle.tensor("axial.gradient.row.value.weight", &case.device.clone().inner());
    close("gradient of a weight", &weight, &expected, 5e-5);
}

#[test]
fn longformer() {
    let case = Case::open("longformer");
    let mut layer = LongformerConfig::new(8, 2).with_window(2).init(&case.device).unwrap();
    let linears = [
        ("query", &mut layer.query),
        ("key", &mut layer.key),
        ("value", &mut layer.value),
        ("global_query", &mut layer.global_query),
        ("global_key", &mut layer.global_key),
        ("global_value", &mut layer.global_value),
    ];
    for (name, linear) in linears {
        linear.weight = Param::from_tensor(case.tensor::<2>(&format!("{name}.weight")).transpose());
        linear.bias = Some(Param::from_tensor(case.tensor(&format!("{name}.bias"))));
    }
    // The oracle ends where the output's projection begins.
    layer.output.weight = Param::from_tensor(Tensor::eye(8, &case.device));
    layer.output.bias = None;
    let input = case.input::<3>("input");
    let gradients = case.compare(layer.forward(input.clone(), &[0, 9], None).unwrap().output);
    case.gradient("input", &input, &gradients);
    for (name, linear) in
        [("key", &layer.key), ("global_query", &layer.global_query), ("global_value", &layer.global_value)]
    {
        case.gradient(&format!("{name}.bias"), &linear.bias.as_ref().unwrap().val(), &gradients);
    }
}

#[test]
fn a_look_at_a_longformer_shows_global_queries_too() {
    let device = Device::default();
    let layer = LongformerConfig::new(8, 2).with_window(1).init(&device).unwrap();
    let input = random::<3>(3, [2, 6, 8], &device);
    let out = layer.forward(input.clone(), &[0, 3], Some(&[6, 4])).unwrap();
    let weights: Vec<f32> = out.look().unwrap().weights().unwrap().into_data().try_into_vec().unwrap();
    let features =
        |linear: &regard::Linear| -> Vec<f32> { linear.forward(input.clone()).into_data().try_into_vec().unwrap() };
    let near = [features(&layer.query), features(&layer.key)];
    let far = [features(&layer.global_query), features(&layer.global_key)];
    for (row, weights) in weights.chunks(6).enumerate() {
        let [batch, head, query] = [row / 12, row / 6 % 2, row % 6];
        let global = |position: usize| [0, 3].contains(&position);
        let length = [6, 4][batch];
        let [queries, keys] = if global(query) { &far } else { &near };
        let at = |position: usize, feature: usize| (batch * 6 + position) * 8 + head * 4 + feature;
        let score = |key| (0..4).map(|feature| queries[at(query, feature)] * keys[at(key, feature)]).sum::<f32>() / 2.0;
        let seen = |key: usize| key < length && (query.abs_diff(key) <= 1 || global(query) || global(key));
        let exps: Vec<f32> = (0..6).map(|key| if seen(key) { score(key).exp() } else { 0.0 }).collect();
        for (key, exp) in exps.iter().enumerate() {
            let expected = exp / exps.iter().sum::<f32>();
            assert!(
                (weights[key] - expected).abs() < 1e-5,
                "{batch} {head} {query} {key}: {} {expected}",
                weights[key]
            );
        }
    }
    let refused = layer.forward(input, &[0, 5], Some(&[6, 4])).unwrap_err().to_string();
    assert_eq!(refused, "global is 5, expected different positions below 4");
}

#[test]
fn predicted_positions() {
    let case = Case::open("local");
    let mut local = HardLocalConfig::new(4).with_reach(2).init(&case.device).unwrap();
    local.project = Param::from_tensor(case.input("project"));
    local.vector = Param::from_tensor(case.input("vector"));
    let inputs = ["q", "k", "v"].map(|key| case.input::<4>(key));
    let [q, k, v] = inputs.clone();
    let gradients = case.compare(local.mix(q, k, v).unwrap());
    for (key, input) in ["q", "k", "v"].into_iter().zip(&inputs) {
        case.gradient(key, input, &gradients);
    }
    case.gradient("project", &local.project.val(), &gradients);
    case.gradient("vector", &local.vector.val(), &gradients);
}

#[test]
fn with_every_block_kept_hybrid_is_exact() {
    let device = tracked();
    let inputs = [1, 2, 3].map(|seed| random::<4>(seed, [2, 3, 48, 6], &device).require_grad());
    for causal in [false, true] {
        let [q, k, v] = inputs.clone();
        let hybrid = HybridConfig::new().with_block(8).with_keep(6).with_near(0).with_causal(causal).init().unwrap();
        let given = hybrid.mix(q.clone(), k.clone(), v.clone()).unwrap();
        let exact = if causal { Attention::default().mask(Causal::default()) } else { Attention::default() };
        let expected = ops::attend(q, k, v, &exact).unwrap().context;
        close("context", &given, &expected, 1e-6);
        let [given, expected] = [given, expected].map(|context| context.square().sum().backward());
        for input in &inputs {
            close("gradient", &input.grad(&given).unwrap(), &input.grad(&expected).unwrap(), 1e-5);
        }
    }
}

#[test]
fn hybrid_finds_the_block_that_answers() {
    let device = Device::default();
    // Blocks of keys along different axes; each query asks for one of them.
    let keys: Tensor<4> =
        Tensor::<2>::eye(8, &device).reshape([1, 1, 8, 1, 8]).expand([1, 1, 8, 4, 8]).reshape([1, 1, 32, 8]);
    let queries: Tensor<4> = keys.clone().flip([2]) * 10.0;
    let hybrid = HybridConfig::new().with_block(4).with_keep(1).with_near(0).init().unwrap();
    let weights = distribution(&hybrid, queries, keys).unwrap();
    let answered: Tensor<4> = Tensor::<2>::eye(32, &device).flip([0]).unsqueeze();
    assert!(
        (weights.clone() * answered).sum().into_scalar::<f32>() > 7.5,
        "a quarter for each of the four that are alike"
    );
    close("sums of rows", &weights.sum_dim(3), &Tensor::ones([1, 1, 32, 1], &device), 1e-6);
}

#[test]
fn on_a_grid_of_one_row_axial_is_exact() {
    let device = Device::default();
    let [q, k, v] = [1, 2, 3].map(|seed| random::<4>(seed, [2, 2, 10, 4], &device));
    let exact = |attention: &Attention| ops::attend(q.clone(), k.clone(), v.clone(), attention).unwrap().context;
    let (all, past) = (exact(&Attention::default()), exact(&Attention::default().mask(Causal::default())));
    for (rows, columns) in [(1, 10), (10, 1)] {
        for (axial, expected) in [(Axial::new(rows, columns), &all), (Axial::causal(rows, columns), &past)] {
            let given = axial.unwrap().mix(q.clone(), k.clone(), v.clone()).unwrap();
            close("context", &given, expected, 1e-6);
        }
    }
}

#[test]
fn causal_axial_hears_of_everything_before() {
    let device = Device::default();
    let [q, k] = [1, 2].map(|seed| random::<4>(seed, [2, 2, 12, 4], &device));
    let weights = distribution(&Axial::causal(3, 4).unwrap(), q, k).unwrap();
    close("sums of rows", &weights.clone().sum_dim(3), &Tensor::ones([2, 2, 12, 1], &device), 1e-6);
    let seen = weights.greater_elem(0.0).float();
    close("who is seen", &seen, &Tensor::<2>::ones([12, 12], &device).tril(0).expand([2, 2, 12, 12]), 0.0);
}

#[test]
fn features_are_an_estimate_of_exact_attention() {
    let device = Device::default();
    let [q, k, v] = [1, 2, 3].map(|seed| random::<4>(seed, [1, 1, 32, 8], &device));
    let exact = ops::attend(q.clone(), k.clone(), v.clone(), &Attention::default()).unwrap().context;
    let error = |features| {
        let performer = PerformerConfig::new(8).with_features(Some(features)).with_seed(4).init(&device).unwrap();
        let given = performer.mix(q.clone(), k.clone(), v.clone()).unwrap();
        (given - exact.clone()).square().mean().sqrt().into_scalar::<f32>()
    };
    let (few, many) = (error(16), error(4096));
    assert!(many < 0.01 && many < few / 4.0, "{few} with 16 features, {many} with 4096");
}

#[test]
fn buckets_hold_what_is_alike() {
    let device = Device::default();
    // Positions come in pairs that point the same way, far apart.
    let half = random::<4>(7, [1, 2, 32, 16], &device);
    let vectors: Tensor<4> = Tensor::cat(vec![half.clone(), half], 2) * 12.0;
    let lsh = LshConfig::new().with_bucket(8).with_rounds(4).init().unwrap();
    let weights = distribution(&lsh, vectors.clone(), vectors.clone()).unwrap();
    let exact = distribution(&*build("Exact", 64), vectors.clone(), vectors).unwrap();
    // Both of a pair are found, if not in every round; without that, the mean would be 1/64.
    let error = (weights.clone() - exact).abs().mean().into_scalar::<f32>();
    assert!(error < 5e-3, "mean error {error}");
    close("sums of rows", &weights.sum_dim(3), &Tensor::ones([1, 2, 64, 1], &device), 1e-5);
}

fn setting(length: usize, causal: bool) -> Setting {
    Setting { heads: 2, head_dim: 8, length, causal, seed: 3, device: Device::default() }
}

fn build(name: &str, length: usize) -> Box<dyn Mechanism> {
    let entry = mechanisms().into_iter().find(|entry| entry.name == name).unwrap();
    (entry.build)(&setting(length, false)).unwrap()
}

#[test]
fn the_causal_form_of_local_attention_is_monotonic() {
    let (setting, device) = (setting(32, true), Device::default());
    let entry = mechanisms().into_iter().find(|entry| entry.name == "HardLocal").unwrap();
    let [q, k, v] = [1, 2, 3].map(|seed| random::<4>(seed, [1, 2, 32, 8], &device));
    let given = (entry.build)(&setting).unwrap().mix(q.clone(), k.clone(), v.clone()).unwrap();
    let window = Attention::default().mask(Window::new(Some(10), Some(0)));
    close("local-m", &given, &ops::attend(q, k, v, &window).unwrap().context, 1e-6);
}

#[test]
fn whatever_is_causal_sees_nothing_later() {
    let device = Device::default();
    const LENGTH: usize = 1024;
    const EARLY: usize = 500;
    let [q, k] = [1, 2].map(|seed| random::<4>(seed, [1, 2, LENGTH, 8], &device));
    let [other_q, other_k] = [(&q, 3), (&k, 4)].map(|(x, seed)| {
        let later = random::<4>(seed, [1, 2, LENGTH - EARLY, 8], &device);
        Tensor::cat(vec![x.clone().narrow(2, 0, EARLY), later], 2)
    });
    let mut causal = 0;
    for entry in mechanisms() {
        match (entry.build)(&setting(LENGTH, true)) {
            Ok(mechanism) => {
                let weights = distribution(&*mechanism, q.clone(), k.clone()).unwrap();
                let later: Tensor<4> = weights * Tensor::<2>::ones([LENGTH, LENGTH], &device).triu(1).unsqueeze();
                assert_eq!(later.abs().max().into_scalar::<f32>(), 0.0, "{}", entry.name);
                // Nor does anything later change what was found before.
                let out = |q: &Tensor<4>, k: &Tensor<4>| {
                    mechanism.mix(q.clone(), k.clone(), k.clone()).unwrap().narrow(2, 0, EARLY)
                };
                // Reformer cuts its chunks where all positions fall, the later ones, too.
                if entry.name != "Lsh" {
                    let tolerance = if entry.name == "Performer" { 2e-2 } else { 1e-6 };
                    close(entry.name, &out(&q, &k), &out(&other_q, &other_k), tolerance);
                }
                causal += 1;
            }
            Err(error) => assert!(error.to_string().starts_with("causal is true, expected false"), "{error}"),
        }
    }
    assert!(causal >= 14, "{causal} causal forms");
}

#[test]
fn a_seed_is_a_mechanism() {
    let device = Device::default();
    let [q, k] = [1, 2].map(|seed| random::<4>(seed, [1, 2, 64, 8], &device));
    for entry in mechanisms() {
        let [first, second] = [(); 2].map(|()| distribution(&*build(entry.name, 64), q.clone(), k.clone()).unwrap());
        close(entry.name, &first, &second, 0.0);
        assert_eq!(entry.name, build(entry.name, 64).card().name);
    }
}

#[test]
fn what_cannot_be_built_or_mixed_is_refused() {
    let device = Device::default();
    #[track_caller]
    fn says<T>(result: regard::Result<T>, expected: &str) {
        assert_eq!(result.err().expect("this is to be refused").to_string(), expected);
    }
    let x = |length| random::<4>(1, [1, 2, length, 8], &device);
    let mix = |mechanism: &dyn Mechanism, length| mechanism.mix(x(length), x(length), x(length));

    says(PerformerConfig::new(8).with_features(Some(0)).init(&device), "features is 0, expected at least 1");
    let performer = PerformerConfig::new(4).init(&device).unwrap();
    says(mix(&performer, 6), "queries has shape [1, 2, 6, 8], expected a last axis of 4");

    says(LinformerConfig::new(8).with_rank(9).init(&device), "rank is 9, expected from 1 to the length 8");
    let linformer = LinformerConfig::new(8).with_rank(4).init(&device).unwrap();
    says(mix(&linformer, 9), "keys has shape [1, 2, 9, 8], expected at most 8 positions");

    says(NystromConfig::new(2).with_landmarks(0).init(&device), "landmarks is 0, expected at least 1");
    let even = NystromConfig::new(2).with_filter(4).init(&device);
    says(even, "filter is 4, expected an odd number of positions, or 0 for no residual");
    let nystrom = NystromConfig::new(2).with_landmarks(8).init(&device).unwrap();
    for length in [4, 12] {
        let expected =
            format!("queries has shape [1, 2, {length}, 8], expected a multiple of the 8 landmarks as positions");
        says(mix(&nystrom, length), &expected);
    }

    says(LshConfig::new().with_bucket(1).init(), "bucket is 1, expected at least 2 positions");
    says(LshConfig::new().with_rounds(0).init(), "rounds is 0, expected at least 1");
    let lsh = LshConfig::new().with_bucket(4).init().unwrap();
    says(mix(&lsh, 12), "queries has shape [1, 2, 12, 8], expected a multiple of two buckets, 8 positions");

    says(HybridConfig::new().with_block(0).init(), "block is 0, expected at least 1");
    let hybrid = HybridConfig::new().with_block(8).init().unwrap();
    says(mix(&hybrid, 12), "queries has shape [1, 2, 12, 8], expected a multiple of the block, 8 positions");

    says(Axial::new(0, 3), "rows is 0, expected at least 1");
    let axial = Axial::new(2, 3).unwrap();
    says(mix(&axial, 8), "queries has shape [1, 2, 8, 8], expected a position for each place of 2 rows and 3 columns");

    says(HardLocalConfig::new(8).with_reach(0).init(&device), "reach is 0, expected at least 1");
    says(LongformerConfig::new(8, 3).init(&device), "heads is 3, expected a divisor of the width 8");
    let blind = LongformerConfig::new(8, 2).with_window(0).init(&device);
    says(blind, "window is 0, expected at least 1 position to each side");
    let longformer = LongformerConfig::new(8, 2).init(&device).unwrap();
    let forward = |global: &[usize]| longformer.forward(random::<3>(1, [1, 5, 8], &device), global, None);
    says(forward(&[5]), "global is 5, expected different positions below 5");
    says(forward(&[1, 1]), "global is 1, expected different positions below 5");

    let linear = Linear::new().mix(x(5), x(4), x(5));
    says(linear, "keys has shape [1, 2, 4, 8], expected [1, 2, 5, 8], as the queries and values have");

    let refused = ops::product(x(5), x(4));
    says(refused, "right has shape [1, 2, 4, 8], expected [1 or 1, 2 or 1, 8, column]");
    let weights = |taps| random::<2>(1, [2, taps], &device);
    says(ops::filter(x(5), weights(4)), "weights has shape [2, 4], expected [2, an odd number]");
    let local = LocalAttention::new(2).unwrap();
    let refused = ops::attend_local(x(5), x(5), x(5), random(1, [1, 2, 4, 1], &device), local);
    says(refused, "positions has shape [1, 2, 4, 1], expected [1, 2, 5, 1], one a query");
}
