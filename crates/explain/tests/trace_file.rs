//! Traces as files: what goes in comes out, and a hostile file gives an error.

use std::error::Error as _;

use regard_explain::{Error, Evidence, Head, Numbers, Rule, ScoreBias, Site, States, Trace};

fn tokens<const N: usize>(tokens: [&str; N]) -> Vec<String> {
    tokens.map(String::from).to_vec()
}

fn states() -> States {
    // One head, width 1: scores 0, 1, 2 for the only row that sees all.
    let lse = |visible: usize| (0..visible).map(|j| (j as f32).exp()).sum::<f32>().ln();
    States {
        q: vec![1.0; 6].into(),
        k: vec![0.0, 1.0, 2.0].into(),
        lse: (0..6).map(|row| lse(row % 3 + 1)).collect::<Vec<_>>().into(),
        key_heads: 1,
        width: 1,
        scale: 1.0,
        rules: vec![Rule::CAUSAL],
        biases: vec![],
    }
}

fn trace() -> Trace {
    let mut trace = Trace::new("Le chat \"noir\" dort", "test");
    let source = trace.add_axis("source", tokens(["the", "</script>", "cat"]));
    let target = trace.add_axis("target", tokens(["chat", "\u{202e}noir\n"]));
    let weights = vec![0.5, 0.25, 0.25, 1.0, 0.0, 0.0, 0.0, 0.125, 0.875, 0.1, 0.2, 0.7];
    let evidence = Evidence::Weights(weights.into());
    trace
        .add_site(Site { name: "decoder.cross".into(), layer: 0, queries: target, keys: source, heads: 2, evidence })
        .unwrap();
    let evidence = Evidence::States(states());
    trace
        .add_site(Site { name: "encoder.self".into(), layer: 3, queries: source, keys: source, heads: 2, evidence })
        .unwrap();
    trace
}

#[test]
fn a_file_holds_the_whole_trace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.trace");
    trace().save(&path).unwrap();
    assert_eq!(Trace::load(&path).unwrap(), trace());
    assert_eq!(trace().to_bytes().unwrap(), std::fs::read(&path).unwrap());
}

#[test]
fn an_opened_file_stays_where_it_is_and_is_checked_when_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.trace");
    trace().save(&path).unwrap();
    assert_eq!(Trace::open(&path).unwrap(), trace());
    let bytes = std::fs::read(&path).unwrap();
    for start in (bytes.len() - 4 * 27..bytes.len()).step_by(4) {
        let mut bytes = bytes.clone();
        bytes[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        let opened = Trace::open(&path).unwrap();
        let refused = |error: &Error| matches!(error, Error::Value { .. });
        let touched = (0..2).filter(|&site| {
            let found = [
                opened.map(site, Head::Mean).err(),
                opened.region(site, Head::Mean, [0..2, 0..3], 8).err(),
                opened.tile(site, Head::Mean, [0..2, 0..3], 2).err(),
            ];
            found.iter().flatten().any(refused)
        });
        assert_eq!(touched.count(), 1, "{start}");
        assert!(matches!(Trace::load(&path), Err(Error::InFile { source, .. }) if refused(&source)), "{start}");
    }
    for length in [0, 7, 100, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert!(Trace::open(&path).is_err(), "{length}");
    }
}

#[test]
fn tiles_fit_together() {
    let mut trace = Trace::new("long", "");
    let axis = trace.add_axis("source", (0..300).map(|i| format!("t{i}")).collect());
    let lse: Vec<f32> = (0..300).map(|row| ((row + 1) as f32).ln()).collect();
    let evidence =
        Evidence::States(States { q: vec![0.0; 300].into(), k: vec![1.0; 300].into(), lse: lse.into(), ..states() });
    let site = Site { name: "s".into(), layer: 0, queries: axis, keys: axis, heads: 1, evidence };
    trace.add_site(site.clone()).unwrap();
    let weights = trace.map(0, Head::One(0)).unwrap().weights;
    trace.add_site(Site { layer: 1, evidence: Evidence::Weights(weights.into()), ..site }).unwrap();
    for site in [0, 1] {
        let whole = trace.tile(site, Head::One(0), [0..300, 0..300], 16).unwrap();
        assert_eq!((whole.max.rows, whole.mean.columns), (19, 19));
        let part = trace.tile(site, Head::One(0), [160..300, 160..300], 16).unwrap();
        for (row, column) in [(0, 0), (3, 2), (8, 8), (8, 1), (2, 6)] {
            assert_eq!(part.max.weight(row, column), whole.max.weight(row + 10, column + 10));
            assert_eq!(part.mean.weight(row, column), whole.mean.weight(row + 10, column + 10));
        }
        let exact = trace.weights(site, Head::One(0), [200..203, 199..203]).unwrap();
        assert!((exact.weight(1, 2) - 1.0 / 202.0).abs() < 1e-6 && exact.weight(1, 3) == 0.0);
        assert!(matches!(trace.tile(site, Head::Mean, [0..300, 0..300], 0), Err(Error::Field { .. })));
    }
}

#[test]
fn maps_of_weights_and_of_states() {
    let trace = trace();
    let site = trace.find("decoder.cross", 0).unwrap();
    assert_eq!(trace.map(site, Head::One(1)).unwrap().weights, [0.0, 0.125, 0.875, 0.1, 0.2, 0.7]);
    let mean = trace.map(site, Head::Mean).unwrap();
    assert_eq!((mean.rows, mean.columns, mean.weight(0, 0)), (2, 3, 0.25));

    let map = trace.map(trace.find_last("encoder.self").unwrap(), Head::One(1)).unwrap();
    let e = std::f32::consts::E;
    let expected =
        [[1.0, 0.0, 0.0], [1.0 / (1.0 + e), e / (1.0 + e), 0.0], [1.0, e, e * e].map(|x| x / (1.0 + e + e * e))];
    for (weight, expected) in map.weights.iter().zip(expected.as_flattened()) {
        assert!((weight - expected).abs() < 1e-6, "{weight} {expected}");
    }
}

#[test]
fn rules_and_biases_are_kept_and_obeyed() {
    let bytes = |states: States| {
        let mut trace = Trace::new("", "");
        let axis = trace.add_axis("source", tokens(["a", "b", "c"]));
        let evidence = Evidence::States(states);
        let site = Site { name: "s".into(), layer: 0, queries: axis, keys: axis, heads: 2, evidence };
        trace.add_site(site).map(|_| trace.to_bytes().unwrap())
    };
    let rules =
        vec![Rule::Window { past: Some(1), future: Some(0) }, Rule::Keys(vec![[0, 2]]), Rule::Documents(vec![0, 2, 3])];
    let biases = vec![ScoreBias::SoftCap(30.0), ScoreBias::Alibi(vec![0.5, 0.25])];
    let trace =
        Trace::from_bytes(&bytes(States { lse: vec![0.0; 6].into(), rules, biases, ..states() }).unwrap()).unwrap();
    let capped = |x: f32| 30.0 * (x / 30.0).tanh();
    // Scores are 0 and 1; the third key is padding, and its query, in a document of its own, sees nothing.
    let q = trace.map(0, Head::One(1));
    assert!(q.is_err(), "weights above 1 are refused");
    let lse = [0.0, (capped(1.0).exp() + (-0.5f32).exp()).ln(), f32::NEG_INFINITY];
    let lse = [lse, [0.0, (capped(1.0).exp() + (-0.25f32).exp()).ln(), f32::NEG_INFINITY]].concat();
    let Evidence::States(kept) = &trace.sites()[0].evidence else { panic!("states") };
    let trace = Trace::from_bytes(&bytes(States { lse: lse.clone().into(), ..kept.clone() }).unwrap()).unwrap();
    let weights = trace.map(0, Head::One(1)).unwrap().weights;
    let expected = [1.0, 0.0, 0.0, (-0.25 - lse[4]).exp(), (capped(1.0) - lse[4]).exp(), 0.0, 0.0, 0.0, 0.0];
    for (weight, expected) in weights.iter().zip(expected) {
        assert!((weight - expected).abs() < 1e-6, "{weight} {expected}");
    }
    for (rules, biases) in [
        (vec![Rule::Keys(vec![[0, 4]])], vec![]),
        (vec![Rule::Keys(vec![[2, 1]])], vec![]),
        (vec![Rule::Documents(vec![0, 2])], vec![]),
        (vec![], vec![ScoreBias::SoftCap(0.0)]),
        (vec![], vec![ScoreBias::Alibi(vec![1.0])]),
    ] {
        assert!(matches!(bytes(States { rules, biases, ..states() }), Err(Error::Field { .. })));
    }
}

#[test]
fn regions_agree_with_the_whole_map() {
    // Uniform rows of a causal map: the weight of row i is 1 / (i + 1).
    let mut trace = Trace::new("long", "");
    let axis = trace.add_axis("source", (0..1000).map(|i| format!("t{i}")).collect());
    let lse: Vec<f32> = (0..1000).map(|row| ((row + 1) as f32).ln()).collect();
    let evidence =
        Evidence::States(States { q: vec![0.0; 1000].into(), k: vec![1.0; 1000].into(), lse: lse.into(), ..states() });
    let site = Site { name: "s".into(), layer: 0, queries: axis, keys: axis, heads: 1, evidence };
    trace.add_site(site.clone()).unwrap();
    let map = trace.map(0, Head::Mean).unwrap();
    trace.add_site(Site { layer: 1, evidence: Evidence::Weights(map.weights.clone().into()), ..site }).unwrap();
    for site in [0, 1] {
        let near = trace.region(site, Head::One(0), [700..703, 698..702], 256).unwrap();
        assert_eq!((near.max.rows, near.max.columns), (3, 4));
        assert_eq!(near.max, near.mean);
        assert!((near.max.weight(0, 2) - 1.0 / 701.0).abs() < 1e-6 && near.max.weight(0, 3) == 0.0);
        let far = trace.region(site, Head::Mean, [0..1000, 0..1000], 10).unwrap();
        assert!((far.max.weight(5, 0) - 1.0 / 501.0).abs() < 1e-6);
        assert!((far.mean.weights.iter().sum::<f32>() - 10.0 * 10.0 / 1000.0).abs() < 1e-5);
    }
    let small = trace.shrunk(100).unwrap();
    assert_eq!((small.axes()[0].tokens.len(), small.axes()[0].tokens[99].as_str()), (100, "t990"));
    assert_eq!(small.map(0, Head::Mean).unwrap().rows, 100);
    assert_eq!(small.shrunk(100).unwrap(), small);
    let part = trace.part(0, [700..703, 0..1000], 100).unwrap();
    assert_eq!(part.axes()[0].name, "source 701 to 703 of 1000");
    assert_eq!((part.axes()[0].tokens.len(), part.axes()[1].name.as_str()), (3, "source (each first of 10)"));
    assert!((part.map(0, Head::Mean).unwrap().weight(2, 70) - 1.0 / 703.0).abs() < 1e-6);
    for within in [[0..1001, 0..1], [0..1, 5..1001]] {
        assert!(matches!(trace.region(0, Head::Mean, within, 4), Err(Error::Field { .. })));
    }
    assert!(matches!(trace.region(0, Head::Mean, [0..1, 0..1], 0), Err(Error::Field { .. })));
    assert!(matches!(trace.region(0, Head::One(1), [0..1, 0..1], 4), Err(Error::NoSuchHead { .. })));
}

#[test]
fn what_does_not_exist_is_named() {
    let trace = trace();
    assert_eq!(trace.map(7, Head::Mean).unwrap_err().to_string(), "site 7 does not exist, the trace has 2");
    let error = trace.map(0, Head::One(2)).unwrap_err();
    assert_eq!(error.to_string(), "head 2 does not exist, site decoder.cross has 2");
}

#[test]
fn sites_are_checked_when_added() {
    let mut trace = Trace::new("", "");
    let axis = trace.add_axis("source", tokens(["a", "b"]));
    let mut add = |heads, keys, evidence| {
        let site = Site { name: "s".into(), layer: 0, queries: axis, keys, heads, evidence };
        trace.add_site(site).unwrap_err().to_string()
    };
    let weights = |weights: &[f32]| Evidence::Weights(weights.to_vec().into());
    assert_eq!(add(1, 4, weights(&[])), "site s: axis 4 does not exist, the trace has 1");
    assert_eq!(
        add(1, axis, weights(&[0.0; 3])),
        "site s layer 0: weights: 3 numbers given, 4 expected for the shape [1, 2, 2]"
    );
    assert_eq!(
        add(1, axis, weights(&[0.0, 1.0, f32::NAN, 1.0])),
        "site s layer 0: weights: number 2 is NaN, a weight from 0 to 1 expected"
    );
    assert_eq!(add(0, axis, weights(&[])), "site s layer 0: heads: 0 given, 1 to 4096 expected");
    let bad = Evidence::States(States { key_heads: 3, ..states() });
    assert!(add(2, axis, bad).contains("key heads: 3 given"));
    let bad = Evidence::States(States { width: usize::MAX, ..states() });
    assert!(add(1, axis, bad).contains("an impossible number"));
}

#[test]
fn a_query_that_sees_no_key_has_no_weight() {
    let mut trace = Trace::new("", "");
    let [queries, keys] = [trace.add_axis("target", tokens(["a", "b"])), trace.add_axis("source", tokens(["c"]))];
    let [q, k, lse] = [vec![1.0; 2], vec![0.5], vec![f32::NEG_INFINITY, 0.5]].map(Numbers::from);
    let evidence = Evidence::States(States { q, k, lse, ..states() });
    let site = Site { name: "s".into(), layer: 0, queries, keys, heads: 1, evidence };
    let site = trace.add_site(site).unwrap();
    assert_eq!(trace.map(site, Head::One(0)).unwrap().weights, [0.0, 1.0]);
}

#[test]
fn states_that_do_not_belong_together_are_an_error() {
    let mut trace = Trace::new("", "");
    let axis = trace.add_axis("source", tokens(["a", "b", "c"]));
    let evidence = Evidence::States(States { lse: vec![-80.0; 6].into(), ..states() });
    let site = Site { name: "s".into(), layer: 0, queries: axis, keys: axis, heads: 2, evidence };
    let site = trace.add_site(site).unwrap();
    assert!(matches!(trace.map(site, Head::Mean), Err(Error::Recompute { .. })));
}

#[test]
fn a_small_file_cannot_ask_for_all_memory() {
    let mut trace = Trace::new("", "");
    let axis = trace.add_axis("source", vec![String::new(); 10_000]);
    let [q, k, lse] = [(); 3].map(|()| vec![1.0; 10_000].into());
    let evidence = Evidence::States(States { q, k, lse, ..states() });
    let site = Site { name: "s".into(), layer: 0, queries: axis, keys: axis, heads: 1, evidence };
    let site = trace.add_site(site).unwrap();
    assert!(matches!(trace.map(site, Head::Mean), Err(Error::TooLarge { rows: 10_000, .. })));
    assert!(matches!(trace.to_json(), Err(Error::TooLarge { .. })));
}

#[test]
fn a_truncated_file_is_an_error() {
    let bytes = trace().to_bytes().unwrap();
    for length in (0..bytes.len()).step_by(7) {
        assert!(matches!(Trace::from_bytes(&bytes[..length]), Err(Error::Format { .. })), "{length}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(Trace::from_bytes(&longer).is_err());
}

#[test]
fn flipped_digits_never_panic() {
    let bytes = trace().to_bytes().unwrap();
    let header = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let mut refused = 0;
    for index in 0..8 + header {
        for digit in [b'0', b'9', b'"', b'-', 0xff] {
            let mut bytes = bytes.clone();
            bytes[index] = digit;
            match Trace::from_bytes(&bytes) {
                Err(_) => refused += 1,
                // What still loads must still draw.
                Ok(trace) => (0..trace.sites().len()).for_each(|site| drop(trace.map(site, Head::Mean))),
            }
        }
    }
    assert!(refused > 2 * header, "{refused} of {}", 5 * header);
}

#[test]
fn every_number_in_the_data_is_checked() {
    let bytes = trace().to_bytes().unwrap();
    for start in (bytes.len() - 4 * 27..bytes.len()).step_by(4) {
        let mut bytes = bytes.clone();
        bytes[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(matches!(Trace::from_bytes(&bytes), Err(Error::Value { .. })), "{start}");
    }
}

/// A safetensors file with one empty tensor and this trace in its metadata.
fn forged(trace: &str, tensor: &str) -> Vec<u8> {
    let header = format!(r#"{{"__metadata__":{{"regard.trace":{trace:?}}},{tensor}}}"#);
    [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()
}

#[test]
fn forged_headers_are_refused() {
    let empty = r#""0.weights":{"dtype":"F32","shape":[4096,0,0],"data_offsets":[0,0]}"#;
    let site = |heads: &str, queries: &str| {
        format!(
            r#"{{"version":2,"title":"","model":"","axes":[{{"name":"a","tokens":[]}}],"sites":[{{"name":"s","layer":0,
            "queries":{queries},"keys":0,"heads":{heads},"evidence":{{"weights":{{}}}}}}]}}"#
        )
    };
    assert!(Trace::from_bytes(&forged(&site("4096", "0"), empty)).is_ok());
    let refused = |trace: &str, tensor: &str| Trace::from_bytes(&forged(trace, tensor)).unwrap_err().to_string();
    assert!(refused(&site("18446744073709551615", "0"), empty).contains("shape"));
    assert!(refused(&site("4096", "18446744073709551615"), empty).contains("axis"));
    assert!(refused(&site("-1", "0"), empty).contains("not a trace"));
    let half = empty.replace("F32", "F16");
    assert!(refused(&site("4096", "0"), &half).contains("F32 expected"));
    let overflow = r#""0.weights":{"dtype":"F32","shape":[18446744073709551615,2,2],"data_offsets":[0,0]}"#;
    assert!(refused(&site("1", "0"), overflow).contains("overflow"));
    assert!(refused(r#"{"version":3,"new":true}"#, empty).contains("version 3"));
    assert!(refused("[]", empty).contains("not a trace"));
    assert!(refused(&"[".repeat(100_000), empty).contains("not a trace"));
}

#[test]
fn errors_name_the_file() {
    let error = Trace::load("/nowhere/a.trace").unwrap_err();
    assert_eq!(error.to_string(), "cannot read /nowhere/a.trace");
    let folder = tempfile::tempdir().unwrap();
    assert!(Trace::load(folder.path()).unwrap_err().source().unwrap().to_string().contains("regular file"));
    let path = folder.path().join("text");
    std::fs::write(&path, "not a trace at all").unwrap();
    let error = Trace::load(&path).unwrap_err();
    assert!(error.to_string().ends_with("text"), "{error}");
    assert!(error.source().unwrap().to_string().contains("not a trace"));
    assert!(trace().save(folder.path().join("absent/a.trace")).is_err());
}
