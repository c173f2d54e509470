//! Rollout, flow and relevance: against the equations in numpy and networkx, and on stacks whose truth is known.

mod common;

use std::ops::ControlFlow;

use common::{Oracle, close, site, stack};
use proptest::prelude::*;
use regard_explain::relevance::{Attended, Relevance};
use regard_explain::{Error, Trace, flow, rollout, silent};

/// The layers of an array `[layer, head, query, key]`.
fn layers(oracle: &Oracle, name: &str) -> (usize, Vec<Vec<f32>>) {
    let (shape, numbers) = oracle.array(name);
    let layer = shape[1..].iter().product();
    (shape[1], numbers.chunks(layer).map(<[f32]>::to_vec).collect())
}

/// An encoder and a decoder, as `oracle/write.py` has them.
fn both(oracle: &Oracle) -> Trace {
    let mut trace = Trace::new("", "");
    let numbered = |length: usize| (0..length).map(|at| at.to_string()).collect();
    let (source, target) = (trace.add_axis("source", numbered(5)), trace.add_axis("target", numbered(4)));
    let kinds = [("encoder", source, source), ("cross", target, source), ("own", target, target)];
    for (name, queries, keys) in kinds {
        let (heads, layers) = layers(oracle, name);
        for (layer, weights) in layers.iter().enumerate() {
            trace.add_site(site(name, layer, queries, keys, heads, weights)).unwrap();
        }
    }
    trace
}

#[test]
fn rollout_and_flow_are_the_papers() {
    let oracle = Oracle::open("through_layers");
    let trace = both(&oracle);
    let expected = |name: &str, given: &[f32]| close(name, given, &oracle.numbers(name), 2e-6);
    let encoder = trace.find_last("encoder").unwrap();
    let rolled = rollout(&trace, encoder, &mut silent).unwrap();
    expected("rollout.encoder", &rolled.own.weights);
    assert_eq!(rolled.source, None);
    expected("flow.encoder.1", &flow(&trace, encoder, 1, &mut silent).unwrap().own);

    let cross = trace.find_last("cross").unwrap();
    let rolled = rollout(&trace, cross, &mut silent).unwrap();
    expected("rollout.own", &rolled.own.weights);
    expected("rollout.source", &rolled.source.unwrap().weights);
    let flow = flow(&trace, cross, 2, &mut silent).unwrap();
    expected("flow.own.2", &flow.own);
    expected("flow.source.2", &flow.source.unwrap());
}

#[test]
fn relevance_is_the_papers() {
    let oracle = Oracle::open("through_layers");
    let read = |name: &str| {
        let (heads, weights) = layers(&oracle, name);
        let (_, gradients) = layers(&oracle, &format!("{name}.gradients"));
        (heads, weights, gradients)
    };
    let parts = [read("encoder"), read("own"), read("cross"), read("back")];
    let at = |part: usize, layer: usize| {
        let (heads, weights, gradients) = &parts[part];
        Attended { heads: *heads, weights: &weights[layer], gradients: &gradients[layer] }
    };
    let expected = |name: &str, given: &[f32]| close(name, given, &oracle.numbers(name), 1e-5);

    // The decoder is sequence 0, the source sequence 1.
    let mut relevance = Relevance::new(&[4, 5]).unwrap();
    (0..3).for_each(|layer| relevance.add_self(1, at(0, layer)).unwrap());
    for layer in 0..3 {
        relevance.add_self(0, at(1, layer)).unwrap();
        relevance.add_cross(0, at(2, layer)).unwrap();
    }
    expected("relevance.source", &relevance.of(1, 1));
    expected("relevance.own", &relevance.of(0, 0));
    expected("relevance.across", &relevance.of(0, 1));

    let mut relevance = Relevance::new(&[4, 5]).unwrap();
    for layer in 0..3 {
        relevance.add_self(0, at(1, layer)).unwrap();
        relevance.add_self(1, at(0, layer)).unwrap();
        relevance.add_exchange([at(2, layer), at(3, layer)]).unwrap();
    }
    for (sequence, other) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        expected(&format!("exchange.{sequence}.{other}"), &relevance.of(sequence, other));
    }
    assert!(relevance.of(2, 0).is_empty());
}

/// Rows of a map in which each query looks at one key.
fn looks_at(keys: &[usize]) -> Vec<f32> {
    keys.iter().flat_map(|&key| (0..keys.len()).map(move |at| if at == key { 1.0 } else { 0.0 })).collect()
}

/// An induction head by hand on "x A B y A": the first layer carries each token to the place after it; in the others the last A looks
/// where a token's forerunner was A, which is the place of B, and the rest look at themselves.
fn induction() -> Trace {
    let head = looks_at(&[0, 1, 2, 3, 2]);
    stack(&["x", "A", "B", "y", "A"], &[looks_at(&[0, 0, 1, 2, 3]), head.clone(), head])
}

#[test]
fn an_induction_stack_is_followed_to_the_token_it_copies() {
    let trace = induction();
    let rolled = rollout(&trace, 2, &mut silent).unwrap().own;
    // B, which is copied, and the A before it, by which it was found; a little of the last place and what the first layer put there.
    close("rollout", &rolled.weights[20..], &[0.0, 0.375, 0.375, 0.125, 0.125], 1e-6);
    // Flow tells who can be reached at all: not x.
    let flows = flow(&trace, 2, 4, &mut silent).unwrap().own;
    close("flow", &flows, &[0.0, 0.5, 0.5, 0.5, 0.5], 1e-6);
}

#[test]
fn a_copy_stack_is_followed_to_the_token_it_copies() {
    // Three layers, each of which looks at B from everywhere.
    let trace = stack(&["A", "B", "C"], &[looks_at(&[1, 1, 1]), looks_at(&[1, 1, 1]), looks_at(&[1, 1, 1])]);
    let rolled = rollout(&trace, 2, &mut silent).unwrap().own;
    close("rollout", &rolled.weights, &[0.125, 0.875, 0.0, 0.0, 1.0, 0.0, 0.0, 0.875, 0.125], 1e-6);
    let flows = flow(&trace, 2, 2, &mut silent).unwrap();
    close("flow", &flows.own, &[0.0, 1.0, 0.5], 1e-6);
    assert_eq!(flows.source, None);
}

#[test]
fn relevance_leaves_out_the_head_that_the_answer_did_not_use() {
    // Head 0 looks at B and the answer rises with it; head 1 looks at A and the answer falls with it; head 2 looks at C in vain.
    let (weights, gradients) = (
        [looks_at(&[1, 1, 1]), looks_at(&[0, 0, 0]), looks_at(&[2, 2, 2])].concat(),
        [vec![3.0; 9], vec![-3.0; 9], vec![0.0; 9]].concat(),
    );
    let mut relevance = Relevance::new(&[3]).unwrap();
    relevance.add_self(0, Attended { heads: 3, weights: &weights, gradients: &gradients }).unwrap();
    let of = relevance.of(0, 0);
    assert_eq!(of[6..], [0.0, 1.0, 1.0]);
    // The layer above looks at where that was: the last token's answer is B's twice over.
    let weights = looks_at(&[0, 1, 1]);
    relevance.add_self(0, Attended { heads: 1, weights: &weights, gradients: &[1.0; 9] }).unwrap();
    assert_eq!(relevance.of(0, 0)[6..], [0.0, 3.0, 1.0]);
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let fails = |trace: &Trace, at: usize| rollout(trace, at, &mut silent).unwrap_err().to_string();
    let trace = induction();
    assert!(matches!(rollout(&trace, 3, &mut silent), Err(Error::NoSuchSite { site: 3, sites: 3 })));
    let error = flow(&trace, 1, 5, &mut silent).unwrap_err().to_string();
    assert_eq!(error, "query: 5 given, a position on the axis of the site's queries expected");

    let mut gap = Trace::new("", "");
    let axis = gap.add_axis("text", vec!["a".to_owned()]);
    gap.add_site(site("decoder.self", 0, axis, axis, 1, &[1.0])).unwrap();
    gap.add_site(site("decoder.self", 2, axis, axis, 1, &[1.0])).unwrap();
    assert_eq!(fails(&gap, 1), "layers of decoder.self: [0, 2] given, each one from 0, once expected");
    assert!(rollout(&gap, 0, &mut silent).is_ok());

    let mut empty = Trace::new("", "");
    let axis = empty.add_axis("text", vec![]);
    empty.add_site(site("decoder.self", 0, axis, axis, 1, &[])).unwrap();
    assert_eq!(fails(&empty, 0), "tokens: 0 × 0 given, at least 1 × 1 expected");

    let mut long = Trace::new("", "");
    let one = long.add_axis("one", vec!["a".to_owned()]);
    let many = long.add_axis("many", vec!["a".to_owned(); 2049]);
    long.add_site(site("cross", 0, one, many, 1, &[0.0; 2049])).unwrap();
    assert!(fails(&long, 0).contains("1 × 2049 cells are too many, at most 2,048 × 2,048"));
    // A network for rollout, too large for flow.
    let tokens = vec!["a"; 1500];
    let wide = stack(&tokens, &[vec![0.0; 1500 * 1500]]);
    assert!(flow(&wide, 0, 0, &mut silent).unwrap_err().to_string().contains("network of attention"));

    let mut stop = |_: usize, _: usize| ControlFlow::Break(());
    assert!(matches!(rollout(&trace, 1, &mut stop), Err(Error::Cancelled { .. })));
    assert!(matches!(flow(&trace, 1, 0, &mut stop), Err(Error::Cancelled { done: 0, total: 5, .. })));
}

#[test]
fn relevance_refuses_what_does_not_fit() {
    for (lengths, said) in [(&[][..], "sequences: 0"), (&[1, 1, 1], "sequences: 3"), (&[0], "tokens of a sequence: 0")]
    {
        assert!(Relevance::new(lengths).unwrap_err().to_string().starts_with(said));
    }
    let mut relevance = Relevance::new(&[2]).unwrap();
    let mut add = |sequence, heads, weights: &[f32], gradients: &[f32]| {
        relevance.add_self(sequence, Attended { heads, weights, gradients }).unwrap_err().to_string()
    };
    assert!(add(1, 1, &[0.0; 4], &[0.0; 4]).starts_with("sequence: 1 given"));
    assert!(add(0, 0, &[], &[]).starts_with("heads: 0 given"));
    assert!(add(0, 1, &[0.0; 4], &[0.0; 3]).starts_with("gradients: 3 numbers given, 4 expected"));
    assert!(add(0, 1, &[0.0, 0.0, f32::NAN, 0.0], &[0.0; 4]).starts_with("weights: number 2 is NaN"));
    assert!(add(0, 1, &[f32::MAX; 4], &[f32::MAX; 4]).starts_with("weights × gradients: number 0 is inf"));
    let attended = Attended { heads: 1, weights: &[0.0; 4], gradients: &[0.0; 4] };
    assert!(relevance.add_cross(0, attended).unwrap_err().to_string().starts_with("sequences: 1 given, 2"));
    // Nothing of what was refused is left behind.
    assert_eq!(relevance.of(0, 0), [1.0, 0.0, 0.0, 1.0]);
}

proptest! {
    #[test]
    fn rows_of_rollout_add_up_and_no_flow_is_wider_than_its_ends(
        maps in prop::collection::vec(prop::collection::vec(0u8..9, 16), 1..4)
    ) {
        // Rows that see nothing among them.
        let weights: Vec<Vec<f32>> = maps.iter().map(|map| {
            map.chunks(4).flat_map(|row| {
                let sum: f32 = row.iter().map(|&x| f32::from(x)).sum::<f32>().max(1.0);
                row.iter().map(move |&x| f32::from(x) / sum).collect::<Vec<_>>()
            }).collect()
        }).collect();
        let trace = stack(&["a", "b", "c", "d"], &weights);
        let top = weights.len() - 1;
        let rolled = rollout(&trace, top, &mut silent).unwrap().own;
        for query in 0..4 {
            let sum: f32 = (0..4).map(|key| rolled.weight(query, key)).sum();
            prop_assert!((sum - 1.0).abs() < 1e-5);
            for (token, &flow) in flow(&trace, top, query, &mut silent).unwrap().own.iter().enumerate() {
                // What enters a token from the layer above it.
                let mixed = |row: usize| {
                    let row_of = &weights[0][row * 4..][..4];
                    let stay = if row == token { 1.0 } else { 0.0 };
                    (row_of[token] + stay) / (1.0 + row_of.iter().sum::<f32>())
                };
                let into: f32 = (0..4).map(mixed).sum();
                prop_assert!((0.0..=1.0 + 1e-5).contains(&flow) && flow <= into + 1e-5, "{flow} {into}");
                // At least what rollout has, which is one way to send it.
                prop_assert!(flow >= rolled.weight(query, token) - 1e-5);
            }
        }
    }
}
