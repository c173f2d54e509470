//! `regard list`, `regard show`, and what is neither.

use std::fs;

use super::process::{closed, full, ran, regard, run};

fn cards() -> Vec<serde_json::Value> {
    let text = ran(&["list", "--json"]).succeeds();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_mechanism_is_listed_and_shown() {
    let (cards, list) = (cards(), ran(&["list"]).succeeds());
    assert!(cards.len() > 20, "{} cards", cards.len());
    for card in cards {
        let field = |name: &str| card[name].as_str().filter(|text| !text.is_empty()).unwrap().to_owned();
        let (name, sentence) = (field("name"), field("sentence"));
        assert!(list.lines().any(|line| line.contains(&name) && line.ends_with(&sentence)), "{name}");
        let shown = ran(&["show", &name]).succeeds();
        for part in ["name", "sentence", "equation", "paper", "cost", "when", "family"] {
            assert!(shown.contains(&field(part)), "{part} of {name} in {shown}");
        }
    }
}

#[test]
fn a_card_is_a_page_with_its_picture() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.html").display().to_string();
    for (name, pictures) in [("Window", 1), ("GPT-2", 0)] {
        let said = ran(&["show", name, "--html", &path]).succeeds();
        let page = fs::read_to_string(&path).unwrap();
        let card = cards().into_iter().find(|card| card["name"] == name).unwrap();
        for part in ["name", "sentence", "equation", "paper", "cost", "when", "family"] {
            let text = card[part].as_str().unwrap().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            assert!(page.contains(&text) && said.contains(name), "{part} of {name} in {page}");
        }
        assert!(page.starts_with("<!doctype html>") && page.matches("<svg").count() == pictures, "{page}");
        assert!(page.contains("default-src 'none'") && !page.contains("src=") && !page.contains("@import"), "{page}");
    }
    // One that cannot be drawn says so, and the page is there none the less.
    ran(&["show", "GPT-2", "--svg", &path]).fails(&["there is no picture of GPT-2"]);
}

#[test]
fn a_name_that_is_nearly_right_gets_a_suggestion() {
    ran(&["show", "Transformr"]).fails(&["no mechanism is called \"Transformr\"", "did you mean Transformer"]);
    ran(&["show", "Zzzzzzzzzz"]).fails(&["\"Zzzzzzzzzz\"", "regard list"]);
}

#[test]
fn misuse_is_code_2() {
    ran::<&str>(&[]).misused("Usage");
    ran(&["explode"]).misused("explode");
    ran(&["train", "translate", "--out", "run"]).misused("--data");
    ran(&["translate", "Hi.", "--beam", "0"]).misused("--beam");
    ran(&["translate", "Hi.", "--length-penalty", "nan"]).misused("at least 0");
    ran(&["evaluate", "translate", "--data", "x", "--length-penalty", "nan"]).misused("at least 0");
}

#[test]
fn an_output_that_is_gone_is_fine_and_a_full_one_is_not() {
    for arguments in [&["list"][..], &["list", "--json"], &["show", "Transformer"], &["translate", "Good night."]] {
        let gone = run(regard(arguments).stdout(closed()));
        assert_eq!((gone.code, gone.err.as_str()), (Some(0), ""), "{arguments:?}");
        run(regard(arguments).stdout(full())).fails(&["standard output", "No space left"]);
    }
}

#[test]
fn a_failure_that_nobody_can_hear_is_still_a_failure() {
    assert_eq!(run(regard(&["show", "nothing"]).stderr(full())).code, Some(1));
    assert_eq!(run(regard(&["show", "nothing"]).stderr(closed())).code, Some(1));
}
