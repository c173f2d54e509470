//! Text coloured by scores, with its trust strip, in every form.

mod common;

use common::Linear;
use regard_explain::attribution::integrated_gradients;
use regard_explain::render::terminal::{self, Colour};
use regard_explain::render::{Explained, html, svg};
use regard_explain::trust::{Protocol, measure};
use regard_explain::{Explanation, silent};
use unicode_width::UnicodeWidthStr;

fn made(tokens: &[&str], scores: &[f32]) -> (Vec<String>, Explanation) {
    let (method, note) = ("occlusion".to_owned(), "windows of 1 × 2 places replaced by zeros".to_owned());
    let tokens = tokens.iter().map(|token| (*token).to_owned()).collect();
    (tokens, Explanation { method, scores: scores.to_vec(), note, completeness: None })
}

#[test]
fn all_that_was_measured_is_drawn() {
    let linear = Linear::new(&[2.0, -1.0, 0.0]);
    let explanation = integrated_gradients(&linear, 4, &mut silent).unwrap();
    let trust = measure(&linear, &explanation, None, &Protocol::default(), &mut silent).unwrap();
    let tokens = ["good", "bad", "."].map(String::from);
    let explained =
        Explained { title: "why positive", tokens: &tokens, explanation: &explanation, trust: Some(&trust) };

    let picture = svg::explained(&explained).unwrap();
    for part in [
        "<title>why positive</title>",
        "integrated gradients, 4 steps from zeros",
        "<title>good: 2</title>",
        "#d96a0b",
        "<title>bad: -1</title>",
        ">−2.00</text>",
        "scores add up to 1.00 of 1.00",
        "comprehensiveness",
        "agreement with leave-one-out",
        "not measured",
        "missing places are replaced by zeros",
    ] {
        assert!(picture.contains(part), "{part} in {picture}");
    }
    assert!(!picture.contains("importan"));

    let plain = terminal::explained(&explained, Colour::Ascii, 80).unwrap();
    assert!(
        plain.starts_with("why positive\nintegrated gradients, 4 steps from zeros\n\ngood(2.00) bad(−1.00) .(0)\n")
    );
    assert!(plain.contains("scores add up to 1.00 of 1.00") && plain.contains("deletion area"), "{plain}");
    let colours = terminal::explained(&explained, Colour::TrueColor, 80).unwrap();
    assert!(colours.contains("\x1b[48;2;217;106;11m\x1b[38;5;16m good \x1b[0m"), "{colours:?}");
    assert!(terminal::explained(&explained, Colour::Ansi256, 80).unwrap().contains("\x1b[48;5;166m"));
}

#[test]
fn what_was_not_measured_is_said() {
    let (tokens, explanation) = made(&["a"], &[0.0]);
    let explained = Explained { title: "", tokens: &tokens, explanation: &explanation, trust: None };
    assert!(svg::explained(&explained).unwrap().contains("how far to trust this: not measured"));
    assert!(
        terminal::explained(&explained, Colour::Ascii, 80).unwrap().contains("how far to trust this: not measured")
    );
}

#[test]
fn no_token_leaves_its_place() {
    let hostile = ["</text><script>alert(1)</script>", "\" onload=\"x", "&lt;", "\x1b[31m", "\u{202e}abc", "\u{0}", ""];
    let (tokens, explanation) = made(&hostile, &[1.0, -1.0, 0.5, 0.25, 0.0, 0.1, 0.2]);
    let explained = Explained { title: "<b>&", tokens: &tokens, explanation: &explanation, trust: None };
    let page = html::explained(&[explained, explained]).unwrap();
    assert!(!page.contains("<script") && !page.contains("<b>") && !page.contains("\" onload"), "{page}");
    assert!(!page.contains(['\x1b', '\u{202e}', '\u{0}']) && page.contains("&amp;lt;"), "{page}");
    assert!(page.contains("default-src 'none'") && page.matches("<svg ").count() == 2);
    // Two pictures in a page share no name.
    assert!(!page.contains(" id=\""));
    let plain = terminal::explained(&explained, Colour::Ascii, 80).unwrap();
    assert!(!plain.contains(['\x1b', '\u{202e}', '\u{0}']), "{plain:?}");
}

#[test]
fn long_text_wraps() {
    let words: Vec<String> = (0..200).map(|at| format!("word{at}")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let scores: Vec<f32> = (0..200).map(|at| at as f32 - 100.0).collect();
    let (tokens, explanation) = made(&words, &scores);
    let explained = Explained { title: "long", tokens: &tokens, explanation: &explanation, trust: None };
    let plain = terminal::explained(&explained, Colour::Ascii, 60).unwrap();
    assert!(plain.lines().all(|line| line.width() <= 60) && plain.contains("word199(99.0)"), "{plain}");
    assert!(svg::explained(&explained).unwrap().contains("word199: 99"));
    let one = ["x".repeat(5000)];
    let (tokens, explanation) = made(&[&one[0]], &[1.0]);
    let explained = Explained { title: "long", tokens: &tokens, explanation: &explanation, trust: None };
    assert!(svg::explained(&explained).unwrap().contains("x…</text>"));
    let plain = terminal::explained(&explained, Colour::Ascii, 40).unwrap();
    let token = plain.lines().find(|line| line.contains("xx")).unwrap();
    assert!(token.ends_with("~(1.00)") && token.width() <= 40, "{plain}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let (tokens, explanation) = made(&["a"], &[1.0, 2.0]);
    let explained = Explained { title: "", tokens: &tokens, explanation: &explanation, trust: None };
    assert!(svg::explained(&explained).unwrap_err().to_string().starts_with("scores: 2 numbers given, 1 expected"));
    let (tokens, explanation) = made(&["a"], &[f32::NAN]);
    let explained = Explained { title: "", tokens: &tokens, explanation: &explanation, trust: None };
    assert!(terminal::explained(&explained, Colour::Ascii, 80).unwrap_err().to_string().contains("NaN"));
    let many = vec!["a"; 4097];
    let (tokens, explanation) = made(&many, &[0.0; 4097]);
    let explained = Explained { title: "", tokens: &tokens, explanation: &explanation, trust: None };
    assert!(svg::explained(&explained).unwrap_err().to_string().contains("too many"));
}
