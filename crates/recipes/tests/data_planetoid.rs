//! Planetoid's files, read without running what they say (`scripts/planetoid_fixtures.py`), and what is no such file.

use std::fs;
use std::path::{Path, PathBuf};

use regard_recipes::data::planetoid::Nodes;
use serde::Deserialize;

const PARTS: [&str; 7] = ["y", "allx", "ally", "tx", "ty", "graph", "test.index"];

#[derive(Deserialize)]
struct Expected {
    features: Vec<Vec<f32>>,
    labels: Vec<Option<u32>>,
    edges: Vec<(u32, u32)>,
    test: Vec<usize>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/planetoid")
}

/// A copy of the files that may be damaged.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in PARTS {
        let name = format!("ind.tiny.{part}");
        fs::copy(fixtures().join(&name), folder.path().join(&name)).unwrap();
    }
    folder
}

/// What is said when one file holds this instead.
fn refused(part: &str, bytes: &[u8]) -> String {
    let folder = copy();
    fs::write(folder.path().join(format!("ind.tiny.{part}")), bytes).unwrap();
    Nodes::open(folder.path(), "tiny").expect_err("this is to be refused").to_string()
}

#[test]
fn features_labels_edges_and_parts() {
    let expected: Expected =
        serde_json::from_str(&fs::read_to_string(fixtures().join("expected.json")).unwrap()).unwrap();
    let nodes = Nodes::open(fixtures(), "tiny").unwrap();
    assert_eq!((nodes.width, nodes.classes, nodes.graph.receivers(), nodes.graph.senders()), (7, 3, 24, 24));
    assert_eq!(nodes.labels, expected.labels);
    assert_eq!(nodes.features.chunks(7).map(<[f32]>::to_vec).collect::<Vec<_>>(), expected.features);
    assert_eq!(nodes.graph.pairs().collect::<Vec<_>>(), expected.edges);
    assert_eq!((nodes.train, nodes.dev), ((0..6).collect(), (6..15).collect()));
    assert_eq!(nodes.test, expected.test);
}

#[test]
fn nothing_is_run() {
    let said = refused("graph", b"\x80\x02cos\nsystem\nU\x04echo\x85R.");
    assert!(said.contains("names os.system, expected nothing but arrays"), "{said}");
    let said = refused("graph", b"\x80\x02c__builtin__\neval\nU\x011\x85R.");
    assert!(said.contains("names __builtin__.eval"), "{said}");
    // What may be named may not be called with anything, nor by another operation.
    for bytes in [&b"\x80\x02c__builtin__\nlist\n)R."[..], b"\x80\x02ccollections\ndefaultdict\n)R.", b"\x80\x02(i."] {
        let said = refused("graph", bytes);
        assert!(said.contains("calls what it may not") || said.contains("operation 0x69"), "{said}");
    }
    assert!(refused("graph", b"\x80\x04.").contains("a pickle of version 4, expected 2"));
}

#[test]
fn files_that_do_not_fit_are_named() {
    let read = |part: &str| fs::read(fixtures().join(format!("ind.tiny.{part}"))).unwrap();
    for (part, bytes, expected) in [
        ("graph", read("y"), "not a dictionary"),
        ("allx", read("y"), "not a sparse matrix"),
        ("ally", read("allx"), "not an array"),
        ("tx", read("allx"), "not a label for each node with features"),
        ("ty", read("ally"), "not a label for each node with features"),
        ("y", read("ally"), "15 nodes to learn from"),
        ("test.index", b"15\n18\nx\n".to_vec(), "line 3: expected the number of a node"),
        ("test.index", b"15\n".to_vec(), "not a node for each row of tx"),
        ("test.index", b"15 16".to_vec(), "line 1: expected the number of a node"),
        ("test.index", b"15\n18\n23\n20\n22\n17\n21\n15\n".to_vec(), "listed twice"),
        ("test.index", b"14\n18\n23\n20\n22\n17\n21\n15\n".to_vec(), "in allx, too"),
        ("test.index", b"15\n18\n99999999\n20\n22\n17\n21\n16\n".to_vec(), "leaves out more than it lists"),
        ("test.index", b"15\n18\n22\n20\n19\n17\n21\n16\n".to_vec(), "an edge with node 23, expected nodes below 23"),
    ] {
        let said = refused(part, &bytes);
        assert!(said.contains(expected), "{part}: {said}");
    }
    let folder = copy();
    fs::remove_file(folder.path().join("ind.tiny.tx")).unwrap();
    let said = Nodes::open(folder.path(), "tiny").unwrap_err().to_string();
    assert!(said.contains("cannot read") && said.ends_with("ind.tiny.tx"), "{said}");
}

/// Writes a file anew: some file systems wait for the disk when one is emptied and filled.
fn put(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn whatever_is_damaged_nothing_breaks() {
    let folder = copy();
    for part in PARTS {
        let path = folder.path().join(format!("ind.tiny.{part}"));
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            put(&path, &damaged);
            // Some changes make another graph, which is as good; none may panic.
            let _ = Nodes::open(folder.path(), "tiny");
        }
        for at in (0..whole.len()).step_by(3) {
            put(&path, &whole[..at]);
            let cut = Nodes::open(folder.path(), "tiny");
            assert!(cut.is_err() || part == "test.index", "{part}, the first {at} bytes");
        }
        put(&path, &whole);
    }
}

#[test]
fn a_small_file_takes_little_memory() {
    let count = 20_000;
    // A long tuple, given to as many calls; a long list under as many keys; what claims to be long; brackets in brackets.
    let calls = [&b"\x80\x02("[..], &b"K\x00".repeat(count), b"tq\x00", &b"cnumpy\ndtype\nh\x00R".repeat(count), b"."];
    let lists =
        [&b"\x80\x02](".to_vec()[..], &b"K\x00".repeat(count), b"eq\x00}(", &b"K\x00h\x00".repeat(count), b"u."];
    assert!(refused("graph", &calls.concat()).contains("not a dictionary"));
    assert!(refused("graph", &lists.concat()).contains("lists that are longer than the file"));
    assert!(refused("graph", b"\x80\x02T\xff\xff\xff\x7f.").contains("more expected"));
    assert!(refused("graph", &b"(".repeat(count)).contains("ends at byte 20000"));
    assert!(
        refused("graph", &[&b"(".repeat(count)[..], &b"t".repeat(count), b"."].concat()).contains("not a dictionary")
    );
    // A list that holds itself.
    assert!(refused("graph", b"\x80\x02]q\x00h\x00a.").contains("not a dictionary"));
    assert!(refused("graph", b"\x80\x02}q\x00K\x00h\x00s.").contains("no list"));
}
