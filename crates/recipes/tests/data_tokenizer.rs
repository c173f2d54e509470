//! The tokenizer on text that people type, on text that they should not, and on files that were damaged.

use regard_recipes::data::tokenizer::{EOS, PAD, Tokenizer, UNK};
use std::fs;

const TEXT: [&str; 8] = [
    "Hello, how are you today?",
    "Bonjour, comment allez-vous aujourd'hui ?",
    "What has he got in his pocket? It's mine!",
    "Qu'est-ce qu'il a dans sa poche ? C'est à moi !",
    "I don't know where the children were, nor when they came.",
    "J'ignore où étaient les enfants, ni quand ils sont venus.",
    "We'd like 12 of these; they'll have 3.50 for that.",
    "Nous en voudrions 12 ; ils auront 3,50 pour cela.",
];

/// Every sentence eight times, so that no character is rare.
fn texts() -> impl Iterator<Item = &'static str> {
    TEXT.into_iter().cycle().take(8 * TEXT.len())
}

fn trained() -> Tokenizer {
    Tokenizer::train(texts(), 500).unwrap()
}

fn round_trip(tokenizer: &Tokenizer, text: &str) -> String {
    tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap()
}

#[test]
fn what_goes_in_comes_out() {
    let tokenizer = trained();
    for text in TEXT {
        assert_eq!(round_trip(&tokenizer, text), text);
    }
    let strange =
        ["« Où ? » – 100 % œuvre‽", "Привет, мир!", "東京🗼👩‍👩‍👧", "<eos> <0x41> <pad>", "x", "'hi' -- a_b@c.d/e"];
    for text in strange {
        assert_eq!(round_trip(&tokenizer, text), text);
        assert!(tokenizer.encode(text).unwrap().iter().all(|&id| id > UNK), "{text}");
    }
}

#[test]
fn spaces_controls_and_apostrophes_become_plain() {
    let tokenizer = trained();
    let cases = [
        ("Comment allez-vous\u{202f}?", "Comment allez-vous ?"),
        ("  Bonjour\u{a0}!\t\r\n", "Bonjour !"),
        ("a\u{0}b\u{1b}[31mc\u{85}d", "a b [31mc d"),
        ("C\u{2019}est l\u{2019}e\u{301}te\u{301}", "C'est l'\u{e9}t\u{e9}"),
        ("soft\u{ad}hyphen zero\u{200b}width \u{feff}", "softhyphen zerowidth"),
        ("block▁here", "block here"),
    ];
    for (text, expected) in cases {
        assert_eq!(round_trip(&tokenizer, text), expected);
    }
    for blank in ["", " ", "\u{a0}\n", "\0", "\u{200b}", "▁▁"] {
        assert!(tokenizer.encode(blank).unwrap().is_empty(), "{blank:?}");
    }
}

#[test]
fn tokens_are_words_and_what_stands_between_them() {
    let tokenizer = Tokenizer::train(texts(), 2000).unwrap();
    let tokens = |text| tokenizer.encode(text).unwrap().iter().map(|&id| tokenizer.token(id)).collect::<Vec<_>>();
    assert_eq!(tokens("Qu'est-ce qu'il a ?"), ["Qu'", "est", "-ce", "qu'", "il", "a", "?"]);
    assert_eq!(tokens("I don't, It's 12!"), ["I", "don", "'t", ",", "It", "'s", "1", "2", "!"]);
}

#[test]
fn the_same_text_in_any_order_gives_the_same_bytes() {
    let mut reversed: Vec<&str> = texts().collect();
    reversed.reverse();
    let (json, again) = (trained().to_json().unwrap(), Tokenizer::train(reversed, 500).unwrap().to_json().unwrap());
    assert!(json == again);
}

#[test]
fn a_vocabulary_too_small_for_its_characters_is_refused() {
    let message = Tokenizer::train(["aaaaa bbbbb"], 261).unwrap_err().to_string();
    let expected =
        "vocab_size is 261, expected at least 262: 4 special tokens, 256 bytes and the 2 characters of the text";
    assert_eq!(message, expected);
}

#[test]
fn a_very_long_line_is_cut_in_time() {
    let tokenizer = trained();
    let words = "how are the children? ".repeat(5_000);
    assert_eq!(tokenizer.encode(&words).unwrap().len(), 25_000);
    assert_eq!(round_trip(&tokenizer, &"z".repeat(100_000)).len(), 100_000);
}

#[test]
fn decoding_takes_any_numbers() {
    let tokenizer = trained();
    assert_eq!(tokenizer.decode(&[PAD, EOS, u32::MAX, 1_000_000]).unwrap(), "");
    assert_eq!(tokenizer.decode(&[4 + 0xc3]).unwrap(), "\u{fffd}");
    let everything: Vec<u32> = (0..tokenizer.vocab_size() as u32 + 9).collect();
    tokenizer.decode(&everything).unwrap();
    assert_eq!(tokenizer.token(u32::MAX), "<unk>");
}

#[test]
fn text_that_is_already_cut_keeps_its_cuts() {
    let text = ["un chi@@ en noir .", "un chat noir .", "un n@@ oir"];
    let tokenizer = Tokenizer::whitespace(text).unwrap();
    assert_eq!(tokenizer.vocab_size(), 4 + 8);
    assert_eq!(tokenizer.piece(4), "un", "the most frequent word comes first");
    let ids = tokenizer.encode("un chi@@ en <eos> bleu n@@").unwrap();
    assert_eq!((ids[3], ids[4]), (UNK, UNK));
    assert_eq!(tokenizer.decode(&ids).unwrap(), "un chien <unk> <unk> n");
    assert_eq!(tokenizer.token(ids[1]), "chi");
    let again = Tokenizer::from_json(&tokenizer.to_json().unwrap()).unwrap();
    assert_eq!(again.encode(text[0]).unwrap(), tokenizer.encode(text[0]).unwrap());
    assert_eq!(again.decode(&ids).unwrap(), "un chien <unk> <unk> n");
}

#[test]
fn a_saved_tokenizer_cuts_the_same_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let tokenizer = trained();
    tokenizer.save(&path).unwrap();
    let loaded = Tokenizer::load(&path).unwrap();
    for text in TEXT {
        assert_eq!(loaded.encode(text).unwrap(), tokenizer.encode(text).unwrap());
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing unfinished is left behind");
    assert!(tokenizer.save(folder.path().join("no/such/folder.json")).is_err());
}

#[test]
fn damaged_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.json");
    let json = trained().to_json().unwrap();
    for length in [0, 1, json.len() / 3, json.len() - 3] {
        fs::write(&path, &json[..length]).unwrap();
        let message = Tokenizer::load(&path).unwrap_err().to_string();
        assert!(message.contains("t.json: tokenizer: EOF while parsing"), "{message}");
    }
    fs::write(&path, b"\x80\x04\x95").unwrap();
    assert!(Tokenizer::load(&path).unwrap_err().to_string().contains("invalid utf-8"));
    assert!(Tokenizer::load(folder.path()).is_err());
    assert!(Tokenizer::load(folder.path().join("none")).is_err());
}

#[test]
fn files_that_would_cut_text_differently_are_errors() {
    let json = trained().to_json().unwrap();
    let refused = |from: &str, to: &str| {
        assert!(json.contains(from), "{from}");
        Tokenizer::from_json(&json.replacen(from, to, 1)).unwrap_err().to_string()
    };
    assert!(refused("\"<eos>\": 2", "\"<eos>\": 4000000000").contains("expected ids 0 to"));
    assert!(refused("\"<eos>\": 2", "\"<EOS>\": 2").contains("no token \"<eos>\" with id 2"));
    assert!(refused("\"<0x41>\": 69", "\"<0x41>\": -69").contains("invalid value"));
    assert!(refused("\"NFC\"", "\"NFD\"").contains("\"normalizer\" is not what this program writes"));
    assert!(refused("\"byte_fallback\": true", "\"byte_fallback\": false").contains("\"model\" is not"));
    assert!(
        refused("\"continuing_subword_prefix\": null", "\"continuing_subword_prefix\": \"▁▁▁▁\"").contains("\"model\"")
    );
    assert!(refused("\"merges\": [", "\"merges\": [[\"zz\", \"yy\"],").contains("out of vocabulary"));
    assert!(refused("\"BPE\"", "\"Unigram\"").contains("unknown variant"));
    assert!(Tokenizer::from_json(&"[".repeat(1_000_000)).is_err());
}
