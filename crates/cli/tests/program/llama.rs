//! `regard generate` and `regard evaluate language` on files of llama2.c, with every cache.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::process::{Ran, ran, text};

/// A model of random weights with the small vocabulary of the recipes' fixtures, context 32, and its tokenizer beside it.
fn model() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (width, inner, layers, heads, keys, vocabulary, context) = (8usize, 12, 2, 4, 2, 300, 32);
    let key_width = width / heads * keys;
    let layer = 2 * width + 2 * width * width + 2 * width * key_width + 3 * width * inner;
    let count = width * vocabulary + layers * layer + width + context * (width / heads);
    let sizes = [width, inner, layers, heads, keys, vocabulary, context];
    let mut bytes: Vec<u8> = sizes.iter().flat_map(|&size| (size as i32).to_le_bytes()).collect();
    let mut state = 1u32;
    bytes.extend((0..count).flat_map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state as f32 / u32::MAX as f32 - 0.5).to_le_bytes()
    }));
    let path = folder.path().join("small.bin");
    fs::write(&path, bytes).unwrap();
    let pieces = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/tests/fixtures/pieces.bin");
    fs::copy(pieces, folder.path().join("tok300.bin")).unwrap();
    (folder, path)
}

fn generated(path: &Path, options: &[&str]) -> Ran {
    ran(&[&["generate", text(path)][..], options].concat())
}

#[test]
fn exact_caches_write_the_same_text() {
    let (folder, path) = model();
    let greedy = ["the cat", "--tokens", "20", "--temperature", "0", "--cache"];
    let with = |cache: &str| generated(&path, &[&greedy[..], &[cache]].concat()).succeeds();
    let full = with("full");
    assert!(full.starts_with("the cat"), "{full:?}");
    for cache in ["paged:64", "ring:4+60", "h2o:32+32", "compressive:8x4+32"] {
        assert_eq!(with(cache), full, "{cache}");
    }
    // Of a text without a beginning, the space that every text begins with is not written.
    generated(&path, &["", "--tokens", "5"]).succeeds();
    // Beyond the context, by reading half of it again, or by forgetting.
    generated(&path, &["the cat", "--tokens", "80"]).succeeds();
    generated(&path, &["the cat", "--tokens", "80", "--cache", "ring:2+20"]).succeeds();
    let page = folder.path().join("page.html");
    generated(&path, &["the cat", "--tokens", "3", "--html", text(&page)]).succeeds();
    assert!(fs::read_to_string(page).unwrap().contains("<html"));
}

#[test]
fn what_forgetting_costs_is_a_table() {
    let (folder, path) = model();
    let data = folder.path().join("text.txt");
    fs::write(&data, "the cat sat on the mat and then the other cat sat there. ".repeat(4)).unwrap();
    let caches = ["f16", "bf16", "int8", "paged:64", "ring:2+8", "h2o:4+4", "compressive:2x3+6"];
    let arguments = ["evaluate", "language", "--model", text(&path), "--data", text(&data), "--cache"];
    let table = ran(&[&arguments[..], &caches].concat()).succeeds();
    let rows: Vec<Vec<&str>> = table.lines().skip(2).map(|line| line.split_whitespace().collect()).collect();
    assert!(table.contains("in windows of 32"), "{table}");
    let names: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(names, [&["full"][..], &caches].concat());
    let held: Vec<&str> = rows.iter().map(|row| row[1]).collect();
    assert_eq!(held[..7], ["32", "32", "32", "32", "32", "10", "8"]);
    // Three become one whenever there is no room.
    assert!(["6", "7", "8"].contains(&held[7]), "{table}");
    let nats = |row: usize| rows[row][2].parse::<f64>().unwrap();
    assert!(nats(0) > 0.0 && (nats(0) - nats(1)).abs() < 1e-2 && (nats(0) - nats(4)).abs() < 2e-4, "{table}");
    ran(&["evaluate", "language", "--model", text(&path), "--data", "/nowhere"]).fails(&["cannot read /nowhere"]);
    fs::write(&data, "").unwrap();
    ran(&["evaluate", "language", "--model", text(&path), "--data", text(&data)]).fails(&["text is too short"]);
}

#[test]
fn what_cannot_be_used_is_named() {
    let (folder, path) = model();
    for cache in ["ring:4+0", "ring:4", "h2o:0+1", "compressive:1x1+4", "paged:100", "int9"] {
        generated(&path, &["the", "--cache", cache]).misused("--cache");
    }
    // A ring that is longer than what the model knows goes on as far as the context.
    generated(&path, &["the cat", "--tokens", "80", "--cache", "ring:4+60"]).succeeds();
    fs::rename(folder.path().join("tok300.bin"), folder.path().join("tokenizer.bin")).unwrap();
    generated(&path, &["the", "--tokens", "1"]).succeeds();
    fs::remove_file(folder.path().join("tokenizer.bin")).unwrap();
    generated(&path, &["the"]).fails(&["small.bin", "no tokenizer beside it, expected tok300.bin or tokenizer.bin"]);
    fs::write(folder.path().join("tokenizer.bin"), [0; 40]).unwrap();
    generated(&path, &["the"]).fails(&["tokenizer.bin", "it ends in piece"]);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    generated(&path, &["the"]).fails(&["small.bin", "its sizes ask for"]);
}

/// The 200 greedy tokens that llama2.c writes with its smallest published weights; without `REGARD_DATA` there is nothing to read.
#[test]
fn stories260k_writes_its_story() {
    let Some(data) = std::env::var_os("REGARD_DATA") else { return };
    let folder = Path::new(&data).join("stories260K");
    let expected = fs::read_to_string(folder.join("greedy-200-tokens.txt")).unwrap();
    let model = folder.join("stories260K.bin");
    let with =
        |cache: &str| generated(&model, &["", "--tokens", "200", "--temperature", "0", "--cache", cache]).succeeds();
    for cache in ["full", "f16", "paged:64", "ring:4+252", "h2o:128+128", "compressive:64x4+192"] {
        assert_eq!(with(cache).trim_end_matches('\n'), expected.trim_end_matches('\n'), "{cache}");
    }
    let prompted = generated(&model, &["Once upon a time", "--tokens", "200", "--temperature", "0"]).succeeds();
    assert!(prompted.starts_with(expected.trim_end_matches('\n')), "{prompted}");
}
