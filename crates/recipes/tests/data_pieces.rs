//! SentencePiece's pieces against the package (`scripts/sentencepiece_fixtures.py` says what the files hold), and files that are none.

use std::fs;
use std::path::{Path, PathBuf};

use regard::mix;
use regard_recipes::data::pieces::Pieces;
use regard_recipes::vocabulary::Vocabulary;
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn cases() -> (usize, Vec<(String, Vec<u32>)>) {
    let document: Value = serde_json::from_str(&fs::read_to_string(fixture("pieces.json")).unwrap()).unwrap();
    let case = |case: &Value| {
        let ids = case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
        (case["text"].as_str().unwrap().to_owned(), ids)
    };
    let count = document["count"].as_u64().unwrap() as usize;
    (count, document["cases"].as_array().unwrap().iter().map(case).collect())
}

#[test]
fn texts_are_cut_as_sentencepiece_cuts_them_and_come_back() {
    let (count, cases) = cases();
    let vocabulary = Vocabulary::Pieces(Box::new(Pieces::load(&fixture("pieces.bin"), count).unwrap()));
    for (text, ids) in cases {
        assert_eq!(vocabulary.encode(&text).unwrap(), ids, "{text:?}");
        let mut spelling = vocabulary.spelling(&ids[..1]);
        assert_eq!(ids[1..].iter().map(|&id| spelling.push(id)).collect::<String>(), text);
    }
}

#[test]
fn a_character_is_written_when_its_last_byte_is_there() {
    let (count, _) = cases();
    let vocabulary = Vocabulary::Pieces(Box::new(Pieces::load(&fixture("pieces.bin"), count).unwrap()));
    let byte = |byte: u8| u32::from(byte) + 3;
    let mut spelling = vocabulary.spelling(&[1, 300]);
    let written: Vec<String> = "猫".bytes().map(|b| spelling.push(byte(b))).collect();
    assert_eq!(written, ["", "", "猫"]);
    // What no byte can complete any more is marked.
    assert_eq!((spelling.push(byte(0xe7)), spelling.push(byte(b'a'))), (String::new(), "\u{fffd}a".into()));
    assert_eq!(
        (vocabulary.shown(1), vocabulary.shown(byte(b'\n')), vocabulary.shown(9999)),
        ("<s>".into(), "⏎".into(), String::new())
    );
    assert!(vocabulary.ends(1) && vocabulary.ends(2) && !vocabulary.ends(3));
}

#[test]
fn whatever_a_file_says_texts_are_cut_or_refused() {
    let (count, cases) = cases();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tok.bin");
    let whole = fs::read(fixture("pieces.bin")).unwrap();
    for seed in 0..500 {
        let mut bytes = whole.clone();
        for change in 0..1 + seed % 5 {
            let random = mix(mix(seed) ^ change);
            bytes[random as usize % whole.len()] = (random >> 32) as u8;
        }
        fs::write(&path, bytes).unwrap();
        let Ok(pieces) = Pieces::load(&path, count) else { continue };
        let vocabulary = Vocabulary::Pieces(Box::new(pieces));
        for (text, _) in &cases {
            let Ok(ids) = vocabulary.encode(text) else { continue };
            let mut spelling = vocabulary.spelling(&[]);
            ids.iter().for_each(|&id| drop(spelling.push(id)));
        }
    }
}

#[test]
fn files_that_are_none_are_refused() {
    let (count, _) = cases();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tok.bin");
    let whole = fs::read(fixture("pieces.bin")).unwrap();
    let refused = |bytes: &[u8], count: usize, said: &str| {
        fs::write(&path, bytes).unwrap();
        let error = Pieces::load(&path, count).unwrap_err().to_string();
        assert!(error.contains("tok.bin: ") && error.contains(said), "{said:?} in {error:?}");
    };
    refused(&[], count, "an empty file");
    refused(&whole[..whole.len() - 1], count, "it ends in piece 299 of 300");
    refused(&whole, count + 1, "it ends in piece 300 of 301");
    refused(&whole, usize::MAX, "it ends in piece 300");
    refused(&whole, count - 1, "behind the 299 pieces");
    let with = |at: usize, number: u32| {
        let mut bytes = whole.clone();
        bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        bytes
    };
    refused(&with(8, u32::MAX), count, "piece 0 is -1 bytes long");
    refused(&with(8, i32::MAX as u32), count, "bytes long, expected at most");
    refused(&with(4, f32::NAN.to_bits()), count, "the score NaN");
    assert!(Pieces::load(Path::new("/nowhere"), 1).unwrap_err().to_string().contains("/nowhere"));

    // Without bytes, a stranger is named.
    let mut few = 9i32.to_le_bytes().to_vec();
    for text in ["<unk>", "<s>", "</s>", " ", "a"] {
        few.extend(0f32.to_le_bytes());
        few.extend((text.len() as i32).to_le_bytes());
        few.extend(text.as_bytes());
    }
    fs::write(&path, few).unwrap();
    let pieces = Pieces::load(&path, 5).unwrap();
    assert_eq!(pieces.encode("aa").unwrap(), [1, 3, 4, 4]);
    assert!(pieces.encode("ab").unwrap_err().to_string().contains("\"b\""));
}
