//! Two traces of the same tokens beside each other.

mod common;

use std::ops::ControlFlow;

use common::{close, site};
use regard_explain::{Error, Head, Trace, diff, difference_map, silent};

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
