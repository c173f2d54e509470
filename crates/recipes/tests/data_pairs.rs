//! Reading sentence pairs: what files may look like, and what is said about those that are wrong.

use regard_recipes::data::pairs::{Corpus, Pair, read_parallel, read_tsv};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

fn file(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path
}

fn pair(source: &str, target: &str) -> Pair {
    Pair { source: source.into(), target: target.into() }
}

#[test]
fn tsv_may_have_a_byte_order_mark_carriage_returns_more_columns_and_blank_lines_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "a.tsv", "\u{feff}Hi.\tSalut !\tCC-BY 2.0 #1 (A)\r\nGo.\tVa\u{202f}!\r\n\r\n\n");
    assert_eq!(read_tsv(path).unwrap(), [pair("Hi.", "Salut !"), pair("Go.", "Va\u{202f}!")]);
    assert!(read_tsv(file(folder.path(), "empty.tsv", "")).unwrap().is_empty());
}

#[test]
fn malformed_lines_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&[u8], usize, &str); 6] = [
        (b"Hi.\tSalut.\nGo. Va.\n", 2, "no tab"),
        (b"Hi.\tSalut.\n\nGo.\tVa.\n", 2, "no tab"),
        (b"\tSalut.\n", 1, "the source, before the tab, is empty"),
        (b"Hi.\t \tby A\n", 1, "the target, after the tab, is empty"),
        (b"Hi.\tSalut.\nGo.\tV\xe0.\n", 2, "byte 6 is not UTF-8"),
        (b"\xff\xfeH\0i\0", 1, "byte 1 is not UTF-8"),
    ];
    for (content, line, problem) in cases {
        let message = read_tsv(file(folder.path(), "bad.tsv", content)).unwrap_err().to_string();
        assert!(message.contains(&format!("bad.tsv, line {line}: {problem}")), "{message}");
    }
}

#[test]
fn parallel_files_must_have_the_same_number_of_lines() {
    let folder = tempfile::tempdir().unwrap();
    let source = file(folder.path(), "x.en", "a b\nc\n");
    let target = file(folder.path(), "x.fr", "A B\nC\n");
    assert_eq!(read_parallel(&source, target).unwrap(), [pair("a b", "A B"), pair("c", "C")]);
    let message = read_parallel(&source, file(folder.path(), "y.fr", "A\n")).unwrap_err().to_string();
    assert!(message.contains("y.fr: 1 lines, expected 2 as in"), "{message}");
    let message = read_parallel(&source, file(folder.path(), "z.fr", "\nC\n")).unwrap_err().to_string();
    assert!(message.ends_with("z.fr, line 1: empty, expected a sentence"), "{message}");
}

#[test]
fn a_missing_file_says_which_and_why() {
    let error = read_tsv("/nowhere/x.tsv").unwrap_err();
    assert_eq!(error.to_string(), "cannot read /nowhere/x.tsv");
    assert!(error.source().unwrap().to_string().contains("No such file"));
}

#[test]
fn a_folder_of_tables_is_a_corpus() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [("train.tsv", "a\tA\nb\tB\n"), ("dev.tsv", "c\tC\n")] {
        file(folder.path(), name, content);
    }
    let corpus = Corpus::open(&folder).unwrap();
    assert_eq!((corpus.train.len(), corpus.dev.len(), corpus.tests.len()), (2, 1, 0));
    file(folder.path(), "test.tsv", "d\tD\n");
    let corpus = Corpus::open(&folder).unwrap();
    assert_eq!(corpus.tests, [("test".to_owned(), vec![pair("d", "D")])]);
    assert_eq!(corpus.languages, None);
}

#[test]
fn a_folder_of_parallel_files_is_a_corpus_with_a_direction() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("fr-en");
    fs::create_dir(&folder).unwrap();
    for part in ["train", "valid", "test.2017", "test.2016"] {
        file(&folder, &format!("{part}.en"), format!("{part} x\n"));
        file(&folder, &format!("{part}.fr"), format!("{part} y\n"));
    }
    file(&folder, "code", "e s 12\n");
    let corpus = Corpus::open(&folder).unwrap();
    assert_eq!(corpus.languages, Some(("fr".into(), "en".into())));
    assert_eq!((&*corpus.train, &*corpus.dev), (&[pair("train y", "train x")][..], &[pair("valid y", "valid x")][..]));
    let names: Vec<&str> = corpus.tests.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["test.2016", "test.2017"]);
    let corpus = Corpus::open_direction(&folder, "en", "fr").unwrap();
    assert_eq!(corpus.train, [pair("train x", "train y")]);
    assert!(Corpus::open_direction(&folder, "en", "de").unwrap_err().to_string().ends_with("train.de"));
    file(&folder, "train.de", "z\n");
    let message = Corpus::open(&folder).unwrap_err().to_string();
    assert!(message.contains("training files for de, en, fr, expected two languages"), "{message}");
}

#[test]
fn a_folder_with_nothing_in_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let message = Corpus::open(&folder).unwrap_err().to_string();
    assert!(message.contains("no train.tsv, nor two files such as train.en and train.fr"), "{message}");
}
