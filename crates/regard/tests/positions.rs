//! Positions against transformers and against their definitions in f64: `oracle/positions.py` says what the files hold.

mod common;

use burn::tensor::{Device, Tensor};
use common::case::Case;
use common::{Oracle, close, numbers, random};
use regard::position::{RelativePositionsConfig, RotaryConfig, RotaryScaling, TransformerXlPositionsConfig};
use regard::{Attention, Causal, RelativeBuckets, ScaledDot};

fn causal() -> Attention {
    Attention::new(ScaledDot::default()).mask(Causal::default())
}

#[test]
fn rotary_positions_beyond_the_length_of_training() {
    let (oracle, device) = (Oracle::open("rotary_scaled"), Device::default());
    let input = oracle.tensor::<4>("input", &device);
    let scaled = |scaling| RotaryConfig::new(16).with_scaling(Some(scaling));
    for (name, config) in [
        ("linear", scaled(RotaryScaling::Linear { factor: 4.0 })),
        ("ntk", scaled(RotaryScaling::Ntk { factor: 4.0 })),
        ("yarn", scaled(RotaryScaling::yarn(4.0, 32))),
        ("partial", RotaryConfig::new(16).with_rotated(Some(4))),
    ] {
        let turned = config.init().unwrap().forward(input.clone(), 57).unwrap();
        // The oracle has its angles in f32: 63 · 2^-24 of error in each.
        close(name, &turned, &oracle.tensor(name, &device), 1e-5);
    }
}

#[test]
fn a_factor_of_one_changes_nothing() {
    let input = random::<4>(1, [1, 2, 5, 8], &Device::default());
    let turn = |scaling| RotaryConfig::new(8).with_scaling(scaling).init().unwrap().forward(input.clone(), 3).unwrap();
    let plain = numbers(&turn(None));
    for scaling in
        [RotaryScaling::Linear { factor: 1.0 }, RotaryScaling::Ntk { factor: 1.0 }, RotaryScaling::yarn(1.0, 64)]
    {
        assert_eq!(numbers(&turn(Some(scaling))), plain, "{scaling:?}");
    }
}

#[test]
fn buckets_are_those_of_t5() {
    let (oracle, device) = (Oracle::open("t5"), Device::default());
    let table = numbers(&oracle.tensor::<2>("table", &device));
    for (name, bidirectional) in [("bidirectional", true), ("causal", false)] {
        let buckets = RelativeBuckets::new(table.clone(), 2, bidirectional, 128).unwrap();
        let expected = numbers(&oracle.tensor::<4>(name, &device));
        let places = (0..2).flat_map(|head| (0..6).flat_map(move |query| (0..6).map(move |key| (head, query, key))));
        for ((head, query, key), expected) in places.zip(expected) {
            let given = table[2 * buckets.bucket(30 * (key - query)) + head];
            assert_eq!(given, expected, "{name}: head {head}, query {query}, key {key}");
        }
    }
}

#[test]
fn relative_positions_are_clipped_distances() {
    let mut case = Case::open("relative");
    let mut positions = RelativePositionsConfig::new(4).with_reach(2).init(&case.device).unwrap();
    positions.table = case.parameter("table");
    let [queries, keys, values] = ["queries", "keys", "values"].map(|name| case.input::<4>(name));
    let (context, look) = positions.forward(queries, keys, values, &causal()).unwrap();
    close("sums", &look.weights().unwrap().sum_dim(3), &Tensor::ones([2, 2, 3, 1], &case.device), 1e-6);
    case.gradients(case.output("context", context));
}

#[test]
fn transformer_xl_asks_content_and_distance() {
    let mut case = Case::open("transformer_xl");
    let mut positions = TransformerXlPositionsConfig::new(2, 4).init(&case.device).unwrap();
    case.linear(&mut positions.distance, "distance");
    positions.content = case.parameter("content");
    positions.place = case.parameter("place");
    let [queries, keys, values] = ["queries", "keys", "values"].map(|name| case.input::<4>(name));
    let (context, look) = positions.forward(queries, keys, values, &causal()).unwrap();
    close("sums", &look.weights().unwrap().sum_dim(3), &Tensor::ones([2, 2, 3, 1], &case.device), 1e-6);
    case.gradients(case.output("context", context));
}
