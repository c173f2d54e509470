//! `regard view`: a trace file in, a drawing, a picture or a page out.

use std::fs;
use std::path::Path;

use super::process::ran;

fn trace_in(folder: &Path) -> String {
    let path = folder.join("a.trace").display().to_string();
    ran(&["translate", "--quiet", "The black cat sleeps.", "--trace", &path]).succeeds();
    path
}

#[test]
fn a_trace_is_drawn_listed_and_written_as_what_its_name_says() {
    let folder = tempfile::tempdir().unwrap();
    let trace = trace_in(folder.path());
    let drawn = ran(&["view", &trace, "--terminal"]).succeeds();
    assert!(drawn.contains("The black cat sleeps.") && drawn.contains("decoder.cross, layer 2"), "{drawn}");
    assert!(drawn.contains("attention weight"), "{drawn}");
    let head =
        ran(&["view", &trace, "-t", "--site", "encoder.self", "--layer", "1", "--head", "2", "--queries", "1..3"]);
    let head = head.succeeds();
    assert!(head.contains("encoder.self, layer 1, head 2") && head.contains("source 2 to 3 of"), "{head}");
    assert_eq!(ran(&["view", &trace, "--list"]).succeeds().matches("encoder.self").count(), 3);
    for (name, begins) in [("a.svg", "<svg"), ("a.html", "<!doctype html>")] {
        let path = folder.path().join(name);
        ran(&["view", &trace, "-o", &path.display().to_string()]).succeeds();
        assert!(fs::read_to_string(&path).unwrap().to_lowercase().starts_with(begins), "{name}");
    }
    let path = folder.path().join("a.pdf");
    ran(&["view", &trace, "-o", &path.display().to_string()]).succeeds();
    assert!(fs::read(&path).unwrap().starts_with(b"%PDF-"));
    let path = folder.path().join("a.png");
    ran(&["view", &trace, "--pixels", "3", "-o", &path.display().to_string()]).succeeds();
    assert!(fs::read(&path).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn two_heads_are_drawn_beside_each_other_or_one_less_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let trace = trace_in(folder.path());
    let copy = folder.path().join("b.trace").display().to_string();
    fs::copy(&trace, &copy).unwrap();
    let path = folder.path().join("a.svg").display().to_string();
    let drawn = |rest: &[&str]| {
        ran(&[&["view", "-o", &path, "--site", "encoder.self", "--layer", "1", "--head", "2"], rest].concat())
            .succeeds();
        fs::read_to_string(&path).unwrap()
    };
    let pair = drawn(&[&trace, "--with-head", "mean", "--with-layer", "3"]);
    for part in [">encoder.self, layer 1, head 2<", ">encoder.self, layer 3, mean of the heads<", "attention weight"] {
        assert!(pair.contains(part), "{part} in {pair}");
    }
    assert!(drawn(&[&trace, &copy]).contains(&format!("head 2 of {copy}<")));
    let difference = drawn(&[&trace, &trace, "--with-head", "1", "--difference", "--keys", "0..3"]);
    for part in ["head 2 − encoder.self, layer 1, head 1<", "difference of attention weights, first − second"] {
        assert!(difference.contains(part), "{part} in {difference}");
    }
    let said = ran(&["view", &trace, "-t", "--difference"]).succeeds();
    assert!(said.contains("decoder.cross, layer 2") && said.contains("first − second"), "{said}");
    let cross = ["view", &trace, "-t", "--with-site", "decoder.self", "--with-layer", "1"];
    ran(&[&cross[..], &["--difference"]].concat()).fails(&["--difference", "as many of both"]);
    ran(&["view", &trace, "-t", "--with-head", "9"]).fails(&["head 9"]);
    ran(&["view", &trace, "-t", "--with-head", "last"]).misused("or mean");
    ran(&["view", &trace, "--difference"]).misused("--output");
    ran(&["view", &trace, &copy, "-o", "a.html"]).fails(&["a.html", ".svg, .png or .pdf"]);
    ran(&["view", &trace, &copy, &copy, "-t"]).fails(&["at most two are drawn"]);
}

#[test]
fn what_it_cannot_view_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let trace = trace_in(folder.path());
    ran(&["view", "nothing.trace", "-t"]).fails(&["nothing.trace", "No such file"]);
    ran(&["view", &trace, "-o", "a.gif"]).fails(&["a.gif", ".svg, .png or .pdf, or .html"]);
    ran(&["view", &trace, "-t", "--site", "elsewhere"]).fails(&["\"elsewhere\"", "decoder.cross"]);
    ran(&["view", &trace, "-t", "--head", "9"]).fails(&["head 9"]);
    ran(&["view", &trace, "-t", "--keys", "0..900"]).fails(&["keys: 0..900 of"]);
    ran(&["view", &trace, "-t", "--keys", "3..3"]).misused("FIRST..END");
    let cut = folder.path().join("cut.trace");
    fs::write(&cut, &fs::read(&trace).unwrap()[..3000]).unwrap();
    ran(&["view", "-t", &cut.display().to_string()]).fails(&["cut.trace", "not a trace"]);
}
