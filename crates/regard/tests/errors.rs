//! What the modules refuse, and how they say so.

mod common;

use std::fmt::Debug;

use burn::tensor::Device;
use common::random;
use regard::attention::{
    AdditiveAttentionConfig, GeneralAttentionConfig, LatentAttentionConfig, MultiHeadAttentionConfig,
    TalkingHeadsConfig,
};
use regard::memory::{
    DampedEmaConfig, EmaDistributionConfig, HopfieldConfig, HopfieldPoolingConfig, KeyValueMemoryConfig,
    LocationAwareConfig, LstmAttentionConfig, MegaEmaConfig, NtmMemoryConfig, retrieve,
};
use regard::position::{
    LearnedPositionsConfig, RelativePositionsConfig, RotaryConfig, RotaryScaling, TransformerXlPositionsConfig,
};
use regard::{Attention, Cosine, Mode, Padding, Result, ScaledDot, ops};

#[track_caller]
fn says<T: Debug>(result: Result<T>, expected: &str) {
    assert_eq!(result.expect_err("this is to be refused").to_string(), expected);
}

fn plain() -> Attention {
    Attention::new(ScaledDot::default())
}

#[test]
fn configurations() {
    let device = Device::default();
    let heads = |width, heads| MultiHeadAttentionConfig::new(width, heads);
    says(heads(10, 4).init(&device), "heads is 4, expected a divisor of the width 10");
    says(heads(8, 0).init(&device), "heads is 0, expected a divisor of the width 8");
    let grouped = heads(8, 4).with_key_heads(Some(3));
    says(grouped.init(&device), "key_heads is 3, expected a divisor of the 4 heads");
    let dropping = heads(8, 2).with_dropout(1.0);
    says(dropping.init(&device), "dropout is 1, expected a probability in [0, 1)");
    let dropping = heads(8, 2).with_dropout(f32::NAN);
    says(dropping.init(&device), "dropout is NaN, expected a probability in [0, 1)");
    let turning = heads(8, 2).with_rotary(Some(RotaryConfig::new(8)));
    says(turning.init(&device), "width of the rotary positions is 8, expected 4, the features of a head");

    let rotary = RotaryConfig::new(8);
    says(rotary.clone().with_rotated(Some(10)).init(), "rotated is 10, expected an even number from 2 to 8");
    says(rotary.clone().with_rotated(Some(3)).init(), "rotated is 3, expected an even number from 2 to 8");
    says(rotary.clone().with_rotated(Some(0)).init(), "rotated is 0, expected an even number from 2 to 8");
    says(rotary.with_base(-1.0).init(), "base is -1, expected a positive number");
}

#[test]
fn shapes_of_multi_head_attention() {
    let device = Device::default();
    let layer = MultiHeadAttentionConfig::new(8, 2).init(&device).unwrap();
    let tensor = |shape| random::<3>(1, shape, &device);
    let forward =
        |input, memory, attention: &Attention| layer.forward(tensor(input), tensor(memory), attention, Mode::Evaluate);
    says(forward([2, 3, 7], [2, 3, 8], &plain()), "input has shape [2, 3, 7], expected a last axis of 8");
    says(forward([2, 3, 8], [2, 5, 6], &plain()), "memory has shape [2, 5, 6], expected a last axis of 8");
    says(forward([2, 3, 8], [1, 3, 8], &plain()), "keys: batch 1 given, 2 as the queries have expected");
    let padded = plain().mask(Padding::new(vec![3, 4]));
    says(forward([2, 3, 8], [2, 3, 8], &padded), "padding: length 4 given, at most 3 keys expected");
    let padded = plain().mask(Padding::new(vec![3]));
    says(forward([2, 3, 8], [2, 3, 8], &padded), "padding: 1 lengths given, one for each of 2 batches expected");

    let (keys, _) = layer.project(tensor([2, 5, 8]));
    let values = random::<4>(2, [2, 2, 5, 3], &device);
    says(
        layer.attend(tensor([2, 3, 8]), keys, values, &plain(), Mode::Evaluate),
        "values has shape [2, 2, 5, 3], expected a last axis of 4",
    );

    let mut cache = None;
    layer.decode(tensor([2, 3, 8]), &mut cache, &plain()).unwrap();
    says(
        layer.decode(tensor([3, 1, 8]), &mut cache, &plain()),
        "keys has shape [3, 2, 1, 4], expected [2, 2, 1, 4], as the cache holds",
    );
    says(layer.decode(tensor([2, 1, 9]), &mut cache, &plain()), "input has shape [2, 1, 9], expected a last axis of 8");
    assert_eq!(cache.unwrap().len(), 3, "what is refused is not remembered");
}

#[test]
fn talking_heads() {
    let device = Device::default();
    let config = TalkingHeadsConfig::new(8, 2);
    says(TalkingHeadsConfig::new(8, 3).init(&device), "heads is 3, expected a divisor of the width 8");
    says(config.clone().with_dropout(-0.1).init(&device), "dropout is -0.1, expected a probability in [0, 1)");
    let layer = config.with_memory_width(Some(6)).init(&device).unwrap();
    let tensor = |shape| random::<3>(1, shape, &device);
    let forward =
        |input, memory, attention: &Attention| layer.forward(tensor(input), tensor(memory), attention, Mode::Evaluate);
    says(forward([2, 3, 7], [2, 3, 6], &plain()), "input has shape [2, 3, 7], expected a last axis of 8");
    says(forward([2, 3, 8], [2, 3, 8], &plain()), "memory has shape [2, 3, 8], expected a last axis of 6");
    let cosine = Attention::new(Cosine::new([1.0]));
    says(forward([2, 3, 8], [2, 3, 6], &cosine), "score: no dot product given, q · k with any factor expected");
}

#[test]
fn latent_attention() {
    let device = Device::default();
    let config = || LatentAttentionConfig::new(8, 2);
    says(LatentAttentionConfig::new(8, 0).init(&device), "heads is 0, expected at least 1");
    says(config().with_rank(Some(0)).init(&device), "rank is 0, expected at least 1");
    says(config().with_query_rank(Some(0)).init(&device), "query_rank is 0, expected at least 1");
    says(config().with_value_width(Some(0)).init(&device), "value_width is 0, expected at least 1");
    says(config().with_rotated(Some(3)).init(&device), "rotated is 3, expected an even number of at least 2");
    says(config().with_base(0.0).init(&device), "base is 0, expected a positive number");
    says(config().with_dropout(1.0).init(&device), "dropout is 1, expected a probability in [0, 1)");
    let layer = config().init(&device).unwrap();
    let tensor = |shape| random::<3>(1, shape, &device);
    says(
        layer.forward(tensor([2, 3, 7]), &plain(), Mode::Evaluate),
        "input has shape [2, 3, 7], expected a last axis of 8",
    );
    let mut cache = None;
    let cosine = Attention::new(Cosine::new([1.0]));
    says(
        layer.decode(tensor([2, 3, 8]), &mut cache, &cosine),
        "score: no dot product given, q · k with any factor expected",
    );
    layer.decode(tensor([2, 3, 8]), &mut cache, &plain()).unwrap();
    says(
        layer.decode(tensor([1, 1, 8]), &mut cache, &plain()),
        "input has shape [1, 1, 8], expected the cache's batch of 2",
    );
    assert_eq!(cache.unwrap().len(), 3, "what is refused is not remembered");
}

#[test]
fn shapes_of_attention_over_a_memory() {
    let device = Device::default();
    let tensor = |shape| random::<3>(1, shape, &device);
    let additive = AdditiveAttentionConfig::new(5, 6, 4).init(&device);
    let mask = || Padding::new(vec![3, 3]);
    says(
        additive.forward(tensor([2, 1, 6]), tensor([2, 3, 4]), tensor([2, 3, 6]), mask()),
        "queries has shape [2, 1, 6], expected a last axis of 5",
    );
    additive
        .forward(tensor([2, 1, 5]), tensor([2, 3, 7]), tensor([2, 3, 6]), mask())
        .expect_err("keys must be as wide as the hidden layer");
    additive
        .forward(tensor([2, 1, 5]), tensor([2, 3, 4]), tensor([2, 2, 6]), mask())
        .expect_err("every key has a value");

    let general = GeneralAttentionConfig::new(5, 6).init(&device);
    general
        .forward(tensor([2, 1, 5]), tensor([2, 3, 6]), tensor([2, 3, 6]), mask())
        .expect_err("keys must be as wide as queries");
    general
        .forward(tensor([2, 1, 5]), tensor([1, 3, 5]), tensor([1, 3, 6]), mask())
        .expect_err("one memory a query's sentence");
}

#[test]
fn positions() {
    let device = Device::default();
    let learned = LearnedPositionsConfig::new(10, 4).init(&device);
    says(learned.forward(8, 3), "length is 11, expected at most 10 positions");
    says(learned.forward(usize::MAX, 2), "length is 18446744073709551615, expected at most 10 positions");

    let rotary = RotaryConfig::new(8).init().unwrap();
    let narrow = || random::<4>(1, [1, 2, 3, 6], &device);
    says(rotary.forward(narrow(), 0), "input has shape [1, 2, 3, 6], expected at least 8 features");
    says(RotaryConfig::new(7).init().map(|_| ()), "rotated is 7, expected an even number from 2 to 7");
    let scaled = |scaling| RotaryConfig::new(8).with_scaling(Some(scaling)).init();
    says(scaled(RotaryScaling::Linear { factor: 0.5 }), "factor is 0.5, expected a number of at least 1");
    says(scaled(RotaryScaling::Ntk { factor: f64::NAN }), "factor is NaN, expected a number of at least 1");
    says(scaled(RotaryScaling::yarn(2.0, 0)), "length is 0, expected at least 1 position");
    let upside_down = RotaryScaling::Yarn { factor: 2.0, length: 64, fast: 1.0, slow: 32.0 };
    says(scaled(upside_down), "fast is 1, expected more turns than slow, which is 32");

    let relative = RelativePositionsConfig::new(4).init(&device).unwrap();
    says(relative.products(narrow(), 3), "queries has shape [1, 2, 3, 6], expected a last axis of 4");
    let xl = TransformerXlPositionsConfig::new(3, 6).init(&device).unwrap();
    says(xl.forward(narrow(), narrow(), narrow(), &plain()), "queries has shape [1, 2, 3, 6], expected 3 heads");
}

#[test]
fn fused_operations() {
    let device = Device::default();
    let matrix = |shape| random::<2>(1, shape, &device);
    let loss = |targets: &[u32], smoothing, ignore| {
        ops::linear_cross_entropy(matrix([2, 4]), matrix([3, 4]), None, targets, smoothing, ignore)
    };
    says(loss(&[0], 0.0, None), "targets has shape [1], expected [2], one a row of states");
    says(loss(&[0, 3], 0.0, None), "targets is 3, expected classes below 3");
    says(loss(&[0, 3], 0.0, Some(1)), "targets is 3, expected classes below 3");
    says(loss(&[0, 1], 1.0, None), "smoothing is 1, expected a share in [0, 1)");
    says(loss(&[0, 1], f32::NAN, None), "smoothing is NaN, expected a share in [0, 1)");
    let classify = |weight, bias| ops::linear_cross_entropy(matrix([2, 4]), weight, bias, &[0, 1], 0.0, None);
    says(
        classify(matrix([3, 5]), None),
        "weight has shape [3, 5], expected [class, 4], as wide as the states, and at least 1",
    );
    says(classify(matrix([3, 4]), Some(random(1, [4], &device))), "bias has shape [4], expected [3], one a class");

    let tensor = |shape| random::<4>(1, shape, &device);
    let attend = |q, k, v| ops::attend(tensor(q), tensor(k), tensor(v), &plain());
    says(
        attend([1, 4, 2, 3], [1, 3, 2, 3], [1, 3, 2, 3]),
        "keys: 3 heads given, a divisor of the 4 query heads expected",
    );
    attend([1, 4, 2, 3], [1, 4, 2, 5], [1, 4, 2, 3]).expect_err("a dot product needs equal widths");
    attend([1, 4, 2, 3], [1, 4, 2, 3], [1, 4, 1, 3]).expect_err("every key has a value");
}

#[test]
fn recurrent_and_memory_configurations() {
    let device = Device::default();
    let location = LocationAwareConfig::new(4, 4, 4);
    says(location.clone().with_reach(4).init(&device), "reach is 4, expected an odd number of positions");
    says(location.with_filters(0).init(&device), "filters is 0, expected at least 1");
    let ema = EmaDistributionConfig::new();
    says(ema.clone().with_decay(1.0).init(&device), "decay is 1, expected in (0, 1)");
    says(ema.clone().with_share(0.0).init(&device), "share is 0, expected in (0, 1)");
    says(ema.with_strength(f64::NAN).init(&device), "strength is NaN, expected a finite number");
    let hopfield = HopfieldConfig::new(4, 4, 4, 4);
    says(hopfield.clone().with_steps(0).init(&device), "steps is 0, expected at least 1");
    says(hopfield.with_beta(Some(-1.0)).init(&device), "beta is -1, expected a positive number");
    says(HopfieldPoolingConfig::new(4, 0).init(&device), "width is 0, expected at least 1");
    says(KeyValueMemoryConfig::new(4, 4).with_hops(0).init(&device), "hops is 0, expected at least 1");
    says(LstmAttentionConfig::new(4, 0).init(&device), "width is 0, expected at least 1");
    says(DampedEmaConfig::new(4).with_averages(0).init(&device), "averages is 0, expected at least 1");
    says(MegaEmaConfig::new(4).with_shared_width(0).init(&device), "shared_width is 0, expected at least 1");
    let ntm = NtmMemoryConfig::new(4).with_slots(5);
    says(ntm.with_shift(3).init(&device), "shift is 3, expected less than half of the 5 slots");
}

#[test]
fn shapes_of_recurrent_and_memory() {
    let device = Device::default();
    let matrix = |shape| random::<2>(1, shape, &device);
    let tensor = |shape| random::<3>(1, shape, &device);
    let mask = || Padding::new(vec![3, 3]);
    let location = LocationAwareConfig::new(5, 6, 4).init(&device).unwrap();
    let look = |query, projected, previous| {
        location.forward(matrix(query), tensor(projected), tensor([2, 3, 6]), Some(matrix(previous)), None)
    };
    says(look([2, 4], [2, 3, 4], [2, 3]), "query has shape [2, 4], expected a last axis of 5");
    says(look([1, 5], [2, 3, 4], [2, 3]), "query has shape [1, 5], expected [2, 5]");
    says(look([2, 5], [2, 2, 4], [2, 3]), "projected has shape [2, 2, 4], expected [2, 3, 4]");
    says(look([2, 5], [2, 3, 4], [2, 4]), "previous has shape [2, 4], expected [2, 3]");

    let ema = EmaDistributionConfig::new().init(&device).unwrap();
    says(ema.step(matrix([2, 3]), Some(matrix([2, 4])), None), "reference has shape [2, 4], expected [2, 3]");
    says(retrieve(tensor([2, 1, 4]), tensor([2, 3, 4]), 1.0, 0, mask()), "steps is 0, expected at least 1");
    retrieve(tensor([2, 1, 4]), tensor([2, 3, 5]), 1.0, 1, mask()).expect_err("states must be as wide as patterns");

    let store = KeyValueMemoryConfig::new(4, 4).init(&device).unwrap();
    let ask = |keys, values| store.forward(tensor([2, 1, 4]), tensor(keys), tensor(values), mask());
    says(ask([2, 3, 5], [2, 3, 4]), "keys has shape [2, 3, 5], expected a last axis of 4");
    says(ask([2, 3, 4], [2, 2, 4]), "values has shape [2, 2, 4], expected [2, 3, 4], one a key");

    let lstm = LstmAttentionConfig::new(4, 3).init(&device).unwrap();
    says(lstm.forward(tensor([2, 3, 5]), 1, None, mask()), "input has shape [2, 3, 5], expected a last axis of 4");
    says(lstm.forward(tensor([2, 3, 4]), 0, None, mask()), "steps is 0, expected at least 1");
    let mega = MegaEmaConfig::new(4).init(&device).unwrap();
    says(mega.forward(tensor([2, 3, 5]), &plain()), "input has shape [2, 3, 5], expected a last axis of 4");
    says(
        mega.ema.forward(tensor([2, 3, 4]), Some(tensor([1, 4, 16]))),
        "state has shape [1, 4, 16], expected [2, 4, 16]",
    );
    let ntm = NtmMemoryConfig::new(4).init(&device).unwrap();
    says(ntm.step(matrix([2, 5]), ntm.start(2, &device)), "controller has shape [2, 5], expected a last axis of 4");
    says(ntm.step(matrix([3, 4]), ntm.start(2, &device)), "memory has shape [2, 128, 20], expected [3, 128, 20]");
}
