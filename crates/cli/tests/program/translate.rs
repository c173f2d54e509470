//! `regard translate` with sentences as arguments: text, pictures and files.

use std::fs;
use std::path::Path;

use regard_explain::Trace;

use super::process::{full, ran, regard, run, shipped, text};

const SENTENCE: &str = "Good night.";

fn in_folder(folder: &Path, name: &str) -> String {
    text(&folder.join(name)).to_owned()
}

#[test]
fn a_sentence_becomes_a_line_and_a_picture_in_plain_characters() {
    for terminal in [[("COLORTERM", "truecolor"), ("TERM", "xterm")], [("NO_COLOR", "1"), ("TERM", "dumb")]] {
        let out = run(regard(&["translate", SENTENCE]).envs(terminal)).succeeds();
        let (translation, picture) = out.split_once("\n\n").unwrap();
        assert!(!translation.trim().is_empty() && !translation.contains('\n'), "{out}");
        assert!(picture.contains("night") && picture.contains("attention weight"), "{out}");
        assert!(!out.contains('\x1b'), "{out:?}");
    }
}

#[test]
fn quiet_prints_the_translations_alone() {
    let alone = |sentence| ran(&["translate", "-q", sentence]).succeeds();
    let (one, two) = (alone("Good night."), alone("I am tired."));
    assert_eq!(one.lines().count(), 1);
    // Together in a batch they come out as they do alone.
    assert_eq!(ran(&["translate", "-q", "Good night.", "I am tired."]).succeeds(), one + &two);
}

#[test]
fn the_built_in_model_is_the_one_in_assets() {
    let folder = shipped();
    let given = ran(&["translate", SENTENCE, "--model", text(&folder)]).succeeds();
    assert_eq!(ran(&["translate", SENTENCE, "--from", "en", "--to", "fr"]).succeeds(), given);
}

#[test]
fn beam_search_finds_what_is_at_least_as_likely() {
    let score = |beam: &str| {
        let out = ran(&["translate", "--json", "--beam", beam, "--length-penalty", "0", SENTENCE]).succeeds();
        serde_json::from_str::<serde_json::Value>(&out).unwrap()["score"].as_f64().unwrap()
    };
    assert!(score("4") >= score("1") - 1e-5);
}

#[test]
fn json_holds_the_text_and_everything_looked_at() {
    let out = ran(&["translate", "--json", SENTENCE, "I am tired."]).succeeds();
    let objects: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0]["source"], SENTENCE);
    assert!(objects[0]["target"].as_str().is_some_and(|target| !target.is_empty()));
    let sites = objects[0]["trace"]["sites"].as_array().unwrap();
    for name in ["encoder.self", "decoder.self", "decoder.cross"] {
        let site = sites.iter().find(|site| site["name"] == name).unwrap();
        let row = site["weights"][0][0].as_array().unwrap();
        let sum: f64 = row.iter().map(|weight| weight.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-4, "{name}: {sum}");
    }
}

#[test]
fn files_hold_what_their_names_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name| in_folder(folder.path(), name);
    let (page, drawing, bitmap, trace) = (path("a.html"), path("a.svg"), path("a.png"), path("a.safetensors"));
    let files = ["--html", &page, "--svg", &drawing, "--png", &bitmap, "--trace", &trace];
    ran(&[&["translate", "-q", SENTENCE][..], &files].concat()).succeeds();

    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("night"));
    for fetch in ["<script src", "<link", "@import", "<img", "url(http", "fetch("] {
        assert!(!html.contains(fetch), "{fetch}");
    }
    let offline = html.replace("http://www.w3.org/", "");
    assert!(!offline.contains("http://") && !offline.contains("https://"), "the page would ask the network");

    assert!(fs::read_to_string(&drawing).unwrap().starts_with("<svg"));
    assert!(fs::read(&bitmap).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
    let trace = Trace::load(&trace).unwrap();
    assert_eq!(trace.title, SENTENCE);
    assert!(trace.find("decoder.cross", 0).is_some());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "no temporary file stays");
}

#[test]
fn a_page_takes_many_sentences_and_a_picture_one() {
    let folder = tempfile::tempdir().unwrap();
    let (page, drawing) = (in_folder(folder.path(), "a.html"), in_folder(folder.path(), "a.svg"));
    ran(&["translate", "-q", "Hi.", SENTENCE, "--html", &page]).succeeds();
    ran(&["translate", "-q", "Hi.", SENTENCE, "--svg", &drawing]).fails(&["--svg takes one sentence, 2 given"]);
    assert!(Path::new(&page).exists() && !Path::new(&drawing).exists());
}

#[test]
fn each_layer_and_head_can_be_drawn_and_no_other() {
    let with = |options: &[&str]| ran(&[&["translate", SENTENCE][..], options].concat());
    with(&["--site", "encoder.self", "--layer", "1", "--head", "1"]).succeeds();
    for layer in ["0", "99", "18446744073709551615"] {
        with(&["--layer", layer]).fails(&[&format!("in layer {layer}"), "decoder.cross"]);
    }
    for head in ["0", "99"] {
        with(&["--head", head]).fails(&[&format!("head {head} does not exist, expected one from 1 to")]);
    }
    with(&["--site", "nowhere"]).fails(&["no attention is called \"nowhere\"", "encoder.self"]);
}

#[test]
fn what_it_cannot_translate_it_says() {
    ran(&["translate", SENTENCE, "--from", "tlh"]).fails(&["no model from \"tlh\" to \"fr\""]);
    ran(&["translate", SENTENCE, "--to", ""]).fails(&["\"\""]);
    for blank in ["", " ", "\t\n", "\u{a0}", "\u{200b}", "\u{ad}\u{feff}"] {
        ran(&["translate", blank]).fails(&["blank, expected at least one word"]);
    }
    ran(&["translate", &"word ".repeat(20_000)]).fails(&["20000 tokens long", "split it"]);
    ran(&["translate"]).fails(&["the input is empty"]);
}

#[test]
fn control_characters_are_no_trouble_and_do_not_come_back() {
    let out = ran(&["translate", "Good\x07 \x1b[31mnight\x01.\r\n\x0b"]).succeeds();
    assert!(!out.chars().any(|character| character.is_control() && character != '\n'), "{out:?}");
}

#[test]
fn a_file_that_cannot_be_written_is_named_and_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let missing = in_folder(folder.path(), "missing/file");
    for option in ["--html", "--svg", "--png", "--trace"] {
        ran(&["translate", "-q", SENTENCE, option, &missing]).fails(&[&missing, "No such file"]);
        ran(&["translate", "-q", SENTENCE, option, text(folder.path())]).fails(&[text(folder.path())]);
        ran(&["translate", "-q", SENTENCE, option, "/dev/full"]).fails(&["/dev/full", "No space left"]);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    run(regard(&["translate", "--json", SENTENCE]).stdout(full())).fails(&["standard output", "No space left"]);
}
