//! Tokens as labels: harmless, and of a known width.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Zero-width joiner: glues emoji together.
const JOINER: char = '\u{200d}';
/// Left-to-right mark: keeps a terminal from reordering what follows a right-to-left token.
const LEFT_TO_RIGHT: char = '\u{200e}';

/// What a reader takes for one character, and the columns that it fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cluster {
    pub(crate) text: String,
    pub(crate) width: usize,
}

/// A token as it may be shown: control and direction characters escaped, blanks made visible, never empty.
pub fn visible(token: &str) -> String {
    if token.is_empty() {
        return "∅".to_owned();
    }
    if token.chars().all(|c| c == ' ') {
        return "␣".repeat(token.len());
    }
    let mut shown = String::with_capacity(token.len());
    for c in token.chars() {
        match c {
            '\n' | '\r' | '\t' => shown.extend(c.escape_default()),
            _ if c.is_control() || steers(c) => shown.extend(c.escape_unicode()),
            _ => shown.push(c),
        }
    }
    shown
}

/// The visible token in clusters: combining marks and joined emoji stay with their base.
pub(crate) fn clusters(token: &str) -> Vec<Cluster> {
    let mut clusters: Vec<Cluster> = Vec::new();
    for c in visible(token).chars() {
        let width = c.width().unwrap_or(0);
        match clusters.last_mut() {
            Some(last) if width == 0 || last.text.ends_with(JOINER) => last.text.push(c),
            // A mark with nothing to sit on gets a circle.
            None if width == 0 => clusters.push(Cluster { text: format!("◌{c}"), width: 1 }),
            _ => clusters.push(Cluster { text: c.to_string(), width }),
        }
    }
    for cluster in &mut clusters {
        // An emoji presentation selector widens its base.
        cluster.width = cluster.text.width().clamp(1, 2);
        if cluster.text.chars().any(right_to_left) {
            cluster.text.push(LEFT_TO_RIGHT);
        }
    }
    clusters
}

/// At most `columns` of the clusters, the last replaced by `ellipsis` (one column) if some had to go.
pub(crate) fn shorten(mut clusters: Vec<Cluster>, columns: usize, ellipsis: char) -> Vec<Cluster> {
    if width(&clusters) > columns {
        while width(&clusters) + 1 > columns && clusters.pop().is_some() {}
        clusters.push(Cluster { text: ellipsis.to_string(), width: 1 });
    }
    clusters
}

/// Columns that the clusters fill side by side.
pub(crate) fn width(clusters: &[Cluster]) -> usize {
    clusters.iter().map(|cluster| cluster.width).sum()
}

/// The clusters side by side.
pub(crate) fn joined(clusters: &[Cluster]) -> String {
    clusters.iter().map(|cluster| cluster.text.as_str()).collect()
}

/// Invisible characters that change the direction or the lines of what is around them.
fn steers(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
    )
}

fn right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(token: &str, columns: usize) -> (String, usize) {
        let short = shorten(clusters(token), columns, '…');
        (joined(&short), width(&short))
    }

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        assert_eq!(visible("a\x1b[31m\n"), r"a\u{1b}[31m\n");
        assert_eq!(visible("\u{202e}evil"), r"\u{202e}evil");
        assert_eq!(visible("\u{9b}1m"), r"\u{9b}1m");
        assert_eq!((visible("").as_str(), visible("  ").as_str()), ("∅", "␣␣"));
    }

    #[test]
    fn widths_are_columns() {
        assert_eq!(shown("été", 9), ("été".into(), 3));
        assert_eq!(shown("e\u{301}te\u{301}", 9), ("e\u{301}te\u{301}".into(), 3));
        assert_eq!(shown("\u{301}", 9), ("◌\u{301}".into(), 1));
        assert_eq!(shown("漢字", 9), ("漢字".into(), 4));
        assert_eq!(shown("👩‍🚀!", 9), ("👩‍🚀!".into(), 3));
        assert_eq!(shown("שלום", 9).1, 4);
    }

    #[test]
    fn long_tokens_are_shortened() {
        assert_eq!(shown("internationalisation", 8), ("interna…".into(), 8));
        assert_eq!(shown("漢字漢字", 6), ("漢字…".into(), 5));
        assert_eq!(shown("漢字", 1), ("…".into(), 1));
    }
}
