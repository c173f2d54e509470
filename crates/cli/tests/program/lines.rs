//! `regard translate` as a filter: a line out for a line in.

use std::fs;

use super::process::{closed, fed, ran, text};
use std::io::Write;
use std::process::Stdio;

#[test]
fn a_line_comes_out_for_each_that_goes_in() {
    let out = fed(&["translate"], b"Hi.\n\nGood night.\r\n   \nI am tired.").succeeds();
    let blank: Vec<bool> = out.lines().map(|line| line.trim().is_empty()).collect();
    assert_eq!(blank, [false, true, false, true, false], "{out:?}");
    // No picture in between.
    assert!(!out.contains("attention weight"));
}

#[test]
fn more_lines_than_a_batch_keep_their_order() {
    let sentences = ["Hi.", "Good night.", "I am tired."];
    let alone: Vec<String> = sentences.iter().map(|one| ran(&["translate", "-q", one]).succeeds()).collect();
    let input = format!("{}\n", sentences.join("\n")).repeat(25);
    assert_eq!(fed(&["translate"], input.as_bytes()).succeeds(), alone.concat().repeat(25));
}

#[test]
fn a_file_is_read_as_standard_input_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.txt");
    fs::write(&path, "Hi.\n\nGood night.\n").unwrap();
    let from_file = ran(&["translate", "--input", text(&path)]).succeeds();
    assert_eq!(fed(&["translate"], b"Hi.\n\nGood night.\n").succeeds(), from_file);
}

#[test]
fn a_bad_line_is_named_and_the_others_are_translated() {
    let long = "word ".repeat(20_000);
    let endless = "a".repeat((1 << 20) + 5);
    let input =
        [b"Hi.\nna\xefve\n", long.as_bytes(), b"\n", endless.as_bytes(), b"\n\x00\x1b[2J\nGood night.\n"].concat();
    let ran = fed(&["translate"], &input);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let said: Vec<&str> = ran.err.lines().collect();
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(said[0].starts_with("regard: line 2: not UTF-8 from byte 3"), "{said:?}");
    assert!(said[1].starts_with("regard: line 3: ") && said[1].contains("20000 tokens"), "{said:?}");
    assert!(said[2].starts_with("regard: line 4: longer than"), "{said:?}");
    assert!(said[3].contains("3 of 6 lines"), "{said:?}");
    let empty: Vec<bool> = ran.out.lines().map(str::is_empty).collect();
    assert_eq!([empty[0], empty[1], empty[2], empty[3], empty[5]], [false, true, true, true, false]);
    assert_eq!(empty.len(), 6);
}

#[test]
fn input_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    ran(&["translate", "--input", "/nowhere/at all"]).fails(&["cannot read /nowhere/at all", "No such file"]);
    ran(&["translate", "--input", text(folder.path())]).fails(&[text(folder.path()), "directory"]);
    ran(&["translate", "--input", "/dev/null"]).fails(&["the input is empty"]);
}

#[test]
fn a_reader_that_has_heard_enough_ends_it_quietly() {
    let mut command = super::process::regard(&["translate"]);
    let mut child = command.stdin(Stdio::piped()).stdout(closed()).stderr(Stdio::piped()).spawn().unwrap();
    // The program goes before it has read all; writing then fails, which is as it should be.
    let _ = child.stdin.take().unwrap().write_all("Good night.\n".repeat(100).as_bytes());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
