//! Marian's tokenizer against SentencePiece (`scripts/marian_fixtures.py` says what the files hold), and files that are none.

use std::fs;
use std::path::{Path, PathBuf};

use regard::mix;
use regard_recipes::data::hub::HubTokenizer;
use regard_recipes::data::sentencepiece::SentencePieces;
use serde_json::Value;
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/marian").join(name)
}

fn document() -> Value {
    serde_json::from_str(&fs::read_to_string(fixture("cases.json")).unwrap()).unwrap()
}

fn count() -> usize {
    document()["count"].as_u64().unwrap() as usize
}

/// A copy that may be damaged.
fn copy() -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for name in ["source.spm", "vocab.json"] {
        fs::copy(fixture(name), to.path().join(name)).unwrap();
    }
    to
}

#[track_caller]
fn refused(folder: &Path, said: &str) {
    let error = HubTokenizer::open(folder, count()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(said), "{said:?} in {error:?}");
}

#[test]
fn texts_are_cut_as_sentencepiece_cuts_them() {
    let pieces = SentencePieces::load(&fixture("source.spm")).unwrap();
    let tokenizer = HubTokenizer::open(&fixture(""), count()).unwrap();
    for case in document()["cases"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let language = text.find("<<").filter(|_| text.starts_with(">>")).map_or(0, |at| at + 2);
        assert_eq!(serde_json::to_value(pieces.cut(&text[language..])).unwrap(), case["pieces"], "{text:?}");
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(serde_json::to_value(&ids).unwrap(), case["ids"], "{text:?}");
        assert_eq!(tokenizer.decode(&ids).unwrap(), case["again"].as_str().unwrap(), "{text:?}");
    }
}

#[test]
fn tokens_have_names() {
    let tokenizer = HubTokenizer::open(&fixture(""), count() + 2).unwrap();
    let cat = tokenizer.id("▁Katze").unwrap();
    assert_eq!((tokenizer.token(cat), tokenizer.shown(cat)), ("▁Katze".into(), " Katze".into()));
    // The model may know more tokens than there are.
    let beyond = count() as u32;
    assert_eq!((tokenizer.count(), tokenizer.token(beyond)), (count(), format!("<{beyond}>")));
    assert!(tokenizer.id("Hund").is_none() && tokenizer.encode_pair("the cat", "sat").is_err());
}

#[test]
fn files_that_do_not_fit_are_refused() {
    let at = copy();
    let at = at.path();
    let error = HubTokenizer::open(at, count() - 1).map(|_| ()).unwrap_err().to_string();
    assert!(error.ends_with("the token \"<pad>\" has the id 39, the model knows 39 tokens"), "{error}");
    fs::write(at.join("vocab.json"), r#"{"</s>": 0, "a": 1}"#).unwrap();
    refused(at, "vocab.json: the token <unk> is missing");
    fs::write(at.join("vocab.json"), r#"{"</s>": -1}"#).unwrap();
    refused(at, "vocab.json: no vocabulary: ");
    fs::remove_file(at.join("vocab.json")).unwrap();
    refused(at, "cannot read ");

    let at = copy();
    let at = at.path();
    let path = at.join("source.spm");
    let whole = fs::read(&path).unwrap();
    // Fields of messages of the same number add up.
    for (more, said) in [
        (&[0x12, 2, 0x18, 2][..], "its pieces are of kind 2, expected 1"),
        (&[0x12, 3, 0x98, 2, 1], "unknown characters become bytes"),
        (&[0x12, 3, 0xc0, 1, 1], "spaces end pieces"),
        (&[0x1a, 2, 0x28, 0], "spaces stay spaces"),
        (&[0x1a, 3, 0x12, 1, 0], "a map of characters cut short"),
        (&[0x1a, 6, 0x12, 4, 9, 0, 0, 0], "a map of characters of 0 bytes, its array claims 9"),
        (&[0x0a, 3, 0x0a, 1, 0xff], "invalid utf-8"),
        (&[0x0a, 8, 0x0a, 1, b'a', 0x15, 0, 0, 0xc0, 0x7f], "the piece \"a\" has the score NaN"),
        (&[0x0b], "cut short or damaged in field "),
    ] {
        fs::write(&path, [&whole, more].concat()).unwrap();
        refused(at, &format!("source.spm: no model of SentencePiece: {said}"));
    }
    fs::write(&path, "").unwrap();
    refused(at, "it has no pieces");
}

#[test]
fn whatever_a_file_says_texts_are_cut_or_it_is_refused() {
    let at = copy();
    let path = at.path().join("source.spm");
    let whole = fs::read(fixture("source.spm")).unwrap();
    for seed in 0..2000 {
        let mut bytes = whole.clone();
        for change in 0..1 + seed % 5 {
            let random = mix(mix(seed) ^ change);
            let at = random as usize % bytes.len();
            bytes[at] = (random >> 32) as u8;
        }
        if seed % 4 == 0 {
            bytes.truncate(mix(seed) as usize % bytes.len());
        }
        fs::write(&path, bytes).unwrap();
        match SentencePieces::load(&path) {
            Ok(pieces) => {
                for text in ["the cat", "ﬁne he\u{301} wait… wh\u{200b}ile ａ", "猫 \u{0}"] {
                    pieces.cut(text);
                }
            }
            Err(error) => assert!(error.to_string().contains("source.spm: no model of SentencePiece"), "{error}"),
        }
    }
}
