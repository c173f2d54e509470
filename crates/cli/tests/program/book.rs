//! `regard book` and `regard show`: the pages in the repository are those that the program writes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::process::{ran, text};

/// Lines of a picture that may differ: another processor may round a cell to the next shade.
const ROUNDED: usize = 4;

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/book")
}

/// The Markdown and SVG files in a folder and its folders.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.extension().and_then(|kind| kind.to_str()) {
                _ if path.is_dir() => open.push(path),
                Some("md" | "svg") => drop(found.insert(path.strip_prefix(folder).unwrap().to_owned())),
                _ => {}
            }
        }
    }
    found
}

#[test]
fn the_book_is_what_the_program_writes() {
    let folder = tempfile::tempdir().unwrap();
    ran(&["book", "--out", text(folder.path())]).succeeds();
    let (written, kept_files) = (files(folder.path()), files(&kept()));
    let anew = "write it anew: cargo run --release -- book --out docs/book";
    for file in &written {
        let new = fs::read_to_string(folder.path().join(file)).unwrap();
        let old =
            fs::read_to_string(kept().join(file)).unwrap_or_else(|error| panic!("{}: {error}; {anew}", file.display()));
        let differing = new.lines().zip(old.lines()).filter(|(new, old)| new != old).count();
        let allowed = if file.extension().is_some_and(|kind| kind == "svg") { ROUNDED } else { 0 };
        let same = differing <= allowed && new.lines().count().abs_diff(old.lines().count()) <= allowed;
        assert!(same, "{} is stale in docs/book; {anew}", file.display());
    }
    let by_hand = ["attention.md", "choosing.md", "reading.md"].map(PathBuf::from);
    let left: Vec<_> = kept_files.difference(&written).filter(|file| !by_hand.contains(file)).collect();
    assert!(left.is_empty(), "nothing writes {left:?}; delete them");
    // Pictures are text, and a repository is not the place for many of them.
    let size: u64 = kept_files.iter().map(|file| fs::metadata(kept().join(file)).unwrap().len()).sum();
    assert!(size < 3_000_000, "the book has {size} bytes");
}

#[test]
fn every_page_has_its_code_and_no_link_leads_nowhere() {
    for file in files(&kept()).iter().filter(|file| file.extension().is_some_and(|kind| kind == "md")) {
        let page = fs::read_to_string(kept().join(file)).unwrap();
        assert!(file.components().count() == 1 || page.contains("```rust\n"), "{} shows no code", file.display());
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = kept().join(file).parent().unwrap().join(link.split('#').next().unwrap());
            assert!(link.starts_with("https://") || target.exists(), "{}: {link}", file.display());
        }
    }
}

#[test]
fn a_card_is_shown_with_its_picture() {
    let shown = ran(&["show", "window"]).succeeds();
    assert!(shown.contains("past 4, future 2") && shown.contains("@@@@") && shown.contains("1  visible"), "{shown}");
    let shown = ran(&["show", "softmax"]).succeeds();
    assert!(shown.contains("temperature 3") && shown.contains("black"), "{shown}");
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("a.svg");
    let told = ran(&["show", "rotary", "--svg", text(&picture)]).succeeds();
    assert!(!told.contains("@@"), "{told}");
    assert!(fs::read_to_string(&picture).unwrap().starts_with("<svg"));
    ran(&["show", "gated output", "--svg", text(&picture)]).fails(&["no picture of GatedOutput"]);
}
