//! The code of a page: functions of the test `usage` of each crate, which run there.

const RUST: [&str; 9] = [
    include_str!("../../../regard/tests/usage/nouns.rs"),
    include_str!("../../../regard/tests/usage/heads.rs"),
    include_str!("../../../regard/tests/usage/caches.rs"),
    include_str!("../../../regard/tests/usage/positions.rs"),
    include_str!("../../../regard/tests/usage/mechanisms.rs"),
    include_str!("../../../regard/tests/usage/memory.rs"),
    include_str!("../../../regard/tests/usage/graphs.rs"),
    include_str!("../../../regard/tests/usage/probes.rs"),
    include_str!("../../../models/tests/usage.rs"),
];
const PYTHON: &str = include_str!("../../../python/tests/usage.py");

/// What the code of a page is about, in a sentence, and the code.
pub struct Usage {
    pub about: &'static str,
    pub code: String,
}

/// The body of the function that is documented as `/// NAME`, without what only ends it.
pub fn rust(name: &str) -> Option<Usage> {
    let heading = format!("/// {name}");
    RUST.iter().find_map(|source| {
        let body = after(source, &heading)?.skip_while(|line| !line.ends_with('{')).skip(1);
        let body = body.take_while(|line| *line != "}").filter(|line| *line != "    Ok(())");
        Some(Usage { about: source.lines().next()?.strip_prefix("//! ")?, code: dedented(body) })
    })
}

/// The body of the function whose documentation is the name.
pub fn python(name: &str) -> Option<Usage> {
    let body = after(PYTHON, &format!("    \"\"\"{name}\"\"\""))?;
    let body = body.take_while(|line| line.is_empty() || line.starts_with(' '));
    Some(Usage { about: PYTHON.lines().next()?.trim_matches('"'), code: dedented(body) })
}

fn after<'a>(source: &'a str, heading: &str) -> Option<impl Iterator<Item = &'a str> + use<'a>> {
    let mut lines = source.lines();
    lines.find(|line| *line == heading).map(|_| lines)
}

fn dedented<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.map(|line| line.strip_prefix("    ").unwrap_or(line)).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}
