//! `regard compare`: mechanisms beside exact attention.

use std::fs;

use super::process::ran;

const SMALL: [&str; 8] = ["--heads", "1", "--head-dim", "8", "--rounds", "1", "--seed", "3"];

fn compare(arguments: &[&str]) -> super::process::Ran {
    ran(&[&["compare"], &SMALL[..], arguments].concat())
}

#[test]
fn every_mechanism_is_measured_or_says_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let [svg, html] = ["a.svg", "a.html"].map(|name| folder.path().join(name).display().to_string());
    let told = compare(&["--length", "32..64", "--svg", &svg, "--html", &html]).succeeds();
    for name in ["Exact", "Window", "Performer", "Nystrom", "Linformer", "Lsh", "Linear", "Hybrid", "Axial"] {
        assert!(told.matches(&format!("\n  {name} ")).count() >= 2, "{name}: {told}");
    }
    assert!(told.contains("32 positions") && told.contains("64 positions"), "{told}");
    let [svg, html] = [svg, html].map(|path| fs::read_to_string(path).unwrap());
    assert!(svg.starts_with("<svg") && svg.matches("<polyline").count() > 8 && !svg.contains("NaN"), "{svg}");
    assert!(html.contains("<h2>64 positions</h2>") && html.contains(">Performer<") && html.contains("<svg"), "{html}");
}

#[test]
fn a_window_over_everything_is_exact_attention_and_json_says_so() {
    let told = compare(&["--length", "16", "--json", "window"]).succeeds();
    let lines: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["name"].as_str().unwrap()).collect::<Vec<_>>(), ["Exact", "Window"]);
    for line in &lines {
        assert!(line["output_error"].as_f64().unwrap() < 1e-5 && line["peak_bytes"].as_u64().unwrap() > 0, "{line}");
        assert!(line["distribution_error"].as_f64().unwrap() < 1e-5, "{line}");
    }
    // A mechanism that has no causal form says so in its place.
    let told = compare(&["--length", "16", "--json", "--causal", "linformer"]).succeeds();
    assert!(told.contains("refused") && told.contains("no causal form"), "{told}");
}

#[test]
fn what_it_cannot_compare_it_says() {
    compare(&["--length", "16", "perfomer"]).fails(&["perfomer", "did you mean Performer"]);
    ran(&["compare", "--input", "nothing.trace"]).fails(&["nothing.trace", "No such file"]);
    for length in ["0", "64..32", "many", "2000000"] {
        compare(&["--length", length]).misused("expected a number, or FIRST..LAST");
    }
}

#[test]
fn a_trained_model_is_an_input_too() {
    let told =
        ran(&["compare", "--input", "translator", "--length", "32", "--rounds", "1", "window", "topk"]).succeeds();
    assert!(told.contains("queries and keys of encoder.self, layer 3 (the shipped translator"), "{told}");
    assert!(told.contains("32 positions") && told.contains("\n  TopK "), "{told}");
    // A window of 128 sees all of 32 positions.
    let window = told.lines().find(|line| line.starts_with("  Window")).unwrap();
    assert!(window.ends_with(" 0.0%"), "{window}");
    let few = ["compare", "--input", "translator", "--length", "65536", "window"];
    ran(&few).fails(&["length 65536 is more than the", "positions of the input"]);
    ran(&["compare", "--input", "translator", "--heads", "2"]).fails(&["--heads", "random"]);
    ran(&["compare", "--input", "translator", "--site", "decoder.self"]).fails(&["\"decoder.self\"", "encoder.self"]);
    ran(&["compare", "--site", "encoder.self"]).fails(&["--site"]);
}

#[test]
fn a_trace_of_weights_has_no_queries_to_compare_on_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("a.trace").display().to_string();
    ran(&["translate", "--quiet", "The black cat sleeps.", "--trace", &trace]).succeeds();
    ran(&["compare", "--input", &trace]).fails(&[
        "a.trace",
        "as queries and keys",
        "--input translator",
        "decoder.cross",
    ]);
}
