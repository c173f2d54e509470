//! What heads may do besides: against transformers and x-transformers (`oracle/heads.py`), and with a cache.

mod common;

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use common::case::Case;
use common::{close, fix, numbers, random};
use regard::attention::{
    Cache, HeadNorm, LatentAttention, LatentAttentionConfig, Look, MultiHeadAttentionConfig, MultiHeadOutput,
    QueryKeyNorm, TalkingHeads, TalkingHeadsConfig,
};
use regard::{Alibi, Attention, Causal, Dot, Mode, Noise, ScaledDot, Softmax, Sparsemax, Window};

fn causal() -> Attention {
    Attention::default().mask(Causal::default())
}

/// Output and weights, and the gradients of all inputs and parameters.
fn compare(case: &Case, out: MultiHeadOutput) {
    case.output("weights", out.look.weights().unwrap());
    case.gradients(case.output("output", out.output));
}

#[test]
fn layer_norms_of_queries_and_keys() {
    let mut case = Case::open("query_key_norm");
    let config = MultiHeadAttentionConfig::new(12, 3).with_query_key_norm(Some(QueryKeyNorm::Layer));
    let mut layer = config.init(&case.device).unwrap();
    case.linear(&mut layer.query, "query");
    case.linear(&mut layer.key, "key");
    case.linear(&mut layer.value, "value");
    case.linear(&mut layer.output, "output");
    for (norm, name) in [(&mut layer.query_norm, "query_norm"), (&mut layer.key_norm, "key_norm")] {
        let Some(HeadNorm::Layer(norm)) = norm else { panic!("{name} is no layer norm") };
        norm.weight = case.parameter(name);
        norm.bias = case.parameter(&format!("{name}_bias"));
    }
    let input = case.input::<3>("input");
    compare(&case, layer.forward(input.clone(), input, &causal(), Mode::Evaluate).unwrap());
}

#[test]
fn root_mean_square_norms_and_a_gate_over_grouped_heads() {
    let mut case = Case::open("gated_output");
    let config = MultiHeadAttentionConfig::new(12, 4).with_key_heads(Some(2)).with_bias(false).with_gate(true);
    let mut layer = config.with_query_key_norm(Some(QueryKeyNorm::Rms)).init(&case.device).unwrap();
    case.linear(&mut layer.query, "query");
    case.linear(&mut layer.key, "key");
    case.linear(&mut layer.value, "value");
    case.linear(&mut layer.output, "output");
    case.linear(layer.gate.as_mut().unwrap(), "gate");
    for (norm, name) in [(&mut layer.query_norm, "query_norm"), (&mut layer.key_norm, "key_norm")] {
        let Some(HeadNorm::Rms(norm)) = norm else { panic!("{name} is no root-mean-square norm") };
        norm.weight = case.parameter(name);
    }
    let input = case.input::<3>("input");
    compare(&case, layer.forward(input.clone(), input, &causal(), Mode::Evaluate).unwrap());
}

#[test]
fn heads_that_talk() {
    let mut case = Case::open("talking_heads");
    let mut layer = TalkingHeadsConfig::new(12, 3).with_bias(false).init(&case.device).unwrap();
    case.linear(&mut layer.query, "query");
    case.linear(&mut layer.key, "key");
    case.linear(&mut layer.value, "value");
    case.linear(&mut layer.output, "output");
    layer.scores = case.parameter("scores");
    layer.weights = case.parameter("weights");
    let input = case.input::<3>("input");
    compare(&case, layer.forward(input.clone(), input, &causal(), Mode::Evaluate).unwrap());
}

#[test]
fn latent_attention_of_deepseek() {
    let mut case = Case::open("latent");
    let config = LatentAttentionConfig::new(12, 2).with_head_width(Some(3)).with_rotated(Some(4));
    let config = config.with_value_width(Some(2)).with_rank(Some(5)).with_query_rank(Some(6));
    let mut layer = config.init(&case.device).unwrap();
    case.linear(layer.query_down.as_mut().unwrap(), "query_down");
    case.linear(&mut layer.query, "query");
    case.linear(&mut layer.down, "down");
    case.linear(&mut layer.up, "up");
    case.linear(&mut layer.output, "output");
    layer.query_norm.as_mut().unwrap().weight = case.parameter("query_norm");
    layer.norm.weight = case.parameter("norm");
    let input = case.input::<3>("input");
    compare(&case, layer.forward(input, &causal(), Mode::Evaluate).unwrap());
}

/// Nine positions of three sequences, decoded in parts, are what they are in one causal pass.
#[track_caller]
fn decodes<C>(
    whole: &MultiHeadOutput,
    input: &Tensor<3>,
    mut decode: impl FnMut(Tensor<3>, &mut Option<C>) -> (Tensor<3>, Option<Look>),
) -> C {
    let (mut cache, weights) = (None, whole.look.weights().unwrap());
    for (start, end) in [(0, 3), (3, 4), (4, 5), (5, 8), (8, 9)] {
        let (output, look) = decode(input.clone().narrow(1, start, end - start), &mut cache);
        close("a decoded part", &output, &whole.output.clone().narrow(1, start, end - start), 1e-5);
        let seen = weights.clone().narrow(2, start, end - start).narrow(3, 0, end);
        look.iter().for_each(|look| close("its weights", &look.weights().unwrap(), &seen, 1e-5));
    }
    cache.unwrap()
}

#[test]
fn normalised_keys_are_cached() {
    let device = Device::default();
    let input = random::<3>(1, [3, 9, 16], &device);
    for norm in [QueryKeyNorm::Layer, QueryKeyNorm::Rms] {
        let config = MultiHeadAttentionConfig::new(16, 4).with_key_heads(Some(2)).with_gate(true);
        let mut layer = config.with_query_key_norm(Some(norm)).init(&device).unwrap();
        for (seed, linear) in [&mut layer.query, &mut layer.key, &mut layer.value].into_iter().enumerate() {
            fix(linear, seed as u64);
        }
        fix(layer.gate.as_mut().unwrap(), 4);
        let whole = layer.forward(input.clone(), input.clone(), &causal(), Mode::Evaluate).unwrap();
        decodes::<Cache>(&whole, &input, |part, cache| (layer.decode(part, cache, &causal()).unwrap(), None));
    }
}

fn talking(device: &Device) -> TalkingHeads {
    let mut layer = TalkingHeadsConfig::new(16, 4).with_dropout(0.2).init(device).unwrap();
    let linears = [&mut layer.query, &mut layer.key, &mut layer.value, &mut layer.output];
    linears.into_iter().zip(10..).for_each(|(linear, seed)| fix(linear, seed));
    layer
}

#[test]
fn heads_talk_over_a_cache() {
    let device = Device::default();
    let mut layer = talking(&device);
    layer.scores = Param::from_tensor(random(20, [4, 4], &device));
    layer.weights = Param::from_tensor(random(21, [4, 4], &device));
    let input = random::<3>(2, [3, 9, 16], &device);
    let whole = layer.forward(input.clone(), input.clone(), &causal(), Mode::Evaluate).unwrap();
    decodes::<Cache>(&whole, &input, |part, cache| (layer.decode(part, cache, &causal()).unwrap(), None));

    let train = |seed| layer.forward(input.clone(), input.clone(), &causal(), Mode::Train(&Noise::new(seed))).unwrap();
    assert_eq!(numbers(&train(1).output), numbers(&train(1).output));
    assert_ne!(numbers(&train(1).output), numbers(&train(2).output), "weights are dropped");
}

#[test]
fn heads_that_listen_to_themselves_are_multi_head_attention() {
    let device = Device::default();
    let talking = talking(&device);
    let mut plain = MultiHeadAttentionConfig::new(16, 4).init(&device).unwrap();
    plain.query = talking.query.clone();
    plain.key = talking.key.clone();
    plain.value = talking.value.clone();
    plain.output = talking.output.clone();
    let (input, memory) = (random::<3>(3, [2, 7, 16], &device), random::<3>(4, [2, 70, 16], &device));
    // Whatever the factor of the product, and what follows it.
    for attention in [
        causal(),
        Attention::new(Dot).mask(Window::new(Some(5), Some(2))),
        Attention::new(ScaledDot { scale: Some(0.3) }).bias(Alibi::new(4)).normalizer(Sparsemax),
        Attention::default().normalizer(Softmax::default().sink([0.1, 0.2, 0.3, 0.4])),
    ] {
        let run = (input.clone(), memory.clone(), &attention);
        let talked = talking.forward(run.0.clone(), run.1.clone(), run.2, Mode::Evaluate).unwrap();
        let expected = plain.forward(run.0, run.1, run.2, Mode::Evaluate).unwrap();
        close("output", &talked.output, &expected.output, 1e-5);
        close("weights", &talked.look.weights().unwrap(), &expected.look.weights().unwrap(), 1e-5);
    }
}

/// A layer whose weights are the same in every run.
fn latent(config: LatentAttentionConfig, device: &Device) -> LatentAttention {
    let mut layer = config.init(device).unwrap();
    let linears = [&mut layer.query, &mut layer.down, &mut layer.up, &mut layer.output];
    linears.into_iter().chain(&mut layer.query_down).zip(30..).for_each(|(linear, seed)| fix(linear, seed));
    layer
}

#[test]
fn absorbed_decoding_is_the_expanded_pass() {
    let device = Device::default();
    let input = random::<3>(5, [3, 9, 16], &device);
    let config = || LatentAttentionConfig::new(16, 4);
    for config in [config(), config().with_query_rank(Some(6)).with_rank(Some(5)).with_value_width(Some(3))] {
        let layer = latent(config, &device);
        for attention in [causal(), Attention::new(Dot).mask(Window::new(Some(4), Some(0)))] {
            let whole = layer.forward(input.clone(), &attention, Mode::Evaluate).unwrap();
            let cache = decodes(&whole, &input, |part, cache| {
                let out = layer.decode(part, cache, &attention).unwrap();
                (out.output, Some(out.look))
            });
            assert_eq!(cache.len(), 9);
            assert_eq!(
                cache.numbers(),
                layer.norm.weight.dims()[0] + 2,
                "the short vector and two features that rotate"
            );
        }
    }
}

#[test]
fn a_latent_cache_follows_the_rows_that_are_kept() {
    let device = Device::default();
    let layer = latent(LatentAttentionConfig::new(16, 4).with_dropout(0.2), &device);
    let input = random::<3>(6, [3, 4, 16], &device);
    let mut cache = None;
    layer.decode(input.clone().narrow(1, 0, 3), &mut cache, &causal()).unwrap();
    let rows = Tensor::from_ints([2, 0, 0, 1], &device);
    cache.as_mut().unwrap().select(Tensor::clone(&rows));
    let kept = input.select(0, rows);
    let out = layer.decode(kept.clone().narrow(1, 3, 1), &mut cache, &causal()).unwrap().output;
    let whole = layer.forward(kept.clone(), &causal(), Mode::Evaluate).unwrap().output;
    close("the last position", &out, &whole.narrow(1, 3, 1), 1e-5);

    let train = |seed| layer.forward(kept.clone(), &causal(), Mode::Train(&Noise::new(seed))).unwrap().output;
    assert_ne!(numbers(&train(1)), numbers(&train(2)), "weights are dropped");
}
