//! The bundle in `web/dist` is made from the sources in `web/src` that lie beside it.

use std::fs;
use std::path::Path;

/// FNV-1a of 64 bits, as `web/build.mjs` computes it: over names and texts, in the order of the names.
fn hash(folder: &Path) -> String {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for name in names {
        let text = fs::read(folder.join(&name)).unwrap();
        for byte in name.to_str().unwrap().bytes().chain([0]).chain(text).chain([0]) {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{state:016x}")
}

#[test]
fn the_bundle_is_of_these_sources() {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    let script = fs::read_to_string(web.join("dist/app.js")).unwrap();
    let sources = hash(&web.join("src"));
    assert!(
        script.starts_with(&format!("/* sources {sources} */")),
        "web/dist is not made of web/src as it is: run `npm install && npm run build` in crates/studio/web"
    );
    assert_eq!(fs::read(web.join("src/index.html")).unwrap(), fs::read(web.join("dist/index.html")).unwrap());
}

#[test]
fn tokens_never_become_markup() {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/src");
    for entry in fs::read_dir(web).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for wrong in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!text.contains(wrong), "{} uses {wrong}", path.display());
        }
    }
}
