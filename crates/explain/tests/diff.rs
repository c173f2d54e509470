//! Two traces of the same tokens beside each other.

mod common;

use std::ops::ControlFlow;

use common::{close, site};
use regard_explain::{Error, Evidence, Head, Rule, Site, States, Trace, diff, difference_map, silent};

fn trace(tokens: &[&str], heads: &[[f32; 4]]) -> Trace {
    let mut trace = Trace::new("", "");
    let axis = trace.add_axis("text", tokens.iter().map(|token| (*token).to_owned()).collect());
    trace.add_site(site("encoder.self", 0, axis, axis, heads.len(), &heads.concat())).unwrap();
    trace
}

const EVEN: [f32; 4] = [0.5; 4];

#[test]
fn heads_are_ranked_by_how_far_they_moved() {
    let first = trace(&["a", "b"], &[EVEN, [1.0, 0.0, 0.0, 1.0], EVEN]);
    let mut second = trace(&["a", "b"], &[EVEN, [0.0, 1.0, 0.0, 1.0], [0.75, 0.25, 0.5, 0.5]]);
    second.add_site(site("encoder.self", 1, 0, 0, 1, &EVEN)).unwrap();
    let found = diff(&first, &second, &mut silent).unwrap();
    let order: Vec<(usize, f32)> = found.heads.iter().map(|head| (head.head, head.mean)).collect();
    assert_eq!(order, [(1, 0.5), (2, 0.125), (0, 0.0)]);
    assert_eq!(found.heads[0].queries, [1.0, 0.0]);
    assert_eq!(found.alone, [vec![], vec![("encoder.self".to_owned(), 1)]]);
    let map = difference_map(&first, &second, [0, 0], Head::One(2)).unwrap();
    close("map", &map, &[0.25, -0.25, 0.0, 0.0], 1e-6);
    // A trace beside itself.
    let same = diff(&first, &first, &mut silent).unwrap();
    assert!(same.heads.iter().all(|head| head.mean == 0.0) && same.alone == [vec![], vec![]]);
}

#[test]
fn traces_of_something_else_are_refused() {
    let first = trace(&["a", "b"], &[EVEN]);
    let told = |second: &Trace| diff(&first, second, &mut silent).unwrap_err().to_string();
    assert_eq!(
        told(&trace(&["a", "c"], &[EVEN])),
        "queries of encoder.self layer 1: \"b\" and \"c\" at position 1 given, the same tokens in both traces expected"
    );
    assert!(told(&trace(&["a", "b"], &[EVEN; 2])).starts_with("heads of encoder.self layer 1: 1 and 2 given"));
    let mut longer = Trace::new("", "");
    let axis = longer.add_axis("text", vec!["a".to_owned()]);
    longer.add_site(site("encoder.self", 0, axis, axis, 1, &[1.0])).unwrap();
    assert!(told(&longer).contains("2 and 1 tokens given"));
    assert!(told(&Trace::new("", "")).starts_with("sites in common: 0 given"));
    assert!(matches!(difference_map(&first, &first, [0, 1], Head::Mean), Err(Error::NoSuchSite { site: 1, .. })));
    let mut stop = |_, _| ControlFlow::Break(());
    assert!(matches!(diff(&first, &first, &mut stop), Err(Error::Cancelled { .. })));
}

#[test]
fn long_traces_are_compared_in_blocks() {
    // A window of nearest keys against one that sees all that came before, from queries and keys: maps of 9000 × 9000 are not made.
    let long = |rules: Vec<Rule>, lse: fn(usize) -> f32| {
        let mut trace = Trace::new("", "");
        let axis = trace.add_axis("text", vec!["a".to_owned(); 9000]);
        let states = States {
            q: vec![0.0; 9000].into(),
            k: vec![0.0; 9000].into(),
            lse: (0..9000).map(lse).collect::<Vec<f32>>().into(),
            key_heads: 1,
            width: 1,
            scale: 1.0,
            rules,
            biases: vec![],
        };
        let evidence = Evidence::States(states);
        trace.add_site(Site { name: "self".into(), layer: 0, queries: axis, keys: axis, heads: 1, evidence }).unwrap();
        trace
    };
    let all = long(vec![Rule::CAUSAL], |query| (query as f32 + 1.0).ln());
    let own = long(vec![Rule::Window { past: Some(0), future: Some(0) }], |_| 0.0);
    assert!(matches!(all.map(0, Head::One(0)), Err(Error::TooLarge { .. })));
    let found = diff(&all, &own, &mut silent).unwrap();
    // Everything but what the query's own place had.
    let expected: Vec<f32> = (0..9000).map(|query| 1.0 - 1.0 / (query as f32 + 1.0)).collect();
    close("moved", &found.heads[0].queries, &expected, 1e-4);
}
