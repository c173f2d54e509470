//! The modules against PyTorch and transformers: `oracle/write.py` says what the files hold.

mod common;

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use common::{Oracle, close, tracked};
use regard::attention::{MultiHeadAttention, MultiHeadAttentionConfig, MultiHeadOutput};
use regard::position::{Pairs, RotaryConfig, sinusoidal};
use regard::{
    Alibi, Attention, Causal, Cosine, Distance, Hard, Linear, Mode, Padding, ScaledDot, Sigmoid, SoftCap, Softmax,
    TopK, ops,
};

fn multi_head(oracle: &Oracle, device: &Device) -> MultiHeadAttention {
    let mut layer = MultiHeadAttentionConfig::new(24, 4).init(device).unwrap();
    let load = |linear: &mut Linear, name: &str| {
        linear.weight = Param::from_tensor(oracle.weight(&format!("{name}.weight"), device));
        linear.bias = Some(Param::from_tensor(oracle.tensor(&format!("{name}.bias"), device)));
    };
    load(&mut layer.query, "query");
    load(&mut layer.key, "key");
    load(&mut layer.value, "value");
    load(&mut layer.output, "output");
    layer
}

/// Output, weights, and the gradients of the inputs and of every parameter.
fn compare(
    oracle: &Oracle,
    case: &str,
    layer: &MultiHeadAttention,
    out: MultiHeadOutput,
    inputs: &[(&str, Tensor<3>)],
) {
    let device = out.output.device();
    close("output", &out.output, &oracle.tensor(&format!("{case}.output"), &device), 1e-5);

    let weights = out.look.weights().unwrap();
    close("weights", &weights, &oracle.tensor(&format!("{case}.weights"), &device), 1e-5);
    let averaged = weights.mean_dim(1).squeeze_dim::<3>(1);
    close("averaged weights", &averaged, &oracle.tensor(&format!("{case}.averaged"), &device), 1e-5);

    let gradients = (out.output * oracle.tensor(&format!("{case}.cotangent"), &device)).sum().backward();
    let device = device.inner();
    for (name, input) in inputs {
        let expected = oracle.tensor(&format!("{case}.gradient.{name}"), &device);
        close(name, &input.grad(&gradients).unwrap(), &expected, 2e-5);
    }
    let linears = [("query", &layer.query), ("key", &layer.key), ("value", &layer.value), ("output", &layer.output)];
    for (name, linear) in linears {
        let expected = oracle.weight(&format!("{case}.gradient.{name}.weight"), &device);
        close(name, &linear.weight.val().grad(&gradients).unwrap(), &expected, 2e-5);
        let bias = linear.bias.as_ref().unwrap().val().grad(&gradients).unwrap();
        close(name, &bias, &oracle.tensor(&format!("{case}.gradient.{name}.bias"), &device), 2e-5);
    }
}

#[test]
fn causal_self_attention_over_padding() {
    let (oracle, device) = (Oracle::open("multi_head"), tracked());
    let layer = multi_head(&oracle, &device);
    let input = oracle.tensor::<3>("self.input", &device).require_grad();
    let mask = Causal::default() & Padding::new(oracle.lengths("self.lengths"));
    let attention = Attention::new(ScaledDot::default()).mask(mask);
    let out = layer.forward(input.clone(), input.clone(), &attention, Mode::Evaluate).unwrap();
    compare(&oracle, "self", &layer, out, &[("input", input)]);
}

#[test]
fn cross_attention_over_padding() {
    let (oracle, device) = (Oracle::open("multi_head"), tracked());
    let layer = multi_head(&oracle, &device);
    let query = oracle.tensor::<3>("cross.query", &device).require_grad();
    let memory = oracle.tensor::<3>("cross.memory", &device).require_grad();
    let attention = Attention::new(ScaledDot::default()).mask(Padding::new(oracle.lengths("cross.lengths")));
    let out = layer.forward(query.clone(), memory.clone(), &attention, Mode::Evaluate).unwrap();
    compare(&oracle, "cross", &layer, out, &[("query", query), ("memory", memory)]);
}

#[test]
fn grouped_heads() {
    let (oracle, device) = (Oracle::open("grouped"), tracked());
    let plain = Attention::new(ScaledDot::default());
    for (case, attention) in [("full", plain.clone()), ("causal", plain.mask(Causal::default()))] {
        let [query, key, value] =
            ["query", "key", "value"].map(|name| oracle.tensor::<4>(name, &device).require_grad());
        let context = ops::attend(query.clone(), key.clone(), value.clone(), &attention).unwrap().context;
        close(case, &context, &oracle.tensor(&format!("{case}.output"), &device), 1e-5);
        let gradients = (context * oracle.tensor("cotangent", &device)).sum().backward();
        for (name, input) in [("query", query), ("key", key), ("value", value)] {
            let expected = oracle.tensor(&format!("{case}.gradient.{name}"), &device.clone().inner());
            close(name, &input.grad(&gradients).unwrap(), &expected, 2e-5);
        }
    }
}

#[test]
fn rotary_positions_in_both_layouts() {
    let (oracle, device) = (Oracle::open("rotary"), Device::default());
    let input = oracle.tensor::<4>("input", &device);
    for (layout, pairs) in [("halves", Pairs::Halves), ("pairs", Pairs::Interleaved)] {
        let rotary = RotaryConfig::new(8).with_pairs(pairs).init().unwrap();
        for start in [0, 5] {
            let name = format!("{layout}_from_{start}");
            let turned = rotary.forward(input.clone(), start).unwrap();
            close(&name, &turned, &oracle.tensor(&name, &device), 1e-6);
        }
    }
}

#[test]
fn sinusoidal_positions() {
    let (oracle, device) = (Oracle::open("sinusoidal"), Device::default());
    let expected = oracle.tensor::<2>("interleaved", &device);
    close("from 0", &sinusoidal(0, 10, 12, &device), &expected, 1e-6);
    close("from 4", &sinusoidal(4, 6, 12, &device), &expected.narrow(0, 4, 6), 1e-6);
}

#[test]
fn scores_biases_and_normalizers_of_x_transformers() {
    let (oracle, device) = (Oracle::open("nouns"), tracked());
    let sink = oracle.tensor::<1>("sink", &device).require_grad();
    let names = ["queries", "keys", "values"];
    let plain = Attention::default;
    let cases = [
        ("cosine", Attention::new(Cosine::new([10.0]))),
        ("distance", Attention::new(Distance { scale: Some(0.5) })),
        ("cap", plain().bias(SoftCap::new(2.0).unwrap())),
        ("alibi", plain().bias(Alibi::new(6)).mask(Causal::default())),
        ("sigmoid", plain().normalizer(Sigmoid::new(0.0).unwrap())),
        ("top", plain().normalizer(TopK::new(2).unwrap())),
        ("hard", plain().normalizer(Hard)),
        ("quiet", plain().normalizer(Softmax::default().sink([0.0; 6]))),
        ("sink", plain()),
    ];
    for (case, attention) in cases {
        let inputs = names.map(|name| oracle.tensor::<4>(name, &device).require_grad());
        let [queries, keys, values] = inputs.clone();
        let attended = match case {
            "sink" => ops::attend_learned(queries, keys, values, sink.clone(), |sink| {
                Ok(attention.normalizer(Softmax::default().sink(sink)))
            }),
            _ => ops::attend(queries, keys, values, &attention),
        };
        let output = attended.unwrap().context;
        close(case, &output, &oracle.tensor(&format!("{case}.output"), &device), 1e-5);
        let gradients = (output * oracle.tensor("cotangent", &device)).sum().backward();
        let expected = |name: &str| format!("{case}.gradient.{name}");
        for (name, input) in names.iter().zip(inputs) {
            let expected = oracle.tensor(&expected(name), &device.clone().inner());
            close(&format!("{case}, gradient of {name}"), &input.grad(&gradients).unwrap(), &expected, 2e-5);
        }
        if case == "sink" {
            let expected = oracle.tensor(&expected("sink"), &device.clone().inner());
            close("gradient of the sink", &sink.grad(&gradients).unwrap(), &expected, 2e-5);
        }
    }
}
