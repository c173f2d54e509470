//! What a stage promises: it changes nothing unless told to, and its gradients are those of the definition.

mod common;

use burn::tensor::{Device, Tensor};
use common::{agrees_with_differences, close, fix, numbers, random, wide};
use regard::attention::{MultiHeadAttention, MultiHeadAttentionConfig};
use regard::{Attention, Causal, Mode, ScaledDot, Stage};

const HEADS: usize = 4;
const KEY_HEADS: usize = 2;
const LENGTH: usize = 5;
const WIDTH: usize = 8;

fn layer(gate: bool) -> MultiHeadAttention {
    let config = MultiHeadAttentionConfig::new(WIDTH, HEADS).with_key_heads(Some(KEY_HEADS)).with_gate(gate);
    let mut layer = config.init(&Device::default()).unwrap();
    let linears = [&mut layer.query, &mut layer.key, &mut layer.value, &mut layer.output];
    linears.into_iter().chain(&mut layer.gate).zip(100..).for_each(|(linear, seed)| fix(linear, seed));
    layer
}

fn run(layer: &MultiHeadAttention, input: Tensor<3>, mode: Mode) -> Tensor<3> {
    let causal = Attention::new(ScaledDot::default()).mask(Causal::default());
    layer.forward(input.clone(), input, &causal, mode).unwrap().output
}

#[test]
fn watching_changes_no_number() {
    let device = Device::default();
    for gate in [false, true] {
        let (layer, input) = (layer(gate), random::<3>(1, [2, LENGTH, WIDTH], &device));
        let plain = numbers(&run(&layer, input.clone(), Mode::Evaluate));
        let ones = || Tensor::<4>::ones([1, 1, 1, 1], &device);
        for stage in [Stage::new(), Stage::new().tracking(&device), Stage::new().gating(0, ones()).keeping(0, ones())] {
            assert_eq!(numbers(&run(&layer, input.clone(), Mode::Explain(&stage))), plain);
            assert_eq!(stage.acts().len(), 1);
        }
    }
}

#[test]
fn a_closed_gate_is_a_head_without_output_and_a_dropped_value_reaches_nobody() {
    let device = Device::default();
    let (layer, input) = (layer(false), random::<3>(2, [2, LENGTH, WIDTH], &device));
    // The second head of the first text, and nothing of the second text.
    let gate = Tensor::<4>::from_floats([[[[1.]], [[0.]], [[1.]], [[1.]]], [[[1.]], [[1.]], [[1.]], [[1.]]]], &device);
    let stage = Stage::new().gating(0, gate);
    let out = run(&layer, input.clone(), Mode::Explain(&stage));
    let mut without = layer.clone();
    let rows = without.output.weight.val().slice_assign([2..4, 0..WIDTH], Tensor::zeros([2, WIDTH], &device));
    without.output.weight = burn::module::Param::from_tensor(rows);
    let expected = run(&without, input.clone(), Mode::Evaluate).slice_dim(0, 0..1);
    close("the first text", &out.clone().slice_dim(0, 0..1), &expected, 1e-6);
    let plain = run(&layer, input.clone(), Mode::Evaluate);
    close("the second", &out.slice_dim(0, 1..2), &plain.clone().slice_dim(0, 1..2), 1e-6);

    let keep = Tensor::<4>::from_floats([[[[1.], [1.], [0.], [1.], [1.]]]], &device);
    let stage = Stage::new().keeping(0, keep);
    let out = run(&layer, input, Mode::Explain(&stage));
    close("who does not see it", &out.clone().slice_dim(1, 0..2), &plain.clone().slice_dim(1, 0..2), 1e-6);
    assert!(numbers(&(out - plain).slice_dim(1, 2..LENGTH)).iter().any(|change| change.abs() > 0.01));
    let values = stage.acts()[0].values.clone();
    assert!(numbers(&values.slice_dim(2, 2..3)).iter().all(|&value| value == 0.0));
}

#[test]
fn the_gradients_of_weights_and_gates_are_what_differences_say() {
    let device = Device::default();
    let (layer, input) = (layer(false), random::<3>(3, [1, LENGTH, WIDTH], &device));
    let direction = random::<3>(4, [1, LENGTH, WIDTH], &device);
    let stage = Stage::new().tracking(&device);
    let out = run(&layer, stage.enter(input).unwrap(), Mode::Explain(&stage));
    let gradients = (out * Tensor::from_data(direction.to_data(), &device.clone().autodiff())).sum().backward();
    let act = &stage.acts()[0];

    // Σ direction · (concat_h g_h Σ_j a_hj v_j) W_O, in double precision.
    let (values, weights, output) = (wide(&act.values), wide(&act.look.weights().unwrap()), &layer.output.weight.val());
    let (output, direction, each) = (wide(output), wide(&direction), WIDTH / HEADS);
    let number = |weights: &[f64], gates: &[f64]| -> f64 {
        let mut sum = 0.0;
        for (head, query, key) in
            (0..HEADS * LENGTH * LENGTH).map(|at| (at / (LENGTH * LENGTH), at / LENGTH % LENGTH, at % LENGTH))
        {
            let weight = gates[head] * weights[(head * LENGTH + query) * LENGTH + key];
            for feature in 0..each {
                let value = values[(head / (HEADS / KEY_HEADS) * LENGTH + key) * each + feature];
                let row = &output[(head * each + feature) * WIDTH..][..WIDTH];
                let along: f64 = row.iter().zip(&direction[query * WIDTH..]).map(|(a, b)| a * b).sum();
                sum += weight * value * along;
            }
        }
        sum
    };
    let gradient = numbers(&act.gradient(&gradients).unwrap());
    agrees_with_differences("weights", &gradient, &weights, |weights| number(weights, &[1.0; HEADS]));
    let sensitivity = numbers(&act.sensitivity(&gradients).unwrap());
    agrees_with_differences("gates", &sensitivity, &[1.0; HEADS], |gates| number(&weights, gates));
}

#[test]
fn what_enters_can_be_replaced_and_has_a_gradient() {
    let device = Device::default();
    let (layer, input) = (layer(false), random::<3>(5, [1, LENGTH, WIDTH], &device));
    let other = random::<3>(6, [1, LENGTH, WIDTH], &device);
    let stage = Stage::new().tracking(&device).entering(0, other.clone());
    let entered = stage.enter(input.clone()).unwrap();
    assert_eq!(numbers(&entered), numbers(&other));
    let gradients = run(&layer, entered, Mode::Explain(&stage)).sum().backward();
    let gradient = stage.entries()[0].grad(&gradients).unwrap();
    let (direction, step) = (random::<3>(7, [1, LENGTH, WIDTH], &device), 1e-2);
    let moved =
        |by: f32| run(&layer, other.clone() + direction.clone() * by, Mode::Evaluate).sum().into_scalar::<f32>();
    let slope = (moved(step) - moved(-step)) / (2.0 * step);
    let along = (gradient * direction.clone()).sum().into_scalar::<f32>();
    assert!((slope - along).abs() <= 1e-2 * slope.abs().max(1.0), "{along}, differences say {slope}");
}

#[test]
fn what_does_not_fit_is_named() {
    let device = Device::default();
    let stage = Stage::new().entering(0, Tensor::zeros([1, 2, WIDTH], &device));
    let error = stage.enter(Tensor::zeros([1, 3, WIDTH], &device)).unwrap_err().to_string();
    assert_eq!(error, "entering has shape [1, 2, 8], expected [1, 3, 8]");
    let (layer, input) = (layer(false), random::<3>(8, [1, LENGTH, WIDTH], &device));
    let refused = |stage: Stage| {
        let causal = Attention::new(ScaledDot::default());
        layer.forward(input.clone(), input.clone(), &causal, Mode::Explain(&stage)).unwrap_err().to_string()
    };
    let error = refused(Stage::new().gating(0, Tensor::zeros([1, 3, 1, 1], &device)));
    assert_eq!(error, "gating has shape [1, 3, 1, 1], expected [1, 4, 5, 2], or 1 along an axis");
    let error = refused(Stage::new().keeping(0, Tensor::zeros([1, 1, 9, 1], &device)));
    assert_eq!(error, "keeping has shape [1, 1, 9, 1], expected [1, 2, 5, 2], or 1 along an axis");
}
