//! What the modules promise beyond an oracle's cases: caches, dropout, gradients against differences in f64.

mod common;

use burn::module::Param;
use burn::tensor::activation::{gelu, log_softmax, silu};
use burn::tensor::{Device, Int, Tensor};
use common::{agrees_with_differences, close, fix, numbers, random, tracked, wide};
use regard::attention::{
    AdditiveAttention, AdditiveAttentionConfig, GeneralAttention, GeneralAttentionConfig, MultiHeadAttention,
    MultiHeadAttentionConfig,
};
use regard::position::LearnedPositionsConfig;
use regard::rows::Activation;
use regard::{Attention, Causal, LayerNormConfig, LinearConfig, Mode, Noise, Padding, RmsNormConfig, ScaledDot, ops};

fn causal() -> Attention {
    Attention::new(ScaledDot::default()).mask(Causal::default())
}

/// A layer whose weights are the same in every run.
fn layer(config: MultiHeadAttentionConfig, device: &Device) -> MultiHeadAttention {
    let mut layer = config.init(device).unwrap();
    for (seed, linear) in
        [&mut layer.query, &mut layer.key, &mut layer.value, &mut layer.output].into_iter().enumerate()
    {
        fix(linear, 100 + seed as u64);
    }
    layer
}

#[test]
fn decoding_with_a_cache_is_the_causal_pass() {
    let device = Device::default();
    for key_heads in [4, 2, 1] {
        let layer = layer(MultiHeadAttentionConfig::new(16, 4).with_key_heads(Some(key_heads)), &device);
        let input = random::<3>(1, [3, 9, 16], &device);
        let whole = layer.forward(input.clone(), input.clone(), &causal(), Mode::Evaluate).unwrap().output;
        let mut cache = None;
        for (start, end) in [(0, 3), (3, 4), (4, 5), (5, 8), (8, 9)] {
            let part = input.clone().slice([0..3, start..end]);
            let out = layer.decode(part, &mut cache, &causal()).unwrap();
            close("a decoded part", &out, &whole.clone().slice([0..3, start..end]), 1e-6);
        }
        assert_eq!(cache.unwrap().len(), 9);
    }
}

#[test]
fn a_cache_follows_the_rows_that_are_kept() {
    let device = Device::default();
    let layer = layer(MultiHeadAttentionConfig::new(8, 2), &device);
    let input = random::<3>(2, [3, 4, 8], &device);
    let mut cache = None;
    layer.decode(input.clone().slice([0..3, 0..3]), &mut cache, &causal()).unwrap();
    let rows = Tensor::<1, Int>::from_ints([2, 0, 0, 1], &device);
    cache.as_mut().unwrap().select(rows.clone());

    let kept = input.select(0, rows);
    let out = layer.decode(kept.clone().slice([0..4, 3..4]), &mut cache, &causal()).unwrap();
    let whole = layer.forward(kept.clone(), kept, &causal(), Mode::Evaluate).unwrap().output;
    close("the last position", &out, &whole.slice([0..4, 3..4]), 1e-6);
}

#[test]
fn cross_attention_to_a_memory_of_another_width() {
    let device = Device::default();
    let layer = layer(MultiHeadAttentionConfig::new(8, 2).with_memory_width(Some(5)), &device);
    let (input, memory) = (random::<3>(3, [2, 3, 8], &device), random::<3>(4, [2, 6, 5], &device));
    let attention = Attention::new(ScaledDot::default()).mask(Padding::new(vec![6, 4]));
    let out = layer.forward(input.clone(), memory.clone(), &attention, Mode::Evaluate).unwrap();
    assert_eq!(out.output.dims(), [2, 3, 8]);

    let (keys, values) = layer.project(memory.clone());
    let again = layer.attend(input.clone(), keys, values, &attention, Mode::Evaluate).unwrap();
    assert_eq!(numbers(&again.output), numbers(&out.output), "projecting first changes no bit");

    // What is hidden cannot matter.
    let loud = memory.slice_assign([1..2, 4..6, 0..5], Tensor::full([1, 2, 5], 1e6, &device));
    let hidden = layer.forward(input, loud, &attention, Mode::Evaluate).unwrap();
    assert_eq!(numbers(&hidden.output), numbers(&out.output), "padding has no influence");
}

#[test]
fn weights_look_the_same_at_any_time() {
    let device = Device::default();
    let layer = layer(MultiHeadAttentionConfig::new(8, 2), &device);
    let input = random::<3>(5, [2, 5, 8], &device);
    let look = layer.forward(input.clone(), input, &causal(), Mode::Evaluate).unwrap().look;
    let weights = look.weights().unwrap();
    close("sums of rows", &weights.clone().sum_dim(3), &Tensor::ones([2, 2, 5, 1], &device), 1e-6);
    let future: Tensor<4> = weights.clone() * Tensor::<2>::ones([5, 5], &device).triu(1).unsqueeze();
    assert_eq!(future.sum().into_scalar::<f32>(), 0.0, "nobody sees the future");
    assert_eq!(numbers(&look.weights().unwrap()), numbers(&weights));
}

#[test]
fn dropped_weights_depend_on_the_seed_alone_and_keep_the_mean() {
    let device = Device::default();
    let layer = layer(MultiHeadAttentionConfig::new(8, 2).with_dropout(0.3), &device);
    let input = random::<3>(6, [1, 4, 8], &device);
    let run = |mode: Mode| layer.forward(input.clone(), input.clone(), &causal(), mode).unwrap().output;
    let trained = |seed| run(Mode::Train(&Noise::new(seed)));
    assert_eq!(numbers(&trained(1)), numbers(&trained(1)));
    assert_ne!(numbers(&trained(1)), numbers(&trained(2)));

    let runs = 4000;
    let outputs: Vec<_> = (0..runs).map(trained).collect();
    let outputs: Tensor<4> = Tensor::stack(outputs, 0);
    let (mean, deviation) = (outputs.clone().mean_dim(0), outputs.var(0).sqrt() / (runs as f32).sqrt());
    let mean = numbers(&mean);
    for ((mean, deviation), exact) in mean.iter().zip(numbers(&deviation)).zip(numbers(&run(Mode::Evaluate))) {
        assert!((mean - exact).abs() <= 5.0 * deviation + 1e-5, "mean {mean} of {runs} runs, {exact} undropped");
    }
}

#[test]
fn dropout_passes_gradients_where_it_passes_values() {
    let device = tracked();
    let input = (random::<2>(7, [50, 40], &device) + 2.0).require_grad();
    let noise = Noise::new(3);
    let out = Mode::Train(&noise).dropout(input.clone(), 0.25);
    let gradients = out.clone().sum().backward();
    let gradient = numbers(&input.grad(&gradients).unwrap());
    let out = numbers(&out);
    for ((input, out), gradient) in numbers(&input).iter().zip(&out).zip(&gradient) {
        assert!(*gradient == 0.0 || (gradient - 4.0 / 3.0).abs() < 1e-6, "a scale of {gradient}");
        assert_eq!(input * gradient, *out);
    }
    let dropped = gradient.iter().filter(|&&gradient| gradient == 0.0).count();
    assert!((400..600).contains(&dropped), "{dropped} of 2000 dropped with probability 1/4");

    let again = Mode::Train(&Noise::new(3)).dropout(input.clone(), 0.25);
    assert_eq!(numbers(&again), out, "the same seed, the same bits");
    let next = Mode::Train(&noise).dropout(input.clone(), 0.25);
    assert_ne!(numbers(&next), out, "every place draws a seed of its own");
    assert_eq!(numbers(&Mode::Evaluate.dropout(input.clone(), 0.25)), numbers(&input));
}

#[test]
fn linear_cross_entropy_is_that_of_the_logits() {
    let (device, smoothing, targets) = (tracked(), 0.1, [4, 0, 2, 6, 1]);
    let states = (random::<2>(8, [5, 3], &device) * 3.0).require_grad();
    // Any strides: the weight of a linear layer lies the other way round.
    let weight = random::<2>(9, [3, 7], &device).require_grad();
    for bias in [None, Some(random::<1>(10, [7], &device).require_grad())] {
        let fused = ops::linear_cross_entropy(
            states.clone(),
            weight.clone().transpose(),
            bias.clone(),
            &targets,
            smoothing,
            Some(0),
        );
        let logits = states.clone().matmul(weight.clone());
        let logits = bias.iter().fold(logits, |logits, bias| logits + bias.clone().unsqueeze());
        let logs = log_softmax(logits, 1);
        let shares = targets.map(|target| {
            let share = |class| 0.9 * f32::from(u8::from(class == target)) + 0.1 / 7.0;
            [0, 1, 2, 3, 4, 5, 6].map(|class| if target == 0 { 0.0 } else { share(class) })
        });
        let plain = -(logs * Tensor::<2>::from_data(shares, &device)).sum();
        let fused = fused.unwrap();
        close("loss", &fused, &plain, 1e-6);
        // Not the end of the graph: what follows reaches the gradients.
        let (fused, plain) = ((fused * 0.5).backward(), (plain * 0.5).backward());
        let both = |tensor: &Tensor<2>| (tensor.grad(&fused).unwrap(), tensor.grad(&plain).unwrap());
        let (found, expected) = both(&states);
        close("gradient of the states", &found, &expected, 1e-6);
        assert!(numbers(&found)[3..6].iter().all(|&value| value == 0.0), "an ignored row learns nothing");
        let (found, expected) = both(&weight);
        close("gradient of the weight", &found, &expected, 1e-6);
        if let Some(bias) = bias {
            close("gradient of the bias", &bias.grad(&fused).unwrap(), &bias.grad(&plain).unwrap(), 1e-6);
        }
    }
}

#[test]
fn an_ignored_target_need_not_be_a_class() {
    let device = Device::default();
    let (states, weight) = (random::<2>(9, [2, 4], &device), random::<2>(10, [3, 4], &device));
    let loss = |states: Tensor<2>, targets: &[u32]| {
        numbers(&ops::linear_cross_entropy(states, weight.clone(), None, targets, 0.0, Some(u32::MAX)).unwrap())
    };
    assert_eq!(loss(states.clone(), &[2, u32::MAX]), loss(states.narrow(0, 0, 1), &[2]));
}

#[test]
fn layer_norm_learns_as_differences_say() {
    let (device, [rows, width]) = (tracked(), [6, 5]);
    let mut norm = LayerNormConfig::new(width).init(&device);
    norm.weight = Param::from_tensor(random(10, [width], &device));
    norm.bias = Param::from_tensor(random(11, [width], &device));
    let input = random::<3>(12, [2, 3, width], &device).require_grad();
    let cotangent = random::<3>(13, [2, 3, width], &device);
    let out = norm.forward(input.clone());
    let gradients = (out.clone() * cotangent.clone()).sum().backward();

    // All that is differentiated, one after the other: input, scale, shift.
    let at = [wide(&input), wide(&norm.weight.val()), wide(&norm.bias.val())].concat();
    let normalise = |at: &[f64]| -> Vec<f64> {
        let (input, learned) = at.split_at(rows * width);
        let (scale, shift) = learned.split_at(width);
        let row = |row: &[f64]| -> Vec<f64> {
            let mean = row.iter().sum::<f64>() / width as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
            let normal = row.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt());
            normal.zip(scale).zip(shift).map(|((x, scale), shift)| x * scale + shift).collect()
        };
        input.chunks(width).flat_map(row).collect()
    };
    for (given, expected) in wide(&out).iter().zip(normalise(&at)) {
        assert!((given - expected).abs() < 1e-5, "{given} is not {expected}");
    }
    let gradient = [
        numbers(&input.grad(&gradients).unwrap()),
        numbers(&norm.weight.val().grad(&gradients).unwrap()),
        numbers(&norm.bias.val().grad(&gradients).unwrap()),
    ];
    let cotangent = wide(&cotangent);
    agrees_with_differences("a layer norm", &gradient.concat(), &at, |at| inner(&normalise(at), &cotangent));
}

#[test]
fn a_root_mean_square_norm_learns_as_its_parts_do() {
    let (device, width) = (tracked(), 21);
    let mut norm = RmsNormConfig::new(width).init(&device);
    norm.weight = Param::from_tensor(random(10, [width], &device));
    let cotangent = random::<3>(13, [2, 3, width], &device);
    let run = |whole: bool| {
        let input = random::<3>(12, [2, 3, width], &device).require_grad();
        let out = if whole {
            norm.forward(input.clone())
        } else {
            let size = (input.clone().square().mean_dim(2) + 1e-6).sqrt();
            input.clone() / size * norm.weight.val().unsqueeze()
        };
        let gradients = (out.clone() * cotangent.clone()).sum().backward();
        (out, input.grad(&gradients).unwrap(), norm.weight.val().grad(&gradients).unwrap())
    };
    let ((out, of_input, of_weight), (parts, input, weight)) = (run(true), run(false));
    close("output", &out, &parts, 1e-5);
    close("gradient of the input", &of_input, &input, 1e-5);
    close("gradient of the scale", &of_weight, &weight, 1e-5);
}

#[test]
fn activations_and_gates_learn_as_their_parts_do() {
    let device = tracked();
    let run = |f: &dyn Fn(Tensor<2>, Tensor<2>) -> Tensor<2>| {
        let (x, up) = (random::<2>(1, [7, 33], &device) * 4.0, random::<2>(2, [7, 33], &device));
        let (x, up) = (x.detach().require_grad(), up.require_grad());
        let out = f(x.clone(), up.clone());
        let gradients = (out.clone() * random(3, [7, 33], &device)).sum().backward();
        (out, x.grad(&gradients).unwrap(), up.grad(&gradients))
    };
    let gelu_tanh =
        |x: Tensor<2>| x.clone() * 0.5 * (((x.clone() + x.powi_scalar(3) * 0.044_715) * 0.797_884_6).tanh() + 1.0);
    let parts: [(Activation, &dyn Fn(Tensor<2>) -> Tensor<2>); 3] =
        [(Activation::Gelu, &gelu), (Activation::GeluTanh, &gelu_tanh), (Activation::Silu, &silu)];
    for (activation, composed) in parts {
        let (out, of_x, _) = run(&|x, _| ops::activate(activation, x, None));
        let (expected, x, _) = run(&|x, _| composed(x));
        close("an activation", &out, &expected, 1e-6);
        close("its gradient", &of_x, &x, 1e-5);
        let (out, of_x, of_up) = run(&|x, up| ops::activate(activation, x, Some(up)));
        let (expected, x, up) = run(&|x, up| composed(x) * up);
        close("a gate", &out, &expected, 1e-6);
        close("its gradient", &of_x, &x, 1e-5);
        close("the other's", &of_up.unwrap(), &up.unwrap(), 1e-5);
    }
}

#[test]
fn a_linear_layer_learns_as_burns_own_does() {
    let device = tracked();
    for (rows, width, features, bias) in [(2, 5, 3, true), (40, 33, 48, true), (7, 16, 20, false)] {
        let mut layer = LinearConfig::new(width, features).with_bias(bias).init(&device);
        fix(&mut layer, 20);
        let theirs = burn::nn::Linear { weight: layer.weight.clone(), bias: layer.bias.clone() };
        let input = random::<3>(21, [3, rows, width], &device).require_grad();
        let cotangent = random::<3>(22, [3, rows, features], &device);
        let learn = |out: Tensor<3>| {
            let gradients = (out.clone() * cotangent.clone()).sum().backward();
            let bias = layer.bias.as_ref().map(|bias| numbers(&bias.val().grad(&gradients).unwrap()));
            [
                numbers(&out),
                numbers(&input.grad(&gradients).unwrap()),
                numbers(&layer.weight.val().grad(&gradients).unwrap()),
                bias.unwrap_or_default(),
            ]
            .concat()
        };
        let (ours, theirs) = (learn(layer.forward(input.clone())), learn(theirs.forward(input.clone())));
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!((ours - theirs).abs() < 1e-4, "{ours} is not {theirs}");
        }
    }
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Row vectors times a matrix `[from, to]`.
fn times(rows: &[f64], matrix: &[f64], from: usize) -> Vec<f64> {
    let to = matrix.len() / from;
    let row =
        |row: &[f64]| -> Vec<f64> { (0..to).map(|j| (0..from).map(|i| row[i] * matrix[i * to + j]).sum()).collect() };
    rows.chunks(from).flat_map(row).collect()
}

/// Two sentences, three queries, four positions of memory, of which the second sentence has three.
const LENGTHS: [usize; 2] = [4, 3];
const QUERY: [usize; 3] = [2, 3, 5];
const MEMORY: [usize; 3] = [2, 4, 6];

/// `Σ context ∘ cotangent`, in f64, of attention with any score of a query's row and a memory's row.
fn attended(memory: &[f64], cotangent: &[f64], score: impl Fn(usize, usize) -> f64) -> f64 {
    let width = MEMORY[2];
    let mut sum = 0.0;
    for (sentence, real) in LENGTHS.into_iter().enumerate() {
        for query in (0..QUERY[1]).map(|query| sentence * QUERY[1] + query) {
            let positions = sentence * MEMORY[1]..sentence * MEMORY[1] + real;
            let weights: Vec<f64> = positions.clone().map(|position| score(query, position).exp()).collect();
            let total: f64 = weights.iter().sum();
            for (position, weight) in positions.zip(weights) {
                let value = &memory[position * width..][..width];
                sum += weight / total * inner(value, &cotangent[query * width..][..width]);
            }
        }
    }
    sum
}

#[test]
fn additive_attention_learns_as_differences_say() {
    let (device, width) = (tracked(), 4);
    let mut attention: AdditiveAttention = AdditiveAttentionConfig::new(QUERY[2], MEMORY[2], width).init(&device);
    fix(&mut attention.query, 14);
    fix(&mut attention.key, 15);
    attention.vector = Param::from_tensor(random(16, [width], &device));
    let queries = random::<3>(17, QUERY, &device).require_grad();
    let memory = random::<3>(18, MEMORY, &device).require_grad();
    let cotangent = random::<3>(19, [QUERY[0], QUERY[1], MEMORY[2]], &device);
    let mask = Padding::new(LENGTHS.to_vec());
    let (context, look) =
        attention.forward(queries.clone(), attention.project(memory.clone()), memory.clone(), mask).unwrap();
    close("sums", &look.weights().unwrap().sum_dim(3), &Tensor::ones([2, 1, 3, 1], &device), 1e-6);

    let loss = (context * cotangent.clone()).sum();
    let given = f64::from(loss.clone().into_scalar::<f32>());
    let gradients = loss.backward();
    let cotangent = wide(&cotangent);
    let exact = |queries: &[f64], memory: &[f64], w: &[f64], u: &[f64], v: &[f64]| {
        let (queries, keys) = (times(queries, w, QUERY[2]), times(memory, u, MEMORY[2]));
        attended(memory, &cotangent, |i, j| {
            (0..width).map(|a| v[a] * (queries[i * width + a] + keys[j * width + a]).tanh()).sum()
        })
    };
    let [w, u, v] =
        [&wide(&attention.query.weight.val()), &wide(&attention.key.weight.val()), &wide(&attention.vector.val())];
    let (q, m) = (&wide(&queries), &wide(&memory));
    let expected = exact(q, m, w, u, v);
    assert!((given - expected).abs() < 1e-5, "{given} is not {expected}");
    let gradient = numbers(&queries.grad(&gradients).unwrap());
    agrees_with_differences("queries", &gradient, q, |q| exact(q, m, w, u, v));
    let gradient = numbers(&memory.grad(&gradients).unwrap());
    agrees_with_differences("memory", &gradient, m, |m| exact(q, m, w, u, v));
    let gradient = numbers(&attention.query.weight.val().grad(&gradients).unwrap());
    agrees_with_differences("W", &gradient, w, |w| exact(q, m, w, u, v));
    let gradient = numbers(&attention.key.weight.val().grad(&gradients).unwrap());
    agrees_with_differences("U", &gradient, u, |u| exact(q, m, w, u, v));
    let gradient = numbers(&attention.vector.val().grad(&gradients).unwrap());
    agrees_with_differences("v", &gradient, v, |v| exact(q, m, w, u, v));
}

#[test]
fn general_attention_learns_as_differences_say() {
    let device = tracked();
    let mut attention: GeneralAttention = GeneralAttentionConfig::new(QUERY[2], MEMORY[2]).init(&device);
    fix(&mut attention.key, 20);
    let queries = random::<3>(21, QUERY, &device).require_grad();
    let memory = random::<3>(22, MEMORY, &device).require_grad();
    let cotangent = random::<3>(23, [QUERY[0], QUERY[1], MEMORY[2]], &device);
    let mask = Padding::new(LENGTHS.to_vec());
    let (context, look) =
        attention.forward(queries.clone(), attention.project(memory.clone()), memory.clone(), mask).unwrap();
    close("sums", &look.weights().unwrap().sum_dim(3), &Tensor::ones([2, 1, 3, 1], &device), 1e-6);

    let loss = (context * cotangent.clone()).sum();
    let given = f64::from(loss.clone().into_scalar::<f32>());
    let gradients = loss.backward();
    let cotangent = wide(&cotangent);
    let exact = |queries: &[f64], memory: &[f64], w: &[f64]| {
        let (width, keys) = (QUERY[2], times(memory, w, MEMORY[2]));
        attended(memory, &cotangent, |i, j| inner(&queries[i * width..][..width], &keys[j * width..][..width]))
    };
    let (q, m, w) = (&wide(&queries), &wide(&memory), &wide(&attention.key.weight.val()));
    let expected = exact(q, m, w);
    assert!((given - expected).abs() < 1e-5, "{given} is not {expected}");
    let gradient = numbers(&queries.grad(&gradients).unwrap());
    agrees_with_differences("queries", &gradient, q, |q| exact(q, m, w));
    let gradient = numbers(&memory.grad(&gradients).unwrap());
    agrees_with_differences("memory", &gradient, m, |m| exact(q, m, w));
    let gradient = numbers(&attention.key.weight.val().grad(&gradients).unwrap());
    agrees_with_differences("W", &gradient, w, |w| exact(q, m, w));
}

#[test]
fn learned_positions_are_rows_of_their_table() {
    let device = tracked();
    let positions = LearnedPositionsConfig::new(6, 3).init(&device);
    let rows = positions.forward(2, 3).unwrap();
    close("rows", &rows, &positions.table.val().narrow(0, 2, 3), 0.0);
    let gradients = (rows * 2.0).sum().backward();
    let gradient = numbers(&positions.table.val().grad(&gradients).unwrap());
    assert_eq!(gradient, [[0.0; 3], [0.0; 3], [2.0; 3], [2.0; 3], [2.0; 3], [0.0; 3]].concat());
    assert_eq!(positions.forward(6, 0).unwrap().dims(), [0, 3]);
}
