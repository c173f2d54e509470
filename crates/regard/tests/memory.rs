//! Recurrent and memory mechanisms against their definitions in f64: `oracle/memory.py` says what the files hold.

mod common;

use burn::tensor::{Bool, Device, Tensor};
use common::case::Case;
use common::{close, numbers, random};
use regard::memory::{
    EmaDistributionConfig, HopfieldConfig, HopfieldPoolingConfig, KeyValueMemoryConfig, LocationAwareConfig,
    LstmAttentionConfig, Match, Matching, MegaEmaConfig, NtmMemoryConfig, energy, retrieve,
};
use regard::{Attention, Causal, Padding, ScaledDot, ops};

/// The oracle's second sentence has three of five positions.
const LENGTHS: [usize; 2] = [5, 3];

/// Step `step` of `[batch, step, feature]`.
fn at(tensor: &Tensor<3>, step: usize) -> Tensor<2> {
    tensor.clone().narrow(1, step, 1).squeeze_dim(1)
}

#[test]
fn location_aware_attention_remembers_where_it_looked() {
    let mut case = Case::open("location_aware");
    let mut layer = LocationAwareConfig::new(4, 6, 7).with_filters(2).with_reach(3).init(&case.device).unwrap();
    layer.query.weight = case.parameter("w");
    layer.query.bias = Some(case.parameter("b"));
    layer.key.weight = case.parameter("u");
    layer.filters.weight = case.parameter("filters");
    layer.location.weight = case.parameter("v");
    layer.vector = case.parameter("vector");
    let (query, memory) = (case.input::<3>("query"), case.input::<3>("memory"));
    let (visible, projected) = (case.visible(), layer.project(memory.clone()));
    let (mut previous, mut contexts, mut rows) = (None, vec![], vec![]);
    for step in 0..3 {
        let (context, weights) =
            layer.forward(at(&query, step), projected.clone(), memory.clone(), previous, Some(&visible)).unwrap();
        contexts.push(context);
        rows.push(weights.clone());
        previous = Some(weights);
    }
    let loss = case.output::<3>("context", Tensor::stack(contexts, 1));
    case.gradients(loss + case.output::<3>("weights", Tensor::stack(rows, 1)));
}

#[test]
fn location_aware_attention_ignores_what_is_hidden() {
    let device = Device::default();
    let layer = LocationAwareConfig::new(4, 6, 7).init(&device).unwrap();
    let memory = random::<3>(1, [1, 4, 6], &device);
    let visible = Tensor::<2, Bool>::from_data([[true, true, false, true]], &device);
    let run = |memory: Tensor<3>, visible: &Tensor<2, Bool>| {
        let query = random::<2>(2, [1, 4], &device);
        layer.forward(query, layer.project(memory.clone()), memory, None, Some(visible)).unwrap().0
    };
    let expected = numbers(&run(memory.clone(), &visible));
    for loud in [f32::NAN, f32::INFINITY] {
        let loud = memory.clone().slice_assign([0..1, 2..3, 0..6], Tensor::full([1, 1, 6], loud, &device));
        assert_eq!(numbers(&run(loud, &visible)), expected);
    }
    let nothing = Tensor::<2, Bool>::from_data([[false; 4]], &device);
    assert_eq!(numbers(&run(memory, &nothing)), [0.0; 6], "a row that sees nothing");
}

#[test]
fn a_distribution_smoothed_over_time() {
    let mut case = Case::open("ema_distribution");
    let mut ema = EmaDistributionConfig::new().init(&case.device).unwrap();
    ema.decay = case.parameter("decay");
    ema.strength = case.parameter("strength");
    ema.share = case.parameter("share");
    let weights = ema.forward(case.input("scores"), Some(&case.visible())).unwrap();
    close("sums", &weights.clone().sum_dim(2), &Tensor::ones([2, 4, 1], &case.device), 1e-6);
    case.gradients(case.output("weights", weights));
}

#[test]
fn hopfield_association() {
    let mut case = Case::open("hopfield");
    let config = HopfieldConfig::new(3, 6, 4, 5).with_beta(Some(1.5)).with_steps(3);
    let mut layer = config.init(&case.device).unwrap();
    case.linear(&mut layer.query, "query");
    case.linear(&mut layer.key, "key");
    case.linear(&mut layer.value, "value");
    let (states, stored) = (case.input("states"), case.input("stored"));
    let (output, _) = layer.forward(states, stored, Padding::new(LENGTHS.to_vec())).unwrap();
    case.gradients(case.output("output", output));
}

#[test]
fn the_energy_of_a_hopfield_state_falls_until_it_is_a_pattern() {
    let device = Device::default();
    let (stored, mask) = (random::<3>(1, [1, 20, 16], &device), || Padding::new(vec![20]));
    let mut states = stored.clone() + random::<3>(2, [1, 20, 16], &device) * 0.3;
    let mut before = numbers(&energy(states.clone(), stored.clone(), 32.0, mask()).unwrap());
    for _ in 0..5 {
        states = retrieve(states, stored.clone(), 32.0, 1, mask()).unwrap().0;
        let after = numbers(&energy(states.clone(), stored.clone(), 32.0, mask()).unwrap());
        assert!(after.iter().zip(&before).all(|(after, before)| *after <= before + 1e-4), "{before:?} to {after:?}");
        before = after;
    }
    close("what was stored", &states, &stored, 1e-4);
}

#[test]
fn one_step_of_hopfield_is_attention_and_pooling_has_learned_queries() {
    let device = Device::default();
    let (states, stored) = (random::<3>(1, [2, 3, 4], &device), random::<3>(2, [2, 5, 4], &device));
    let mask = Padding::new(LENGTHS.to_vec());
    let (found, look) = retrieve(states.clone(), stored.clone(), 0.5, 1, mask.clone()).unwrap();
    let patterns: Tensor<4> = stored.clone().unsqueeze_dim(1);
    let attention = Attention::new(ScaledDot::default()).mask(mask.clone());
    let attended = ops::attend(states.unsqueeze_dim(1), patterns.clone(), patterns, &attention).unwrap().context;
    assert_eq!(numbers(&found), numbers(&attended), "1/√4 is 0.5");
    assert_eq!(look.weights().unwrap().dims(), [2, 1, 3, 5]);

    let pooling = HopfieldPoolingConfig::new(4, 6).with_states(2).init(&device).unwrap();
    let (pooled, look) = pooling.forward(stored, mask).unwrap();
    assert_eq!(pooled.dims(), [2, 2, 6]);
    let hidden = look.weights().unwrap().slice([1..2, 0..1, 0..2, 3..5]);
    assert_eq!(numbers(&hidden), [0.0; 4]);
}

#[test]
fn a_question_reads_a_store_twice() {
    let mut case = Case::open("key_value");
    let mut layer = KeyValueMemoryConfig::new(6, 4).init(&case.device).unwrap();
    case.linear(&mut layer.embed, "embed");
    for (hop, linear) in layer.hops.iter_mut().enumerate() {
        case.linear(linear, &format!("hop_{hop}"));
    }
    let [questions, keys, values] = ["questions", "keys", "values"].map(|name| case.input(name));
    let answer = layer.forward(questions, keys, values, Padding::new(LENGTHS.to_vec())).unwrap();
    assert_eq!(answer.looks.len(), 2);
    case.gradients(case.output("state", answer.state));
}

#[test]
fn an_lstm_attends_by_either_score() {
    for (name, matching) in [("lstm_additive", Match::Additive), ("lstm_multiplicative", Match::Multiplicative)] {
        let mut case = Case::open(name);
        let mut layer = LstmAttentionConfig::new(4, 3).with_matching(matching).init(&case.device).unwrap();
        layer.input.weight = case.parameter("weight");
        layer.input.bias = Some(case.parameter("bias"));
        case.linear(&mut layer.hidden, "recurrent");
        match &mut layer.matching {
            Matching::Additive(score) => {
                case.linear(&mut score.query, "from_state");
                case.linear(&mut score.key, "from_input");
                score.vector = case.parameter("vector");
            }
            Matching::Multiplicative(score) => case.linear(&mut score.key, "matrix"),
        }
        let input = case.input::<3>("inputs");
        let (states, last, looks) = layer.forward(input, 3, None, Padding::new(LENGTHS.to_vec())).unwrap();
        assert_eq!(looks.len(), 3);
        assert_eq!(numbers(&last.hidden), numbers(&at(&states, 2)));
        case.gradients(case.output("states", states));
    }
}

#[test]
fn mega_averages_then_attends() {
    let mut case = Case::open("mega");
    let config = MegaEmaConfig::new(4).with_shared_width(3).with_value_width(Some(5)).with_averages(2);
    let mut layer = config.init(&case.device).unwrap();
    layer.ema.weight = case.parameter("weight");
    layer.ema.damping = case.parameter("damping");
    layer.ema.expansion = case.parameter("expansion");
    layer.ema.projection = case.parameter("projection");
    layer.scale = case.parameter("scale");
    layer.shift = case.parameter("shift");
    case.linear(&mut layer.shared, "shared");
    case.linear(&mut layer.value, "value");
    case.linear(&mut layer.reset, "reset");
    case.linear(&mut layer.update, "update");
    case.linear(&mut layer.candidate, "candidate");
    case.linear(&mut layer.attended, "attended");
    let input = case.input::<3>("inputs");
    let attention = Attention::new(ScaledDot::default()).mask(Causal::default());
    let (output, _) = layer.forward(input.clone(), &attention).unwrap();
    case.gradients(case.output("output", output));

    // The average can be taken in parts.
    let (whole, _) = layer.ema.forward(input.clone(), None).unwrap();
    let (first, state) = layer.ema.forward(input.clone().narrow(1, 0, 2), None).unwrap();
    let (second, _) = layer.ema.forward(input.narrow(1, 2, 4), Some(state)).unwrap();
    assert_eq!(numbers(&Tensor::cat(vec![first, second], 1)), numbers(&whole));
}

#[test]
fn a_turing_machine_reads_and_writes() {
    let mut case = Case::open("ntm");
    let mut layer = NtmMemoryConfig::new(4).with_slots(5).with_width(3).init(&case.device).unwrap();
    case.linear(&mut layer.reader, "reader");
    case.linear(&mut layer.writer, "writer");
    let controller = case.input::<3>("controller");
    let (mut state, mut reads) = (layer.start(2, &case.device), vec![]);
    for step in 0..4 {
        let (read, next) = layer.step(at(&controller, step), state).unwrap();
        close("sums", &next.read.clone().sum_dim(1), &Tensor::ones([2, 1], &case.device), 1e-6);
        reads.push(read);
        state = next;
    }
    let loss = case.output::<3>("read", Tensor::stack(reads, 1));
    case.gradients(loss + case.output("memory", state.memory) + case.output("written", state.written));
}
